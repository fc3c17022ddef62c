//! What is counted and how sure it is: histograms of similarities, means, intervals, and a generator of random numbers
//! that gives the same splits on every machine and for ever.

use serde::Serialize;

/// A similarity lies between -1 and 1; this many bins resolve it to 2^-16.
pub const BINS: usize = 1 << 17;

/// 95 % of a normal distribution lie within so many standard deviations.
const Z: f64 = 1.959_963_984_540_054;

/// Similarities, counted. All thresholds are edges of its bins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    bins: Vec<u64>,
}

/// The similarity at the lower edge of a bin; a pair is accepted from there on.
pub fn threshold(edge: usize) -> f64 {
    edge as f64 * 2.0 / BINS as f64 - 1.0
}

impl Histogram {
    /// One that has counted nothing.
    pub fn new() -> Self {
        Self { bins: vec![0; BINS] }
    }

    /// Counts a similarity.
    pub fn add(&mut self, similarity: f32) {
        let bin = (f64::from(similarity) + 1.0) * (BINS as f64 / 2.0);
        self.bins[(bin as usize).min(BINS - 1)] += 1;
    }

    /// Counts what the other one has counted.
    pub fn merge(&mut self, other: &Self) {
        self.bins.iter_mut().zip(&other.bins).for_each(|(bin, other)| *bin += other);
    }

    /// How many similarities were counted.
    pub fn total(&self) -> u64 {
        self.bins.iter().sum()
    }

    /// How many lie in each of `count` bins of equal width.
    pub fn coarse(&self, count: usize) -> Vec<u64> {
        self.bins.chunks(BINS.div_ceil(count)).map(|bins| bins.iter().sum()).collect()
    }

    /// For each edge, and the one above all, how many similarities lie at or above it.
    pub fn tail(&self) -> Vec<u64> {
        let mut tail = vec![0; BINS + 1];
        for edge in (0..BINS).rev() {
            tail[edge] = tail[edge + 1] + self.bins[edge];
        }
        tail
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// How many of `total` a rate allows, at most.
pub fn allowed(rate: f64, total: u64) -> u64 {
    // 1e-3 of 3,000 must be 3, whatever the binary fraction says.
    (rate * total as f64 * (1.0 + 1e-12)).floor() as u64
}

/// The lowest edge from which on at most this share of a tail's similarities are accepted.
pub fn edge_for_rate(tail: &[u64], rate: f64) -> usize {
    let allowed = allowed(rate, tail[0]);
    tail.partition_point(|&accepted| accepted > allowed)
}

/// A 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// Wilson's score interval of a share, which stays honest near 0 and 1; `None` without trials.
pub fn wilson(successes: u64, trials: u64) -> Option<Interval> {
    if trials == 0 {
        return None;
    }
    let (trials, share) = (trials as f64, successes as f64 / trials as f64);
    let shrink = 1.0 + Z * Z / trials;
    let middle = (share + Z * Z / (2.0 * trials)) / shrink;
    let half = Z / shrink * (share * (1.0 - share) / trials + Z * Z / (4.0 * trials * trials)).sqrt();
    Some(Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) })
}

/// The middle 95 % of some values; `None` of none.
pub fn percentile_interval(mut values: Vec<f64>) -> Option<Interval> {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get(((values.len().max(1) - 1) as f64 * share).round() as usize).copied();
    Some(Interval { low: at(0.025)?, high: at(0.975)? })
}

/// The mean; `None` of none.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation of these very values (not an estimate for others like them); `None` of none.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    Some((values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt())
}

/// SplitMix64: small, even, and never to change, since figures are compared over years.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // The product's upper half: uneven by less than bound / 2^64.
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// The numbers below `count` in random order.
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-4
    }

    #[test]
    fn wilson_agrees_with_values_computed_by_hand() {
        // Middle (0.9 + 1.92073 / 10) / 1.384146, half 1.95996 / 1.384146 * sqrt(0.009 + 0.0096036).
        let interval = wilson(9, 10).unwrap();
        assert!(near(interval.low, 0.5958) && near(interval.high, 0.9821), "{interval:?}");
        // No failure in n: the upper end is z^2 / (n + z^2).
        let interval = wilson(0, 100).unwrap();
        assert!(near(interval.low, 0.0) && near(interval.high, 0.0370), "{interval:?}");
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn mean_and_deviation_are_of_the_values_themselves() {
        assert_eq!(mean(&[1.0, 3.0]), Some(2.0));
        assert_eq!(deviation(&[1.0, 3.0]), Some(1.0));
        assert_eq!(mean(&[]), None);
        assert_eq!(deviation(&[]), None);
    }

    #[test]
    fn a_histogram_counts_from_a_threshold_on() {
        let mut histogram = Histogram::new();
        [-1.0, -0.5, 0.0, 0.25, 1.0].iter().for_each(|&similarity| histogram.add(similarity));
        // Rounding may put an equal picture's similarity a little above 1.
        histogram.add(1.000_001);
        let tail = histogram.tail();
        assert_eq!(tail[0], 6);
        assert_eq!(tail[BINS / 2], 4);
        assert_eq!(tail[BINS / 2 + 1], 3);
        assert_eq!(tail[BINS], 0);
        assert_eq!(threshold(BINS / 2), 0.0);
        assert_eq!(histogram.coarse(4), [1, 1, 2, 2]);
    }

    #[test]
    fn a_rate_allows_whole_pairs_only() {
        assert_eq!(allowed(1e-3, 3000), 3);
        assert_eq!(allowed(1e-3, 2999), 2);
        assert_eq!(allowed(1e-4, 3000), 0);
        let mut histogram = Histogram::new();
        [0.1, 0.2, 0.3, 0.4].iter().for_each(|&similarity| histogram.add(similarity));
        let tail = histogram.tail();
        assert!(near(threshold(edge_for_rate(&tail, 0.25)), 0.3), "above the third, so that the fourth is alone");
        assert!(near(threshold(edge_for_rate(&tail, 0.1)), 0.4), "above all of them");
        assert_eq!(tail[edge_for_rate(&tail, 0.25)], 1);
        assert_eq!(tail[edge_for_rate(&tail, 0.1)], 0);
    }

    #[test]
    fn an_order_is_fixed_by_its_seed_and_holds_everyone_once() {
        let order = Random::new(7).order(100);
        assert_eq!(order, Random::new(7).order(100));
        assert_ne!(order, Random::new(8).order(100));
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn percentiles_are_the_middle_of_the_values() {
        let interval = percentile_interval((0..=1000).rev().map(f64::from).collect()).unwrap();
        assert_eq!((interval.low, interval.high), (25.0, 975.0));
        assert_eq!(percentile_interval(vec![]), None);
    }
}
