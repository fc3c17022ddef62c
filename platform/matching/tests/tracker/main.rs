//! The tracker as its callers use it: one binary for all of its tests.

mod faces;
mod passages;
mod properties;
