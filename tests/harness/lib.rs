//! The world the journeys are tested in.

pub mod clients;
pub mod services;
pub mod world;
