//! How much one principal may ask of the platform: calls by a token bucket, calls under way and open streams by number.
//! Every principal has its own, so that a greedy one is in nobody's way but its own.
//!
//! A call that is let through takes its turn: a few of one principal are under way at once, and the others of it wait in
//! a line of their own. Who is over its quota is told when to come back, and until then it is turned away again without
//! being looked up in the database: a flood of refused calls costs the others no query.
//!
//! What is kept of a principal goes with its last call and stream, and its bucket once it is full again.

use std::{
    collections::HashMap,
    mem,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gatepost_domain::{Timestamp, principal::Principal};
use gatepost_process::clock::SharedClock;
use governor::{Quota, RateLimiter, clock::Clock, middleware::NoOpMiddleware, state::keyed::HashMapStateStore};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::{grant::Grant, shown::Fingerprint};
use crate::config;

/// When to come back for what ends at no known time: a call of the caller's own, or a stream.
const LATER: Duration = Duration::from_secs(1);
/// Callers that were turned away are forgotten whenever there are this many.
const TURNED_AWAY_MAX: usize = 1_024;

/// Which quota is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Calls in a time.
    Rate,
    /// Calls that wait for their turn.
    Waiting,
    /// Open streams.
    Streams,
}

impl Limit {
    /// The setting, which is also the metric's label and the metadata of the error.
    pub fn setting(self) -> &'static str {
        match self {
            Limit::Rate => "calls_per_second",
            Limit::Waiting => "calls_waiting",
            Limit::Streams => "streams",
        }
    }
}

/// What a caller that asked for too much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this caller is over its quota of {} {}: try again in {} ms", .most, .limit.setting(), .retry_in.as_millis())]
pub struct Exceeded {
    /// Which quota.
    pub limit: Limit,
    /// How much it is.
    pub most: u32,
    /// When to try again.
    pub retry_in: Duration,
}

/// Everybody's quotas; clones share them.
#[derive(Clone)]
pub struct Quotas(Arc<Parts>);

type Buckets = RateLimiter<Principal, HashMapStateStore<Principal>, Forward, NoOpMiddleware<Duration>>;

struct Parts {
    settings: config::Quotas,
    clock: Forward,
    buckets: Buckets,
    present: Mutex<HashMap<Principal, Present>>,
    turned_away: Mutex<HashMap<Fingerprint, TurnedAway>>,
}

/// A principal with calls or streams.
struct Present {
    turns: Arc<Semaphore>,
    writes: Arc<AsyncMutex<()>>,
    /// Under way or waiting.
    calls: usize,
    streams: usize,
}

struct TurnedAway {
    grant: Grant,
    exceeded: Exceeded,
    /// When its bucket has a token again.
    until: Duration,
}

impl Quotas {
    /// By these settings.
    pub fn new(settings: config::Quotas, clock: SharedClock) -> Self {
        let clock = Forward::new(clock);
        let rate = Quota::per_second(settings.calls_per_second).allow_burst(settings.burst);
        let buckets = RateLimiter::hashmap_with_clock(rate, clock.clone());
        Self(Arc::new(Parts { settings, clock, buckets, present: Mutex::default(), turned_away: Mutex::default() }))
    }

    /// Whoever showed this and was told to come back, and came too soon: what it may call, and what it is told again.
    pub fn turned_away(&self, shown: &Fingerprint) -> Option<(Grant, Exceeded)> {
        let now = self.0.clock.now();
        let mut turned_away = lock(&self.0.turned_away);
        let earlier = turned_away.get(shown)?;
        let left = earlier.until.saturating_sub(now);
        if left.is_zero() {
            turned_away.remove(shown);
            return None;
        }
        Some((earlier.grant.clone(), Exceeded { retry_in: left, ..earlier.exceeded }))
    }

    /// Takes one call out of a caller's bucket.
    pub fn spend(&self, shown: &Fingerprint, grant: &Grant) -> Result<(), Exceeded> {
        let Err(not_until) = self.0.buckets.check_key(&grant.principal) else {
            return Ok(());
        };
        let now = self.0.clock.now();
        let retry_in = not_until.wait_time_from(now).max(Duration::from_millis(1));
        let exceeded = Exceeded { limit: Limit::Rate, most: self.0.settings.calls_per_second.get(), retry_in };
        let mut turned_away = lock(&self.0.turned_away);
        if turned_away.len() >= TURNED_AWAY_MAX {
            turned_away.retain(|_, earlier| earlier.until > now);
        }
        if turned_away.len() < TURNED_AWAY_MAX {
            turned_away.insert(*shown, TurnedAway { grant: grant.clone(), exceeded, until: now + retry_in });
        }
        Err(exceeded)
    }

