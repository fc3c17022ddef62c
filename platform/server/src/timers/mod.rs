//! Deadlines at work: slots of the index are leased a little ahead, their timers held in memory and fired at their own
//! millisecond; what the index misses is put back or swept from the rows. Each parcel decides for itself (`fire`).

mod hold;
mod lookahead;
mod rebuild;
mod run;
mod sweep;

use std::sync::atomic::{AtomicI64, Ordering};

use gatepost_domain::Timestamp;
use jiff::SignedDuration;
use tokio::sync::watch;

pub use self::{lookahead::look_ahead, run::run, sweep::sweep};
use crate::platform::Platform;

/// Slots are leased this long before they begin, so that their timers are at hand when they do.
const AHEAD: SignedDuration = SignedDuration::from_secs(1);

/// What the loop knows, for those who set timers and for those who ask how it goes.
pub struct Timekeeping {
    /// The index's clock minus ours, in milliseconds.
    offset: AtomicI64,
    /// When the loop will look by itself; it must be woken for anything earlier.
    looks_at: AtomicI64,
    /// Grows when the index answers after it did not: writes may have been lost meanwhile.
    pub(crate) returned: watch::Sender<u64>,
}

impl Default for Timekeeping {
    fn default() -> Self {
        Self { offset: AtomicI64::new(0), looks_at: AtomicI64::new(i64::MAX), returned: watch::Sender::new(0) }
    }
}

impl Timekeeping {
    /// Whether a timer due at this instant must wake the loop.
    pub fn looks_later_than(&self, due: Timestamp) -> bool {
        (due - AHEAD).as_millisecond() < self.looks_at.load(Ordering::Acquire)
    }

    fn will_look_at(&self, at: Timestamp) {
        self.looks_at.store(at.as_millisecond(), Ordering::Release);
    }

    fn set_offset(&self, offset: SignedDuration) {
        self.offset.store(i64::try_from(offset.as_millis()).unwrap_or(0), Ordering::Relaxed);
    }
}

impl Platform {
    /// The time that decides what is due: the index's, as all replicas share it, wherever it has one.
    pub fn shared_now(&self) -> Timestamp {
        self.now() + SignedDuration::from_millis(self.timekeeping.offset.load(Ordering::Relaxed))
    }
}
