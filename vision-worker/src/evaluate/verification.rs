//! Are these two photographs of one person? The share of right answers with thresholds chosen on other folds, and the
//! share of true pairs accepted at a rate of false ones.

use super::statistics::{self, Histogram, Interval, edge_for_rate, threshold, wilson};

/// A part of the pairs that is kept together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fold {
    /// Similarities of pairs of one person.
    pub same: Histogram,
    /// Similarities of pairs of two people.
    pub different: Histogram,
    /// Pairs of one person of which a photograph has no embedding. They are wrong at every threshold.
    pub same_failed: u64,
    /// Pairs of two people of which a photograph has no embedding. They are wrong at every threshold.
    pub different_failed: u64,
}

/// What a right answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighting {
    /// Every pair the same, as lists of pairs have it.
    Pairs,
    /// Pairs of one person together as much as all others together: where nearly all pairs are of two people, denying
    /// everything would look right.
    Kinds,
}

/// A fold, judged with a threshold that was chosen on the other folds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// The share of right answers.
    pub accuracy: f64,
    /// From which similarity on a pair was taken for one person.
    pub threshold: f64,
}

/// The share of true pairs that are accepted where few false ones are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    /// The rate of false pairs that was asked for.
    pub far: f64,
    /// The share of true pairs that are accepted.
    pub tar: f64,
    /// Wilson's interval of it.
    pub interval: Interval,
    /// From which similarity on.
    pub threshold: f64,
    /// False pairs accepted there.
    pub false_accepts: u64,
    /// False pairs that the threshold was chosen on.
    pub false_pairs: u64,
}

impl Fold {
    /// Takes in another fold's pairs.
    pub fn merge(&mut self, other: &Self) {
        self.same.merge(&other.same);
        self.different.merge(&other.different);
        self.same_failed += other.same_failed;
        self.different_failed += other.different_failed;
    }

    /// All of several folds as one.
    pub fn sum<'a>(folds: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        folds.into_iter().for_each(|fold| sum.merge(fold));
        sum
    }

    /// Counts a pair; without a similarity, as a failed one.
    pub fn add(&mut self, same: bool, similarity: Option<f32>) {
        match (same, similarity) {
            (true, Some(similarity)) => self.same.add(similarity),
            (false, Some(similarity)) => self.different.add(similarity),
            (true, None) => self.same_failed += 1,
            (false, None) => self.different_failed += 1,
        }
    }

    /// Pairs of one person, failed ones among them.
    pub fn same_pairs(&self) -> u64 {
        self.same.total() + self.same_failed
    }

    /// Pairs of two people, failed ones among them.
    pub fn different_pairs(&self) -> u64 {
        self.different.total() + self.different_failed
    }

    /// For each edge, the share of right answers; `None` without pairs (of either kind, where kinds are weighed).
    fn accuracies(&self, weighting: Weighting) -> Option<Vec<f64>> {
        let (same_pairs, different_pairs) = (self.same_pairs() as f64, self.different_pairs() as f64);
        let (same_weight, different_weight) = match weighting {
            Weighting::Pairs => {
                let weight = 1.0 / (same_pairs + different_pairs);
                (weight, weight)
            }
            Weighting::Kinds => (0.5 / same_pairs, 0.5 / different_pairs),
        };
        if !(same_weight.is_finite() && different_weight.is_finite()) {
            return None;
        }
        let (same, different) = (self.same.tail(), self.different.tail());
        let denied = |accepted: u64| different[0] - accepted;
        let at = |(&same, &different)| same as f64 * same_weight + denied(different) as f64 * different_weight;
        Some(same.iter().zip(&different).map(at).collect())
    }

    /// The edge with the most right answers; in the middle of the longest run where several are as good.
    fn best_edge(&self, weighting: Weighting) -> Option<usize> {
        let accuracies = self.accuracies(weighting)?;
        let best = accuracies.iter().copied().fold(f64::MIN, f64::max);
        let (mut longest, mut start) = (0..0, 0);
        for edge in 0..=accuracies.len() {
            // Sums in another order differ in the last digits.
            if accuracies.get(edge).is_some_and(|&accuracy| accuracy >= best - 1e-12) {
                continue;
            }
            if edge - start > longest.len() {
                longest = start..edge;
            }
            start = edge + 1;
        }
        Some(longest.start + (longest.len() - 1) / 2)
    }
}

