//! The detector on the CPU: a picture's rows flow through the whole backbone, then each level's through its neck and
//! its heads.

use candle_core::Result;
use pulp::Arch;

use super::{
    BACKBONE, Cells, Form, HALVED_AFTER, LEVEL_AFTER, STRIDES, backbone_name, backbone_stride, depthwise, filled_up,
    head_names, joined, neck_name, pointwise, shared_name,
};
use crate::image::Picture;
use crate::model::kernels::chain::{Stage, Unit, finish, push};
use crate::model::kernels::rows::{Activation, GROUP, StemRow};
use crate::model::kernels::{Aligned, Epilogue};
use crate::model::weights::Weights;

/// Numbers of a picture's pixel: red, green, blue.
const COLOURS: usize = 3;

/// Rows that the first convolution reads.
const ROWS: usize = 3;

/// The network, packed for the kernels.
pub struct Network {
    stem: Stem,
    backbone: Vec<Unit>,
    levels: [Level; 3],
}

/// What makes cells out of a level's map.
struct Level {
    neck: Unit,
    /// What stands between the neck and the heads: one more unit, or nothing.
    shared: Vec<Unit>,
    /// All four heads as one unit: many small ones cost more.
    heads: Unit,
}

impl Network {
    /// Packs the weights.
    pub fn load(weights: &Weights, form: Form) -> Result<Self> {
        let one = |name: String| unit(weights, &[name], true);
        let level = |stride| -> Result<Level> {
            let shared = shared_name(stride);
            Ok(Level {
                neck: one(neck_name(stride))?,
                shared: if form == Form::Normal { vec![one(shared)?] } else { vec![] },
                heads: unit(weights, &head_names(stride), false)?,
            })
        };
        let [s8, s16, s32] = STRIDES;
        Ok(Self {
            stem: Stem::load(weights)?,
            backbone: (0..BACKBONE).map(|unit| one(backbone_name(unit))).collect::<Result<_>>()?,
            levels: [level(s8)?, level(s16)?, level(s32)?],
        })
    }

    /// The cells of each level.
    pub fn cells(&self, picture: &Picture) -> [Cells; 3] {
        let (width, height) = filled_up(picture.width, picture.height);
        let mut stages: Vec<Stage<'_>> = self
            .backbone
            .iter()
            .enumerate()
            .map(|(index, unit)| {
                let stride = backbone_stride(index);
                let stage = Stage::new(unit, width / stride);
                let stage = if HALVED_AFTER.contains(&index) { stage.halving() } else { stage };
                if LEVEL_AFTER.contains(&index) { stage.keeping(height / stride) } else { stage }
            })
            .collect();
        self.stem.rows(picture, |row| push(&mut stages, row));
        finish(&mut stages);
        let mut maps = stages.into_iter().enumerate().filter(|(index, _)| LEVEL_AFTER.contains(index));
        let maps: [Vec<f32>; 3] =
            std::array::from_fn(|_| maps.next().map(|(_, stage)| stage.into_kept()).unwrap_or_default());
        let side = |level: usize| (width / STRIDES[level], height / STRIDES[level]);
        let (p32, c32) = self.levels[2].run(&maps[2], None, side(2));
        let (p16, c16) = self.levels[1].run(&maps[1], Some(&p32), side(1));
        let (_, c8) = self.levels[0].run(&maps[0], Some(&p16), side(0));
        [c8, c16, c32]
    }
}

impl Level {
    /// The neck's map and the cells, for a map of the backbone and the neck's map of half its size.
    fn run(&self, map: &[f32], coarser: Option<&[f32]>, (columns, rows): (usize, usize)) -> (Vec<f32>, Cells) {
        let mut stages = vec![Stage::new(&self.neck, columns).keeping(rows)];
        stages.extend(self.shared.iter().map(|unit| Stage::new(unit, columns)));
        stages.push(Stage::new(&self.heads, columns).keeping(rows));
        let length = map.len() / rows;
        let mut sum = Aligned::zeros(length);
        for (y, row) in map.chunks_exact(length).enumerate() {
            match coarser {
                None => push(&mut stages, row),
                Some(coarser) => {
                    let coarser = &coarser[y / 2 * (length / 2)..][..length / 2];
                    add_doubled(row, coarser, length / columns, &mut sum);
                    push(&mut stages, &sum);
                }
            }
        }
        finish(&mut stages);
        let cells = stages.pop().map(Stage::into_kept).unwrap_or_default();
        (stages.swap_remove(0).into_kept(), Cells { columns, values: cells })
    }
}

