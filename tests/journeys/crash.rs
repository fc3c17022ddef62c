//! The real program, ended in the middle of everything: what was acknowledged is kept, and nothing happens twice.

mod batch;
mod chaos;
mod drain;
mod failover;
mod places;
mod policy;
mod reminder;
mod restart;
mod seeded;
mod worker;
mod workload;
