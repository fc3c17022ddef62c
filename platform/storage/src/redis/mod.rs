//! Redis, as one server or as a cluster: how it is reached, how keys are named and scripts are run, and how the index
//! is made again. What is kept there is told in `timers`.

mod connection;
mod history;
mod keys;
mod look;
mod rebuild;
mod timers;

pub use connection::RedisOptions;
pub use timers::RedisTimers;
