//! Ours: the index, the platform's loop over it, and timers to put in.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Move, Timer, Timers},
};
use gatepost_process::clock::{Clock, SystemClock};
use gatepost_server::{
    config,
    timers::{Fired, Ground, Metrics, Problem, Timekeeping, follow},
};
use gatepost_storage::{RedisOptions, RedisTimers, StoreError};
use gatepost_tests::services::Redis;
use jiff::SignedDuration;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const SHARDS: u16 = 16;
/// As the operations page advises: 32 to 100 timers in a slot.
const PER_SLOT: usize = 80;

pub fn now() -> Timestamp {
    SystemClock.now()
}

/// How long a slot is, so that it holds as many timers as it should.
pub fn slot_width(timers: usize, span: SignedDuration) -> Duration {
    let slots = (timers / PER_SLOT / usize::from(SHARDS)).max(1);
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap() / slots as u64)
}

pub fn index(redis: &Redis, shards: u16, slot_width: Duration) -> RedisTimers {
    let urls = vec![redis.url().to_owned()];
    RedisTimers::new(RedisOptions { urls, shards, slot_width, ..RedisOptions::default() }).unwrap()
}

/// Timers of any parcels at any time within a span.
pub fn anywhen(count: usize, from: Timestamp, span: SignedDuration, seed: u64) -> Vec<Timer> {
    let (mut random, span) = (StdRng::seed_from_u64(seed), i64::try_from(span.as_millis()).unwrap());
    let timer = |_| Timer {
        due: from + SignedDuration::from_millis(random.random_range(0..span)),
        parcel: ParcelId(Uuid::from_u128(random.random())),
    };
    (0..count).map(timer).collect()
}

/// Sets timers as a thousand parcels at a time are deposited; how many seconds it took.
pub async fn set(index: &impl Timers, timers: &[Timer]) -> f64 {
    let began = Instant::now();
    for some in timers.chunks(super::raw::PIPELINE) {
        let moves: Vec<Move> =
            some.iter().map(|timer| Move { parcel: timer.parcel, was: None, due: Some(timer.due) }).collect();
        index.schedule(&moves).await.unwrap();
    }
    began.elapsed().as_secs_f64()
}

/// The loop of the platform, until it is stopped.
pub struct Loop {
    task: JoinHandle<anyhow::Result<()>>,
    draining: CancellationToken,
}

impl Loop {
    pub fn start(ground: impl Ground) -> Loop {
        let draining = CancellationToken::new();
        Loop { task: tokio::spawn(gatepost_server::timers::run(ground, draining.clone())), draining }
    }

    /// Returns when everything that was fired is acknowledged.
    pub async fn stop(self) {
        self.draining.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// No rows: whatever is due is written down and has no effect.
#[derive(Clone)]
pub struct Nothing(Arc<Parts>);

struct Parts {
    settings: config::Timers,
    index: RedisTimers,
    metrics: Metrics,
    timekeeping: Timekeeping,
    woken: watch::Sender<u64>,
    fired: Mutex<Vec<(Instant, usize)>>,
    count: watch::Sender<usize>,
}

impl Nothing {
    pub fn over(index: RedisTimers) -> Nothing {
        Nothing(Arc::new(Parts {
            settings: config::Timers::default(),
            index,
            metrics: Metrics::default(),
            timekeeping: Timekeeping::default(),
            woken: watch::Sender::new(0),
            fired: Mutex::default(),
            count: watch::Sender::new(0),
        }))
    }

    /// Sets timers as the platform does after a commit.
    pub async fn set(&self, timers: &[Timer]) {
        let moves = timers.iter().map(|timer| Move { parcel: timer.parcel, was: None, due: Some(timer.due) });
        follow(self, moves.collect()).await;
    }

    /// Which of these timers are in the index.
    pub async fn left(&self, timers: &[Timer]) -> usize {
        timers.len() - self.0.index.missing(timers).await.unwrap().len()
    }

    /// Returns when so many have been fired.
    pub async fn fired(&self, count: usize) {
        self.0.count.subscribe().wait_for(|fired| *fired >= count).await.unwrap();
    }

    /// How late each was, of timers that were all due at this instant, in milliseconds.
    pub fn late(&self, due: Instant) -> Vec<f64> {
        let fired = self.0.fired.lock().unwrap();
        let late = |at: &Instant| at.saturating_duration_since(due).as_secs_f64() * 1e3;
        fired.iter().flat_map(|(at, count)| std::iter::repeat_n(late(at), *count)).collect()
    }
}

#[async_trait]
impl Ground for Nothing {
    fn settings(&self) -> &config::Timers {
        &self.0.settings
    }

    fn index(&self) -> &dyn Timers {
        &self.0.index
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }

    fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn timekeeping(&self) -> &Timekeeping {
        &self.0.timekeeping
    }

    fn woken(&self) -> &watch::Sender<u64> {
        &self.0.woken
    }

    async fn fire(&self, parcels: &[ParcelId], _now: Timestamp) -> Result<Fired, Problem> {
        self.0.fired.lock().unwrap().push((Instant::now(), parcels.len()));
        self.0.count.send_modify(|count| *count += parcels.len());
        Ok(Fired { not_due: Vec::new(), changed: parcels.len() })
    }

    async fn deadlines(
        &self,
        _after: Option<Timer>,
        _until: Option<Timestamp>,
        _limit: u64,
    ) -> Result<Vec<Timer>, StoreError> {
        Ok(Vec::new())
    }

    async fn overdue(&self, _at: Timestamp, _limit: u64) -> Result<Vec<ParcelId>, StoreError> {
        Ok(Vec::new())
    }

    async fn rows_time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }
}
