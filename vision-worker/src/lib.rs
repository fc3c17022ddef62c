//! Gatepost's vision worker: finds the faces of a camera's frames and turns each into an embedding. It dials in to
//! the platform, which sends it frames; it never learns who anybody is.

pub mod align;
pub mod annotate;
pub mod backoff;
pub mod batcher;
pub mod bench;
pub mod cli;
pub mod config;
pub mod detect;
pub mod draw;
pub mod engine;
pub mod evaluate;
pub mod geometry;
pub mod image;
pub mod liveness;
pub mod metrics;
pub mod model;
pub mod orientation;
pub mod pipeline;
pub mod quality;
pub mod replicas;
pub mod session;
pub mod wire;

pub use config::Config;
pub use pipeline::{Analysis, Face, FrameError, Pipeline};
pub use session::{SessionError, run, run_with};
