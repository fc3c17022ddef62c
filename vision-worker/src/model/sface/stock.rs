//! The embedder's convolutions out of candle's own operations: the reference that the tests compare with.

use candle_core::{Result, Tensor};

use super::{MEAN, SCALE, STRIDES, pair_names};
use crate::model::layers::{Activation, Convolution, Kind};
use crate::model::weights::Weights;

/// The convolutions.
pub struct Trunk {
    stem: Convolution,
    pairs: Vec<[Convolution; 2]>,
}

impl Trunk {
    /// Builds them from their weights.
    pub fn load(weights: &Weights) -> Result<Self> {
        let pair = |(index, &stride): (usize, &usize)| -> Result<_> {
            let [depthwise, pointwise] = pair_names(index);
            let kind = Kind::Depthwise { stride };
            Ok([
                Convolution::load(weights, &depthwise, kind, Activation::Prelu)?,
                Convolution::load(weights, &pointwise, Kind::Pointwise, Activation::Prelu)?,
            ])
        };
        Ok(Self {
            stem: Convolution::load(weights, "stem", Kind::Dense { stride: 1 }, Activation::Prelu)?,
            pairs: STRIDES.iter().enumerate().map(pair).collect::<Result<_>>()?,
        })
    }

    /// `[n, 1024, 7, 7]`.
    pub fn forward(&self, crops: &Tensor) -> Result<Tensor> {
        let mut map = self.stem.forward(&crops.affine(SCALE, -MEAN * SCALE)?)?;
        for [depthwise, pointwise] in &self.pairs {
            map = pointwise.forward(&depthwise.forward(&map)?)?;
        }
        Ok(map)
    }
}
