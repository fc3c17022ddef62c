//! The world the journeys are tested in.

pub mod benchmark;
pub mod clients;
pub mod collector;
pub mod crowd;
pub mod live;
pub mod processes;
pub mod services;
pub mod world;
