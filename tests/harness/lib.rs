//! The world the journeys are tested in.

pub mod authority;
pub mod benchmark;
pub mod clients;
pub mod collector;
pub mod crowd;
pub mod identity_provider;
pub mod live;
pub mod processes;
pub mod reflected;
pub mod services;
pub mod world;
