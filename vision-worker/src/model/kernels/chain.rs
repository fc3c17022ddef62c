//! A chain of units through which a picture flows row by row: each unit takes a row, keeps the three that its
//! depth-wise convolution reads, and hands its own row on at once. So the large first maps of a detector never exist as
//! a whole, and what does exist stays in the core's own cache; written out and read back, they cost more than the
//! arithmetic.

use pulp::Arch;

use super::rows::{Activation, DepthwiseRow, GROUP, HalveRow, PointwiseRow};
use super::{Aligned, Epilogue};

/// Rows that a depth-wise convolution reads.
const ROWS: usize = 3;

/// A 1x1 convolution, then a depth-wise 3x3 one, and ReLU or nothing.
pub struct Unit {
    inputs: usize,
    /// `[inputs, outputs]`.
    pointwise: Aligned,
    pointwise_bias: Aligned,
    /// `[3, 3, outputs]`.
    depthwise: Aligned,
    depthwise_bias: Aligned,
    floor: f32,
}

impl Unit {
    /// `pointwise` is `[outputs, inputs]`, `depthwise` `[outputs, 3, 3]`. Inputs must be full groups of channels, and
    /// outputs a group, two, or four.
    pub fn new(pointwise: &[f32], pointwise_bias: &[f32], depthwise: &[f32], epilogue: &Epilogue) -> Self {
        let outputs = pointwise_bias.len();
        let inputs = pointwise.len() / outputs;
        assert!(inputs.is_multiple_of(GROUP), "this is a bug: {inputs} inputs");
        assert!([GROUP, 2 * GROUP, 4 * GROUP].contains(&outputs), "this is a bug: {outputs} outputs");
        assert_eq!(depthwise.len(), outputs * 9, "this is a bug: weights disagree");
        let has_relu = epilogue.slope.iter().all(|&slope| slope == 0.0);
        Self {
            inputs,
            pointwise: Aligned::from(transposed(pointwise, inputs).as_slice()),
            pointwise_bias: Aligned::from(pointwise_bias),
            depthwise: Aligned::from(transposed(depthwise, 9).as_slice()),
            depthwise_bias: Aligned::from(epilogue.bias.as_slice()),
            floor: if has_relu { 0.0 } else { f32::NEG_INFINITY },
        }
    }

    /// Channels that it puts out.
    pub fn outputs(&self) -> usize {
        self.pointwise_bias.len()
    }

    /// Multiply-adds for each pixel.
    pub fn multiply_adds(&self) -> usize {
        self.pointwise.len() + self.depthwise.len()
    }
}

/// A matrix with rows and columns swapped.
pub(super) fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns)).copied().collect()
}

/// A unit at work on one picture.
pub struct Stage<'a> {
    unit: &'a Unit,
    /// Rows that it was given.
    taken: usize,
    /// The last three rows after the 1x1 convolution, and one of zeros: above the first row and below the last.
    ring: Aligned,
    /// The last two rows that came out.
    output: Aligned,
    /// A row of half the width, if what comes out is halved before it is handed on.
    halved: Option<Aligned>,
    /// All rows that came out, before they are halved, if they are wanted.
    kept: Option<Vec<f32>>,
}

impl<'a> Stage<'a> {
    /// For rows of that many columns.
    pub fn new(unit: &'a Unit, columns: usize) -> Self {
        let row = columns * unit.outputs();
        Self {
            unit,
            taken: 0,
            ring: Aligned::zeros((ROWS + 1) * row),
            output: Aligned::zeros(2 * row),
            halved: None,
            kept: None,
        }
    }

    /// Hands on each number as the largest of a square of four. Rows and columns must be even.
    pub fn halving(self) -> Self {
        let length = self.output.len() / 4;
        Self { halved: Some(Aligned::zeros(length)), ..self }
    }

    /// Keeps all of the `rows` that come out.
    pub fn keeping(self, rows: usize) -> Self {
        let length = rows * self.row();
        Self { kept: Some(Vec::with_capacity(length)), ..self }
    }

    /// The rows that were kept.
    pub fn into_kept(self) -> Vec<f32> {
        self.kept.unwrap_or_default()
    }

    /// Numbers of a row that comes out.
    fn row(&self) -> usize {
        self.output.len() / 2
    }

    fn take(&mut self, input: &[f32]) {
        let row = self.row();
        Arch::new().dispatch(PointwiseRow {
            weights: &self.unit.pointwise,
            bias: &self.unit.pointwise_bias,
            slopes: None,
            columns: input.len() / self.unit.inputs,
            inputs: &[input],
            groups: self.unit.inputs / GROUP,
            output: &mut self.ring[self.taken % ROWS * row..][..row],
        });
        self.taken += 1;
    }

    /// Computes a row; its neighbours must have been taken.
    fn put_out(&mut self, y: usize) {
        let row = self.row();
        let slot = |there: bool, y: usize| if there { y % ROWS } else { ROWS };
        let slots = [slot(y > 0, y + ROWS - 1), y % ROWS, slot(y + 1 < self.taken, y + 1)];
        let output = &mut self.output[y % 2 * row..][..row];
        Arch::new().dispatch(DepthwiseRow {
            weights: &self.unit.depthwise,
            bias: &self.unit.depthwise_bias,
            activation: Activation::Floor(self.unit.floor),
            stride: 1,
            rows: slots.map(|slot| &self.ring[slot * row..][..row]),
            output,
        });
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(output);
        }
    }

    fn hand_on(&mut self, y: usize, rest: &mut [Stage<'_>]) {
        let row = self.row();
        match &mut self.halved {
            None => push(rest, &self.output[y % 2 * row..][..row]),
            Some(halved) if y % 2 == 1 => {
                let (upper, lower) = self.output.split_at(row);
                Arch::new().dispatch(HalveRow { channels: self.unit.outputs(), upper, lower, output: halved });
                push(rest, halved);
            }
            Some(_) => {}
        }
    }
}

/// Gives the first stage a row; every stage does what can be done by then.
pub fn push(stages: &mut [Stage<'_>], row: &[f32]) {
    let Some((stage, rest)) = stages.split_first_mut() else { return };
    stage.take(row);
    // A row needs the one below.
    if let Some(y) = stage.taken.checked_sub(2) {
        stage.put_out(y);
        stage.hand_on(y, rest);
    }
}

/// After the last row: what was still waiting for a row below comes out.
pub fn finish(stages: &mut [Stage<'_>]) {
    let Some((stage, rest)) = stages.split_first_mut() else { return };
    if let Some(last) = stage.taken.checked_sub(1) {
        stage.put_out(last);
        stage.hand_on(last, rest);
    }
    finish(rest);
}
