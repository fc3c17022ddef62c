//! The 1x1 convolution: a product of matrices.

use pulp::{Simd, WithSimd};

use super::{GROUP, Tiles, bend, splat_pixels};

/// A 1x1 convolution.
pub struct PointwiseRow<'a> {
    /// `[inputs, outputs]`.
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    /// Of PReLU, if that follows.
    pub slopes: Option<&'a [f32]>,
    /// Pixels.
    pub columns: usize,
    /// The blocks of the input, all of as many groups of channels.
    pub inputs: &'a [&'a [f32]],
    pub groups: usize,
    /// One block.
    pub output: &'a mut [f32],
}

impl WithSimd for PointwiseRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let vectors = self.bias.len() / S::F32_LANES;
        let mut first = 0;
        // As many accumulators as the registers hold beside weights and one input; at least eight hide the latency.
        while first < vectors {
            first += match (S::F32_LANES, vectors - first) {
                (16, 4..) => pointwise::<S, 6, 4>(simd, &mut self, first),
                (16, 2..) => pointwise::<S, 8, 2>(simd, &mut self, first),
                (16, _) => pointwise::<S, 12, 1>(simd, &mut self, first),
                (8, _) => pointwise::<S, 6, 2>(simd, &mut self, first),
                (4, _) => pointwise::<S, 4, 4>(simd, &mut self, first),
                _ => pointwise::<S, 8, 1>(simd, &mut self, first),
            };
        }
        if let Some(slopes) = self.slopes {
            let slopes = S::as_simd_f32s(slopes).0;
            for pixel in S::as_mut_simd_f32s(self.output).0.chunks_exact_mut(vectors) {
                bend(simd, slopes, pixel);
            }
        }
    }
}

/// The row's `VECTORS` vectors of channels from `first` on; returns how many that were.
#[inline(always)]
fn pointwise<S: Simd, const PIXELS: usize, const VECTORS: usize>(
    simd: S,
    row: &mut PointwiseRow<'_>,
    first: usize,
) -> usize {
    if row.columns < PIXELS {
        for column in 0..row.columns {
            pointwise_tile::<S, 1, VECTORS>(simd, row, first, column);
        }
        return VECTORS;
    }
    let mut tiles = Tiles::<PIXELS>::over(row.columns);
    while let Some(start) = tiles.next() {
        pointwise_tile::<S, PIXELS, VECTORS>(simd, row, first, start);
    }
    VECTORS
}

#[inline(always)]
fn pointwise_tile<S: Simd, const PIXELS: usize, const VECTORS: usize>(
    simd: S,
    row: &mut PointwiseRow<'_>,
    first: usize,
    start: usize,
) {
    let outputs = row.bias.len() / S::F32_LANES;
    let groups = row.groups;
    // The weights of each group of inputs, one after the other.
    let mut weights = S::as_simd_f32s(row.weights).0.chunks_exact(GROUP * outputs);
    let mut sums = splat_pixels::<S, PIXELS, VECTORS>(simd, &S::as_simd_f32s(row.bias).0[first..][..VECTORS]);
    for input in row.inputs {
        let input = input.as_chunks::<GROUP>().0;
        for group in 0..groups {
            let Some(weights) = weights.next() else { return };
            let mut pixels = [&[0.0; GROUP]; PIXELS];
            for (pixel, numbers) in pixels.iter_mut().enumerate() {
                *numbers = &input[(start + pixel) * groups + group];
            }
            for channel in 0..GROUP {
                let weights = &weights[channel * outputs + first..][..VECTORS];
                for pixel in 0..PIXELS {
                    let value = simd.splat_f32s(pixels[pixel][channel]);
                    for vector in 0..VECTORS {
                        sums[pixel][vector] = simd.mul_add_e_f32s(value, weights[vector], sums[pixel][vector]);
                    }
                }
            }
        }
    }
    let output = S::as_mut_simd_f32s(row.output).0;
    for (pixel, sums) in sums.iter().enumerate() {
        output[(start + pixel) * outputs + first..][..VECTORS].copy_from_slice(sums);
    }
}
