//! The detector on a CUDA device, many pictures of one size at once.

use candle_core::{DType, Result, Tensor};

use super::{
    BACKBONE, CHANNELS, Form, HALVED_AFTER, LEVEL_AFTER, STRIDES, backbone_name, depthwise, filled_up, head_names,
    joined, neck_name, pointwise, shared_name,
};
use crate::model::cuda::{self, RECORD, Stem, Unit, Written};
use crate::model::weights::Weights;

/// Cells of a picture that are fetched without asking for all of them: about ten speak for each face.
const LIKELY_MAX: usize = 256;

/// The network.
pub struct Network {
    stem: Stem,
    backbone: Vec<Unit>,
    levels: [Level; 3],
}

/// What makes cells out of a level's map.
struct Level {
    neck: Unit,
    shared: Option<Unit>,
    /// All four heads as one unit.
    heads: Unit,
}

/// The cells of one level that may show a face.
pub struct Likely {
    /// Cells in a row.
    pub columns: usize,
    /// Each one's place, row by row, and what the network says of it.
    pub cells: Vec<(usize, [f32; CHANNELS])>,
}

impl Network {
    /// Brings the weights into the kernels' order.
    pub fn load(weights: &Weights, form: Form) -> Result<Self> {
        let one = |name: String| unit(weights, &[name], true);
        let level = |stride| -> Result<Level> {
            let shared = shared_name(stride);
            Ok(Level {
                neck: one(neck_name(stride))?,
                shared: (form == Form::Normal).then(|| one(shared)).transpose()?,
                heads: unit(weights, &head_names(stride), false)?,
            })
        };
        // Published for blue, green and red; pictures have red first.
        let stem = weights.get("stem.weight")?;
        let colours: Vec<Tensor> = (0..3).rev().map(|colour| stem.narrow(1, colour, 1)).collect::<Result<_>>()?;
        let bias = weights.get("stem.bias")?;
        let [s8, s16, s32] = STRIDES;
        Ok(Self {
            stem: Stem {
                weights: cuda::taps(&Tensor::cat(&colours, 1)?)?,
                after: cuda::after(&bias, &bias.zeros_like()?)?,
            },
            backbone: (0..BACKBONE).map(|unit| one(backbone_name(unit))).collect::<Result<_>>()?,
            levels: [level(s8)?, level(s16)?, level(s32)?],
        })
    }

    /// The cells of each level, `[n, rows, columns, CHANNELS]`, for pictures `[n, rows, columns, 3]` of bytes.
    pub fn cells(&self, pictures: &Tensor) -> Result<[Tensor; 3]> {
        let (_, rows, columns, _) = pictures.dims4()?;
        let (width, height) = filled_up(columns, rows);
        let mut map = cuda::stem_of_pictures(&self.stem, pictures, (height / 2, width / 2))?;
        let mut maps = Vec::with_capacity(STRIDES.len());
        for (index, unit) in self.backbone.iter().enumerate() {
            let (halved, kept) = (HALVED_AFTER.contains(&index), LEVEL_AFTER.contains(&index));
            map = unit.forward(&map, None, if halved && !kept { Written::Halved } else { Written::Whole })?;
            if kept {
                maps.push(map.clone());
            }
            if halved && kept {
                map = cuda::halve(&map)?;
            }
        }
        let (p32, c32) = self.levels[2].run(&maps[2], None)?;
        let (p16, c16) = self.levels[1].run(&maps[1], Some(&p32))?;
        let (_, c8) = self.levels[0].run(&maps[0], Some(&p16))?;
        Ok([c8, c16, c32])
    }
}

/// For each picture the cells of each level whose score is at least `least`.
pub fn likely(levels: &[Tensor; 3], least: f32) -> Result<Vec<[Likely; 3]>> {
    let records = cuda::candidates(levels, least, LIKELY_MAX)?.flatten_all()?.to_vec1::<f32>()?;
    let columns = [levels[0].dim(2)?, levels[1].dim(2)?, levels[2].dim(2)?];
    let pictures = records.chunks_exact((1 + LIKELY_MAX) * RECORD).enumerate().map(|(picture, records)| {
        let cells = match chosen(records.as_chunks().0) {
            Some(cells) => cells,
            None => all(levels, picture)?,
        };
        let [c8, c16, c32] = cells;
        let likely = |columns, cells| Likely { columns, cells };
        Ok([likely(columns[0], c8), likely(columns[1], c16), likely(columns[2], c32)])
    });
    pictures.collect()
}

/// Cells with their places.
type Placed = Vec<(usize, [f32; CHANNELS])>;

/// The cells of a picture's records, by level and in their order; none if there were too many.
fn chosen(records: &[[f32; RECORD]]) -> Option<[Placed; 3]> {
    let (head, records) = records.split_first()?;
    let mut cells = [vec![], vec![], vec![]];
    for [level, place, values @ ..] in records.get(..head[0].to_bits() as usize)? {
        cells.get_mut(level.to_bits() as usize)?.push((place.to_bits() as usize, *values));
    }
    // The device writes them in the order in which it happens to find them.
    cells.iter_mut().for_each(|cells| cells.sort_unstable_by_key(|(place, _)| *place));
    Some(cells)
}

/// All cells of a picture.
fn all(levels: &[Tensor; 3], picture: usize) -> Result<[Placed; 3]> {
    let level = |cells: &Tensor| -> Result<Placed> {
        let values = cells.get(picture)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(values.as_chunks::<CHANNELS>().0.iter().copied().enumerate().collect())
    };
    Ok([level(&levels[0])?, level(&levels[1])?, level(&levels[2])?])
}

impl Level {
    /// The neck's map and the cells.
    fn run(&self, map: &Tensor, coarser: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        let neck = self.neck.forward(map, coarser, Written::Whole)?;
        let shared = self.shared.as_ref().map(|unit| unit.forward(&neck, None, Written::Whole)).transpose()?;
        let cells = self.heads.forward(shared.as_ref().unwrap_or(&neck), None, Written::Single)?;
        Ok((neck, cells))
    }
}

/// Several units of the same input as one, their outputs one after the other.
fn unit(weights: &Weights, names: &[String], has_relu: bool) -> Result<Unit> {
    let joined = |kind, part| joined(weights, names, kind, part);
    let bias = joined(depthwise, "bias")?;
    let slope = if has_relu { bias.zeros_like()? } else { bias.ones_like()? };
    Ok(Unit {
        pointwise: joined(pointwise, "weight")?.flatten_from(1)?.t()?.contiguous()?.to_dtype(DType::F16)?,
        bias: joined(pointwise, "bias")?,
        depthwise: cuda::taps(&joined(depthwise, "weight")?)?,
        after: cuda::after(&bias, &slope)?,
    })
}
