//! Rows too simple to be wrong, and a replica of the platform on them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Move, Timer, Timers},
};
use gatepost_process::clock::Clock;
use gatepost_storage::StoreError;
use jiff::SignedDuration;
use rand::{Rng as _, rngs::StdRng};
use tokio::sync::watch;

use super::{
    clock::{Skewed, Time},
    index::{Reached, Shared},
};
use crate::{
    config,
    fire::Fired,
    metrics::Metrics,
    problem::Problem,
    timers::{Ground, Timekeeping, follow},
};

/// The longest that anything on its way takes, in milliseconds.
const LATENCY_MAX: i64 = 30;

/// Everything there is besides the replicas.
pub struct Model {
    pub time: Time,
    pub index: Shared,
    pub random: Mutex<StdRng>,
    pub rows: Mutex<BTreeMap<ParcelId, Row>>,
    pub effects: Mutex<Vec<Effect>>,
    /// Timers that were fired.
    pub asked: AtomicU64,
    /// Writes to the index that were lost.
    pub lost: AtomicU64,
    /// Parcels that a sweep found although the index had had its time: what is set into the past may be found by either.
    pub swept: AtomicU64,
    /// In percent, of these.
    pub lost_writes: u32,
    pub lost_cancels: u32,
    pub lost_answers: u32,
    pub panics: u32,
}

/// One parcel.
#[derive(Debug, Clone)]
pub struct Row {
    /// To come, next first.
    pub deadlines: VecDeque<Timestamp>,
    /// When the next one was set.
    pub set_at: Timestamp,
}

/// What happened when a deadline came.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    pub parcel: ParcelId,
    pub due: Timestamp,
    pub at: Timestamp,
    pub set_at: Timestamp,
}

impl Model {
    pub fn rows(&self) -> MutexGuard<'_, BTreeMap<ParcelId, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn effects(&self) -> MutexGuard<'_, Vec<Effect>> {
        self.effects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn random(&self) -> MutexGuard<'_, StdRng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn latency(&self) {
        let milliseconds = self.random().random_range(0..=LATENCY_MAX);
        self.time.sleep_until(self.time.now() + SignedDuration::from_millis(milliseconds)).await;
    }

    pub fn chance(&self, percent: u32) -> bool {
        percent > 0 && self.random().random_range(0..100) < percent
    }

    pub fn loses(&self, step: &Move) -> bool {
        self.chance(if step.due.is_some() { self.lost_writes } else { self.lost_cancels })
    }

    pub fn lose(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    /// One transaction: what is due happens, and what comes next is set. Returns what moved as well.
    fn commit(&self, parcels: &[ParcelId], now: Timestamp) -> (Fired, Vec<Move>) {
        let (mut fired, mut moves) = (Fired::default(), Vec::new());
        let (at, mut rows) = (self.time.now(), self.rows());
        for parcel in parcels {
            let Some(row) = rows.get_mut(parcel) else { continue };
            let Some(due) = row.deadlines.front().copied() else { continue };
            if due > now {
                fired.not_due.push(Timer { due, parcel: *parcel });
                continue;
            }
            row.deadlines.pop_front();
            self.effects().push(Effect { parcel: *parcel, due, at, set_at: row.set_at });
            row.set_at = at;
            let next = row.deadlines.front().copied();
            if next == Some(due) {
                fired.not_due.push(Timer { due, parcel: *parcel });
            } else {
                moves.push(Move { parcel: *parcel, was: None, due: next });
            }
            fired.changed += 1;
        }
        (fired, moves)
    }
}

/// A replica; clones share it.
#[derive(Clone)]
pub struct Replica(Arc<Parts>);

struct Parts {
    model: Arc<Model>,
    clock: Skewed,
    index: Reached,
    settings: config::Timers,
    metrics: Metrics,
    timekeeping: Timekeeping,
    woken: watch::Sender<u64>,
}

impl Replica {
    /// One that was just started.
    pub fn new(model: &Arc<Model>, number: usize, ahead: i64) -> Replica {
        Replica(Arc::new(Parts {
            clock: Skewed { time: model.time.clone(), ahead: SignedDuration::from_millis(ahead) },
            index: Reached { model: Arc::clone(model), replica: number, server: Mutex::default() },
            model: Arc::clone(model),
            settings: config::Timers::default(),
            metrics: Metrics::default(),
            timekeeping: Timekeeping::default(),
            woken: watch::Sender::new(0),
        }))
    }
}

#[async_trait]
impl Ground for Replica {
    fn settings(&self) -> &config::Timers {
        &self.0.settings
    }

    fn index(&self) -> &dyn Timers {
        &self.0.index
    }

    fn clock(&self) -> &dyn Clock {
        &self.0.clock
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

    async fn fire(&self, parcels: &[ParcelId], now: Timestamp) -> Result<Fired, Problem> {
        let model = &self.0.model;
        model.asked.fetch_add(parcels.len() as u64, Ordering::Relaxed);
        model.latency().await;
        let failed = || Problem::Store(StoreError::Unavailable("the model says so".to_owned()));
        if model.chance(model.lost_answers) {
            return Err(failed());
        }
        assert!(!model.chance(model.panics), "the model says so");
        let (fired, moves) = model.commit(parcels, now);
        model.latency().await;
        follow(self, moves).await;
        // Committed, and nobody told.
        if model.chance(model.lost_answers) { Err(failed()) } else { Ok(fired) }
    }

    async fn deadlines(
        &self,
        after: Option<Timer>,
        until: Option<Timestamp>,
        limit: u64,
    ) -> Result<Vec<Timer>, StoreError> {
        self.0.model.latency().await;
        let due = |(parcel, row): (&ParcelId, &Row)| Some(Timer { due: *row.deadlines.front()?, parcel: *parcel });
        let mut timers: Vec<Timer> = self.0.model.rows().iter().filter_map(due).collect();
        timers.sort_unstable();
        timers.retain(|timer| after.is_none_or(|after| *timer > after) && until.is_none_or(|until| timer.due <= until));
        timers.truncate(limit as usize);
        // What was read is old when it is used.
        self.0.model.latency().await;
        Ok(timers)
    }

    async fn overdue(&self, at: Timestamp, limit: u64) -> Result<Vec<ParcelId>, StoreError> {
        let overdue = self.deadlines(None, Some(at), limit).await?;
        let missed = {
            let rows = self.0.model.rows();
            overdue.iter().filter(|timer| rows.get(&timer.parcel).is_some_and(|row| row.set_at <= at)).count()
        };
        self.0.model.swept.fetch_add(missed as u64, Ordering::Relaxed);
        Ok(overdue.into_iter().map(|timer| timer.parcel).collect())
    }

    async fn rows_time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.0.model.latency().await;
        let now = self.0.model.time.now();
        self.0.model.latency().await;
        Ok(Some(now))
    }
}
