//! The rules of a parcel's journey, and the words they are told in.
//!
//! Nothing here does IO, reads a clock or knows a face: `now` is an argument, a step is a pure function from a
//! parcel to a [`Step`], and all that recognition means to this crate is a [`sighting::Sighting`].
//!
//! ```text
//! ANNOUNCED --deposit--> WAITING --T2--> RECALL_REQUESTED --accept--> RECALL_ACCEPTED --collect--> OUT_FOR_DOOR_DELIVERY
//!     |                   |  ^                |   |                       |                           |        |
//!   cancel             pickup '-refuse, extend'  pickup                 pickup                     deliver   fail
//!     v                   v                       v                       v                           v        v
//! CANCELLED           PICKED_UP               PICKED_UP               PICKED_UP          DELIVERED_TO_DOOR <- DOOR_DELIVERY_FAILED
//! ```
//!
//! While a stay is held nothing is due, and T1 and T2 are as much later; `hold` withdraws a recall as `extend` does.
//!
//! A parcel meant for the door goes from ANNOUNCED to DELIVERED_TO_DOOR or DOOR_DELIVERY_FAILED at once. What failed goes
//! on in one of three ways, and whatever the courier has in hand may be returned:
//!
//! ```text
//! DOOR_DELIVERY_FAILED --redeliver--> OUT_FOR_DOOR_DELIVERY
//! DOOR_DELIVERY_FAILED --suggest placement, deposit--> WAITING
//! DOOR_DELIVERY_FAILED, OUT_FOR_DOOR_DELIVERY, RECALL_REQUESTED, RECALL_ACCEPTED --return--> RETURNED_TO_SENDER
//! ```
//!
//! The new deposit begins a new stay, with T1, T2, reminders and an extension of its own. Recalls and attempts at the door
//! are counted on: they number what the courier was asked for and did with this parcel.

pub mod community;
pub mod consent;
pub mod decision;
pub mod effect;
pub mod id;
pub mod journey;
pub mod opening;
pub mod parcel;
pub mod placement;
pub mod policy;
pub mod ports;
pub mod principal;
pub mod recipient;
pub mod refusal;
pub mod resident;
pub mod sighting;
pub mod topology;
pub mod usual;
pub mod walks;

pub use effect::{CourierEvent, Effect, EventKind, Notice, ReminderCause, Step};
pub use parcel::{Parcel, State};
pub use refusal::Refusal;

/// Every instant of the product, to the millisecond (both databases keep no more).
pub use jiff::Timestamp;
