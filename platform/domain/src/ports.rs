//! What the outside implements more than once. Storage has one implementation for both databases and needs no port.

use async_trait::async_trait;
use jiff::SignedDuration;

use crate::{Timestamp, id::ParcelId};

/// An index over the parcels' deadlines: it says "look at parcel P at time T" and nothing more.
///
/// The parcels' rows are the truth. An entry may be lost, stale or delivered twice without harm: the parcel's own
/// state decides what happens, and [`Timers::rebuild`] makes the index again from the rows.
///
/// Timers lie in slots of time. A slot is leased as a whole, a little before it begins; whoever holds it reads its
/// timers, fires each at its own millisecond, and acknowledges. A slot into which anything is put meanwhile is free
/// again at once, so that no acknowledgement can take away what its holder has not read.
#[async_trait]
pub trait Timers: Send + Sync + 'static {
    /// Follows parcels whose deadlines moved, in this order; many cost little more than one.
    async fn schedule(&self, moves: &[Move]) -> Result<(), TimersError>;

    /// Leases slots that begin within `terms.ahead` and that nobody holds.
    async fn claim(&self, now: Timestamp, terms: Terms) -> Result<Claim, TimersError>;

    /// The next timers of a leased slot, earliest first, leaving out the first `skip`: those read and not yet
    /// acknowledged. Fewer than [`READ`] means that these were the last.
    async fn read(&self, lease: &Lease, skip: usize) -> Result<Vec<Timer>, TimersError>;

    /// Prolongs leases as if they were claimed now; `None` for those that are no longer held.
    async fn renew(&self, leases: &[Lease], now: Timestamp, terms: Terms) -> Result<Vec<Option<Lease>>, TimersError>;

    /// Removes fired timers from a slot. What was put there for another time is left alone, whoever put it there.
    /// Answers whether the lease stood: if not, others may hold the slot by now, and nothing else of it is touched.
    async fn acknowledge(&self, lease: &Lease, fired: &[Timer], extent: Extent) -> Result<bool, TimersError>;

    /// Gives slots back as they are, so that nobody waits for the leases to end.
    async fn release(&self, leases: &[Lease]) -> Result<(), TimersError>;

    /// Begins to make the index again, or goes on where a rebuild that died left off: after which timer.
    /// [`TimersError::Busy`] while somebody else is at it.
    async fn begin_rebuild(&self) -> Result<Option<Timer>, TimersError>;

    /// Adds a page of timers while rebuilding, in order of time and parcel; `last` marks the index as whole.
    /// [`TimersError::Lost`] when the index was emptied meanwhile: begin again.
    async fn rebuild(&self, page: &[Timer], last: bool) -> Result<(), TimersError>;

    /// Which of these timers the index does not have. An index that is made anew at every start answers
    /// [`TimersError::Lost`] until it is whole.
    async fn missing(&self, timers: &[Timer]) -> Result<Vec<Timer>, TimersError>;
}

/// The most timers that one call to an index puts in or removes.
pub const PAGE: usize = 500;

/// The most timers that one call to an index reads: what is due at one instant should be one page of its slot, for a slot
/// that was read in one page is acknowledged as a whole.
pub const READ: usize = 2_000;

/// One entry of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// When to look.
    pub due: Timestamp,
    /// Which parcel to look at.
    pub parcel: ParcelId,
}

/// A parcel whose deadline moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Which parcel.
    pub parcel: ParcelId,
    /// Where its timer was; when that is not told, a stale entry stays behind until its time.
    pub was: Option<Timestamp>,
    /// Where it is now.
    pub due: Option<Timestamp>,
}

/// On what terms slots are leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long before it begins a slot is leased. Equal on every replica.
    pub ahead: SignedDuration,
    /// How long a lease lasts unless it is renewed.
    pub lease: SignedDuration,
    /// The most slots at once.
    pub slots_max: usize,
}

/// What a claim found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// Leased now.
    pub leases: Vec<Lease>,
    /// When a claim will next find anything, as far as the index knows.
    pub next_look: Option<Timestamp>,
    /// Of each part of the index, in their order, when its earliest slot begins or is free again, in the caller's time.
    pub heads: Vec<Option<Timestamp>>,
    /// How far the index's own time, when it answered, was ahead of the caller's, when it was asked; if the index has one
    /// that all replicas share.
    pub offset: Option<SignedDuration>,
    /// Leases among these that their last holder let run out.
    pub expired: u64,
    /// Why a part of the index did not answer.
    pub failed: Option<TimersError>,
    /// Whether another server answers than before: it may lack what was last written to the other one.
    pub doubtful: bool,
    /// Whether a part of the index was lost: rebuild it. What is there can be leased all the same.
    pub lost: bool,
}

/// A slot, by how long it is and which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// In which part of the index.
    pub shard: u16,
    /// Its length in milliseconds.
    pub width: u32,
    /// How many of its length lie between 1970 and its beginning.
    pub number: i64,
}

impl Slot {
    /// When the slot begins, in milliseconds.
    pub fn start(self) -> i64 {
        self.number.saturating_mul(self.width.into())
    }
}

/// A leased slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Which.
    pub slot: Slot,
    /// Tells this lease from every other.
    pub token: i64,
}

/// How much of a slot an acknowledgement covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// More of the slot is still to be fired.
    Part,
    /// Everything that was read was fired; whatever is still there becomes free.
    Rest,
    /// The slot was read in one page and all of it was fired.
    Whole,
}

/// Why an index did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimersError {
    /// The index was emptied: rebuild it from the rows.
    #[error("the timer index was lost and must be rebuilt")]
    Lost,
    /// Another replica rebuilds it.
    #[error("another replica rebuilds the timer index")]
    Busy,
    /// It cannot be reached; the sweep over the rows goes on without it.
    #[error("the timer index cannot be reached: {0}")]
    Unavailable(String),
}

/// An instant as every index keeps it: whole milliseconds, rounded up, so that nothing fires before its time.
pub fn millis_up(at: Timestamp) -> i64 {
    let nanoseconds = at.as_nanosecond();
    let up = nanoseconds.div_euclid(1_000_000) + i128::from(nanoseconds.rem_euclid(1_000_000) != 0);
    i64::try_from(up).unwrap_or(i64::MAX)
}
