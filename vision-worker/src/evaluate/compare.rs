//! The similarities of all pairs of a folder, or of the listed ones. Keeps counts and the worst pairs, never the
//! similarities themselves: LFW has 87 million pairs.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::folder::Pair;
use super::verification::Fold;

/// How many of the worst pairs of each kind are kept.
pub const WORST_MAX: usize = 20;

/// An embedding of length 1.
pub type Embedding = Box<[f32]>;

/// The similarity of two embeddings of length 1.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    // Independent sums, so that the compiler may keep them in vectors.
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Two photographs and how much they resemble each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// The one.
    pub first: usize,
    /// The other.
    pub second: usize,
    /// -1 to 1.
    pub similarity: f32,
}

/// What was seen of some pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Their similarities, by fold.
    pub folds: Vec<Fold>,
    /// Pairs of two people, the most similar first.
    pub worst_different: Vec<Compared>,
    /// Pairs of one person, the least similar first.
    pub worst_same: Vec<Compared>,
}

impl Comparison {
    fn new(folds: usize) -> Self {
        Self { folds: vec![Fold::default(); folds], worst_different: Vec::new(), worst_same: Vec::new() }
    }

    fn add(&mut self, fold: usize, same: bool, first: usize, second: usize, similarity: Option<f32>) {
        self.folds[fold].add(same, similarity);
        if let Some(similarity) = similarity {
            let compared = Compared { first, second, similarity };
            if same {
                keep_worst(&mut self.worst_same, compared, lower_first);
            } else {
                keep_worst(&mut self.worst_different, compared, higher_first);
            }
        }
    }

    fn merged(mut self, other: Self) -> Self {
        self.folds.iter_mut().zip(&other.folds).for_each(|(fold, other)| fold.merge(other));
        other.worst_same.into_iter().for_each(|pair| keep_worst(&mut self.worst_same, pair, lower_first));
        other.worst_different.into_iter().for_each(|pair| keep_worst(&mut self.worst_different, pair, higher_first));
        self
    }
}

fn lower_first(a: &Compared, b: &Compared) -> Ordering {
    a.similarity.total_cmp(&b.similarity).then((a.first, a.second).cmp(&(b.first, b.second)))
}

fn higher_first(a: &Compared, b: &Compared) -> Ordering {
    b.similarity.total_cmp(&a.similarity).then((a.first, a.second).cmp(&(b.first, b.second)))
}

/// Keeps the first `WORST_MAX` by the order.
fn keep_worst(kept: &mut Vec<Compared>, pair: Compared, order: fn(&Compared, &Compared) -> Ordering) {
    let place = kept.partition_point(|other| order(other, &pair).is_lt());
    // Lists may name a pair twice.
    if place < WORST_MAX && kept.get(place) != Some(&pair) {
        kept.truncate(WORST_MAX - 1);
        kept.insert(place, pair);
    }
}

/// The listed pairs.
pub fn listed(embeddings: &[Option<Embedding>], pairs: &[Pair], folds: usize) -> Comparison {
    let mut comparison = Comparison::new(folds);
    for pair in pairs {
        let (first, second) = (&embeddings[pair.first], &embeddings[pair.second]);
        let similarity = first.as_ref().zip(second.as_ref()).map(|(first, second)| dot(first, second));
        comparison.add(pair.fold, pair.same, pair.first, pair.second, similarity);
    }
    comparison
}

/// Every pair of photographs. `person` says whom each shows, `fold` in which fold each person is; pairs of people of two
/// folds are counted in one fold more, the last.
pub fn all(embeddings: &[Option<Embedding>], person: &[usize], fold: &[usize], folds: usize) -> Comparison {
    let parts = rayon::current_num_threads();
    let part = |part: usize| {
        let mut comparison = Comparison::new(folds + 1);
        // Every so many rows: early rows are longer than late ones.
        for first in (part..embeddings.len()).step_by(parts) {
            for second in first + 1..embeddings.len() {
                let similarity = embeddings[first].as_ref().zip(embeddings[second].as_ref()).map(|(a, b)| dot(a, b));
                let (a, b) = (person[first], person[second]);
                let fold = if fold[a] == fold[b] { fold[a] } else { folds };
                comparison.add(fold, a == b, first, second, similarity);
            }
        }
        comparison
    };
    (0..parts).into_par_iter().map(part).reduce(|| Comparison::new(folds + 1), Comparison::merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_product_of_any_length() {
        let values: Vec<f32> = (0..37).map(|value| value as f32).collect();
        assert_eq!(dot(&values, &values), (0..37).map(|value| (value * value) as f32).sum::<f32>());
        assert_eq!(dot(&[], &[]), 0.0);
    }

    #[test]
    fn all_pairs_fall_into_their_folds() {
        let embedding = |x: f32| Some(Box::from([x, (1.0 - x * x).sqrt()]));
        let embeddings = [embedding(1.0), embedding(0.8), embedding(0.0), None];
        // The first person in fold 0, the second and the third in fold 1.
        let comparison = all(&embeddings, &[0, 0, 1, 2], &[0, 1, 1], 2);
        let counts = |fold: usize| (comparison.folds[fold].same_pairs(), comparison.folds[fold].different_pairs());
        assert_eq!([counts(0), counts(1), counts(2)], [(1, 0), (0, 1), (0, 4)]);
        assert_eq!(comparison.folds[1].different_failed, 1);
        let worst = comparison.worst_different[0];
        assert_eq!((worst.first, worst.second), (1, 2));
        assert!((worst.similarity - 0.6).abs() < 1e-6);
        assert_eq!(comparison.worst_same.len(), 1);
    }

    #[test]
    fn only_the_worst_are_kept() {
        let mut kept = Vec::new();
        for index in 0..100 {
            let pair = Compared { first: 0, second: index, similarity: (index * 37 % 100) as f32 / 100.0 };
            keep_worst(&mut kept, pair, higher_first);
            keep_worst(&mut kept, pair, higher_first);
        }
        let similarities: Vec<f32> = kept.iter().map(|pair| pair.similarity).collect();
        assert_eq!(similarities, (0..20).map(|index| (99 - index) as f32 / 100.0).collect::<Vec<_>>());
    }
}
