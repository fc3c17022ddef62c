//! A clock that stands until everybody sleeps and then jumps to the first sleeper's time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use gatepost_domain::Timestamp;
use gatepost_process::clock::Clock;
use jiff::SignedDuration;
use tokio::sync::oneshot;

/// The one time there is.
#[derive(Clone)]
pub struct Time(Arc<Mutex<Sleepers>>);

struct Sleepers {
    now: Timestamp,
    /// By when they wake, and who slept first. They are woken in this order, one after the other.
    waiting: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
    count: u64,
    /// Grows whenever anybody looks at the time or sleeps: there was work.
    activity: u64,
}

impl Time {
    pub fn new(now: Timestamp) -> Time {
        Time(Arc::new(Mutex::new(Sleepers { now, waiting: BTreeMap::new(), count: 0, activity: 0 })))
    }

    fn sleepers(&self) -> MutexGuard<'_, Sleepers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Timestamp {
        let mut sleepers = self.sleepers();
        sleepers.activity += 1;
        sleepers.now
    }

    pub fn activity(&self) -> u64 {
        self.sleepers().activity
    }

    /// Jumps to the first sleeper's time, but not beyond this one, and wakes who slept until then.
    pub fn jump(&self, latest: Timestamp) {
        let mut sleepers = self.sleepers();
        sleepers.waiting.retain(|_, sleeper| !sleeper.is_closed());
        let first = sleepers.waiting.keys().next().map_or(latest, |(at, _)| *at);
        sleepers.now = first.min(latest).max(sleepers.now);
        while let Some(entry) = sleepers.waiting.first_entry()
            && entry.key().0 <= first.min(latest)
        {
            // Whoever gave up sleeping is gone.
            let _ = entry.remove().send(());
        }
    }

    pub async fn sleep_until(&self, at: Timestamp) {
        let slept = {
            let mut sleepers = self.sleepers();
            sleepers.activity += 1;
            if at <= sleepers.now {
                return;
            }
            let (wake, slept) = oneshot::channel();
            sleepers.count += 1;
            let number = sleepers.count;
            sleepers.waiting.insert((at, number), wake);
            slept
        };
        let _ = slept.await;
    }
}

/// A replica's clock, ahead by so much.
pub struct Skewed {
    pub time: Time,
    pub ahead: SignedDuration,
}

#[async_trait]
impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        self.time.now() + self.ahead
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        self.time.sleep_until(deadline.saturating_sub(self.ahead).unwrap_or(Timestamp::MAX)).await;
    }
}
