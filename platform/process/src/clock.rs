//! Time as a parameter. `SystemClock` is the only place of the project that reads the time; tests hold a
//! `ManualClock` and move it by hand.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// The longest sleep before the system clock looks at the time again: a machine that was suspended, or whose clock
/// was corrected, must not oversleep a deadline by more than this.
const LONGEST_NAP: Duration = Duration::from_secs(30);

/// Tells the time, and waits for it.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The current time, in whole milliseconds: what the stores keep is what the domain decided on.
    fn now(&self) -> Timestamp;

    /// Returns once `now()` is at or past `deadline`; at once if it already is. May be dropped while it waits.
    async fn sleep_until(&self, deadline: Timestamp);
}

/// How a clock is handed around.
pub type SharedClock = Arc<dyn Clock>;

/// The real time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The system clock, ready to be handed around.
    pub fn shared() -> SharedClock {
        Arc::new(SystemClock)
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the time")]
    fn now(&self) -> Timestamp {
        whole_milliseconds(Timestamp::now())
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        loop {
            let Ok(left) = Duration::try_from(deadline.duration_since(self.now())) else {
                return;
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LONGEST_NAP)).await;
        }
    }
}

/// A clock that stands still until it is moved. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    time: watch::Sender<Timestamp>,
    sleepers: watch::Sender<usize>,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        ManualClock { time: watch::Sender::new(whole_milliseconds(start)), sleepers: watch::Sender::new(0) }
    }

    /// This clock, ready to be handed around; it keeps showing the time of `self`.
    pub fn shared(&self) -> SharedClock {
        Arc::new(self.clone())
    }

    /// Moves the clock by `step` and wakes the sleepers whose time has come.
    pub fn advance(&self, step: SignedDuration) {
        self.time.send_modify(|now| {
            *now = whole_milliseconds(now.saturating_add(step).unwrap_or(*now));
        });
    }

    /// Sets the clock, backwards if need be, and wakes the sleepers whose time has come.
    pub fn set(&self, now: Timestamp) {
        self.time.send_replace(whole_milliseconds(now));
    }

    /// Returns once at least `count` tasks sleep on this clock: what a test waits for before it advances the time,
    /// so that no task computes its deadline from the time after the step.
    pub async fn sleeping(&self, count: usize) {
        // The sender is ours, so the channel cannot close while we wait.
        let _ = self.sleepers.subscribe().wait_for(|sleepers| *sleepers >= count).await;
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.time.borrow()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let mut time = self.time.subscribe();
        if *time.borrow() >= deadline {
            return;
        }
        let _asleep = Asleep::count_in(&self.sleepers);
        // The sender is ours, so the channel cannot close while we wait.
        let _ = time.wait_for(|now| *now >= deadline).await;
    }
}

/// Counts a sleeper for as long as it lives, so that a dropped sleep is counted out too.
struct Asleep<'a>(&'a watch::Sender<usize>);

impl<'a> Asleep<'a> {
    fn count_in(sleepers: &'a watch::Sender<usize>) -> Self {
        sleepers.send_modify(|count| *count += 1);
        Asleep(sleepers)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

fn whole_milliseconds(time: Timestamp) -> Timestamp {
    let milliseconds = time.as_nanosecond().div_euclid(1_000_000);
    i64::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
        .unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn start() -> Timestamp {
        "2026-03-02T08:00:00Z".parse().unwrap()
    }

    #[test]
    fn times_are_whole_milliseconds() {
        assert_eq!(SystemClock.now().as_nanosecond() % 1_000_000, 0);
        let odd = Timestamp::from_nanosecond(-1_500_000).unwrap();
        assert_eq!(whole_milliseconds(odd).as_nanosecond(), -2_000_000);
        let clock = ManualClock::new(start());
        clock.advance(SignedDuration::from_nanos(1_999_999));
        assert_eq!(clock.now(), start() + SignedDuration::from_millis(1));
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come_and_not_before() {
        let clock = ManualClock::new(start());
        let shared = clock.shared();
        let deadline = start() + SignedDuration::from_secs(60);
        let sleeper = tokio::spawn(async move { shared.sleep_until(deadline).await });
        clock.sleeping(1).await;

        clock.advance(SignedDuration::from_millis(59_999));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());

        clock.advance(SignedDuration::from_millis(1));
        sleeper.await.unwrap();
    }

    #[tokio::test]
    async fn a_dropped_sleep_is_counted_out() {
        let clock = ManualClock::new(start());
        let mut sleep = clock.sleep_until(start() + SignedDuration::from_secs(1));
        assert!((&mut sleep).now_or_never().is_none());
        assert_eq!(*clock.sleepers.borrow(), 1);
        drop(sleep);
        assert_eq!(*clock.sleepers.borrow(), 0);
    }

    #[tokio::test]
    async fn a_deadline_in_the_past_does_not_wait() {
        let clock = ManualClock::new(start());
        assert!(clock.sleep_until(start()).now_or_never().is_some());
        assert!(SystemClock.sleep_until(start()).now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_system_clock_naps_towards_its_deadline() {
        let deadline = SystemClock.now() + SignedDuration::from_millis(20);
        SystemClock.sleep_until(deadline).await;
        assert!(SystemClock.now() >= deadline);
    }
}
