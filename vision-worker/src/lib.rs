//! Gatepost's vision worker: finds the faces of a camera's frames and turns each into an embedding. It dials in to
//! the platform, which sends it frames; it never learns who anybody is.

pub mod align;
pub mod cli;
pub mod detect;
pub mod geometry;
pub mod image;
pub mod model;
pub mod pipeline;
pub mod quality;

pub use pipeline::{Analysis, Face, FrameError, Pipeline};