/// The sum of a row and of one of half its width, each pixel of which counts twice.
fn add_doubled(row: &[f32], coarser: &[f32], channels: usize, sum: &mut [f32]) {
    let pairs = row.chunks_exact(2 * channels).zip(coarser.chunks_exact(channels));
    for (sum, (pair, coarser)) in sum.chunks_exact_mut(2 * channels).zip(pairs) {
        for (sum, pixel) in sum.chunks_exact_mut(channels).zip(pair.chunks_exact(channels)) {
            for (sum, (fine, coarse)) in sum.iter_mut().zip(pixel.iter().zip(coarser)) {
                *sum = fine + coarse;
            }
        }
    }
}

/// Several units of the same input as one, their outputs one after the other.
fn unit(weights: &Weights, names: &[String], has_relu: bool) -> Result<Unit> {
    let joined = |kind, part| -> Result<Vec<f32>> { joined(weights, names, kind, part)?.flatten_all()?.to_vec1() };
    let bias = joined(depthwise, "bias")?;
    let slope = vec![if has_relu { 0.0 } else { 1.0 }; bias.len()];
    let epilogue = Epilogue { bias, slope };
    Ok(Unit::new(&joined(pointwise, "weight")?, &joined(pointwise, "bias")?, &joined(depthwise, "weight")?, &epilogue))
}

/// The first convolution, straight from a picture's bytes.
struct Stem {
    /// `[3, 3, COLOURS, GROUP]`, red first.
    weights: Aligned,
    bias: Aligned,
}

impl Stem {
    fn load(weights: &Weights) -> Result<Self> {
        // Published as [GROUP, COLOURS, 3, 3], blue first.
        let published = weights.numbers("stem.weight")?;
        let mut packed = Aligned::zeros(published.len());
        let taps = ROWS * ROWS;
        for (output, kernels) in published.chunks_exact(COLOURS * taps).enumerate() {
            for (colour, kernel) in kernels.chunks_exact(taps).rev().enumerate() {
                for (tap, &weight) in kernel.iter().enumerate() {
                    packed[(tap * COLOURS + colour) * GROUP + output] = weight;
                }
            }
        }
        Ok(Self { weights: packed, bias: Aligned::from(weights.numbers("stem.bias")?.as_slice()) })
    }

    /// Computes row after row of the output and gives each to `take`.
    fn rows(&self, picture: &Picture, mut take: impl FnMut(&[f32])) {
        let (width, height) = filled_up(picture.width, picture.height);
        let length = (width + 2) * COLOURS;
        // The last three rows as numbers, and one of zeros for what lies above and below the picture.
        let mut ring = vec![0.0; (ROWS + 1) * length];
        let mut output = Aligned::zeros(width / 2 * GROUP);
        let arch = Arch::new();
        for y in (0..height).step_by(2) {
            let bytes = picture.rgb.chunks_exact(picture.width * COLOURS).enumerate().skip(y).take(2);
            for (y, bytes) in bytes {
                let row = &mut ring[y % ROWS * length + COLOURS..][..bytes.len()];
                arch.dispatch(|| row.iter_mut().zip(bytes).for_each(|(number, &byte)| *number = f32::from(byte)));
            }
            let slot = |there: bool, y: usize| if there { y % ROWS } else { ROWS };
            let below = |y: usize| slot(y < picture.height, y);
            let slots = [slot(0 < y && y <= picture.height, y + ROWS - 1), below(y), below(y + 1)];
            arch.dispatch(StemRow {
                weights: &self.weights,
                bias: &self.bias,
                activation: Activation::Floor(0.0),
                stride: 2,
                rows: slots.map(|slot| &ring[slot * length..][..length]),
                output: &mut output,
            });
            take(&output);
        }
    }
}
