//! A face as a vector, tagged with the model that made it. It cannot be printed or serialised by accident, and its
//! memory is cleared when it is dropped.

use std::fmt;
use std::sync::Arc;

use zeroize::{ZeroizeOnDrop, Zeroizing};

/// The longest vector that is taken; models in use give 128 to 1,024 numbers.
pub const DIMENSION_MAX: usize = 2_048;

/// How far from one the length of a vector may be. Single precision keeps it within 1e-6; more than this is a vector
/// that nobody normalised.
const LENGTH_TOLERANCE: f64 = 1e-3;

/// Which networks made an embedding. Only embeddings of equal ids may be compared.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(Arc<str>);

impl ModelId {
    /// The id as the worker says it and as it stands beside stored templates.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        ModelId(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why numbers are not an embedding, or two embeddings cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddingError {
    /// No numbers, or too many.
    #[error("embedding of {0} numbers")]
    Length(usize),
    /// Stored bytes that are no whole numbers of four bytes.
    #[error("embedding of {0} bytes")]
    Bytes(usize),
    /// A number is infinite or not a number.
    #[error("embedding has a number that is not finite")]
    NotFinite,
    /// Not of length one.
    #[error("embedding is not normalised")]
    NotNormalised,
    /// Made by different models.
    #[error("embedding of model {found}, expected {expected}")]
    OtherModel {
        /// What it should be compared with.
        expected: ModelId,
        /// What it is.
        found: ModelId,
    },
    /// Equal model ids, and yet different sizes: one of the two lies about its model.
    #[error("embedding of {found} numbers, expected {expected}")]
    OtherDimension {
        /// What it should be compared with.
        expected: usize,
        /// What it is.
        found: usize,
    },
}

/// A face as a vector of length one.
#[derive(Clone)]
pub struct Embedding {
    model: ModelId,
    values: Zeroizing<Vec<f32>>,
}

impl Embedding {
    /// Takes the numbers a model gave; refused ones are cleared as well.
    pub fn new(model: &ModelId, values: Vec<f32>) -> Result<Self, EmbeddingError> {
        let mut values = Zeroizing::new(values);
        if values.is_empty() || values.len() > DIMENSION_MAX {
            return Err(EmbeddingError::Length(values.len()));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(EmbeddingError::NotFinite);
        }
        let length = length(&values);
        if (length - 1.0).abs() > LENGTH_TOLERANCE {
            return Err(EmbeddingError::NotNormalised);
        }
        // What is already as exact as single precision stays as it is, so that storing and reading changes no bit.
        if (length - 1.0).abs() > 1e-6 {
            scale(&mut values, 1.0 / length);
        }
        Ok(Embedding { model: model.clone(), values })
    }

    /// Which model made it.
    pub fn model(&self) -> &ModelId {
        &self.model
    }

    /// How many numbers it has.
    pub fn dimension(&self) -> usize {
        self.values.len()
    }

    /// The cosine of the angle between two faces: 1 for the same picture, about 0 for strangers.
    pub fn cosine(&self, other: &Embedding) -> Result<f32, EmbeddingError> {
        other.check_comparable(&self.model, self.dimension())?;
        Ok(self.cosine_unchecked(other))
    }

    /// Four bytes a number, little-endian: for sealing and storing. The model is stored beside them.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Of the final size from the start: growing would leave uncleared copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.values.len() * size_of::<f32>()));
        for value in self.values.iter() {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// Reads what `to_bytes` wrote, and checks it as `new` does.
    pub fn from_bytes(model: &ModelId, bytes: &[u8]) -> Result<Self, EmbeddingError> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(EmbeddingError::Bytes(bytes.len()));
        }
        Self::new(model, numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
    }

    /// Refuses an embedding that cannot be compared with those of `model` and `dimension`.
    pub(crate) fn check_comparable(&self, model: &ModelId, dimension: usize) -> Result<(), EmbeddingError> {
        if self.model != *model {
            return Err(EmbeddingError::OtherModel { expected: model.clone(), found: self.model.clone() });
        }
        if self.dimension() != dimension {
            return Err(EmbeddingError::OtherDimension { expected: dimension, found: self.dimension() });
        }
        Ok(())
    }

    /// The cosine, for embeddings that were checked to be comparable.
    pub(crate) fn cosine_unchecked(&self, other: &Embedding) -> f32 {
        dot(&self.values, &other.values) as f32
    }

    /// The numbers themselves, for the gallery.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }
}

/// A promise kept by the type of `values`; callers may ask for it.
impl ZeroizeOnDrop for Embedding {}

impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Embedding(..)")
    }
}

/// A running sum of weighted embeddings of one face, for their mean.
#[derive(Debug, Default)]
pub(crate) struct MeanEmbedding(Option<Sum>);

struct Sum {
    model: ModelId,
    values: Zeroizing<Vec<f32>>,
    weight: f32,
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sum(..)")
    }
}

impl MeanEmbedding {
    /// The weight at which what was added before begins to count half, so that the sum stays bounded and follows a
    /// face that turns.
    const WEIGHT_MAX: f32 = 32.0;

    /// Adds an embedding comparable with those added before.
    pub(crate) fn add(&mut self, embedding: &Embedding, weight: f32) {
        let sum = self.0.get_or_insert_with(|| Sum {
            model: embedding.model.clone(),
            values: Zeroizing::new(vec![0.0; embedding.dimension()]),
            weight: 0.0,
        });
        for (total, value) in sum.values.iter_mut().zip(embedding.values.iter()) {
            *total += weight * value;
        }
        sum.weight += weight;
        if sum.weight > Self::WEIGHT_MAX {
            scale(&mut sum.values, 0.5);
            sum.weight *= 0.5;
        }
    }

