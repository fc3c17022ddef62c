//! What holds whatever happens, tried on random journeys, topologies, policies and habits.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its supporting functions too")]

#[path = "../fixture/mod.rs"]
mod fixture;

mod deadlines;
mod decisions;
mod habits;
mod journey;
mod placement;
mod policy;
