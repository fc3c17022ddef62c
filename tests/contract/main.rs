//! What every implementation promises: the store on SQLite and on PostgreSQL, the timers in this process, on Redis and
//! on a Redis cluster. A promise is written once and checked everywhere.

mod store;
mod timers;
