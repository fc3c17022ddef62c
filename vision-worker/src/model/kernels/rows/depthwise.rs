//! The depth-wise convolution: each channel by itself.

use pulp::{Simd, WithSimd};

use super::{Activation, TAPS, Tiles, bend};

/// Columns of outputs that a tile has, and of the inputs that they are made of.
const COLUMNS: usize = 4;
const WINDOW: usize = COLUMNS + TAPS - 1;

/// A depth-wise 3x3 convolution of one block, with a border of one.
pub struct DepthwiseRow<'a> {
    /// `[3, 3, channels]`.
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    pub activation: Activation<'a>,
    /// 1 or 2: the columns from one output to the next.
    pub stride: usize,
    /// The row above, the row itself, the row below; zeros where there is none.
    pub rows: [&'a [f32]; TAPS],
    pub output: &'a mut [f32],
}

impl WithSimd for DepthwiseRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.bias.len() / S::F32_LANES {
            1 => depthwise::<S, 1>(simd, self),
            2 => depthwise::<S, 2>(simd, self),
            4 => depthwise::<S, 4>(simd, self),
            8 => depthwise::<S, 8>(simd, self),
            16 => depthwise::<S, 16>(simd, self),
            32 => depthwise::<S, 32>(simd, self),
            64 => depthwise::<S, 64>(simd, self),
            vectors => unreachable!("this is a bug: {vectors} vectors"),
        }
    }
}

/// With `VECTORS` vectors of channels.
#[inline(always)]
fn depthwise<S: Simd, const VECTORS: usize>(simd: S, row: DepthwiseRow<'_>) {
    let Some(bias) = S::as_simd_f32s(row.bias).0.first_chunk::<VECTORS>() else { return };
    let (floor, slopes) = match row.activation {
        Activation::Floor(floor) => (floor, None),
        Activation::Slope(slopes) => (f32::NEG_INFINITY, Some(S::as_simd_f32s(slopes).0)),
    };
    let mut taps = Taps::<S, VECTORS> {
        weights: S::as_simd_f32s(row.weights).0.as_chunks::<VECTORS>().0,
        bias,
        floor: simd.splat_f32s(floor),
        rows: [&[]; TAPS],
    };
    for (row, numbers) in taps.rows.iter_mut().zip(row.rows) {
        *row = S::as_simd_f32s(numbers).0.as_chunks::<VECTORS>().0;
    }
    let output = S::as_mut_simd_f32s(row.output).0.as_chunks_mut::<VECTORS>().0;
    convolve(simd, &taps, row.stride, output);
    if let Some(slopes) = slopes {
        for pixel in output {
            bend(simd, slopes, pixel);
        }
    }
}

#[inline(always)]
fn convolve<S: Simd, const VECTORS: usize>(
    simd: S,
    taps: &Taps<'_, S, VECTORS>,
    stride: usize,
    output: &mut [[S::f32s; VECTORS]],
) {
    let columns = output.len();
    if stride != 1 || columns < WINDOW {
        for (column, output) in output.iter_mut().enumerate() {
            taps.pixel(simd, stride * column, output);
        }
        return;
    }
    taps.pixel(simd, 0, &mut output[0]);
    taps.pixel(simd, columns - 1, &mut output[columns - 1]);
    let nothing = [*taps.bias; WINDOW];
    let mut tiles = Tiles::<COLUMNS>::over(columns - 2);
    while let Some(start) = tiles.next() {
        // The first column is done, so the window of inputs begins where the tile of outputs would.
        let mut windows = [&nothing; TAPS];
        for (window, row) in windows.iter_mut().zip(taps.rows) {
            let Some(inputs) = row[start..].first_chunk::<WINDOW>() else { return };
            *window = inputs;
        }
        let Some(output) = output[start + 1..].first_chunk_mut::<COLUMNS>() else { return };
        for vector in 0..VECTORS {
            let mut sums = [taps.bias[vector]; COLUMNS];
            for (y, window) in windows.iter().enumerate() {
                for (x, weights) in taps.weights[y * TAPS..][..TAPS].iter().enumerate() {
                    for (column, sum) in sums.iter_mut().enumerate() {
                        *sum = simd.mul_add_e_f32s(window[column + x][vector], weights[vector], *sum);
                    }
                }
            }
            for (output, sum) in output.iter_mut().zip(sums) {
                output[vector] = simd.max_f32s(sum, taps.floor);
            }
        }
    }
}

/// What the outputs of a depth-wise row are made of.
struct Taps<'a, S: Simd, const VECTORS: usize> {
    weights: &'a [[S::f32s; VECTORS]],
    bias: &'a [S::f32s; VECTORS],
    floor: S::f32s,
    rows: [&'a [[S::f32s; VECTORS]]; TAPS],
}

impl<S: Simd, const VECTORS: usize> Taps<'_, S, VECTORS> {
    /// One output around a column, whose neighbours may be missing.
    #[inline(always)]
    fn pixel(&self, simd: S, column: usize, output: &mut [S::f32s; VECTORS]) {
        let mut sums = *self.bias;
        for (y, row) in self.rows.iter().enumerate() {
            for x in 0..TAPS {
                if column + x == 0 || column + x > row.len() {
                    continue;
                }
                let (value, weights) = (&row[column + x - 1], &self.weights[y * TAPS + x]);
                for vector in 0..VECTORS {
                    sums[vector] = simd.mul_add_e_f32s(value[vector], weights[vector], sums[vector]);
                }
            }
        }
        for vector in 0..VECTORS {
            output[vector] = simd.max_f32s(sums[vector], self.floor);
        }
    }
}
