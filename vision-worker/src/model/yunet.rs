//! YuNet, the face detector, in its small form of March 2023: a backbone of depth-wise separable convolutions, a
//! feature pyramid of three levels, and for every cell of a level a score, a box and five points.
//! Decoding the cells into faces is `detect.rs`'s business.

use candle_core::{Result, Tensor};

use super::layers::{Activation, Backend, Convolution, Kind};
use super::weights::Weights;

/// Pixels from one cell to the next, level by level.
pub const STRIDES: [usize; 3] = [8, 16, 32];

/// Numbers that a cell puts out: class and object score before their sigmoid, four for the box, ten for the points.
pub const CHANNELS: usize = 16;

/// The four heads of a level, in the order of their numbers.
pub const HEADS: [&str; 4] = ["cls", "obj", "bbox", "kps"];

/// The units of the backbone, and after which of them the map is halved.
const BACKBONE: usize = 11;
const HALVED_AFTER: [usize; 4] = [0, 4, 6, 8];

/// The detector.
pub struct Yunet {
    backend: Backend,
    stem: Convolution,
    backbone: Vec<Unit>,
    neck: [Unit; 3],
    heads: [Head; 3],
}

impl Yunet {
    /// Builds the network from its weights.
    pub fn load(weights: &Weights) -> Result<Self> {
        let neck = |stride| Unit::load(weights, &neck_name(stride));
        let head = |stride| Head::load(weights, stride);
        let [s8, s16, s32] = STRIDES;
        Ok(Self {
            backend: weights.backend(),
            stem: Convolution::load(weights, "stem", Kind::Dense { stride: 2 }, Activation::Relu)?,
            backbone: (0..BACKBONE).map(|unit| Unit::load(weights, &backbone_name(unit))).collect::<Result<_>>()?,
            neck: [neck(s8)?, neck(s16)?, neck(s32)?],
            heads: [head(s8)?, head(s16)?, head(s32)?],
        })
    }

    /// For pictures `[n, 3, h, w]` (blue, green, red, 0 to 255; both sides multiples of 32), the cells of each level:
    /// `[n, CHANNELS, h / stride, w / stride]`.
    pub fn forward(&self, pictures: &Tensor) -> Result<[Tensor; 3]> {
        let mut map = self.stem.forward(pictures)?;
        let mut levels = Vec::with_capacity(2);
        for (index, unit) in self.backbone.iter().enumerate() {
            map = unit.forward(&map)?;
            if HALVED_AFTER.contains(&index) {
                if index >= 6 {
                    levels.push(map.clone());
                }
                map = self.backend.halve(&map)?;
            }
        }
        let p32 = self.neck[2].forward(&map)?;
        let p16 = self.neck[1].forward(&self.backend.add_doubled(&levels[1], &p32)?)?;
        let p8 = self.neck[0].forward(&self.backend.add_doubled(&levels[0], &p16)?)?;
        Ok([self.heads[0].forward(&p8)?, self.heads[1].forward(&p16)?, self.heads[2].forward(&p32)?])
    }
}

/// The names of all convolutions in the order in which the published graph holds them.
pub fn convolutions_in_graph_order() -> Vec<String> {
    let unit = |name: String| [format!("{name}.pointwise"), format!("{name}.depthwise")];
    let neck = STRIDES.iter().rev().map(|&stride| neck_name(stride));
    let heads = ["cls", "bbox", "obj", "kps"].iter().flat_map(|head| STRIDES.map(|stride| head_name(stride, head)));
    std::iter::once("stem".to_owned())
        .chain((0..BACKBONE).map(backbone_name).chain(neck).chain(heads).flat_map(unit))
        .collect()
}

fn backbone_name(unit: usize) -> String {
    format!("backbone.{unit:02}")
}

fn neck_name(stride: usize) -> String {
    format!("neck.{stride}")
}

fn head_name(stride: usize, head: &str) -> String {
    format!("head.{stride}.{head}")
}

/// A 1x1 convolution, then a depth-wise 3x3 one and ReLU.
struct Unit {
    pointwise: Convolution,
    depthwise: Convolution,
}

impl Unit {
    fn load(weights: &Weights, name: &str) -> Result<Self> {
        let (pointwise, depthwise) = (format!("{name}.pointwise"), format!("{name}.depthwise"));
        let one = Kind::Depthwise { stride: 1 };
        Ok(Self {
            pointwise: Convolution::load(weights, &pointwise, Kind::Pointwise, Activation::None)?,
            depthwise: Convolution::load(weights, &depthwise, one, Activation::Relu)?,
        })
    }

    fn forward(&self, map: &Tensor) -> Result<Tensor> {
        self.depthwise.forward(&self.pointwise.forward(map)?)
    }
}

/// The four heads of a level as one: 1 + 1 + 4 + 10 channels.
struct Head {
    pointwise: Convolution,
    depthwise: Convolution,
}

impl Head {
    fn load(weights: &Weights, stride: usize) -> Result<Self> {
        let names = |part: &str| HEADS.map(|head| format!("{}.{part}", head_name(stride, head)));
        let join = |part: &str, kind| {
            let names = names(part);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Convolution::join(weights, &names, kind, Activation::None)
        };
        Ok(Self {
            pointwise: join("pointwise", Kind::Pointwise)?,
            depthwise: join("depthwise", Kind::Depthwise { stride: 1 })?,
        })
    }

    fn forward(&self, map: &Tensor) -> Result<Tensor> {
        self.depthwise.forward(&self.pointwise.forward(map)?)
    }
}
