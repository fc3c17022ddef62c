//! The networks on a CUDA device: maps of half-precision numbers, channels last, and this crate's own kernels where
//! candle has no fast operation. Sums are in single precision. Results differ from the CPU's by what half precision
//! rounds: the tests say by how much.

mod jpeg;
mod memory;
mod steps;

pub use jpeg::Decoder;
pub use memory::{keep_memory, upload};
pub use steps::{
    Depthwise, RECORD, Stem, Unit, Written, activate, candidates, cut, halve, shrink, stem_of_crops, stem_of_pictures,
};

use candle_core::{Result, Tensor};

/// The weight of a 3x3 convolution as the kernels read it, `[3, 3, inputs, outputs]`: for a depth-wise one there is one
/// input.
pub fn taps(weight: &Tensor) -> Result<Tensor> {
    weight.permute((2, 3, 1, 0))?.contiguous()
}

/// What follows a convolution as the kernels read it: the bias, then the slopes. A slope of 0 is `ReLU`, 1 is nothing.
pub fn after(bias: &Tensor, slope: &Tensor) -> Result<Tensor> {
    Tensor::cat(&[bias, slope], 0)
}
