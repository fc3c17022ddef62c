//! What an evaluation found, as it is written as JSON. The lines for people are `summary.rs`'s.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::compare::{Compared, Comparison};
use super::embed::Failure;
use super::folder::LabelledFolder;
use super::open_set::Gallery;
use super::statistics::Interval;
use super::verification::{Fold, Judged, OperatingPoint};

/// An evaluation's figures. What could not be measured with these photographs is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The id of the model that made the embeddings.
    pub model: String,
    /// Which pairs were judged, and how.
    pub protocol: Protocol,
    /// The share of right answers: the mean over the folds, each with the threshold that is best on the others.
    pub accuracy: Option<f64>,
    /// Their standard deviation over the folds.
    pub accuracy_std: Option<f64>,
    /// The mean of the folds' thresholds.
    pub threshold: Option<f64>,
    /// The share of the judged pairs of one person accepted where so many of all pairs of two people in the folder are.
    pub tar_at_far: BTreeMap<&'static str, Option<f64>>,
    /// The share of photographs of enrolled people that do not find them, in the largest gallery.
    pub fnir_at_fpir: BTreeMap<&'static str, Option<f64>>,
    /// Numbers of everything.
    pub counts: Counts,
    /// Photographs without an embedding, by reason.
    pub failures: BTreeMap<Failure, usize>,
    /// Which photographs those are.
    pub failed: Vec<Failed>,
    /// Accuracy and threshold of each fold.
    pub folds: Vec<JudgedFold>,
    /// Verification at false accept rates, in full.
    pub verification: Vec<Verification>,
    /// Identification by size of the gallery.
    pub open_set: Vec<Gallery>,
    /// The judged pairs that were nearest to being taken for what they are not.
    pub worst_pairs: WorstPairs,
    /// The same of all pairs in the folder.
    pub worst_pairs_of_folder: WorstPairs,
    /// How long the photographs took.
    pub speed: Speed,
}

/// Which pairs were judged, and how.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Protocol {
    /// Which pairs, in words.
    pub pairs: &'static str,
    /// How many folds they are in.
    pub folds: usize,
    /// What a fold's threshold was chosen on, in words.
    pub threshold_source: &'static str,
    /// What an answer counts for the accuracy, in words.
    pub weighting: &'static str,
    /// What a pair of which a photograph failed counts, in words.
    pub failed_pairs: &'static str,
    /// Draws of who is enrolled, for the figures of galleries.
    pub splits: usize,
}

/// Numbers of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// People in the folder.
    pub people: usize,
    /// JPEG files.
    pub photographs: usize,
    /// Photographs with an embedding.
    pub embedded: usize,
    /// Photographs with several faces, of which the one nearest the centre was taken.
    pub several_faces: usize,
    /// Other files.
    pub ignored_files: usize,
    /// Judged pairs of one person.
    pub same_pairs: u64,
    /// Judged pairs of two people.
    pub different_pairs: u64,
    /// Judged pairs of one person of which a photograph failed.
    pub same_pairs_failed: u64,
    /// Judged pairs of two people of which a photograph failed.
    pub different_pairs_failed: u64,
    /// All pairs of two people in the folder, without failed ones.
    pub different_pairs_of_folder: u64,
}

/// A photograph without an embedding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Below the folder.
    pub path: String,
    /// Why.
    pub reason: Failure,
}

/// A fold's figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct JudgedFold {
    /// The share of right answers.
    pub accuracy: f64,
    /// Chosen on the other folds.
    pub threshold: f64,
}

/// True accepts at a rate of false ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Verification {
    /// Whose pairs of two people the threshold was chosen on.
    pub impostors: &'static str,
    /// The rate.
    pub far: f64,
    /// The share of the judged pairs of one person that are accepted.
    pub tar: f64,
    /// Wilson's 95 % interval, which takes pairs for independent.
    pub interval: Interval,
    /// From which similarity on.
    pub threshold: f64,
    /// Pairs of two people accepted there; below ten, the threshold is rough.
    pub false_accepts: u64,
    /// Pairs of two people.
    pub false_pairs: u64,
}

/// The worst pairs of both kinds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorstPairs {
    /// Of two people, the most similar first.
    pub different: Vec<WorstPair>,
    /// Of one person, the least similar first.
    pub same: Vec<WorstPair>,
}

/// A pair, by path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorstPair {
    /// Below the folder.
    pub first: String,
    /// Below the folder.
    pub second: String,
    /// -1 to 1.
    pub similarity: f32,
}

/// How long the photographs took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Speed {
    /// Photographs in a second, from the file to the embedding.
    pub photographs_per_second: f64,
    /// On so many threads.
    pub threads: usize,
}

impl Verification {
    /// A point, and where its threshold comes from.
    pub fn new(impostors: &'static str, point: OperatingPoint) -> Self {
        let OperatingPoint { far, tar, interval, threshold, false_accepts, false_pairs } = point;
        Self { impostors, far, tar, interval, threshold, false_accepts, false_pairs }
    }
}

impl From<Judged> for JudgedFold {
    fn from(Judged { accuracy, threshold }: Judged) -> Self {
        Self { accuracy, threshold }
    }
}

impl WorstPairs {
    /// The worst of a comparison, by path.
    pub fn of(comparison: &Comparison, folder: &LabelledFolder) -> Self {
        let named = |pair: &Compared| WorstPair {
            first: path(folder, pair.first),
            second: path(folder, pair.second),
            similarity: pair.similarity,
        };
        Self {
            different: comparison.worst_different.iter().map(named).collect(),
            same: comparison.worst_same.iter().map(named).collect(),
        }
    }
}

/// A photograph's path below the folder.
pub fn path(folder: &LabelledFolder, photograph: usize) -> String {
    Path::display(&folder.photographs[photograph].path).to_string()
}

impl Counts {
    /// Fills in what the judged pairs say.
    pub fn with_pairs(self, judged: &Fold) -> Self {
        Self {
            same_pairs: judged.same_pairs(),
            different_pairs: judged.different_pairs(),
            same_pairs_failed: judged.same_failed,
            different_pairs_failed: judged.different_failed,
            ..self
        }
    }
}
