//! Frames in, residents seen: connected workers, cameras' queues, and what is concluded from faces.

pub mod gate;
pub mod hub;
#[cfg(test)]
mod overload;
mod queue;
