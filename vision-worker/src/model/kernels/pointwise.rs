//! The 1x1 convolution: for each image, the matrix product `[out, in] x [in, pixels]`.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};
use pulp::{Arch, Simd, WithSimd};

use super::{Aligned, Epilogue, nchw};

/// Output channels computed together. With two vectors of pixels this keeps eight accumulators in flight, which hides
/// the latency of a multiply-add and fits the registers of every instruction set.
const ROWS: usize = 4;

/// Vectors of pixels computed together.
const VECTORS: usize = 2;

/// Numbers of the input that are laid out for the kernel at a time: what the first-level cache holds. Long runs of
/// pixels matter, because the maps of the channels often lie a multiple of 4096 bytes apart and would otherwise throw
/// each other out of the cache.
const PANEL: usize = 6144;

/// A 1x1 convolution with its weights packed for the kernel.
pub struct Pointwise {
    inputs: usize,
    outputs: usize,
    /// For each block of `ROWS` outputs, for each input: the `ROWS` weights. The last block is filled up with zeros.
    packed: Vec<f32>,
    epilogue: Epilogue,
}

impl Pointwise {
    /// `weight` is `[outputs, inputs]`, row by row.
    pub fn new(weight: &[f32], inputs: usize, epilogue: Epilogue) -> Self {
        let outputs = epilogue.bias.len();
        assert_eq!(weight.len(), inputs * outputs, "this is a bug: weight and bias disagree");
        let mut packed = vec![0.0; outputs.div_ceil(ROWS) * ROWS * inputs];
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            let block = &mut packed[output / ROWS * ROWS * inputs..][..ROWS * inputs];
            for (input, &value) in row.iter().enumerate() {
                block[input * ROWS + output % ROWS] = value;
            }
        }
        Self { inputs, outputs, packed, epilogue }
    }
}

impl CustomOp1 for Pointwise {
    fn name(&self) -> &'static str {
        "pointwise"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (input, [n, c, h, w]) = nchw(storage, layout)?;
        if c != self.inputs {
            bail!("{c} channels given, {} expected", self.inputs)
        }
        let pixels = h * w;
        let mut output = vec![0.0; n * self.outputs * pixels];
        let arch = Arch::new();
        let images = output.chunks_exact_mut(self.outputs * pixels);
        for (output, input) in images.zip(input.chunks_exact(c * pixels)) {
            arch.dispatch(Product { op: self, input, output, pixels });
        }
        Ok((CpuStorage::F32(output), (n, self.outputs, h, w).into()))
    }
}

/// One image's product.
struct Product<'a> {
    op: &'a Pointwise,
    input: &'a [f32],
    output: &'a mut [f32],
    pixels: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { op, input, output, pixels } = self;
        let width = VECTORS * S::F32_LANES;
        let run = (PANEL / op.inputs / width).max(1) * width;
        let panel = &mut *Aligned::zeros(op.inputs * run);
        for start in (0..pixels).step_by(run) {
            let count = run.min(pixels - start);
            pack(&input[start..], pixels, &mut panel[..op.inputs * count.next_multiple_of(width)], width, count);
            for (block, weights) in op.packed.chunks_exact(op.inputs * ROWS).enumerate() {
                let strips = panel.chunks_exact(op.inputs * width).zip((0..count).step_by(width));
                for (strip, offset) in strips {
                    let sums = multiply(simd, S::as_simd_f32s(strip).0, weights);
                    for (row, sums) in sums.into_iter().enumerate() {
                        let channel = block * ROWS + row;
                        if channel < op.outputs {
                            let out = &mut output[channel * pixels + start + offset..][..width.min(count - offset)];
                            store(simd, finish(simd, sums, &op.epilogue, channel), out);
                        }
                    }
                }
            }
        }
    }
}

/// Copies `count` pixels of every input into strips of `width` pixels, each strip input by input.
#[inline(always)]
fn pack(input: &[f32], pixels: usize, panel: &mut [f32], width: usize, count: usize) {
    let inputs = panel.len() / count.next_multiple_of(width);
    for (index, row) in input.chunks(pixels).take(inputs).enumerate() {
        for (strip, source) in row[..count].chunks(width).enumerate() {
            panel[(strip * inputs + index) * width..][..source.len()].copy_from_slice(source);
        }
    }
}

/// The innermost loop: `ROWS` outputs for `VECTORS` vectors of pixels over all inputs.
#[inline(always)]
fn multiply<S: Simd>(simd: S, panel: &[S::f32s], weights: &[f32]) -> [[S::f32s; VECTORS]; ROWS] {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (pixels, weights) in panel.chunks_exact(VECTORS).zip(weights.chunks_exact(ROWS)) {
        for (sums, &weight) in sums.iter_mut().zip(weights) {
            let weight = simd.splat_f32s(weight);
            for (sum, &pixel) in sums.iter_mut().zip(pixels) {
                *sum = simd.mul_add_e_f32s(weight, pixel, *sum);
            }
        }
    }
    sums
}

// A loop and no closure: a closure may be compiled apart from the kernel and so without its instruction set.
#[inline(always)]
fn finish<S: Simd>(simd: S, mut sums: [S::f32s; VECTORS], epilogue: &Epilogue, channel: usize) -> [S::f32s; VECTORS] {
    let bias = simd.splat_f32s(epilogue.bias[channel]);
    let slope = simd.splat_f32s(epilogue.slope[channel]);
    let zero = simd.splat_f32s(0.0);
    for sum in &mut sums {
        let y = simd.add_f32s(*sum, bias);
        let negative = simd.mul_f32s(slope, simd.min_f32s(y, zero));
        *sum = simd.add_f32s(simd.max_f32s(y, zero), negative);
    }
    sums
}

#[inline(always)]
fn store<S: Simd>(simd: S, values: [S::f32s; VECTORS], out: &mut [f32]) {
    for (out, value) in out.chunks_mut(S::F32_LANES).zip(values) {
        simd.partial_store_f32s(out, value);
    }
}
