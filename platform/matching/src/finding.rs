//! What the verdict on a track is decided by, in scores and counts: no vector, and of the two who resemble most only how
//! much. Tracks are decided by these functions and by nothing else, so that what was recorded gives the same verdict
//! again, bit for bit.

use serde::{Deserialize, Serialize};

use crate::{
    calibration::{Calibration, CalibrationPoint, Threshold},
    verdict::MatchPolicy,
};

/// What a track has shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// While it goes on: whether it is the resident most of its frames were for.
    Passing(Passing),
    /// At its end, unnamed.
    Ended(Ended),
}

/// What speaks for a resident.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passing {
    /// Frames that were for the resident.
    pub frames: u32,
    /// The sum of their qualities.
    pub weight: f32,
    /// The sum of the qualities of all frames that were for anybody.
    pub cast: f32,
    /// Whether the mean of the track resembles the resident most.
    pub mean_agrees: bool,
    /// Cosine of the mean with the template it resembles most.
    pub best: Option<f32>,
    /// Cosine of the mean with the most similar template of anybody else.
    pub second: Option<f32>,
    /// The highest cosine at which somebody else is known to have been taken for the one it resembles most.
    pub mistaken_at: Option<f32>,
}

/// What is left of a track that was never named.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Frames good enough to compare.
    pub usable: u32,
    /// Frames that were like a resident, or like more than one.
    pub like_somebody: u32,
    /// Of the frame that resembled anybody most: the cosine with that resident.
    pub best: Option<f32>,
    /// And with the most similar template of anybody else.
    pub second: Option<f32>,
}

/// What says that a track like a resident is a picture of one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// The mean liveness over the usable faces, each by its quality.
    pub liveness: f32,
    /// The least of a living person.
    pub liveness_min: f32,
    /// Whether the resident was named all the same: because the policy only flags, or before the faces said so.
    pub named: bool,
}

/// What the evidence says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It is the resident.
    Known {
        /// The cosine with the resident's most similar template.
        similarity: f32,
        /// How far that is ahead of the next resident.
        margin: f32,
    },
    /// Like a resident, and not clearly like one.
    Ambiguous,
    /// Like nobody, or not often enough.
    Unknown,
    /// Never good enough to compare.
    LowQuality,
    /// Not yet.
    Undecided,
}

/// The figures that a track is decided by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// The least cosine of a match.
    pub threshold: f32,
    /// The least distance to the next resident.
    pub margin: f32,
    /// How many frames must agree.
    pub frames_agreeing: u32,
}

impl From<&MatchPolicy> for Figures {
    fn from(policy: &MatchPolicy) -> Self {
        Figures { threshold: policy.threshold, margin: policy.margin, frames_agreeing: policy.frames_agreeing }
    }
}

impl Figures {
    /// What a face says that resembles these two, of the more similar of whom that is known to have been mistaken.
    pub(crate) fn judge(&self, best: Option<f32>, second: Option<f32>, mistaken_at: Option<f32>) -> Finding {
        let least = mistaken_at.map_or(self.threshold, |mistaken| self.threshold.max(mistaken + self.margin));
        match best {
            Some(similarity) if similarity >= least => {
                let margin = similarity - second.unwrap_or(0.0);
                if margin < self.margin { Finding::Ambiguous } else { Finding::Known { similarity, margin } }
            }
            Some(_) | None => Finding::Unknown,
        }
    }
}

impl Passing {
    /// Whether enough frames were for the resident, and outweigh all others.
    pub(crate) fn is_enough(&self, figures: &Figures) -> bool {
        self.frames >= figures.frames_agreeing.max(1) && self.weight > self.cast - self.weight
    }
}

impl Picture {
    /// Whether it is one.
    pub fn holds(&self) -> bool {
        self.liveness < self.liveness_min
    }
}

impl Evidence {
    /// What follows.
    pub fn finding(&self, figures: &Figures) -> Finding {
        match self {
            // The mean alone could be one sharp outlier; the votes alone could be a face between two.
            Evidence::Passing(passing) if passing.is_enough(figures) && passing.mean_agrees => {
                match figures.judge(passing.best, passing.second, passing.mistaken_at) {
                    known @ Finding::Known { .. } => known,
                    _ => Finding::Undecided,
                }
            }
            Evidence::Passing(_) => Finding::Undecided,
            Evidence::Ended(Ended { usable: 0, .. }) => Finding::LowQuality,
            // Often enough like a resident, and yet not clearly like one: frames or candidates disagree.
            Evidence::Ended(ended) if ended.like_somebody >= figures.frames_agreeing.max(1) => Finding::Ambiguous,
            Evidence::Ended(_) => Finding::Unknown,
        }
    }
}

