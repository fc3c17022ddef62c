//! The 3x3 convolution with a border of one zero, depth-wise or dense, with stride 1 or 2.
//!
//! Each channel is first copied into a plane with its border. A plane whose rows lie end to end can be treated as one
//! long line: the output at `i` is the sum over the nine taps of `weight * plane[offset + i]`, where the offset
//! belongs to the tap alone. Only the few columns between two rows come out as nonsense, and those are not copied to
//! the result. For stride 2 the plane is split into its even and odd rows and columns, which makes that true again.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};
use pulp::{Arch, Simd, WithSimd};

use super::{Epilogue, nchw};

/// Taps of a 3x3 kernel.
const TAPS: usize = 9;

/// Numbers of an output that are computed before they leave the first-level cache.
const STRIP: usize = 2048;

/// A 3x3 convolution.
pub struct Conv3x3 {
    /// Input channels that make one output channel: 1 for a depth-wise convolution.
    inputs_per_output: usize,
    stride: usize,
    /// `[outputs, inputs_per_output, 3, 3]`.
    weight: Vec<f32>,
    epilogue: Epilogue,
}

impl Conv3x3 {
    /// `weight` is `[outputs, inputs_per_output, 3, 3]`; with one input for each output the convolution is depth-wise.
    pub fn new(weight: Vec<f32>, inputs_per_output: usize, stride: usize, epilogue: Epilogue) -> Self {
        assert_eq!(
            weight.len(),
            epilogue.bias.len() * inputs_per_output * TAPS,
            "this is a bug: weight and bias disagree"
        );
        assert!(stride == 1 || stride == 2, "this is a bug: stride {stride}");
        Self { inputs_per_output, stride, weight, epilogue }
    }

    fn outputs(&self) -> usize {
        self.epilogue.bias.len()
    }
}

impl CustomOp1 for Conv3x3 {
    fn name(&self) -> &'static str {
        "conv3x3"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (input, [n, c, h, w]) = nchw(storage, layout)?;
        let outputs = self.outputs();
        let depthwise = self.inputs_per_output == 1 && c == outputs;
        if !depthwise && c != self.inputs_per_output {
            bail!("{c} channels given, {} expected", self.inputs_per_output)
        }
        let grid = Grid::new(h, w, self.stride);
        let area = grid.rows * grid.columns;
        let mut output = vec![0.0; n * outputs * area];
        let mut planes = vec![0.0; self.inputs_per_output * grid.length];
        let arch = Arch::new();
        for (output, input) in output.chunks_exact_mut(outputs * area).zip(input.chunks_exact(c * h * w)) {
            let channels = input.chunks_exact(h * w);
            if depthwise {
                for (channel, (input, output)) in channels.zip(output.chunks_exact_mut(area)).enumerate() {
                    grid.lay_out(input, &mut planes);
                    for first in grid.strips() {
                        arch.dispatch(Strip { op: self, grid: &grid, planes: &planes, channel, first, output });
                    }
                }
                continue;
            }
            for (input, plane) in channels.zip(planes.chunks_exact_mut(grid.length)) {
                grid.lay_out(input, plane);
            }
            // Strip by strip, so that all outputs read the same rows while they are in the cache.
            for first in grid.strips() {
                for (channel, output) in output.chunks_exact_mut(area).enumerate() {
                    arch.dispatch(Strip { op: self, grid: &grid, planes: &planes, channel, first, output });
                }
            }
        }
        Ok((CpuStorage::F32(output), (n, outputs, grid.rows, grid.columns).into()))
    }
}

/// How a channel is laid out as one line, and where the taps read it.
struct Grid {
    input_rows: usize,
    input_columns: usize,
    stride: usize,
    rows: usize,
    columns: usize,
    /// Numbers from one row of the line to the next.
    pitch: usize,
    /// Numbers of one of the `stride * stride` parts of the plane.
    part: usize,
    length: usize,
    offsets: [usize; TAPS],
}

impl Grid {
    fn new(input_rows: usize, input_columns: usize, stride: usize) -> Self {
        let (rows, columns) = (input_rows.div_ceil(stride), input_columns.div_ceil(stride));
        let border = 2 / stride;
        let pitch = columns + border;
        let part = (rows + border) * pitch;
        let offsets = std::array::from_fn(|tap| {
            let (y, x) = (tap / 3, tap % 3);
            let phase = (y % stride) * stride + x % stride;
            phase * part + (y / stride) * pitch + x / stride
        });
        // The last row's taps and its last, partly filled vector read a little past the end.
        let length = stride * stride * part + 2 * pitch + STRIP_SLACK;
        Self { input_rows, input_columns, stride, rows, columns, pitch, part, length, offsets }
    }

