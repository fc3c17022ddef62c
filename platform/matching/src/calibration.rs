//! From which similarity on two faces count as one person's: a threshold chosen for a rate of false alarms that the
//! operator names, from measured comparisons of different people, for as many templates as are searched now.
//!
//! **Method.** A stranger's face is compared with N templates. If each comparison errs by itself with the false match
//! rate m, somebody is found with the false positive identification rate 1 - (1 - m)^N (J. Daugman, "Biometric decision
//! landscapes", University of Cambridge, UCAM-CL-TR-482, 2000; both rates as ISO/IEC 19795-1 defines them). So the
//! threshold is the lowest whose measured false match rate is at most 1 - (1 - f)^(1/N) for the named rate f. Between
//! measured points the logarithm of the rate is interpolated; beyond the rarest one the slope of its last tenfold goes
//! on, and the threshold says of itself that it was extrapolated. Real comparisons do not err independently: relatives
//! and look-alikes err together, which the margin to the second is for.

use serde::{Deserialize, Serialize};

/// How often comparisons of different people reached a similarity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationPoint {
    /// A cosine.
    pub similarity: f32,
    /// The share of comparisons of different people that are at least as similar.
    pub false_match_rate: f64,
}

impl CalibrationPoint {
    fn log(&self) -> f64 {
        self.false_match_rate.log10()
    }
}

/// What was measured, with which model and on what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The model that made the faces.
    pub model: String,
    /// What it was measured on, for people to read.
    pub source: String,
    /// Comparisons of different people.
    pub comparisons: u64,
    /// By growing similarity.
    pub points: Vec<CalibrationPoint>,
}

/// Why a calibration cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// Too few or too many points.
    #[error("2 to {POINTS_MAX} points are needed, {0} are given")]
    Points(usize),
    /// Not a similarity, not a rate, or not in order.
    #[error("point {0}: similarities must grow from -1 to 1, and rates fall, above 0 and at most 1")]
    Order(usize),
    /// Too few false matches stand behind a rate.
    #[error(
        "point {0}: fewer than {FALSE_MATCHES_MIN} false matches stand behind its rate; leave it out, or compare more"
    )]
    Rare(usize),
    /// Nothing rare was measured.
    #[error("the rarest false match rate must be at most 0.01")]
    Coarse,
    /// A text is empty or too long.
    #[error("{0} must have 1 to 200 characters")]
    Text(&'static str),
}

/// The most points.
pub const POINTS_MAX: usize = 1_000;

/// With so many errors a rate is within 30 % of the true one in nine of ten measurements (G. Doddington et al., "The
/// NIST speaker recognition evaluation", Speech Communication 31 (2000), 225-254: the rule of 30).
pub const FALSE_MATCHES_MIN: u64 = 30;

const TEXT_MAX: usize = 200;

/// A similarity, and how it came about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// The least cosine of a match.
    pub similarity: f32,
    /// The false match rate it stands for.
    pub false_match_rate: f64,
    /// Whether that rate is rarer than any that was measured.
    pub extrapolated: bool,
}

impl Calibration {
    /// What holds until something better is measured: the YuNet and SFace networks on every pair of the photographs of
    /// LFW, 87 million comparisons of different people.
    pub fn built_in() -> Self {
        let point = |(similarity, false_match_rate)| CalibrationPoint { similarity, false_match_rate };
        Calibration {
            model: String::new(),
            source: "LFW, deep-funneled, every pair of its photographs".to_owned(),
            comparisons: 87_307_255,
            points: [(0.363, 1e-3), (0.424, 1e-4), (0.488, 1e-5), (0.555, 1e-6)].map(point).into(),
        }
    }

    /// Refuses what cannot be used or was measured on too little.
    pub fn check(&self) -> Result<(), CalibrationError> {
        for (name, text) in [("model", &self.model), ("source", &self.source)] {
            if text.is_empty() || text.chars().count() > TEXT_MAX {
                return Err(CalibrationError::Text(name));
            }
        }
        if !(2..=POINTS_MAX).contains(&self.points.len()) {
            return Err(CalibrationError::Points(self.points.len()));
        }
        let mut before = CalibrationPoint { similarity: f32::NEG_INFINITY, false_match_rate: f64::INFINITY };
        for (number, point) in self.points.iter().enumerate() {
            let in_range = (-1.0..=1.0).contains(&point.similarity)
                && point.false_match_rate > 0.0
                && point.false_match_rate <= 1.0;
            let falls = point.similarity > before.similarity && point.false_match_rate < before.false_match_rate;
            if !in_range || !falls {
                return Err(CalibrationError::Order(number));
            }
            // Rounded: 30 of many, as a share and back.
            if (point.false_match_rate * self.comparisons as f64).round() < FALSE_MATCHES_MIN as f64 {
                return Err(CalibrationError::Rare(number));
            }
            before = *point;
        }
        if before.false_match_rate > 0.01 { Err(CalibrationError::Coarse) } else { Ok(()) }
    }

