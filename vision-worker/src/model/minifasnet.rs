//! MiniFASNet, which tells a face from a picture of one: a small residual network of inverted bottlenecks on an 80x80
//! crop around the face, in its forms V2 and V1SE. The published batch norms are folded into the weights when the model
//! is imported, and so are the last layers, between which nothing bends: one linear layer takes their place.

use candle_core::{Result, Tensor};

use super::layers::{Activation, Convolution, Kind};
use super::weights::Weights;

/// Side of the crop in pixels.
pub const SIDE: usize = 80;

/// Residual blocks of each stage, after the block that halves the map.
pub const BLOCKS: [usize; 3] = [4, 6, 2];

/// Side of the map before the linear layer.
pub const LAST_SIDE: usize = SIDE / 16;

/// Its channels.
pub const LAST_CHANNELS: usize = 512;

/// What the network tells apart: two kinds of attack, and a living face between them.
pub const CLASSES: usize = 3;
const LIVE: usize = 1;

/// The forms that weights are published for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// V2.
    V2,
    /// V1 with squeeze and excitation in the last block of each stage.
    V1Se,
}

impl Form {
    /// By its name on a card.
    pub fn named(name: &str) -> Option<Self> {
        [Self::V2, Self::V1Se].into_iter().find(|form| form.to_string() == name)
    }

    /// Whether a block of a stage weighs its channels.
    pub fn has_excitation(self, stage: usize, block: usize) -> bool {
        self == Self::V1Se && block == BLOCKS[stage]
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V2 => "minifasnet-v2",
            Self::V1Se => "minifasnet-v1se",
        })
    }
}

/// The name of a block in a model folder; block 0 of a stage halves the map.
pub fn block_name(stage: usize, block: usize) -> String {
    format!("stage.{stage}.{block:02}")
}

/// The network.
pub struct Minifasnet {
    stem: [Convolution; 2],
    blocks: Vec<Block>,
    last: Convolution,
    /// `[inputs, CLASSES]`.
    linear: Tensor,
    bias: Tensor,
}

impl Minifasnet {
    /// Builds a form of the network from its weights.
    pub fn load(weights: &Weights, form: Form) -> Result<Self> {
        let mut blocks = Vec::new();
        for (stage, count) in BLOCKS.into_iter().enumerate() {
            for block in 0..=count {
                blocks.push(Block::load(weights, form, stage, block)?);
            }
        }
        let stem = |name: &str, kind| Convolution::load(weights, name, kind, Activation::Prelu);
        Ok(Self {
            stem: [
                stem("stem.dense", Kind::Dense { stride: 2 })?,
                stem("stem.depthwise", Kind::Depthwise { stride: 1 })?,
            ],
            blocks,
            last: Convolution::load(weights, "last", Kind::Pointwise, Activation::Prelu)?,
            linear: weights.get("linear.weight")?.t()?,
            bias: weights.get("linear.bias")?,
        })
    }

    /// How probably each crop of `[n, 3, SIDE, SIDE]` (blue, green, red, 0 to 255) shows a living face, 0 to 1.
    pub fn forward(&self, crops: &Tensor) -> Result<Vec<f32>> {
        let classes = self.classes(crops)?;
        Ok(classes.into_iter().map(|row| row[LIVE]).collect())
    }

    /// The probability of each class, for each crop.
    pub fn classes(&self, crops: &Tensor) -> Result<Vec<[f32; CLASSES]>> {
        let mut map = crops.clone();
        for stem in &self.stem {
            map = stem.forward(&map)?;
        }
        for block in &self.blocks {
            map = block.forward(&map)?;
        }
        let last = self.last.forward(&map)?.flatten_from(1)?;
        let logits = last.matmul(&self.linear)?.broadcast_add(&self.bias)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(logits.as_chunks::<CLASSES>().0.iter().map(softmax).collect())
    }
}

fn softmax(logits: &[f32; CLASSES]) -> [f32; CLASSES] {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = logits.map(|logit| (logit - largest).exp());
    let sum: f32 = powers.iter().sum();
    powers.map(|power| power / sum)
}

/// 1x1, depth-wise 3x3, 1x1; from block 1 of a stage on, what came in is added to what comes out.
struct Block {
    expand: Convolution,
    depthwise: Convolution,
    project: Convolution,
    excitation: Option<Excitation>,
    residual: bool,
}

impl Block {
    fn load(weights: &Weights, form: Form, stage: usize, block: usize) -> Result<Self> {
        let name = block_name(stage, block);
        let part =
            |part: &str, kind, activation| Convolution::load(weights, &format!("{name}.{part}"), kind, activation);
        let stride = if block == 0 { 2 } else { 1 };
        let excitation = || Excitation::load(weights, &name);
        Ok(Self {
            expand: part("expand", Kind::Pointwise, Activation::Prelu)?,
            depthwise: part("depthwise", Kind::Depthwise { stride }, Activation::Prelu)?,
            project: part("project", Kind::Pointwise, Activation::None)?,
            excitation: form.has_excitation(stage, block).then(excitation).transpose()?,
            residual: block > 0,
        })
    }

    fn forward(&self, map: &Tensor) -> Result<Tensor> {
        let mut output = self.project.forward(&self.depthwise.forward(&self.expand.forward(map)?)?)?;
        if let Some(excitation) = &self.excitation {
            output = excitation.forward(&output)?;
        }
        if self.residual { output + map } else { Ok(output) }
    }
}

/// Weighs each channel by what all channels hold on average.
struct Excitation {
    /// `[inputs, outputs]` each.
    squeeze: (Tensor, Tensor),
    excite: (Tensor, Tensor),
}

impl Excitation {
    fn load(weights: &Weights, block: &str) -> Result<Self> {
        let linear = |part: &str| -> Result<_> {
            let weight = weights.get(&format!("{block}.{part}.weight"))?;
            Ok((weight.flatten_from(1)?.t()?, weights.get(&format!("{block}.{part}.bias"))?))
        };
        Ok(Self { squeeze: linear("squeeze")?, excite: linear("excite")? })
    }

    fn forward(&self, map: &Tensor) -> Result<Tensor> {
        let apply = |input: &Tensor, (weight, bias): &(Tensor, Tensor)| input.matmul(weight)?.broadcast_add(bias);
        let means = map.flatten_from(2)?.mean(2)?;
        let excited = apply(&apply(&means, &self.squeeze)?.relu()?, &self.excite)?;
        let shares = (excited.neg()?.exp()? + 1.0)?.recip()?;
        map.broadcast_mul(&shares.unsqueeze(2)?.unsqueeze(3)?)
    }
}
