//! The two convolutions that the face networks spend their time in, written for the CPU: 1x1 (`pointwise`) and 3x3
//! (`conv3x3`, depth-wise or dense), with bias and activation fused, and the steps of a feature pyramid (`pool`).
//! candle's own convolution copies its input pixel by pixel and runs a grouped convolution as a loop over the groups,
//! which makes these networks ten to thirty times slower than they need to be.
//!
//! The vector width is chosen at run time by `pulp`, so one build serves every CPU. Each call runs on one thread:
//! parallelism is over images and faces, where it costs nothing.

use candle_core::{CpuStorage, Layout, Result, bail};

pub mod conv3x3;
pub mod pointwise;
pub mod pool;

/// What follows a convolution, for each output channel: `y = x + bias`, then `y` if positive, else `slope * y`.
/// A slope of 1 is no activation, a slope of 0 is ReLU, and a learned slope is PReLU.
#[derive(Clone)]
pub struct Epilogue {
    pub(crate) bias: Vec<f32>,
    pub(crate) slope: Vec<f32>,
}

/// Rows of a packed matrix start on a cache line, or every second vector load crosses one.
const CACHE_LINE: usize = 64;

/// `length` zeros and the index at which an aligned stretch of `length` begins.
fn aligned_zeros(length: usize) -> (Vec<f32>, usize) {
    let buffer = vec![0.0; length + CACHE_LINE / size_of::<f32>()];
    let start = buffer.as_ptr().align_offset(CACHE_LINE);
    (buffer, start)
}

/// The numbers of a contiguous NCHW f32 tensor and its four dimensions.
fn nchw<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<(&'a [f32], [usize; 4])> {
    let (n, c, h, w) = layout.shape().dims4()?;
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("the convolution needs a contiguous input") };
    Ok((&storage.as_slice::<f32>()?[start..end], [n, c, h, w]))
}
