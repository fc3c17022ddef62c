//! A depth-wise separable layer over a whole map that fits the second-level cache: the 3x3 convolution of a strip of
//! rows, then the 1x1 convolution of that strip, so that the large weights of the second are read once a strip, and
//! what lies between the two stays close to the core.

use pulp::Arch;

use super::chain::transposed;
use super::rows::{Activation, BLOCK, DepthwiseRow, GROUP, PointwiseRow};
use super::{Aligned, Epilogue};

/// Pixels of a strip, about: enough that reading the weights costs little beside the arithmetic.
const STRIP: usize = 128;

/// A map, its channels in blocks.
pub struct Map {
    /// Pixels in a row.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
    /// For each block of channels, the numbers of its pixels, row by row.
    pub blocks: Vec<Aligned>,
}

impl Map {
    /// All zeros. Channels are one block's part or full blocks.
    pub fn zeros(columns: usize, rows: usize, channels: usize) -> Self {
        let blocks = blocks(channels).map(|width| Aligned::zeros(columns * rows * width)).collect();
        Self { columns, rows, blocks }
    }
}

/// How many channels each block has.
fn blocks(channels: usize) -> impl Iterator<Item = usize> {
    let width = channels.min(BLOCK);
    assert!(channels.is_multiple_of(width) && width.is_multiple_of(GROUP), "this is a bug: {channels} channels");
    std::iter::repeat_n(width, channels / width)
}

/// A depth-wise 3x3 convolution with a border of one, then a 1x1 convolution, each with PReLU.
pub struct Separable {
    stride: usize,
    depthwise: Vec<Part>,
    pointwise: Vec<Part>,
}

/// What one block of outputs needs.
struct Part {
    weights: Aligned,
    bias: Aligned,
    slope: Aligned,
}

impl Part {
    /// Of a matrix with a row for each output: `of` says which rows.
    fn new(matrix: &[f32], epilogue: &Epilogue, of: std::ops::Range<usize>) -> Self {
        let columns = matrix.len() / epilogue.bias.len();
        let rows = &matrix[of.start * columns..of.end * columns];
        Self {
            weights: Aligned::from(transposed(rows, columns).as_slice()),
            bias: Aligned::from(&epilogue.bias[of.clone()]),
            slope: Aligned::from(&epilogue.slope[of]),
        }
    }

    fn all(matrix: &[f32], epilogue: &Epilogue) -> Vec<Self> {
        let starts = |(block, width): (usize, usize)| Self::new(matrix, epilogue, block * width..(block + 1) * width);
        blocks(epilogue.bias.len()).enumerate().map(starts).collect()
    }

    fn width(&self) -> usize {
        self.bias.len()
    }
}

impl Separable {
    /// `depthwise` is `[inputs, 3, 3]`, `pointwise` `[outputs, inputs]`.
    pub fn new(depthwise: (&[f32], &Epilogue), pointwise: (&[f32], &Epilogue), stride: usize) -> Self {
        assert_eq!(
            pointwise.0.len(),
            depthwise.1.bias.len() * pointwise.1.bias.len(),
            "this is a bug: weights disagree"
        );
        Self { stride, depthwise: Part::all(depthwise.0, depthwise.1), pointwise: Part::all(pointwise.0, pointwise.1) }
    }

    /// The map that comes out.
    pub fn forward(&self, map: &Map) -> Map {
        let (columns, rows) = (map.columns.div_ceil(self.stride), map.rows.div_ceil(self.stride));
        let outputs = self.pointwise.iter().map(Part::width).sum();
        let mut output = Map::zeros(columns, rows, outputs);
        let strip = (STRIP / columns).clamp(1, rows);
        let mut between: Vec<Aligned> =
            self.depthwise.iter().map(|part| Aligned::zeros(strip * columns * part.width())).collect();
        let zeros = Aligned::zeros(map.columns * self.depthwise.first().map_or(0, Part::width));
        for first in (0..rows).step_by(strip) {
            let count = strip.min(rows - first);
            for ((part, block), between) in self.depthwise.iter().zip(&map.blocks).zip(&mut between) {
                for (row, output) in between.chunks_exact_mut(columns * part.width()).take(count).enumerate() {
                    self.depthwise_row(part, block, &zeros, (first + row) * self.stride, output);
                }
            }
            let inputs: Vec<&[f32]> =
                between.iter().zip(&self.depthwise).map(|(row, part)| &row[..count * columns * part.width()]).collect();
            for (part, block) in self.pointwise.iter().zip(&mut output.blocks) {
                Arch::new().dispatch(PointwiseRow {
                    weights: &part.weights,
                    bias: &part.bias,
                    slopes: Some(&part.slope),
                    columns: count * columns,
                    inputs: &inputs,
                    groups: self.depthwise.first().map_or(0, Part::width) / GROUP,
                    output: &mut block[first * columns * part.width()..][..count * columns * part.width()],
                });
            }
        }
        output
    }

    /// The output around row `y` of a block.
    fn depthwise_row(&self, part: &Part, block: &[f32], zeros: &[f32], y: usize, output: &mut [f32]) {
        let length = zeros.len();
        let row = |y: Option<usize>| y.and_then(|y| block.get(y * length..(y + 1) * length)).unwrap_or(zeros);
        Arch::new().dispatch(DepthwiseRow {
            weights: &part.weights,
            bias: &part.bias,
            activation: Activation::Slope(&part.slope),
            stride: self.stride,
            rows: [row(y.checked_sub(1)), row(Some(y)), row(Some(y + 1))],
            output,
        });
    }
}
