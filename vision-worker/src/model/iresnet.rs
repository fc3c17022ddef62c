//! iResNet, the residual network that ArcFace and its relatives are trained with, in its forms of 18, 34, 50 and 100
//! layers: 112x112 crops, four stages that halve the map and double the channels, then one linear layer. The published
//! batch norms are folded into the weights when the model is imported, but for those that stand before a convolution
//! with a border: what they add must not reach the border.

use candle_core::{Result, Tensor};

use super::layers::{Activation, Convolution, Kind};
use super::weights::Weights;

/// Side of the crop in pixels.
pub const SIDE: usize = 112;

/// Numbers in an embedding.
pub const DIMENSION: usize = 512;

/// Channels of each stage.
pub const CHANNELS: [usize; 4] = [64, 128, 256, 512];

/// The epsilon of its batch norms.
pub const EPSILON: f64 = 1e-5;

/// 0 to 255 becomes -1 to 1.
const MEAN: f64 = 127.5;

/// The blocks of each stage of the form with that many layers.
pub fn blocks(layers: usize) -> Option<[usize; 4]> {
    match layers {
        18 => Some([2, 2, 2, 2]),
        34 => Some([3, 4, 6, 3]),
        50 => Some([3, 4, 14, 3]),
        100 => Some([3, 13, 30, 3]),
        _ => None,
    }
}

/// The name of a block in a model folder.
pub fn block_name(stage: usize, block: usize) -> String {
    format!("stage.{stage}.{block:02}")
}

/// Whether a block changes the map's shape and so has a convolution beside it: the first of its stage.
pub fn has_shortcut(block: usize) -> bool {
    block == 0
}

/// The embedder.
pub struct Iresnet {
    stem: Convolution,
    blocks: Vec<Block>,
    /// `[inputs, DIMENSION]`.
    linear: Tensor,
    bias: Tensor,
    multiply_adds: usize,
    bytes: usize,
}

impl Iresnet {
    /// Builds the form with those blocks from its weights.
    pub fn load(weights: &Weights, blocks: [usize; 4]) -> Result<Self> {
        let linear = weights.get("linear.weight")?;
        let mut size = Size { side: SIDE, multiply_adds: linear.elem_count(), numbers: linear.elem_count() };
        size.add(weights, "stem", 1)?;
        let mut loaded = Vec::with_capacity(blocks.iter().sum());
        for (stage, count) in blocks.into_iter().enumerate() {
            for block in 0..count {
                loaded.push(Block::load(weights, stage, block)?);
                let name = block_name(stage, block);
                size.add(weights, &format!("{name}.first"), 1)?;
                size.add(weights, &format!("{name}.second"), Block::stride(block))?;
                if has_shortcut(block) {
                    size.add(weights, &format!("{name}.shortcut"), 1)?;
                }
            }
        }
        Ok(Self {
            stem: Convolution::load(weights, "stem", Kind::Dense { stride: 1 }, Activation::Prelu)?,
            blocks: loaded,
            linear: linear.t()?,
            bias: weights.get("linear.bias")?,
            multiply_adds: size.multiply_adds,
            bytes: size.numbers * size_of::<f32>(),
        })
    }

    /// The convolutions alone: `[n, 512, 7, 7]` for aligned crops `[n, 3, SIDE, SIDE]` (red, green, blue, 0 to 255).
    pub fn trunk(&self, crops: &Tensor) -> Result<Tensor> {
        let mut map = self.stem.forward(&crops.affine(1.0 / MEAN, -1.0)?)?;
        for block in &self.blocks {
            map = block.forward(&map)?;
        }
        Ok(map)
    }

    /// The linear layer.
    pub fn head(&self, maps: &Tensor) -> Result<Tensor> {
        maps.flatten_from(1)?.matmul(&self.linear)?.broadcast_add(&self.bias)
    }

    /// The multiply-adds that a crop needs.
    pub fn multiply_adds(&self) -> usize {
        self.multiply_adds
    }

    /// The bytes of its weights.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Counts what the convolutions cost, in their order.
struct Size {
    side: usize,
    multiply_adds: usize,
    numbers: usize,
}

impl Size {
    fn add(&mut self, weights: &Weights, name: &str, stride: usize) -> Result<()> {
        let count = weights.get(&format!("{name}.weight"))?.elem_count();
        self.side /= stride;
        self.multiply_adds += count * self.side * self.side;
        self.numbers += count;
        Ok(())
    }
}

/// Norm, 3x3, PReLU, 3x3, and what came in added to what comes out.
struct Block {
    /// `[1, channels, 1, 1]` each.
    scale: Tensor,
    shift: Tensor,
    first: Convolution,
    second: Convolution,
    stride: usize,
    shortcut: Option<Convolution>,
}

impl Block {
    fn load(weights: &Weights, stage: usize, block: usize) -> Result<Self> {
        let name = block_name(stage, block);
        let (first, second) = (format!("{name}.first"), format!("{name}.second"));
        let norm = |part: &str| weights.get(&format!("{name}.norm.{part}"))?.reshape((1, (), 1, 1));
        let stride = Self::stride(block);
        let shortcut = || Convolution::load(weights, &format!("{name}.shortcut"), Kind::Pointwise, Activation::None);
        Ok(Self {
            scale: norm("scale")?,
            shift: norm("shift")?,
            first: Convolution::load(weights, &first, Kind::Dense { stride: 1 }, Activation::Prelu)?,
            second: Convolution::load(weights, &second, Kind::Dense { stride }, Activation::None)?,
            stride,
            shortcut: has_shortcut(block).then(shortcut).transpose()?,
        })
    }

    fn stride(block: usize) -> usize {
        if has_shortcut(block) { 2 } else { 1 }
    }

    fn forward(&self, map: &Tensor) -> Result<Tensor> {
        let normed = map.broadcast_mul(&self.scale)?.broadcast_add(&self.shift)?;
        let output = self.second.forward(&self.first.forward(&normed)?)?;
        let Some(shortcut) = &self.shortcut else { return output + map };
        debug_assert_eq!(self.stride, 2);
        output + shortcut.forward(&every_second(map)?)?
    }
}

/// Every second pixel of every second row; sides must be even.
fn every_second(map: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = map.dims4()?;
    map.reshape((n * c, h / 2, 2, w / 2, 2))?.narrow(4, 0, 1)?.narrow(2, 0, 1)?.reshape((n, c, h / 2, w / 2))
}
