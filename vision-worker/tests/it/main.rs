//! The worker's tests that need the real weights and photographs, in one binary.

mod bad_input;
mod kernels;
mod model_folder;
mod photographs;
mod reference;
mod session;
mod support;
