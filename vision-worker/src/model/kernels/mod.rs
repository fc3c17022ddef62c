//! The convolutions that the face networks spend their time in, written for the CPU. candle's own convolution copies its
//! input pixel by pixel and runs a grouped convolution as a loop over the groups, which makes these networks ten to
//! thirty times slower than they need to be.
//!
//! The detector's large maps flow through all its layers row by row (`chain`); the embedder's go through one layer at a
//! time (`separable`). Both hold the channels of a pixel together and are made of the steps in `rows`. A dense network
//! runs by `pointwise` and `conv3x3`, channel by channel.
//!
//! The vector width is chosen at run time by `pulp`, so one build serves every CPU. Each call runs on one thread:
//! parallelism is over images and faces, where it costs nothing.

use std::ops::{Deref, DerefMut};

use candle_core::{CpuStorage, Layout, Result, bail};

pub mod chain;
pub mod conv3x3;
pub mod pointwise;
pub(crate) mod rows;
pub mod separable;

/// What follows a convolution, for each output channel: `y = x + bias`, then `y` if positive, else `slope * y`.
/// A slope of 1 is no activation, a slope of 0 is ReLU, and a learned slope is PReLU.
#[derive(Clone)]
pub struct Epilogue {
    pub(crate) bias: Vec<f32>,
    pub(crate) slope: Vec<f32>,
}

/// Rows of a packed matrix start on a cache line, or every second vector load crosses one.
const CACHE_LINE: usize = 64;

/// Numbers that begin on a cache line.
pub struct Aligned {
    buffer: Vec<f32>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// That many zeros.
    pub fn zeros(length: usize) -> Self {
        let buffer = vec![0.0; length + CACHE_LINE / size_of::<f32>()];
        let start = buffer.as_ptr().align_offset(CACHE_LINE);
        Self { buffer, start, length }
    }
}

impl From<&[f32]> for Aligned {
    fn from(numbers: &[f32]) -> Self {
        let mut aligned = Self::zeros(numbers.len());
        aligned.copy_from_slice(numbers);
        aligned
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[self.start..][..self.length]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[self.start..][..self.length]
    }
}

/// The numbers of a contiguous NCHW f32 tensor and its four dimensions.
fn nchw<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<(&'a [f32], [usize; 4])> {
    let (n, c, h, w) = layout.shape().dims4()?;
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("the convolution needs a contiguous input") };
    Ok((&storage.as_slice::<f32>()?[start..end], [n, c, h, w]))
}