    /// The mean as an embedding; none while nothing was added, or if what was added cancels out.
    pub(crate) fn embedding(&self) -> Option<Embedding> {
        let sum = self.0.as_ref()?;
        let length = length(&sum.values);
        if length < 1e-3 {
            return None;
        }
        let mut values = sum.values.clone();
        scale(&mut values, 1.0 / length);
        Some(Embedding { model: sum.model.clone(), values })
    }
}

fn length(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

fn scale(values: &mut [f32], factor: f64) {
    for value in values {
        *value = (f64::from(*value) * factor) as f32;
    }
}

/// The cosine of two vectors of length one.
pub(crate) fn dot(left: &[f32], right: &[f32]) -> f64 {
    product(left, right).clamp(-1.0, 1.0)
}

/// Exact but for the last bits of double precision: products of single precision have no error in it. Eight sums side
/// by side: a single running sum would keep the compiler from using vector instructions, because the order of additions
/// is part of the result.
/// Beyond one too, where rounding took a length there: what is to be compared must not be made equal.
pub(crate) fn product(left: &[f32], right: &[f32]) -> f64 {
    let (left_lanes, left_rest) = left.as_chunks::<8>();
    let (right_lanes, right_rest) = right.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (left, right) in left_lanes.iter().zip(right_lanes) {
        for lane in 0..8 {
            sums[lane] += f64::from(left[lane]) * f64::from(right[lane]);
        }
    }
    let rest: f64 = left_rest.iter().zip(right_rest).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ModelId {
        ModelId::new("detector+embedder@0123456789ab")
    }

    fn unit(values: &[f32]) -> Embedding {
        let length = length(values) as f32;
        Embedding::new(&model(), values.iter().map(|value| value / length).collect()).unwrap()
    }

    #[test]
    fn only_finite_vectors_of_length_one_are_taken() {
        let refused = |values: Vec<f32>| Embedding::new(&model(), values).unwrap_err();
        assert_eq!(refused(vec![]), EmbeddingError::Length(0));
        assert_eq!(refused(vec![0.0; DIMENSION_MAX + 1]), EmbeddingError::Length(DIMENSION_MAX + 1));
        assert_eq!(refused(vec![f32::NAN, 1.0]), EmbeddingError::NotFinite);
        assert_eq!(refused(vec![f32::INFINITY, 0.0]), EmbeddingError::NotFinite);
        assert_eq!(refused(vec![0.0, 0.0]), EmbeddingError::NotNormalised);
        assert_eq!(refused(vec![1.002, 0.0]), EmbeddingError::NotNormalised);
        let nearly = Embedding::new(&model(), vec![0.9995, 0.0]).unwrap();
        assert_eq!(nearly.cosine(&nearly).unwrap(), 1.0);
    }

    #[test]
    fn cosines_are_those_of_the_angles() {
        let long: Vec<f32> = (0..19).map(|index| index as f32 - 7.0).collect();
        assert!((unit(&long).cosine(&unit(&long)).unwrap() - 1.0).abs() < 1e-6);
        assert!((unit(&[1.0, 1.0]).cosine(&unit(&[1.0, 0.0])).unwrap() - 0.5f32.sqrt()).abs() < 1e-6);
        assert!((unit(&[1.0, 0.0]).cosine(&unit(&[-1.0, 0.0])).unwrap() + 1.0).abs() < 1e-6);
    }

    #[test]
    fn embeddings_of_two_models_do_not_compare() {
        let ours = unit(&[1.0, 0.0]);
        let theirs = Embedding::new(&ModelId::new("other"), vec![1.0, 0.0]).unwrap();
        assert!(matches!(ours.cosine(&theirs), Err(EmbeddingError::OtherModel { .. })));
        let longer = unit(&[1.0, 0.0, 0.0]);
        assert_eq!(ours.cosine(&longer), Err(EmbeddingError::OtherDimension { expected: 2, found: 3 }));
    }

    #[test]
    fn bytes_come_back_bit_for_bit() {
        let embedding = unit(&[0.3, -0.5, 0.7]);
        let bytes = embedding.to_bytes();
        let again = Embedding::from_bytes(&model(), &bytes).unwrap();
        assert_eq!(*again.to_bytes(), *bytes);
        assert_eq!(bytes.len(), 12);
        assert_eq!(Embedding::from_bytes(&model(), &bytes[..11]).unwrap_err(), EmbeddingError::Bytes(11));
        assert_eq!(Embedding::from_bytes(&model(), &bytes[..8]).unwrap_err(), EmbeddingError::NotNormalised);
    }

    #[test]
    fn numbers_do_not_print() {
        assert_eq!(format!("{:?}", unit(&[1.0, 0.0])), "Embedding(..)");
        let mut mean = MeanEmbedding::default();
        mean.add(&unit(&[1.0, 0.0]), 1.0);
        assert_eq!(format!("{mean:?}"), "MeanEmbedding(Some(Sum(..)))");
    }

    #[test]
    fn the_mean_leans_to_the_weightier_and_stays_bounded() {
        let mut mean = MeanEmbedding::default();
        assert!(mean.embedding().is_none());
        for _ in 0..1_000 {
            mean.add(&unit(&[1.0, 0.0]), 0.75);
            mean.add(&unit(&[0.0, 1.0]), 0.25);
        }
        let embedding = mean.embedding().unwrap();
        assert!(embedding.cosine(&unit(&[3.0, 1.0])).unwrap() > 0.999);
        assert!(mean.0.as_ref().unwrap().weight <= MeanEmbedding::WEIGHT_MAX);

        let mut opposites = MeanEmbedding::default();
        opposites.add(&unit(&[1.0, 0.0]), 1.0);
        opposites.add(&unit(&[-1.0, 0.0]), 1.0);
        assert!(opposites.embedding().is_none());
    }
}