/// What a threshold was chosen from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// How often a stranger's face may find somebody.
    pub false_alarm_rate: f64,
    /// For as many templates.
    pub templates: usize,
    /// What was measured, with only the points between which the threshold lies, or by which it is extrapolated.
    pub calibration: Calibration,
    /// The least that the installation's settings allow.
    pub least: Option<f32>,
}

impl Chosen {
    /// Keeps of the calibration what the threshold depends on.
    pub fn new(calibration: &Calibration, false_alarm_rate: f64, templates: usize, least: Option<f32>) -> Self {
        let points = calibration.points_for(false_alarm_rate, templates);
        let calibration = Calibration { points, ..calibration.clone() };
        Chosen { false_alarm_rate, templates, calibration, least }
    }

    /// The threshold by the measurement.
    pub fn measured(&self) -> Threshold {
        self.calibration.threshold(self.false_alarm_rate, self.templates)
    }

    /// The least cosine of a match.
    pub fn similarity(&self) -> f32 {
        self.measured().similarity.max(self.least.unwrap_or(-1.0))
    }
}

impl Calibration {
    /// The one or two points that decide the threshold for so many templates; they alone give the same one.
    fn points_for(&self, false_alarm_rate: f64, templates: usize) -> Vec<CalibrationPoint> {
        let rate = Self::rate(false_alarm_rate, templates);
        match self.points.iter().position(|point| point.false_match_rate <= rate) {
            Some(0) => vec![self.points[0]],
            Some(next) => self.points[next - 1..=next].to_vec(),
            None => self.extrapolated_from().map_or_else(Vec::new, |(from, last)| vec![*from, *last]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn calibrations() -> impl Strategy<Value = Calibration> {
        prop::collection::vec((0.001f32..0.2, 1.01f64..9.0), 2..12).prop_map(|steps| {
            let (mut similarity, mut false_match_rate) = (0.1, 0.3);
            let points = steps.into_iter().map(|(up, down)| {
                similarity += up;
                false_match_rate /= down;
                CalibrationPoint { similarity, false_match_rate }
            });
            let points = points.collect();
            Calibration { model: "m".to_owned(), source: "s".to_owned(), comparisons: 1_000_000, points }
        })
    }

    proptest! {
        /// One or two points of the calibration give the threshold that all of them give, bit for bit.
        #[test]
        fn the_points_kept_are_those_that_decide(
            calibration in calibrations(), rate in 1e-6f64..0.1, templates in 1usize..100_000,
        ) {
            let chosen = Chosen::new(&calibration, rate, templates, None);
            prop_assert!((1..=2).contains(&chosen.calibration.points.len()));
            let (kept, all) = (chosen.measured(), calibration.threshold(rate, templates));
            prop_assert_eq!(kept.similarity.to_bits(), all.similarity.to_bits());
            prop_assert_eq!(kept.false_match_rate.to_bits(), all.false_match_rate.to_bits());
            prop_assert_eq!(kept.extrapolated, all.extrapolated);
        }

        /// A higher threshold, or a wider margin, names nobody who was not named before.
        #[test]
        fn who_is_named_by_stricter_figures_is_named_by_looser_ones(
            best in -1.0f32..1.0, second in prop::option::of(-1.0f32..1.0), mistaken_at in prop::option::of(0.0f32..1.0),
            frames in 0u32..6, weight in 0.0f32..3.0, others in 0.0f32..3.0, mean_agrees in any::<bool>(),
            threshold in 0.0f32..0.9, margin in 0.0f32..0.3, stricter in 0.0f32..0.3,
        ) {
            let passing = Passing {
                frames, weight, cast: weight + others, mean_agrees, best: Some(best), second, mistaken_at,
            };
            let loose = Figures { threshold, margin, frames_agreeing: 2 };
            let known = |figures: Figures| matches!(Evidence::Passing(passing).finding(&figures), Finding::Known { .. });
            for strict in [
                Figures { threshold: threshold + stricter, ..loose },
                Figures { margin: margin + stricter, ..loose },
                Figures { frames_agreeing: 3, ..loose },
            ] {
                prop_assert!(known(loose) || !known(strict));
            }
            if known(loose) {
                prop_assert!(mean_agrees && frames >= 2 && best >= threshold);
            }
        }
    }

    #[test]
    fn a_track_that_ends_is_what_its_frames_were() {
        let figures = Figures::from(&MatchPolicy::default());
        let ended = |usable, like_somebody| {
            Evidence::Ended(Ended { usable, like_somebody, best: None, second: None }).finding(&figures)
        };
        assert_eq!(ended(0, 0), Finding::LowQuality);
        assert_eq!(ended(5, 1), Finding::Unknown);
        assert_eq!(ended(5, 2), Finding::Ambiguous);
    }
}
