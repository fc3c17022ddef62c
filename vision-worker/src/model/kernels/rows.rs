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

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without a pattern.
    fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    /// What a kernel makes with every instruction set that this processor has, which must be the same.
    fn on_every_processor(length: usize, mut run: impl FnMut(&mut dyn FnMut(Kernel<'_>), &mut [f32])) -> Vec<f32> {
        let mut outputs = Vec::new();
        let mut with = |dispatch: &mut dyn FnMut(Kernel<'_>)| {
            let mut output = vec![f32::NAN; length];
            run(dispatch, &mut output);
            outputs.push(output);
        };
        with(&mut |kernel| kernel.run(pulp::Scalar::new()));
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = pulp::x86::V3::try_new() {
            with(&mut |kernel| kernel.run(simd));
        }
        with(&mut |kernel| pulp::Arch::new().dispatch(kernel));
        for output in &outputs {
            let apart = output.iter().zip(&outputs[0]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-4, "{apart}");
        }
        outputs.swap_remove(0)
    }

    enum Kernel<'a> {
        Pointwise(PointwiseRow<'a>),
        Depthwise(DepthwiseRow<'a>),
        Halve(HalveRow<'a>),
        Stem(StemRow<'a>),
    }

    impl Kernel<'_> {
        fn run<S: Simd>(self, simd: S) {
            simd.vectorize(self);
        }
    }

    impl WithSimd for Kernel<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            match self {
                Kernel::Pointwise(row) => row.with_simd(simd),
                Kernel::Depthwise(row) => row.with_simd(simd),
                Kernel::Halve(row) => row.with_simd(simd),
                Kernel::Stem(row) => row.with_simd(simd),
            }
        }
    }

    #[test]
    fn a_pointwise_row_is_a_product_of_matrices() {
        for (inputs, outputs, columns) in [(16, 16, 1), (16, 32, 5), (32, 64, 13), (64, 48, 24), (64, 16, 40)] {
            let (weights, bias) = (noise(inputs * outputs, 1), noise(outputs, 2));
            let input = noise(columns * inputs, 3);
            let found = on_every_processor(columns * outputs, |dispatch, output| {
                let (weights, bias, input) = (&weights, &bias, &input);
                dispatch(Kernel::Pointwise(PointwiseRow { weights, bias, inputs, input, output }));
            });
            for (pixel, found) in found.chunks_exact(outputs).enumerate() {
                for (channel, found) in found.iter().enumerate() {
                    let product = |index: usize| input[pixel * inputs + index] * weights[index * outputs + channel];
                    let expected = bias[channel] + (0..inputs).map(product).sum::<f32>();
                    assert!((found - expected).abs() < 1e-4, "{inputs} to {outputs}: {found}, {expected}");
                }
            }
        }
    }

    #[test]
    fn a_depthwise_row_sums_its_neighbours() {
        for (channels, columns) in [(16, 1), (16, 5), (32, 6), (64, 7), (64, 23)] {
            let (weights, bias) = (noise(9 * channels, 1), noise(channels, 2));
            let rows = [3, 4, 5].map(|seed| noise(columns * channels, seed));
            let found = on_every_processor(columns * channels, |dispatch, output| {
                let rows = [&rows[0][..], &rows[1], &rows[2]];
                dispatch(Kernel::Depthwise(DepthwiseRow { weights: &weights, bias: &bias, floor: 0.0, rows, output }));
            });
            for (index, found) in found.iter().enumerate() {
                let (column, channel) = (index / channels, index % channels);
                let mut expected = bias[channel];
                for (y, row) in rows.iter().enumerate() {
                    for x in 0..3 {
                        let there = (column + x).checked_sub(1).filter(|&neighbour| neighbour < columns);
                        let value = there.map_or(0.0, |neighbour| row[neighbour * channels + channel]);
                        expected += weights[(y * 3 + x) * channels + channel] * value;
                    }
                }
                assert!((found - expected.max(0.0)).abs() < 1e-4, "{channels}x{columns}: {found}, {expected}");
            }
        }
    }

    #[test]
    fn a_halved_row_has_the_largest_of_each_square() {
        let (channels, columns) = (32, 6);
        let (upper, lower) = (noise(columns * channels, 1), noise(columns * channels, 2));
        let found = on_every_processor(columns / 2 * channels, |dispatch, output| {
            dispatch(Kernel::Halve(HalveRow { channels, upper: &upper, lower: &lower, output }));
        });
        for (index, found) in found.iter().enumerate() {
            let left = index / channels * 2 * channels + index % channels;
            let square = [upper[left], upper[left + channels], lower[left], lower[left + channels]];
            assert_eq!(*found, square.into_iter().fold(f32::NEG_INFINITY, f32::max));
        }
    }

    #[test]
    fn a_stem_row_is_the_same_with_every_instruction_set() {
        let columns = 24;
        let (weights, bias) = (noise(9 * COLOURS * GROUP, 1), noise(GROUP, 2));
        let rows = [3, 4, 5].map(|seed| noise((2 * columns + 2) * COLOURS, seed));
        let found = on_every_processor(columns * GROUP, |dispatch, output| {
            let rows = [&rows[0][..], &rows[1], &rows[2]];
            dispatch(Kernel::Stem(StemRow { weights: &weights, bias: &bias, rows, output }));
        });
        let last: f32 = (0..3)
            .flat_map(|y| (0..9).map(move |number| (y, number)))
            .map(|(y, number)| rows[y][6 * (columns - 1) + number] * weights[(y * 9 + number) * GROUP])
            .sum();
        assert!((found[(columns - 1) * GROUP] - (last + bias[0]).max(0.0)).abs() < 1e-4);
    }
}
