//! Convolutions as the networks name them, each with two ways to run: the kernels of this crate, or stock candle
//! operations. The stock way is the reference that the tests compare with, and the way of what has no kernels on a device.

use candle_core::{Device, Result, Tensor};

use super::kernels::Epilogue;
use super::kernels::conv3x3::Conv3x3;
use super::kernels::pointwise::Pointwise;
use super::weights::Weights;

/// How the convolutions run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// This crate's kernels; CPU only.
    Kernels,
    /// Stock candle operations, on any device.
    Stock,
    /// This crate's CUDA kernels in half precision; what they do not know runs as [`Backend::Stock`].
    #[cfg(feature = "cuda")]
    Cuda,
}

impl Backend {
    /// The faster of those that run on `device`.
    pub fn for_device(device: &Device) -> Self {
        match device {
            Device::Cpu => Self::Kernels,
            #[cfg(feature = "cuda")]
            Device::Cuda(_) => Self::Cuda,
            _ => Self::Stock,
        }
    }
}

/// What follows a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// Negative numbers become zero.
    Relu,
    /// Negative numbers are multiplied by a learned slope, one for each channel, stored beside the weight.
    Prelu,
}

/// The shape of a convolution; the channels are read off its weight.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// 1x1.
    Pointwise,
    /// 3x3 with a border of one, each channel by itself.
    Depthwise {
        /// 1 or 2.
        stride: usize,
    },
    /// 3x3 with a border of one, over all channels.
    Dense {
        /// 1 or 2.
        stride: usize,
    },
}

/// A convolution with bias and activation.
pub struct Convolution(Run);

enum Run {
    Pointwise(Pointwise),
    Conv3x3(Conv3x3),
    Stock(Stock),
}

impl Convolution {
    /// Reads `name.weight`, `name.bias` and, for PReLU, `name.slope`.
    pub fn load(weights: &Weights, name: &str, kind: Kind, activation: Activation) -> Result<Self> {
        Self::join(weights, &[name.to_owned()], kind, activation)
    }

    /// Several convolutions of the same input as one, their outputs one after the other: many small ones cost more.
    pub fn join(weights: &Weights, names: &[String], kind: Kind, activation: Activation) -> Result<Self> {
        let joined = |part: &str| -> Result<Tensor> {
            let parts: Result<Vec<_>> = names.iter().map(|name| weights.get(&format!("{name}.{part}"))).collect();
            Tensor::cat(&parts?, 0)
        };
        let weight = joined("weight")?;
        let bias = joined("bias")?;
        let slope = match activation {
            Activation::None => bias.ones_like()?,
            Activation::Relu => bias.zeros_like()?,
            Activation::Prelu => joined("slope")?,
        };
        let stock = Stock { kind, weight, bias, slope, activation };
        Ok(Self(match weights.backend() {
            Backend::Kernels => stock.pack()?,
            _ => Run::Stock(stock),
        }))
    }

    /// Runs on an NCHW tensor.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        match &self.0 {
            Run::Pointwise(op) => input.apply_op1_no_bwd(op),
            Run::Conv3x3(op) => input.apply_op1_no_bwd(op),
            Run::Stock(stock) => stock.forward(input),
        }
    }
}

/// A convolution out of candle's own operations.
struct Stock {
    kind: Kind,
    weight: Tensor,
    bias: Tensor,
    slope: Tensor,
    activation: Activation,
}

impl Stock {
    fn pack(&self) -> Result<Run> {
        let flat = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let epilogue = Epilogue { bias: flat(&self.bias)?, slope: flat(&self.slope)? };
        let inputs = self.weight.dim(1)?;
        let weight = flat(&self.weight)?;
        Ok(match self.kind {
            Kind::Pointwise => Run::Pointwise(Pointwise::new(&weight, inputs, epilogue)),
            Kind::Depthwise { stride } | Kind::Dense { stride } => {
                Run::Conv3x3(Conv3x3::new(weight, inputs, stride, epilogue))
            }
        })
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let output = match self.kind {
            Kind::Pointwise => input.conv2d(&self.weight, 0, 1, 1, 1)?,
            Kind::Dense { stride } => input.conv2d(&self.weight, 1, stride, 1, 1)?,
            Kind::Depthwise { stride } => input.conv2d(&self.weight, 1, stride, 1, input.dim(1)?)?,
        };
        let output = output.broadcast_add(&per_channel(&self.bias)?)?;
        match self.activation {
            Activation::None => Ok(output),
            Activation::Relu => output.relu(),
            Activation::Prelu => {
                let negative = output.minimum(0.0)?.broadcast_mul(&per_channel(&self.slope)?)?;
                output.relu()? + negative
            }
        }
    }
}

/// A vector with one number for each channel, shaped to meet an NCHW tensor.
fn per_channel(vector: &Tensor) -> Result<Tensor> {
    vector.reshape((1, (), 1, 1))
}
