//! The embedder's convolutions on a CUDA device: a depth-wise convolution is a kernel, a 1x1 one is a matrix product of
//! all pixels.

use candle_core::{DType, Result, Tensor};

use super::{MEAN, SCALE, STRIDES, pair_names};
use crate::model::cuda::{self, Depthwise, Stem};
use crate::model::weights::Weights;

/// The convolutions.
pub struct Trunk {
    stem: Stem,
    pairs: Vec<Pair>,
    /// Bias and slopes of the last 1x1 convolution; those of the others belong to the depth-wise ones that follow.
    last: Tensor,
}

struct Pair {
    depthwise: Depthwise,
    /// `[inputs, outputs]`, half precision.
    pointwise: Tensor,
}

impl Trunk {
    /// Brings the weights into the kernels' order.
    pub fn load(weights: &Weights) -> Result<Self> {
        let after = |name: &str| -> Result<Tensor> {
            cuda::after(&weights.get(&format!("{name}.bias"))?, &weights.get(&format!("{name}.slope"))?)
        };
        let bias = weights.get("stem.bias")?;
        // The first convolution's output has its activation already.
        let mut before = cuda::after(&bias.zeros_like()?, &bias.ones_like()?)?;
        let mut pairs = Vec::with_capacity(STRIDES.len());
        for (index, stride) in STRIDES.into_iter().enumerate() {
            let [depthwise, pointwise] = pair_names(index);
            let weight = weights.get(&format!("{pointwise}.weight"))?;
            pairs.push(Pair {
                depthwise: Depthwise {
                    stride,
                    before,
                    weights: cuda::taps(&weights.get(&format!("{depthwise}.weight"))?)?,
                    after: after(&depthwise)?,
                },
                pointwise: weight.flatten_from(1)?.t()?.contiguous()?.to_dtype(DType::F16)?,
            });
            before = after(&pointwise)?;
        }
        Ok(Self {
            stem: Stem { weights: cuda::taps(&weights.get("stem.weight")?)?, after: after("stem")? },
            pairs,
            last: before,
        })
    }

    /// `[n, 7 * 7 * 1024]` of half-precision numbers, channels last.
    pub fn forward(&self, crops: &Tensor) -> Result<Tensor> {
        let count = crops.dim(0)?;
        let mut map = cuda::stem_of_crops(&self.stem, crops, MEAN as f32, SCALE as f32)?;
        for Pair { depthwise, pointwise } in &self.pairs {
            let seen = depthwise.forward(&map)?;
            let (_, rows, columns, channels) = seen.dims4()?;
            map = seen.reshape(((), channels))?.matmul(pointwise)?.reshape((count, rows, columns, ()))?;
        }
        let channels = map.dim(3)?;
        cuda::activate(&map.reshape(((), channels))?, &self.last)?.reshape((count, ()))
    }
}
