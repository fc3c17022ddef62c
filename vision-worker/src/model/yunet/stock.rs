//! The detector out of candle's own operations: the reference that the tests compare with.

use candle_core::{Device, Result, Tensor};

use super::{
    BACKBONE, Cells, Form, HALVED_AFTER, LEVEL_AFTER, STRIDES, backbone_name, depthwise, filled_up, head_names,
    neck_name, pointwise, shared_name,
};
use crate::image::Picture;
use crate::model::layers::{Activation, Convolution, Kind};
use crate::model::weights::Weights;

/// The network.
pub struct Network {
    stem: Convolution,
    backbone: Vec<Unit>,
    levels: [Level; 3],
}

/// What makes cells out of a level's map.
struct Level {
    neck: Unit,
    shared: Option<Unit>,
    heads: Unit,
}

impl Network {
    /// Builds the network from its weights.
    pub fn load(weights: &Weights, form: Form) -> Result<Self> {
        let one = |name: String| Unit::load(weights, &[name], Activation::Relu);
        let level = |stride| -> Result<Level> {
            let shared = shared_name(stride);
            Ok(Level {
                neck: one(neck_name(stride))?,
                shared: (form == Form::Normal).then(|| one(shared)).transpose()?,
                heads: Unit::load(weights, &head_names(stride), Activation::None)?,
            })
        };
        let [s8, s16, s32] = STRIDES;
        Ok(Self {
            stem: Convolution::load(weights, "stem", Kind::Dense { stride: 2 }, Activation::Relu)?,
            backbone: (0..BACKBONE).map(|unit| one(backbone_name(unit))).collect::<Result<_>>()?,
            levels: [level(s8)?, level(s16)?, level(s32)?],
        })
    }

    /// The cells of each level.
    pub fn cells(&self, picture: &Picture, device: &Device) -> Result<[Cells; 3]> {
        let mut map = self.stem.forward(&input(picture, device)?)?;
        let mut maps = Vec::with_capacity(STRIDES.len());
        for (index, unit) in self.backbone.iter().enumerate() {
            map = unit.forward(&map)?;
            if LEVEL_AFTER.contains(&index) {
                maps.push(map.clone());
            }
            if HALVED_AFTER.contains(&index) {
                map = map.max_pool2d(2)?;
            }
        }
        let (p32, c32) = self.levels[2].run(&maps[2])?;
        let (p16, c16) = self.levels[1].run(&(&maps[1] + doubled(&p32)?)?)?;
        let (_, c8) = self.levels[0].run(&(&maps[0] + doubled(&p16)?)?)?;
        Ok([c8, c16, c32])
    }
}

impl Level {
    fn run(&self, map: &Tensor) -> Result<(Tensor, Cells)> {
        let neck = self.neck.forward(map)?;
        let shared = self.shared.as_ref().map(|unit| unit.forward(&neck)).transpose()?;
        let cells = self.heads.forward(shared.as_ref().unwrap_or(&neck))?;
        let columns = cells.dim(3)?;
        let values = cells.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1()?;
        Ok((neck, Cells { columns, values }))
    }
}

/// A 1x1 convolution, then a depth-wise 3x3 one.
struct Unit {
    pointwise: Convolution,
    depthwise: Convolution,
}

impl Unit {
    /// Several units of the same input as one, their outputs one after the other.
    fn load(weights: &Weights, names: &[String], activation: Activation) -> Result<Self> {
        let join = |part: fn(&str) -> String, kind, activation| {
            let names: Vec<String> = names.iter().map(|name| part(name)).collect();
            Convolution::join(weights, &names, kind, activation)
        };
        Ok(Self {
            pointwise: join(pointwise, Kind::Pointwise, Activation::None)?,
            depthwise: join(depthwise, Kind::Depthwise { stride: 1 }, activation)?,
        })
    }

    fn forward(&self, map: &Tensor) -> Result<Tensor> {
        self.depthwise.forward(&self.pointwise.forward(map)?)
    }
}

fn doubled(map: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = map.dims4()?;
    map.upsample_nearest2d(2 * h, 2 * w)
}

/// The network's input: blue, green and red planes, filled up with zeros at the right and below.
fn input(picture: &Picture, device: &Device) -> Result<Tensor> {
    let (width, height) = filled_up(picture.width, picture.height);
    let mut planes = vec![0.0_f32; 3 * width * height];
    let (blue, rest) = planes.split_at_mut(width * height);
    let (green, red) = rest.split_at_mut(width * height);
    for (y, row) in picture.rgb.chunks_exact(picture.width * 3).enumerate() {
        let start = y * width;
        let targets = blue[start..].iter_mut().zip(&mut green[start..]).zip(&mut red[start..]);
        for (pixel, ((blue, green), red)) in row.chunks_exact(3).zip(targets) {
            (*red, *green, *blue) = (f32::from(pixel[0]), f32::from(pixel[1]), f32::from(pixel[2]));
        }
    }
    Tensor::from_vec(planes, (1, 3, height, width), device)
}