    /// Rows computed before they leave the first-level cache.
    fn rows_per_strip(&self) -> usize {
        (STRIP / self.pitch).max(1)
    }

    /// The first row of each strip.
    fn strips(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.rows).step_by(self.rows_per_strip())
    }

    /// Copies a channel into its line. The border was zero when the plane was made and is never written.
    fn lay_out(&self, channel: &[f32], plane: &mut [f32]) {
        for (row, source) in channel.chunks_exact(self.input_columns).enumerate() {
            let y = row + 1;
            if self.stride == 1 {
                plane[y * self.pitch + 1..][..self.input_columns].copy_from_slice(source);
                continue;
            }
            // Column 0 is the border, so the even columns of the channel are the odd ones of the plane.
            let even = (y % 2) * 2 * self.part + (y / 2) * self.pitch;
            let odd = even + self.part;
            for (target, pair) in plane[odd..].iter_mut().zip(source.chunks(2)) {
                *target = pair[0];
            }
            for (target, pair) in plane[even + 1..].iter_mut().zip(source.chunks_exact(2)) {
                *target = pair[1];
            }
        }
        debug_assert_eq!(channel.len(), self.input_rows * self.input_columns);
    }
}

/// Room behind a line for the widest vector.
const STRIP_SLACK: usize = 64;

/// A few rows of one output channel.
struct Strip<'a> {
    op: &'a Conv3x3,
    grid: &'a Grid,
    planes: &'a [f32],
    channel: usize,
    first: usize,
    output: &'a mut [f32],
}

impl WithSimd for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { op, grid, planes, channel, first, output } = self;
        let inputs = op.inputs_per_output;
        let weights = &op.weight[channel * inputs * TAPS..][..inputs * TAPS];
        let rows = grid.rows_per_strip().min(grid.rows - first);
        let count = (rows * grid.pitch).div_ceil(S::F32_LANES);
        let mut sums = vec![simd.splat_f32s(op.epilogue.bias[channel]); count];
        for (plane, weights) in planes.chunks_exact(grid.length).zip(weights.chunks_exact(TAPS)) {
            // Loops and no closures: a closure may be compiled apart from the kernel and so without its instruction set.
            let mut lines: [&[S::f32s]; TAPS] = [&[]; TAPS];
            let mut splats = [simd.splat_f32s(0.0); TAPS];
            for tap in 0..TAPS {
                let line = &plane[grid.offsets[tap] + first * grid.pitch..][..count * S::F32_LANES];
                lines[tap] = &S::as_simd_f32s(line).0[..count];
                splats[tap] = simd.splat_f32s(weights[tap]);
            }
            accumulate(simd, &mut sums, lines, splats);
        }
        activate(simd, &mut sums, op.epilogue.slope[channel]);
        let finished: &[f32] = pulp::bytemuck::cast_slice(&sums);
        let output = &mut output[first * grid.columns..][..rows * grid.columns];
        for (out, row) in output.chunks_exact_mut(grid.columns).zip(finished.chunks(grid.pitch)) {
            out.copy_from_slice(&row[..grid.columns]);
        }
    }
}

/// The innermost loop: adds nine shifted lines to the sums.
#[inline(always)]
fn accumulate<S: Simd>(simd: S, sums: &mut [S::f32s], lines: [&[S::f32s]; TAPS], weights: [S::f32s; TAPS]) {
    for (i, sum) in sums.iter_mut().enumerate() {
        let mut total = *sum;
        for tap in 0..TAPS {
            total = simd.mul_add_e_f32s(weights[tap], lines[tap][i], total);
        }
        *sum = total;
    }
}

#[inline(always)]
fn activate<S: Simd>(simd: S, sums: &mut [S::f32s], slope: f32) {
    let zero = simd.splat_f32s(0.0);
    let slope = simd.splat_f32s(slope);
    for sum in sums {
        let negative = simd.mul_f32s(slope, simd.min_f32s(*sum, zero));
        *sum = simd.add_f32s(simd.max_f32s(*sum, zero), negative);
    }
}
