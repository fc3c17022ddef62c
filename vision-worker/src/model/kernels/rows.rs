//! Rows of maps whose channels lie together, pixel by pixel: the steps of a depth-wise separable network, one row of
//! output at a time. Channels come in groups of `GROUP`, so every vector width divides them.
//!
//! Each kernel keeps a tile of outputs in registers: some pixels by some vectors of channels. Loops over a tile have
//! constant bounds and no closures: a closure may be compiled apart from the kernel and so without its instruction set.

use pulp::{Simd, WithSimd};

/// Channels that lie together: one vector of the widest instruction set.
pub const GROUP: usize = 16;

/// Numbers of a pixel before the first convolution.
const COLOURS: usize = 3;

/// Taps along one side of a kernel.
const TAPS: usize = 3;

/// Columns of outputs that a depth-wise tile has, and of the inputs that they are made of.
const DEPTHWISE_COLUMNS: usize = 4;
const DEPTHWISE_WINDOW: usize = DEPTHWISE_COLUMNS + TAPS - 1;

/// A 3x3 convolution of stride 2 from three colours to one group of channels, and ReLU.
pub struct StemRow<'a> {
    /// `[3, 3, COLOURS, GROUP]`.
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    /// Three rows with a border of one pixel at the left and the right.
    pub rows: [&'a [f32]; TAPS],
    pub output: &'a mut [f32],
}

impl WithSimd for StemRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        match S::F32_LANES {
            16 => stem::<S, 8, 1>(simd, &mut self),
            8 => stem::<S, 4, 2>(simd, &mut self),
            _ => stem::<S, 8, 1>(simd, &mut self),
        }
    }
}

#[inline(always)]
fn stem<S: Simd, const PIXELS: usize, const VECTORS: usize>(simd: S, row: &mut StemRow<'_>) {
    let columns = row.output.len() / GROUP;
    let weights = S::as_simd_f32s(row.weights).0;
    let bias = S::as_simd_f32s(row.bias).0;
    let vectors = GROUP / S::F32_LANES;
    for first in (0..vectors).step_by(VECTORS) {
        let mut tile = Tiles::<PIXELS>::over(columns);
        while let Some(start) = tile.next() {
            let mut sums = splat_pixels::<S, PIXELS, VECTORS>(simd, &bias[first..][..VECTORS]);
            for (y, input) in row.rows.iter().enumerate() {
                let window = &input[2 * COLOURS * start..][..2 * COLOURS * (PIXELS - 1) + TAPS * COLOURS];
                for number in 0..TAPS * COLOURS {
                    let weights = &weights[(y * TAPS * COLOURS + number) * vectors + first..][..VECTORS];
                    for pixel in 0..PIXELS {
                        let value = simd.splat_f32s(window[2 * COLOURS * pixel + number]);
                        for vector in 0..VECTORS {
                            sums[pixel][vector] = simd.mul_add_e_f32s(value, weights[vector], sums[pixel][vector]);
                        }
                    }
                }
            }
            let zero = simd.splat_f32s(0.0);
            for (pixel, sums) in sums.iter().enumerate() {
                let output = S::as_mut_simd_f32s(&mut row.output[(start + pixel) * GROUP..][..GROUP]).0;
                for vector in 0..VECTORS {
                    output[first + vector] = simd.max_f32s(sums[vector], zero);
                }
            }
        }
    }
}

/// A 1x1 convolution.
pub struct PointwiseRow<'a> {
    /// `[inputs, outputs]`.
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    pub inputs: usize,
    pub input: &'a [f32],
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
    }
}

/// The row's `VECTORS` vectors of channels from `first` on; returns how many that were.
#[inline(always)]
fn pointwise<S: Simd, const PIXELS: usize, const VECTORS: usize>(
    simd: S,
    row: &mut PointwiseRow<'_>,
    first: usize,
) -> usize {
    let columns = row.input.len() / row.inputs;
    if columns < PIXELS {
        for column in 0..columns {
            pointwise_tile::<S, 1, VECTORS>(simd, row, first, column);
        }
        return VECTORS;
    }
    let mut tiles = Tiles::<PIXELS>::over(columns);
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
    let groups = row.inputs / GROUP;
    let weights = S::as_simd_f32s(row.weights).0;
    let input = row.input.as_chunks::<GROUP>().0;
    let mut sums = splat_pixels::<S, PIXELS, VECTORS>(simd, &S::as_simd_f32s(row.bias).0[first..][..VECTORS]);
    for group in 0..groups {
        let mut pixels = [&[0.0; GROUP]; PIXELS];
        for (pixel, numbers) in pixels.iter_mut().enumerate() {
            *numbers = &input[(start + pixel) * groups + group];
        }
        for channel in 0..GROUP {
            let weights = &weights[(group * GROUP + channel) * outputs + first..][..VECTORS];
            for pixel in 0..PIXELS {
                let value = simd.splat_f32s(pixels[pixel][channel]);
                for vector in 0..VECTORS {
                    sums[pixel][vector] = simd.mul_add_e_f32s(value, weights[vector], sums[pixel][vector]);
                }
            }
        }
    }
    let output = S::as_mut_simd_f32s(row.output).0;
    for (pixel, sums) in sums.iter().enumerate() {
        output[(start + pixel) * outputs + first..][..VECTORS].copy_from_slice(sums);
    }
}

/// A depth-wise 3x3 convolution of stride 1 with a border of one; what is below `floor` becomes `floor`.
pub struct DepthwiseRow<'a> {
    /// `[3, 3, channels]`.
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    pub floor: f32,
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
    let mut taps = Taps::<S, VECTORS> {
        weights: S::as_simd_f32s(row.weights).0.as_chunks::<VECTORS>().0,
        bias,
        floor: simd.splat_f32s(row.floor),
        rows: [&[]; TAPS],
    };
    for (row, numbers) in taps.rows.iter_mut().zip(row.rows) {
        *row = S::as_simd_f32s(numbers).0.as_chunks::<VECTORS>().0;
    }
    let output = S::as_mut_simd_f32s(row.output).0.as_chunks_mut::<VECTORS>().0;
    let columns = output.len();
    if columns < DEPTHWISE_WINDOW {
        for (column, output) in output.iter_mut().enumerate() {
            taps.pixel(simd, column, output);
        }
        return;
    }
    taps.pixel(simd, 0, &mut output[0]);
    taps.pixel(simd, columns - 1, &mut output[columns - 1]);
    let nothing = [[taps.floor; VECTORS]; DEPTHWISE_WINDOW];
    let mut tiles = Tiles::<DEPTHWISE_COLUMNS>::over(columns - 2);
    while let Some(start) = tiles.next() {
        // The first column is done, so the window of inputs begins where the tile of outputs would.
        let mut windows = [&nothing; TAPS];
        for (window, row) in windows.iter_mut().zip(taps.rows) {
            let Some(inputs) = row[start..].first_chunk::<DEPTHWISE_WINDOW>() else { return };
            *window = inputs;
        }
        let Some(output) = output[start + 1..].first_chunk_mut::<DEPTHWISE_COLUMNS>() else { return };
        for vector in 0..VECTORS {
            let mut sums = [taps.bias[vector]; DEPTHWISE_COLUMNS];
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
    /// One column, whose neighbours may be missing.
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
