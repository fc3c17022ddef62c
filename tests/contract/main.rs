//! What every implementation promises: the store on SQLite and on PostgreSQL, the timers in this process, on Redis and
//! on a Redis cluster. A promise is written once and checked everywhere.

#![expect(clippy::unwrap_used, reason = "a broken promise should say where, and a promise is no test function")]

mod store;
mod timers;
