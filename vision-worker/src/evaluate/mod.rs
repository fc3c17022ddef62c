//! How right the whole pipeline is on a folder of labelled photographs, from the JPEG files to the figures: are two
//! photographs of one person (`verification.rs`), and who is this, if anybody we know (`open_set.rs`)?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::Device;

use crate::Pipeline;
use crate::model::ModelError;

pub mod calibration;
pub mod compare;
pub mod embed;
pub mod folder;
pub mod liveness;
pub mod open_set;
pub mod pairs;
pub mod report;
pub mod statistics;
mod summary;
pub mod svg;
pub mod verification;

use compare::Comparison;
use embed::Embedded;
use folder::LabelledFolder;
use pairs::{PairList, PairsError};
use report::{Counts, Failed, Protocol, Report, Speed, Verification, WorstPairs};
use verification::{Fold, Weighting};

/// False accept rates that are reported.
const FARS: [(&str, f64); 2] = [("1e-3", 1e-3), ("1e-4", 1e-4)];

/// False-positive identification rates that are reported.
const FPIRS: [(&str, f64); 2] = [("1e-2", 1e-2), ("1e-3", 1e-3)];

/// Folds of people where no list of pairs is given; fewer, where not every fold would have two people.
const FOLDS_MAX: usize = 10;

const SEED: u64 = 0xF01D;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A folder cannot be read, or a result not written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A name that cannot be printed.
    #[error("{}: the name is not UTF-8", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// A folder without a photograph.
    #[error("{}: no FOLDER/NAME/*.jpg in it", path.display())]
    NoPhotographs {
        /// The folder.
        path: PathBuf,
    },
    /// A list of pairs with a line that cannot be used.
    #[error(transparent)]
    Pairs(#[from] PairsError),
    /// The model cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A model folder without liveness networks.
    #[error("{} has no liveness networks: `gatepost-vision models import --liveness FOLDER` adds them", path.display())]
    NoLiveness {
        /// The model folder.
        path: PathBuf,
    },
    /// The threads cannot be started.
    #[error("the threads cannot be started: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// What to evaluate.
#[derive(Debug, Clone)]
pub struct Options {
    /// `FOLDER/NAME/NAME_0001.jpg`.
    pub folder: PathBuf,
    /// A list of pairs; without one, all pairs are judged.
    pub pairs: Option<PathBuf>,
    /// The model folder.
    pub models: PathBuf,
    /// Where the networks run.
    pub device: Device,
    /// As many as the machine has, if not given.
    pub threads: Option<usize>,
    /// Where to put the figures as SVG files.
    pub svg: Option<PathBuf>,
    /// Where to put the measurement that a community's threshold is chosen from, as JSON.
    pub calibration: Option<PathBuf>,
}

/// Evaluates a folder.
pub fn evaluate(options: &Options) -> Result<Report, EvaluateError> {
    let folder = LabelledFolder::read(&options.folder)?;
    // Before the long work, so that a wrong line costs nothing.
    let listed = match &options.pairs {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).map_err(|cause| EvaluateError::Io { path: path.clone(), cause })?;
            let list =
                PairList::parse(&text).map_err(|(line, reason)| PairsError { path: path.clone(), line, reason })?;
            Some((folder.resolve(&list, path)?, list.folds))
        }
        None => None,
    };
    if let Some(svg) = &options.svg {
        std::fs::create_dir_all(svg).map_err(|cause| EvaluateError::Io { path: svg.clone(), cause })?;
    }
    let pipeline = Pipeline::load(&options.models, &options.device)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.unwrap_or(0)).build()?;
    pool.install(|| {
        let begun = Instant::now();
        let embedded = embed::embed(&pipeline, &folder);
        let speed = Speed {
            photographs_per_second: folder.photographs.len() as f64 / begun.elapsed().as_secs_f64(),
            threads: rayon::current_num_threads(),
        };
        let all = compare_all(&folder, &embedded);
        let listed = listed.map(|(pairs, folds)| compare::listed(&embedded.embeddings, &pairs, folds));
        let figures = Figures { folder: &folder, embedded: &embedded, all, listed };
        if let Some(svg) = &options.svg {
            figures.draw(svg)?;
        }
        if let Some(path) = &options.calibration {
            let calibration = calibration::of(&figures.all, pipeline.card().id.clone(), &folder, &options.folder);
            std::fs::write(path, calibration.json())
                .map_err(|cause| EvaluateError::Io { path: path.clone(), cause })?;
        }
        Ok(figures.report(pipeline.card().id.clone(), speed))
    })
}

/// Every pair of the folder; people are dealt out to the folds by chance, always the same.
fn compare_all(folder: &LabelledFolder, embedded: &Embedded) -> Comparison {
    let folds = (folder.people / 2).clamp(1, FOLDS_MAX);
    let mut fold = vec![0; folder.people];
    for (place, person) in statistics::Random::new(SEED).order(folder.people).into_iter().enumerate() {
        fold[person] = place % folds;
    }
    let person: Vec<usize> = folder.photographs.iter().map(|photograph| photograph.person).collect();
    compare::all(&embedded.embeddings, &person, &fold, folds)
}

