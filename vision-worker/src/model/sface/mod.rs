//! SFace, the face embedder of December 2021: the shape of MobileNet v1 on a 112x112 crop, then one large linear
//! layer. The published batch norms are folded into the weights when the model is imported.

use candle_core::{DType, Result, Tensor};

use super::layers::Backend;
use super::weights::Weights;

#[cfg(feature = "cuda")]
mod cuda;
mod rows;
mod stock;

/// Side of the crop in pixels.
pub const SIDE: usize = 112;

/// Numbers in an embedding.
pub const DIMENSION: usize = 128;

/// The map before the linear layer.
const CHANNELS: usize = 1024;
const LAST_SIDE: usize = SIDE / 16;

/// The stride of each pair's depth-wise convolution.
pub const STRIDES: [usize; 13] = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1];

/// The network's own normalisation of 0 to 255.
const MEAN: f64 = 127.5;
const SCALE: f64 = 0.007_812_5;

/// The embedder.
pub struct Sface {
    trunk: Trunk,
    /// `[inputs, DIMENSION]`, in the order and precision of the trunk's maps.
    linear: Tensor,
    bias: Tensor,
    multiply_adds: usize,
    bytes: usize,
}

enum Trunk {
    Rows(rows::Trunk),
    Stock(stock::Trunk),
    #[cfg(feature = "cuda")]
    Cuda(cuda::Trunk),
}

impl Sface {
    /// Builds the network from its weights.
    pub fn load(weights: &Weights) -> Result<Self> {
        let linear = weights.get("linear.weight")?;
        let (mut side, mut multiply_adds, mut numbers) = (SIDE, linear.elem_count(), linear.elem_count());
        let strides = std::iter::once(1).chain(STRIDES.into_iter().flat_map(|stride| [stride, 1]));
        for (name, stride) in convolutions_in_graph_order().into_iter().zip(strides) {
            side = side.div_ceil(stride);
            let count = weights.get(&format!("{name}.weight"))?.elem_count();
            multiply_adds += count * side * side;
            numbers += count;
        }
        let (trunk, linear) = match weights.backend() {
            Backend::Kernels => (Trunk::Rows(rows::Trunk::load(weights)?), linear.t()?),
            Backend::Stock => (Trunk::Stock(stock::Trunk::load(weights)?), linear.t()?),
            #[cfg(feature = "cuda")]
            Backend::Cuda => (Trunk::Cuda(cuda::Trunk::load(weights)?), channels_last(&linear)?),
        };
        Ok(Self { multiply_adds, bytes: numbers * size_of::<f32>(), trunk, linear, bias: weights.get("linear.bias")? })
    }

    /// The multiply-adds that a crop needs.
    pub fn multiply_adds(&self) -> usize {
        self.multiply_adds
    }

    /// The bytes of its weights, all of which every crop or batch of crops must read.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// For aligned crops `[n, 3, SIDE, SIDE]` (red, green, blue, 0 to 255), embeddings `[n, DIMENSION]` of no
    /// particular length.
    pub fn forward(&self, crops: &Tensor) -> Result<Tensor> {
        self.head(&self.trunk(crops)?)
    }

    /// The convolutions alone: 7x7 maps of 1024 channels, in whatever shape [`Sface::head`] takes.
    pub fn trunk(&self, crops: &Tensor) -> Result<Tensor> {
        let trunk = match &self.trunk {
            Trunk::Rows(trunk) => trunk,
            Trunk::Stock(trunk) => return trunk.forward(crops),
            #[cfg(feature = "cuda")]
            Trunk::Cuda(trunk) => return trunk.forward(crops),
        };
        let count = crops.dim(0)?;
        let planes = crops.flatten_all()?.to_vec1::<f32>()?;
        let maps: Vec<f32> = planes.chunks_exact(3 * SIDE * SIDE).flat_map(|planes| trunk.run(planes)).collect();
        Tensor::from_vec(maps, (count, CHANNELS, LAST_SIDE, LAST_SIDE), crops.device())
    }

    /// The linear layer: reads 25 MB of weights, so it is worth giving it many faces at once.
    pub fn head(&self, maps: &Tensor) -> Result<Tensor> {
        maps.flatten_from(1)?.matmul(&self.linear)?.to_dtype(DType::F32)?.broadcast_add(&self.bias)
    }
}

/// The linear layer's weight for half-precision maps with channels last.
#[cfg(feature = "cuda")]
fn channels_last(weight: &Tensor) -> Result<Tensor> {
    let maps = weight.reshape((DIMENSION, CHANNELS, LAST_SIDE, LAST_SIDE))?.permute((2, 3, 1, 0))?;
    maps.contiguous()?.reshape(((), DIMENSION))?.to_dtype(DType::F16)
}

/// The names of all convolutions in the order in which the published graph holds them.
pub fn convolutions_in_graph_order() -> Vec<String> {
    let pairs = (0..STRIDES.len()).flat_map(pair_names);
    std::iter::once("stem".to_owned()).chain(pairs).collect()
}

fn pair_names(index: usize) -> [String; 2] {
    [format!("pair.{index:02}.depthwise"), format!("pair.{index:02}.pointwise")]
}
