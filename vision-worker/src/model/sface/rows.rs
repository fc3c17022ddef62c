//! The embedder's convolutions on the CPU: one layer after the other, the channels of a pixel together.

use candle_core::Result;
use pulp::Arch;

use super::{MEAN, SCALE, SIDE, STRIDES, pair_names};
use crate::model::kernels::rows::{Activation, BLOCK, StemRow};
use crate::model::kernels::separable::{Map, Separable};
use crate::model::kernels::{Aligned, Epilogue};
use crate::model::weights::Weights;

/// Numbers of a crop's pixel: red, green, blue.
const COLOURS: usize = 3;

/// Taps of the first convolution.
const TAPS: usize = 9;

/// The convolutions, packed for the kernels.
pub struct Trunk {
    /// `[3, 3, COLOURS, outputs]`.
    stem: Aligned,
    stem_bias: Aligned,
    stem_slope: Aligned,
    pairs: Vec<Separable>,
}

impl Trunk {
    /// Packs the weights.
    pub fn load(weights: &Weights) -> Result<Self> {
        let epilogue = |name: &str| -> Result<Epilogue> {
            let part = |part: &str| weights.numbers(&format!("{name}.{part}"));
            Ok(Epilogue { bias: part("bias")?, slope: part("slope")? })
        };
        let pair = |(index, &stride): (usize, &usize)| -> Result<Separable> {
            let [depthwise, pointwise] = pair_names(index);
            let weight = |name: &str| weights.numbers(&format!("{name}.weight"));
            Ok(Separable::new(
                (weight(&depthwise)?.as_slice(), &epilogue(&depthwise)?),
                (weight(&pointwise)?.as_slice(), &epilogue(&pointwise)?),
                stride,
            ))
        };
        let Epilogue { bias, slope } = epilogue("stem")?;
        let published = weights.numbers("stem.weight")?;
        let mut stem = Aligned::zeros(published.len());
        for (output, kernels) in published.chunks_exact(COLOURS * TAPS).enumerate() {
            for (colour, kernel) in kernels.chunks_exact(TAPS).enumerate() {
                for (tap, &weight) in kernel.iter().enumerate() {
                    stem[(tap * COLOURS + colour) * bias.len() + output] = weight;
                }
            }
        }
        Ok(Self {
            stem,
            stem_bias: Aligned::from(bias.as_slice()),
            stem_slope: Aligned::from(slope.as_slice()),
            pairs: STRIDES.iter().enumerate().map(pair).collect::<Result<_>>()?,
        })
    }

    /// For the three planes of a crop, the last map channel by channel.
    pub fn run(&self, planes: &[f32]) -> Vec<f32> {
        let last = self.pairs.iter().fold(self.stem(planes), |map, pair| pair.forward(&map));
        let pixels = last.columns * last.rows;
        let mut channels = Vec::with_capacity(last.blocks.len() * BLOCK * pixels);
        for block in &last.blocks {
            let width = block.len() / pixels;
            channels.extend((0..width).flat_map(|channel| block.iter().skip(channel).step_by(width)).copied());
        }
        channels
    }

    fn stem(&self, planes: &[f32]) -> Map {
        // With a border of one pixel all around, normalised.
        let length = (SIDE + 2) * COLOURS;
        let mut bordered = vec![0.0; length * (SIDE + 2)];
        for (colour, plane) in planes.chunks_exact(SIDE * SIDE).enumerate() {
            for (row, target) in plane.chunks_exact(SIDE).zip(bordered.chunks_exact_mut(length).skip(1)) {
                for (value, target) in row.iter().zip(target[COLOURS + colour..].iter_mut().step_by(COLOURS)) {
                    *target = (value - MEAN as f32) * SCALE as f32;
                }
            }
        }
        let outputs = self.stem_bias.len();
        let mut map = Map::zeros(SIDE, SIDE, outputs);
        for (y, output) in map.blocks[0].chunks_exact_mut(SIDE * outputs).enumerate() {
            let row = |y: usize| &bordered[y * length..][..length];
            Arch::new().dispatch(StemRow {
                weights: &self.stem,
                bias: &self.stem_bias,
                activation: Activation::Slope(&self.stem_slope),
                stride: 1,
                rows: [row(y), row(y + 1), row(y + 2)],
                output,
            });
        }
        map
    }
}
