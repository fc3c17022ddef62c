//! How similar the faces of different people are: what a community's threshold is chosen from. Only rates with enough
//! false matches behind them are told.

use std::path::Path;

use serde::Serialize;

use super::compare::Comparison;
use super::folder::LabelledFolder;
use super::statistics::{allowed, edge_for_rate, threshold};
use super::verification::Fold;

/// With so many errors a rate is within 30 % of the true one in nine of ten measurements (G. Doddington et al., "The
/// NIST speaker recognition evaluation", Speech Communication 31 (2000), 225-254: the rule of 30).
const FALSE_MATCHES_MIN: u64 = 30;

/// Rates for each tenfold.
const POINTS_A_TENFOLD: i32 = 4;

/// The rates begin at 1 in 10, where every threshold in use is far above.
const RATES_FROM: i32 = 1;
const RATES_TO: i32 = 12;

const SOURCE_MAX: usize = 200;

/// The measurement, as the platform reads it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// The model that made the faces.
    pub model: String,
    /// What it was measured on.
    pub source: String,
    /// Comparisons of different people.
    pub comparisons: u64,
    /// By growing similarity.
    pub points: Vec<Point>,
}

/// How often comparisons of different people reached a similarity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// A cosine.
    pub similarity: f32,
    /// The share of comparisons of different people that are at least as similar.
    pub false_match_rate: f64,
}

impl Calibration {
    /// As it is written.
    pub fn json(&self) -> String {
        format!("{:#}\n", serde_json::json!(self))
    }
}

/// From all pairs of a folder.
pub fn of(all: &Comparison, model: String, folder: &LabelledFolder, path: &Path) -> Calibration {
    let different = Fold::sum(&all.folds).different;
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let source = format!("{} photographs of {} people in {name}", folder.photographs.len(), folder.people);
    let (tail, comparisons) = (different.tail(), different.total());
    Calibration { model, source: source.chars().take(SOURCE_MAX).collect(), comparisons, points: points(&tail) }
}

fn points(tail: &[u64]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for step in RATES_FROM * POINTS_A_TENFOLD..=RATES_TO * POINTS_A_TENFOLD {
        let rate = 10f64.powf(-f64::from(step) / f64::from(POINTS_A_TENFOLD));
        if allowed(rate, tail[0]) < FALSE_MATCHES_MIN {
            break;
        }
        let edge = edge_for_rate(tail, rate);
        let point = Point { similarity: threshold(edge) as f32, false_match_rate: tail[edge] as f64 / tail[0] as f64 };
        let rarer = points.last().is_none_or(|last| point.false_match_rate < last.false_match_rate);
        if tail[edge] >= FALSE_MATCHES_MIN && rarer {
            points.push(point);
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::statistics::Histogram;

    #[test]
    fn only_what_was_seen_often_enough_is_told() {
        let mut histogram = Histogram::new();
        // 1,000,000 in a million even steps from -1 to 1: a rate of 1 in a tenfold at 0.8, 0.98 and so on.
        for number in 0..1_000_000u32 {
            histogram.add(number as f32 / 500_000.0 - 1.0);
        }
        let points = points(&histogram.tail());
        assert!((points[0].similarity - 0.8).abs() < 1e-3 && (points[0].false_match_rate - 0.1).abs() < 1e-4);
        let last = points.last().unwrap();
        assert!(last.false_match_rate * 1e6 >= 30.0 && last.false_match_rate * 1e6 < 60.0, "{last:?}");
        assert!(points.is_sorted_by(|one, two| {
            one.similarity < two.similarity && one.false_match_rate > two.false_match_rate
        }));
    }
}