/// All that the report is made of.
struct Figures<'a> {
    folder: &'a LabelledFolder,
    embedded: &'a Embedded,
    /// All pairs; the last fold holds those between the folds.
    all: Comparison,
    /// The list's pairs.
    listed: Option<Comparison>,
}

impl Figures<'_> {
    /// The folds that are judged, and what their answers count.
    fn judged(&self) -> (&[Fold], Weighting) {
        match &self.listed {
            Some(listed) => (&listed.folds, Weighting::Pairs),
            None => (&self.all.folds[..self.all.folds.len() - 1], Weighting::Kinds),
        }
    }

    /// The pairs that true accepts are counted on.
    fn genuine(&self) -> Fold {
        Fold::sum(&self.listed.as_ref().unwrap_or(&self.all).folds)
    }

    fn draw(&self, folder: &Path) -> Result<(), EvaluateError> {
        let (folds, weighting) = self.judged();
        let judged = verification::cross_validate(folds, weighting);
        let (threshold, _) = verification::over_folds(&judged, |fold| fold.threshold);
        let pairs = Fold { different: Fold::sum(&self.all.folds).different, ..self.genuine() };
        for (name, text) in [("det.svg", svg::det(&pairs)), ("similarities.svg", svg::similarities(&pairs, threshold))]
        {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|cause| EvaluateError::Io { path, cause })?;
        }
        Ok(())
    }

    fn report(&self, model: String, speed: Speed) -> Report {
        let (folds, weighting) = self.judged();
        let judged = verification::cross_validate(folds, weighting);
        let (accuracy, accuracy_std) = verification::over_folds(&judged, |fold| fold.accuracy);
        let (threshold, _) = verification::over_folds(&judged, |fold| fold.threshold);
        let verification = self.verification();
        let rates = FPIRS.map(|(_, rate)| rate);
        let open_set = open_set::by_gallery(&self.embedded.embeddings, &self.folder.by_person(), &rates);
        let tar = |far: f64| verification.iter().find(|point| point.far == far).map(|point| point.tar);
        let fnir = |fpir: f64| open_set.last()?.points.iter().find(|point| point.fpir == fpir).map(|point| point.fnir);
        let mut failures = BTreeMap::new();
        self.embedded.failures.values().for_each(|&reason| *failures.entry(reason).or_default() += 1);
        let failed = |(&index, &reason)| Failed { path: report::path(self.folder, index), reason };
        Report {
            model,
            protocol: self.protocol(),
            accuracy,
            accuracy_std,
            threshold,
            tar_at_far: FARS.into_iter().map(|(name, rate)| (name, tar(rate))).collect(),
            fnir_at_fpir: FPIRS.into_iter().map(|(name, rate)| (name, fnir(rate))).collect(),
            counts: self.counts(),
            failures,
            failed: self.embedded.failures.iter().map(failed).collect(),
            folds: judged.into_iter().map(Into::into).collect(),
            verification,
            open_set,
            worst_pairs: WorstPairs::of(self.listed.as_ref().unwrap_or(&self.all), self.folder),
            worst_pairs_of_folder: WorstPairs::of(&self.all, self.folder),
            speed,
        }
    }

    /// First with thresholds chosen on all pairs of the folder, then, for a list, with those chosen on the list's own: a
    /// few thousand pairs cannot tell a rate of 1e-4.
    fn verification(&self) -> Vec<Verification> {
        let (genuine, all) = (self.genuine(), Fold::sum(&self.all.folds));
        let mut sources = vec![("pairs of two people in the folder", &all)];
        if self.listed.is_some() {
            sources.push(("listed pairs of two people", &genuine));
        }
        let points = |(name, impostors): (&'static str, &Fold)| {
            let point = |(_, far)| verification::tar_at_far(&genuine, impostors, far);
            FARS.into_iter().filter_map(point).map(|point| Verification::new(name, point)).collect::<Vec<_>>()
        };
        sources.into_iter().flat_map(points).collect()
    }

    fn counts(&self) -> Counts {
        let counts = Counts {
            people: self.folder.people,
            photographs: self.folder.photographs.len(),
            embedded: self.folder.photographs.len() - self.embedded.failures.len(),
            several_faces: self.embedded.several_faces,
            ignored_files: self.folder.ignored,
            same_pairs: 0,
            different_pairs: 0,
            same_pairs_failed: 0,
            different_pairs_failed: 0,
            different_pairs_of_folder: Fold::sum(&self.all.folds).different.total(),
        };
        counts.with_pairs(&Fold::sum(self.judged().0))
    }

    fn protocol(&self) -> Protocol {
        let (folds, weighting) = self.judged();
        Protocol {
            pairs: if self.listed.is_some() { "the listed pairs" } else { "all pairs within folds of people" },
            folds: folds.len(),
            threshold_source: if folds.len() == 1 {
                "the pairs themselves, for want of other folds"
            } else {
                "the other folds"
            },
            weighting: match weighting {
                Weighting::Pairs => "every pair counts the same",
                Weighting::Kinds => "pairs of one person count together as much as pairs of two people",
            },
            failed_pairs: "a pair of which a photograph has no embedding is wrong at every threshold",
            splits: open_set::SPLITS,
        }
    }
}
