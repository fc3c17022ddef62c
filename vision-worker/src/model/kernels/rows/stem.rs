//! The first convolution, from three colours.

use pulp::{Simd, WithSimd};

use super::{Activation, TAPS, Tiles, bend, splat_pixels};

/// Numbers of a pixel before the first convolution.
const COLOURS: usize = 3;

/// Numbers of a row that make one pixel of output.
const WINDOW: usize = TAPS * COLOURS;

/// A 3x3 convolution of three colours.
pub struct StemRow<'a> {
    /// `[3, 3, COLOURS, outputs]`.
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    pub activation: Activation<'a>,
    /// 1 or 2.
    pub stride: usize,
    /// Three rows with a border of one pixel at the left and the right.
    pub rows: [&'a [f32]; TAPS],
    pub output: &'a mut [f32],
}

impl WithSimd for StemRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        match (S::F32_LANES, self.stride) {
            (8, 1) => stem::<S, 4, 2, 1>(simd, &mut self),
            (8, _) => stem::<S, 4, 2, 2>(simd, &mut self),
            (_, 1) => stem::<S, 8, 1, 1>(simd, &mut self),
            (_, _) => stem::<S, 8, 1, 2>(simd, &mut self),
        }
    }
}

#[inline(always)]
fn stem<S: Simd, const PIXELS: usize, const VECTORS: usize, const STRIDE: usize>(simd: S, row: &mut StemRow<'_>) {
    let weights = S::as_simd_f32s(row.weights).0;
    let bias = S::as_simd_f32s(row.bias).0;
    let vectors = bias.len();
    let columns = row.output.len() / row.bias.len();
    let output = S::as_mut_simd_f32s(row.output).0;
    let (floor, slopes) = match row.activation {
        Activation::Floor(floor) => (floor, None),
        Activation::Slope(slopes) => (f32::NEG_INFINITY, Some(S::as_simd_f32s(slopes).0)),
    };
    let floor = simd.splat_f32s(floor);
    for first in (0..vectors).step_by(VECTORS) {
        let mut tiles = Tiles::<PIXELS>::over(columns);
        while let Some(start) = tiles.next() {
            let mut sums = splat_pixels::<S, PIXELS, VECTORS>(simd, &bias[first..][..VECTORS]);
            for (y, input) in row.rows.iter().enumerate() {
                let window = &input[STRIDE * COLOURS * start..][..STRIDE * COLOURS * (PIXELS - 1) + WINDOW];
                for number in 0..WINDOW {
                    let weights = &weights[(y * WINDOW + number) * vectors + first..][..VECTORS];
                    for pixel in 0..PIXELS {
                        let value = simd.splat_f32s(window[STRIDE * COLOURS * pixel + number]);
                        for vector in 0..VECTORS {
                            sums[pixel][vector] = simd.mul_add_e_f32s(value, weights[vector], sums[pixel][vector]);
                        }
                    }
                }
            }
            for (pixel, sums) in sums.iter().enumerate() {
                let output = &mut output[(start + pixel) * vectors + first..][..VECTORS];
                for vector in 0..VECTORS {
                    output[vector] = simd.max_f32s(sums[vector], floor);
                }
            }
        }
    }
    if let Some(slopes) = slopes {
        for pixel in output.chunks_exact_mut(vectors) {
            bend(simd, slopes, pixel);
        }
    }
}
