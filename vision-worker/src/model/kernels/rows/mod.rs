//! Rows of maps whose channels lie together, pixel by pixel: the steps of a depth-wise separable network, one row of
//! output at a time. Channels come in groups of `GROUP`, so every vector width divides them; maps of more than `BLOCK`
//! channels are held block by block, each as a map of its own.
//!
//! Each kernel keeps a tile of outputs in registers: some pixels by some vectors of channels. Loops over a tile have
//! constant bounds and no closures: a closure may be compiled apart from the kernel and so without its instruction set.

use pulp::{Simd, WithSimd};

mod depthwise;
mod pointwise;
mod stem;
#[cfg(test)]
mod tests;

pub use depthwise::DepthwiseRow;
pub use pointwise::PointwiseRow;
pub use stem::StemRow;

/// Channels that lie together: one vector of the widest instruction set.
pub const GROUP: usize = 16;

/// The most channels of a block: as many outputs as a tile of one pixel has registers for, several times over.
pub const BLOCK: usize = 64;

/// Taps along one side of a kernel.
const TAPS: usize = 3;

/// What becomes of a sum.
#[derive(Clone, Copy)]
pub enum Activation<'a> {
    /// What is below becomes this: nothing changes at minus infinity, and 0 is ReLU.
    Floor(f32),
    /// Negative sums are multiplied by the channel's slope: PReLU.
    Slope(&'a [f32]),
}

/// Multiplies negative numbers by their channel's slope, pixel by pixel. This is a step of its own, on a tile that has
/// just been stored: as a part of the loops that store it, it makes them too long to be unrolled, and then the sums of
/// the whole kernel live in memory instead of in registers.
#[inline(always)]
fn bend<S: Simd>(simd: S, slopes: &[S::f32s], pixel: &mut [S::f32s]) {
    let zero = simd.splat_f32s(0.0);
    for (number, slope) in pixel.iter_mut().zip(slopes) {
        let negative = simd.min_f32s(*number, zero);
        *number = simd.mul_add_e_f32s(*slope, negative, simd.max_f32s(*number, zero));
    }
}

/// Each number of a pixel the largest of a square of four pixels.
pub struct HalveRow<'a> {
    pub channels: usize,
    pub upper: &'a [f32],
    pub lower: &'a [f32],
    pub output: &'a mut [f32],
}

impl WithSimd for HalveRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let vectors = self.channels / S::F32_LANES;
        let (upper, lower) = (S::as_simd_f32s(self.upper).0, S::as_simd_f32s(self.lower).0);
        let squares = upper.chunks_exact(2 * vectors).zip(lower.chunks_exact(2 * vectors));
        for (output, (upper, lower)) in S::as_mut_simd_f32s(self.output).0.chunks_exact_mut(vectors).zip(squares) {
            let (left, right) = upper.split_at(vectors);
            let (lower_left, lower_right) = lower.split_at(vectors);
            for vector in 0..vectors {
                let above = simd.max_f32s(left[vector], right[vector]);
                let below = simd.max_f32s(lower_left[vector], lower_right[vector]);
                output[vector] = simd.max_f32s(above, below);
            }
        }
    }
}

#[inline(always)]
fn splat_pixels<S: Simd, const PIXELS: usize, const VECTORS: usize>(
    simd: S,
    bias: &[S::f32s],
) -> [[S::f32s; VECTORS]; PIXELS] {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; PIXELS];
    for sums in &mut sums {
        for (sum, bias) in sums.iter_mut().zip(bias) {
            *sum = *bias;
        }
    }
    sums
}

/// The first columns of the tiles that cover a row. The last one ends where the row does, and may do a part of its
/// neighbour's work again.
struct Tiles<const COLUMNS: usize> {
    next: usize,
    columns: usize,
}

impl<const COLUMNS: usize> Tiles<COLUMNS> {
    #[inline(always)]
    fn over(columns: usize) -> Self {
        debug_assert!(columns >= COLUMNS, "this is a bug: a row of {columns} columns");
        Self { next: 0, columns }
    }

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let next = self.next;
        if next >= self.columns {
            return None;
        }
        self.next += COLUMNS;
        Some(next.min(self.columns - COLUMNS))
    }
}