    /// Takes this much more out of a principal's bucket, and waits until it is there: what comes many at once is slowed
    /// down, and not refused in the middle. More than a whole bucket is taken as a whole bucket.
    pub async fn pace(&self, principal: &Principal, count: u32) {
        let Some(count) = NonZeroU32::new(count.min(self.0.settings.burst.get())) else {
            return;
        };
        while let Ok(Err(not_until)) = self.0.buckets.check_key_n(principal, count) {
            let wait = not_until.wait_time_from(self.0.clock.now()).max(Duration::from_millis(1));
            self.0.clock.sleep(wait).await;
        }
    }

    /// Lets a caller have one stream more, for as long as the leave is kept.
    pub fn stream(&self, principal: &Principal) -> Result<Leave, Exceeded> {
        let most = self.0.settings.streams;
        self.enter(principal, Limit::Streams, most).map(|(leave, _)| leave)
    }

    /// Waits for a call's turn, which lasts for as long as the leave is kept.
    pub async fn turn(&self, principal: &Principal) -> Result<Leave, Exceeded> {
        let most = self.0.settings.calls_at_once.saturating_add(self.0.settings.calls_waiting);
        let (mut leave, turns) = self.enter(principal, Limit::Waiting, most)?;
        // It is never closed.
        leave.turn = turns.acquire_owned().await.ok();
        Ok(leave)
    }

    /// Waits until no other call of this principal is writing, or waits for that. Where everybody waits for one writer in
    /// one line, they take turns as long as one call of each principal stands in it.
    pub async fn write(&self, principal: &Principal) -> Option<OwnedMutexGuard<()>> {
        let writes = lock(&self.0.present).get(principal)?.writes.clone();
        Some(writes.lock_owned().await)
    }

    fn enter(&self, principal: &Principal, limit: Limit, most: u32) -> Result<(Leave, Arc<Semaphore>), Exceeded> {
        let at_once = self.0.settings.calls_at_once as usize;
        let mut everybody = lock(&self.0.present);
        let present = everybody.entry(principal.clone()).or_insert_with(|| Present {
            turns: Arc::new(Semaphore::new(at_once)),
            writes: Arc::default(),
            calls: 0,
            streams: 0,
        });
        let count = present.count(limit);
        if *count >= most as usize {
            return Err(Exceeded { limit, most, retry_in: LATER });
        }
        *count += 1;
        let turns = present.turns.clone();
        Ok((Leave { quotas: self.clone(), principal: principal.clone(), limit, turn: None }, turns))
    }

    /// Forgets the buckets that are full again.
    pub fn forget_idle(&self) {
        self.0.buckets.retain_recent();
        self.0.buckets.shrink_to_fit();
    }

    #[cfg(test)]
    fn kept(&self) -> (usize, usize) {
        (self.0.buckets.len(), lock(&self.0.present).len())
    }
}

impl Present {
    fn count(&mut self, limit: Limit) -> &mut usize {
        match limit {
            Limit::Streams => &mut self.streams,
            Limit::Rate | Limit::Waiting => &mut self.calls,
        }
    }
}

/// The right to a call or a stream. Dropping it gives it back.
pub struct Leave {
    quotas: Quotas,
    principal: Principal,
    limit: Limit,
    turn: Option<OwnedSemaphorePermit>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        drop(mem::take(&mut self.turn));
        let mut everybody = lock(&self.quotas.0.present);
        if let Some(present) = everybody.get_mut(&self.principal) {
            *present.count(self.limit) -= 1;
            if (present.calls, present.streams) == (0, 0) {
                everybody.remove(&self.principal);
            }
        }
    }
}

/// The platform's clock as one that only goes forward: one that is set back by an hour must not keep buckets empty for
/// an hour.
#[derive(Clone)]
struct Forward {
    clock: SharedClock,
    /// The time when it was last looked at, and what had passed by then.
    seen: Arc<Mutex<(Timestamp, Duration)>>,
}

impl Forward {
    fn new(clock: SharedClock) -> Self {
        let seen = Arc::new(Mutex::new((clock.now(), Duration::ZERO)));
        Self { clock, seen }
    }

    async fn sleep(&self, span: Duration) {
        let span = jiff::SignedDuration::try_from(span).unwrap_or(jiff::SignedDuration::MAX);
        if let Ok(until) = self.clock.now().checked_add(span) {
            self.clock.sleep_until(until).await;
        }
    }
}

impl Clock for Forward {
    type Instant = Duration;

    fn now(&self) -> Duration {
        let mut seen = lock(&self.seen);
        let (then, passed) = *seen;
        let now = self.clock.now();
        *seen = (now, passed + Duration::try_from(now.duration_since(then)).unwrap_or_default());
        seen.1
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
