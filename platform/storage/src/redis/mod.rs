//! Redis, as one server or as a cluster: how it is reached and how scripts are run. What is kept there is told in
//! `timers`.

mod connection;
mod timers;

pub use connection::RedisOptions;
pub use timers::RedisTimers;
