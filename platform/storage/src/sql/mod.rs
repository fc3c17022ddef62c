//! The rows and how they are reached. sea-orm is named in this folder and nowhere else.

mod arrays;
mod captures;
mod communities;
mod consents;
mod couriers;
mod deadlines;
mod decisions;
mod enrolment_conflicts;
mod entity;
mod erasures;
mod event_row;
mod events;
mod export;
mod failure;
mod keys;
mod looks;
mod migrations;
mod misidentifications;
mod model_upgrade;
mod moves;
mod notices;
mod parcel_row;
mod parcels;
mod policies;
mod rearm;
mod requests;
mod residents;
mod retention;
mod store;
mod template_keys;
mod templates;
mod webhook_endpoints;
mod webhook_letters;
mod word;

pub use store::{Store, Tx};