/// Judges each fold with the threshold that is best on all others; a single fold, for want of others, on itself. Folds
/// without pairs are left out.
pub fn cross_validate(folds: &[Fold], weighting: Weighting) -> Vec<Judged> {
    let judge = |held_out: usize| {
        let others = folds.iter().enumerate().filter(|&(index, _)| index != held_out || folds.len() == 1);
        let edge = Fold::sum(others.map(|(_, fold)| fold)).best_edge(weighting)?;
        let accuracy = folds[held_out].accuracies(weighting)?[edge];
        Some(Judged { accuracy, threshold: threshold(edge) })
    };
    (0..folds.len()).filter_map(judge).collect()
}

/// The share of `genuine`'s pairs of one person that are accepted at the threshold which lets through at most `far` of
/// `impostors`' pairs of two people. Failed pairs of one person count as denied; failed pairs of two people tell nothing
/// about a threshold and are left out. `None` without pairs.
pub fn tar_at_far(genuine: &Fold, impostors: &Fold, far: f64) -> Option<OperatingPoint> {
    let false_pairs = impostors.different.total();
    if false_pairs == 0 {
        return None;
    }
    let tail = impostors.different.tail();
    let edge = edge_for_rate(&tail, far);
    let accepted = genuine.same.tail()[edge];
    Some(OperatingPoint {
        far,
        tar: accepted as f64 / genuine.same_pairs() as f64,
        interval: wilson(accepted, genuine.same_pairs())?,
        threshold: threshold(edge),
        false_accepts: tail[edge],
        false_pairs,
    })
}

/// Mean and standard deviation of something over the folds.
pub fn over_folds(judged: &[Judged], value: impl Fn(&Judged) -> f64) -> (Option<f64>, Option<f64>) {
    let values: Vec<f64> = judged.iter().map(value).collect();
    (statistics::mean(&values), statistics::deviation(&values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(same: &[f32], different: &[f32]) -> Fold {
        let mut fold = Fold::default();
        same.iter().for_each(|&similarity| fold.add(true, Some(similarity)));
        different.iter().for_each(|&similarity| fold.add(false, Some(similarity)));
        fold
    }

    #[test]
    fn each_fold_is_judged_by_the_others_threshold() {
        // Best on the second fold: anything over 0.2 up to 0.6, so 0.4, by which the first fold has 3 of 4 right.
        // Best on the first: anything over 0.3 up to 0.35, so 0.325, by which the second has 4 of 4 right.
        let folds = [fold(&[0.7, 0.35], &[0.1, 0.3]), fold(&[0.8, 0.6], &[0.2, 0.0])];
        let judged = cross_validate(&folds, Weighting::Pairs);
        assert!((judged[0].threshold - 0.4).abs() < 1e-4);
        assert_eq!(judged[0].accuracy, 0.75);
        assert!((judged[1].threshold - 0.325).abs() < 1e-4);
        assert_eq!(judged[1].accuracy, 1.0);
        assert_eq!(over_folds(&judged, |fold| fold.accuracy), (Some(0.875), Some(0.125)));
    }

    #[test]
    fn a_failed_pair_is_wrong_at_every_threshold() {
        let mut one = fold(&[0.7], &[0.1]);
        one.add(true, None);
        one.add(false, None);
        assert_eq!(cross_validate(&[one], Weighting::Pairs)[0].accuracy, 0.5);
    }

    #[test]
    fn kinds_weigh_alike_however_many_pairs_they_have() {
        // At any threshold from 0.1 to 0.5 all 98 are denied and one of two true ones is accepted.
        let one = fold(&[0.5, 0.0], &[0.1; 98]);
        assert_eq!(cross_validate(std::slice::from_ref(&one), Weighting::Kinds)[0].accuracy, 0.75);
        assert_eq!(cross_validate(&[one], Weighting::Pairs)[0].accuracy, 0.99);
        assert_eq!(cross_validate(&[fold(&[0.5], &[])], Weighting::Kinds), []);
    }

    #[test]
    fn true_accepts_at_a_rate_of_false_ones() {
        let different: Vec<f32> = (0..1000).map(|index| index as f32 / 2000.0).collect();
        let mut all = fold(&[0.9, 0.8, 0.4995, 0.2], &different);
        all.add(true, None);
        all.add(false, None);
        // Of 1,000 false pairs one may pass: 0.4995, at which two more than 0.4995 itself are true.
        let point = tar_at_far(&all, &all, 1e-3).unwrap();
        assert_eq!((point.false_accepts, point.false_pairs), (1, 1000));
        assert_eq!(point.tar, 3.0 / 5.0);
        // None may pass.
        let point = tar_at_far(&all, &all, 1e-4).unwrap();
        assert_eq!((point.false_accepts, point.tar), (0, 2.0 / 5.0));
        assert_eq!(tar_at_far(&all, &fold(&[1.0], &[]), 1e-3), None);
    }
}
