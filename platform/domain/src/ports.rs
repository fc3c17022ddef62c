//! What the outside implements more than once. Storage has one implementation for both databases and needs no port.

use async_trait::async_trait;

use crate::{Timestamp, id::ParcelId};

/// An index over the parcels' deadlines: it says "look at parcel P at time T" and nothing more.
///
/// The parcels' rows are the truth. An entry may be lost, stale or delivered twice without harm: the parcel's own
/// state decides what happens, and [`Timers::rebuild`] makes the index again from the rows.
#[async_trait]
pub trait Timers: Send + Sync + 'static {
    /// Sets or moves the one timer of a parcel.
    async fn set(&self, parcel: ParcelId, due: Timestamp) -> Result<(), TimersError>;

    /// Removes a parcel's timer; nothing happens when there is none.
    async fn clear(&self, parcel: ParcelId) -> Result<(), TimersError>;

    /// Takes up to `limit` timers due at `now`. Each is leased: unless it is set, cleared or acknowledged, it comes
    /// back at `leased_until`, so that a crash between claim and acknowledgement loses nothing.
    async fn claim(&self, now: Timestamp, leased_until: Timestamp, limit: usize) -> Result<Claim, TimersError>;

    /// Ends the lease of claimed timers. One that was set anew in the meantime is left alone.
    async fn acknowledge(&self, claimed: &[Claimed]) -> Result<(), TimersError>;

    /// Adds a page of timers while rebuilding. `last` marks the index as whole.
    async fn rebuild(&self, page: &[(ParcelId, Timestamp)], last: bool) -> Result<(), TimersError>;
}

/// What a claim found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// Due and leased, earliest first.
    pub timers: Vec<Claimed>,
    /// The earliest time anything else is due, leases included.
    pub next_due: Option<Timestamp>,
}

/// One leased timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// Which parcel to look at.
    pub parcel: ParcelId,
    /// Identifies this lease.
    pub lease: Timestamp,
}

/// Why an index did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimersError {
    /// The index is empty or was emptied: rebuild it from the rows.
    #[error("the timer index was lost and must be rebuilt")]
    Lost,
    /// It cannot be reached; the sweep over the rows goes on without it.
    #[error("the timer index cannot be reached: {0}")]
    Unavailable(String),
}
