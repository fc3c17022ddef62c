//! courier-sim
