//! Deadlines at work: slots of the index are leased a little ahead, their timers held in memory and fired at their own
//! millisecond; what the index misses is put back or swept from the rows. Each parcel decides for itself (`fire`).
//!
//! The loop stands on a [`Ground`], which is the platform; tests and benchmarks have others.

mod ground;
mod hold;
mod lookahead;
#[cfg(test)]
mod model;
mod rebuild;
mod run;
mod sweep;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use gatepost_domain::Timestamp;
use jiff::SignedDuration;
use tokio::sync::watch;

pub use self::{
    ground::{Ground, follow},
    lookahead::look_ahead,
    run::run,
    sweep::sweep,
};
pub use crate::{fire::Fired, metrics::Metrics, problem::Problem};

/// Slots are leased this long before they begin, so that their timers are at hand when they do.
const AHEAD: SignedDuration = SignedDuration::from_secs(1);

/// Before the index told its time.
const UNKNOWN: i64 = i64::MIN;

/// What the loop knows, for those who set timers and for those who ask how it goes.
pub struct Timekeeping {
    /// The index's clock minus ours, in milliseconds, or [`UNKNOWN`].
    offset: AtomicI64,
    /// When the loop will look by itself; it must be woken for anything earlier.
    looks_at: AtomicI64,
    /// Grows when writes may have been lost: the index answers after it did not, or is another server's now.
    pub(crate) returned: watch::Sender<u64>,
    /// Whether the index refused a write since the last look ahead.
    in_doubt: AtomicBool,
    /// Whether the index did not answer the last look.
    away: AtomicBool,
}

impl Default for Timekeeping {
    fn default() -> Self {
        Self {
            offset: AtomicI64::new(UNKNOWN),
            looks_at: AtomicI64::new(i64::MAX),
            returned: watch::Sender::new(0),
            in_doubt: AtomicBool::new(false),
            away: AtomicBool::new(false),
        }
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

    fn offset(&self) -> SignedDuration {
        match self.offset.load(Ordering::Relaxed) {
            UNKNOWN => SignedDuration::ZERO,
            offset => SignedDuration::from_millis(offset),
        }
    }

    fn knows_offset(&self) -> bool {
        self.offset.load(Ordering::Relaxed) != UNKNOWN
    }

    /// The index's clock was ahead by so much of ours as it was when the question was sent; the answer came so much
    /// later. Somewhere in between the index looked at its clock, so what is known lies between the two. The least of
    /// that makes nothing early, however long the answer took.
    fn learn_offset(&self, ahead_of_question: SignedDuration, took: SignedDuration) {
        let milliseconds = |span: SignedDuration| i64::try_from(span.as_millis()).unwrap_or(0);
        let most = milliseconds(ahead_of_question);
        let least = most - milliseconds(took).max(0);
        let offset = match self.offset.load(Ordering::Relaxed) {
            UNKNOWN => least,
            known => known.clamp(least, most),
        };
        self.offset.store(offset, Ordering::Relaxed);
    }

    /// A write was refused.
    fn doubt(&self) {
        self.in_doubt.store(true, Ordering::Relaxed);
    }

    /// Whether a write was refused since this was asked.
    fn is_in_doubt(&self) -> bool {
        self.in_doubt.swap(false, Ordering::Relaxed)
    }

    /// Whether deadlines come from the index, and not from the sweep alone.
    pub fn is_reachable(&self) -> bool {
        !self.away.load(Ordering::Relaxed)
    }

    fn set_reachable(&self, reachable: bool) {
        self.away.store(!reachable, Ordering::Relaxed);
    }

    /// Has the whole window looked at anew, now.
    fn look_ahead_anew(&self) {
        self.returned.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_took_long_makes_nothing_early() {
        let (timekeeping, milliseconds) = (Timekeeping::default(), SignedDuration::from_millis);
        assert_eq!(timekeeping.offset(), milliseconds(0));
        // The index's clock is 400 ms ahead. Its answer waited for 1500 ms before that, or after it, or not at all.
        let known = [((1_900, 1_500), 400), ((400, 1_500), 400), ((402, 5), 400), ((400, 0), 400)];
        for ((ahead, took), offset) in known {
            timekeeping.learn_offset(milliseconds(ahead), milliseconds(took));
            assert_eq!(timekeeping.offset(), milliseconds(offset), "{ahead} {took}");
        }
        // Somebody set a clock.
        timekeeping.learn_offset(milliseconds(-9_000), milliseconds(3));
        assert_eq!(timekeeping.offset(), milliseconds(-9_000));
    }
}
