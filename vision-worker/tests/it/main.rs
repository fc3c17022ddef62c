//! The worker's tests that need the real weights and photographs, in one binary.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its supporting functions too")]

mod annotate;
mod architectures;
mod bad_input;
mod bench;
#[cfg(feature = "cuda")]
mod cuda;
mod engine;
mod evaluate;
mod kernels;
mod liveness;
mod model_folder;
mod mutated;
mod photographs;
mod pull;
mod reference;
mod session;
mod support;
