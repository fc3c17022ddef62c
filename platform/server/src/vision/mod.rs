//! Frames in, residents seen: connected workers, cameras' queues, and what is concluded from faces.

pub mod agreement;
pub mod gate;
pub mod hub;
pub mod models;
#[cfg(test)]
mod overload;
mod queue;
