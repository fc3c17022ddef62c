//! The steps against sums that are written out, with every instruction set of this processor.

use super::*;

const COLOURS: usize = 3;

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
            let (inputs, groups) = (&[&input[..]], inputs / GROUP);
            dispatch(Kernel::Pointwise(PointwiseRow { weights, bias, slopes: None, columns, inputs, groups, output }));
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
            dispatch(Kernel::Depthwise(DepthwiseRow {
                weights: &weights,
                bias: &bias,
                activation: Activation::Floor(0.0),
                stride: 1,
                rows,
                output,
            }));
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
        dispatch(Kernel::Stem(StemRow {
            weights: &weights,
            bias: &bias,
            activation: Activation::Floor(0.0),
            stride: 2,
            rows,
            output,
        }));
    });
    let last: f32 = (0..3)
        .flat_map(|y| (0..9).map(move |number| (y, number)))
        .map(|(y, number)| rows[y][6 * (columns - 1) + number] * weights[(y * 9 + number) * GROUP])
        .sum();
    assert!((found[(columns - 1) * GROUP] - (last + bias[0]).max(0.0)).abs() < 1e-4);
}