    /// The threshold at which a stranger's face finds somebody among `templates` with the rate `false_alarms`.
    pub fn threshold(&self, false_alarms: f64, templates: usize) -> Threshold {
        let rate = Self::rate(false_alarms, templates);
        let on_line = |from: &CalibrationPoint, to: &CalibrationPoint| {
            let share = (rate.log10() - from.log()) / (to.log() - from.log());
            f64::from(from.similarity) + share * f64::from(to.similarity - from.similarity)
        };
        let next = self.points.iter().position(|point| point.false_match_rate <= rate);
        let (similarity, extrapolated) = match next {
            Some(0) => (f64::from(self.points[0].similarity), false),
            Some(next) => (on_line(&self.points[next - 1], &self.points[next]), false),
            None => match self.extrapolated_from() {
                Some((from, last)) => (on_line(from, last), true),
                None => return Threshold { similarity: 1.0, false_match_rate: rate, extrapolated: true },
            },
        };
        Threshold { similarity: similarity.clamp(-1.0, 1.0) as f32, false_match_rate: rate, extrapolated }
    }

    /// The rate at which a comparison may err.
    pub(crate) fn rate(false_alarms: f64, templates: usize) -> f64 {
        // ln_1p and exp_m1: for a rare rate and many templates, 1 minus a number next to 1 would lose all digits.
        -f64::exp_m1(f64::ln_1p(-false_alarms) / templates.max(1) as f64)
    }

    /// The rarest point, and the one before it that is tenfold as frequent, or the first.
    pub(crate) fn extrapolated_from(&self) -> Option<(&CalibrationPoint, &CalibrationPoint)> {
        let [first, .., last] = &self.points[..] else { return None };
        let tenfold = self.points.iter().rev().find(|point| point.log() >= last.log() + 1.0);
        Some((tenfold.unwrap_or(first), last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(points: &[(f32, f64)]) -> Calibration {
        let points = points
            .iter()
            .map(|(similarity, rate)| CalibrationPoint { similarity: *similarity, false_match_rate: *rate })
            .collect();
        Calibration { model: "m".to_owned(), source: "s".to_owned(), comparisons: 1_000_000, points }
    }

    #[test]
    fn a_larger_gallery_asks_for_more() {
        let built_in = Calibration::built_in();
        for (templates, expected) in [(10, 0.363), (100, 0.424), (1_000, 0.488), (10_000, 0.555)] {
            let threshold = built_in.threshold(0.01, templates);
            assert!((threshold.similarity - expected).abs() < 1e-3, "{templates}: {threshold:?}");
            assert!(!threshold.extrapolated, "{templates}");
        }
        let beyond = built_in.threshold(0.01, 100_000);
        assert!((beyond.similarity - 0.622).abs() < 1e-3 && beyond.extrapolated, "{beyond:?}");
        assert_eq!(built_in.threshold(0.5, 1).similarity, 0.363, "never below what was measured");
    }

    /// The rate that the threshold stands for gives the named rate of false alarms back.
    #[test]
    fn the_named_rate_is_kept_at_every_size() {
        for false_alarms in [1e-6, 1e-3, 0.01, 0.3] {
            for templates in [1, 7, 1_000, 100_000] {
                let rate = Calibration::built_in().threshold(false_alarms, templates).false_match_rate;
                let kept = -f64::exp_m1(templates as f64 * f64::ln_1p(-rate));
                assert!((kept / false_alarms - 1.0).abs() < 1e-9, "{kept} for {false_alarms} at {templates}");
            }
        }
    }

    #[test]
    fn what_was_hardly_measured_is_refused() {
        let good = [(0.3, 1e-2), (0.4, 1e-3), (0.5, 3e-5)];
        assert_eq!(measured(&good).check(), Ok(()));
        assert_eq!(measured(&good[..1]).check(), Err(CalibrationError::Points(1)));
        assert_eq!(measured(&[(0.3, 1e-2), (0.4, 2.9e-5)]).check(), Err(CalibrationError::Rare(1)));
        assert_eq!(measured(&[(0.3, 1e-2), (0.3, 1e-3)]).check(), Err(CalibrationError::Order(1)));
        assert_eq!(measured(&[(0.3, 1e-2), (0.4, 1e-2)]).check(), Err(CalibrationError::Order(1)));
        assert_eq!(measured(&[(0.3, 1.5), (0.4, 1e-2)]).check(), Err(CalibrationError::Order(0)));
        assert_eq!(measured(&[(f32::NAN, 0.1), (0.4, 1e-2)]).check(), Err(CalibrationError::Order(0)));
        assert_eq!(measured(&[(0.1, 0.5), (0.2, 0.1)]).check(), Err(CalibrationError::Coarse));
        assert_eq!(
            Calibration { source: String::new(), ..measured(&good) }.check(),
            Err(CalibrationError::Text("source"))
        );
    }
}
