//! The embedders that a model folder may hold, by the name of their architecture.

use candle_core::{Result, Tensor};

use super::iresnet::{self, Iresnet};
use super::sface::{self, Sface};
use super::weights::Weights;

/// Which embedder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// SFace.
    Sface,
    /// iResNet with that many layers: 18, 34, 50 or 100.
    Iresnet(usize),
}

impl Architecture {
    /// By its name on a card.
    pub fn named(name: &str) -> Option<Self> {
        if name == "sface" {
            return Some(Self::Sface);
        }
        let layers = name.strip_prefix("iresnet")?.parse().ok()?;
        iresnet::blocks(layers).map(|_| Self::Iresnet(layers))
    }

    /// Numbers in an embedding.
    pub fn dimension(self) -> usize {
        match self {
            Self::Sface => sface::DIMENSION,
            Self::Iresnet(_) => iresnet::DIMENSION,
        }
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sface => write!(f, "sface"),
            Self::Iresnet(layers) => write!(f, "iresnet{layers}"),
        }
    }
}

/// An embedder, ready to run.
pub enum Embedder {
    /// SFace.
    Sface(Sface),
    /// iResNet.
    Iresnet(Iresnet),
}

impl Embedder {
    /// Builds the network from its weights.
    pub fn load(weights: &Weights, architecture: Architecture) -> Result<Self> {
        Ok(match architecture {
            Architecture::Sface => Self::Sface(Sface::load(weights)?),
            Architecture::Iresnet(layers) => {
                let Some(blocks) = iresnet::blocks(layers) else { candle_core::bail!("no iresnet{layers}") };
                Self::Iresnet(Iresnet::load(weights, blocks)?)
            }
        })
    }

    /// For aligned crops `[n, 3, 112, 112]` (red, green, blue, 0 to 255), embeddings of no particular length.
    pub fn forward(&self, crops: &Tensor) -> Result<Tensor> {
        self.head(&self.trunk(crops)?)
    }

    /// The convolutions alone.
    pub fn trunk(&self, crops: &Tensor) -> Result<Tensor> {
        match self {
            Self::Sface(network) => network.trunk(crops),
            Self::Iresnet(network) => network.trunk(crops),
        }
    }

    /// The linear layer: reads tens of megabytes of weights, so it is worth giving it many faces at once.
    pub fn head(&self, maps: &Tensor) -> Result<Tensor> {
        match self {
            Self::Sface(network) => network.head(maps),
            Self::Iresnet(network) => network.head(maps),
        }
    }

    /// The multiply-adds that a crop needs.
    pub fn multiply_adds(&self) -> usize {
        match self {
            Self::Sface(network) => network.multiply_adds(),
            Self::Iresnet(network) => network.multiply_adds(),
        }
    }

    /// The bytes of its weights, all of which every crop or batch of crops must read.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Sface(network) => network.bytes(),
            Self::Iresnet(network) => network.bytes(),
        }
    }
}
