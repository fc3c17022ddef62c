//! The `gatepost-vision` command line: reads the arguments and hands over.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use gatepost_vision::cli::{self, DeviceChoice, ModelsCommand};
use gatepost_vision::model::card;

/// Finds the faces of camera frames for a Gatepost platform.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Imports or checks a model folder.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Prints the faces of JPEG files, for trying a camera or a photograph.
    Embed {
        /// The model folder [default: $GATEPOST_MODEL_DIR or ~/.cache/gatepost/models/yunet-sface].
        #[arg(long)]
        models: Option<PathBuf>,
        /// Where the networks run.
        #[arg(long, value_enum, default_value = "cpu")]
        device: DeviceChoice,
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Models(command) => cli::models(command),
        Command::Embed { models, device, files } => {
            cli::embed(&models.unwrap_or_else(card::default_folder), device, &files)
        }
    }
}
