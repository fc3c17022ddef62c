//! What the timers stand on: the platform, and in the model test what is too simple to be wrong.

use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use futures::FutureExt as _;
use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Move, Timer, Timers},
};
use gatepost_process::clock::Clock;
use gatepost_storage::StoreError;
use jiff::SignedDuration;
use tokio::sync::watch;

use super::Timekeeping;
use crate::{config, failpoint, fire::Fired, metrics::Metrics, platform::Platform, problem::Problem};

/// Looks at parcels whose time may have come. A step that panics is one that failed: it is tried again, and the loop and
/// everything else that is due go on.
pub(super) async fn fire(ground: &impl Ground, parcels: &[ParcelId], now: Timestamp) -> Result<Fired, Problem> {
    let fired = AssertUnwindSafe(ground.fire(parcels, now)).catch_unwind().await;
    fired.unwrap_or(Err(Problem::Bug("a deadline's step panicked")))
}

/// Rows, index and clock, as the loops of the timers see them.
#[async_trait]
pub trait Ground: Clone + Send + Sync + 'static {
    /// `[timers]`.
    fn settings(&self) -> &config::Timers;
    /// The index over the rows' deadlines.
    fn index(&self) -> &dyn Timers;
    /// This replica's own clock.
    fn clock(&self) -> &dyn Clock;
    /// Counts and durations.
    fn metrics(&self) -> &Metrics;
    /// What is known of the index.
    fn timekeeping(&self) -> &Timekeeping;
    /// Grows when the loop must look at the index.
    fn woken(&self) -> &watch::Sender<u64>;

    /// Looks at these parcels at this time, and does what is due.
    async fn fire(&self, parcels: &[ParcelId], now: Timestamp) -> Result<Fired, Problem>;
    /// The rows' deadlines after one and up to an instant, earliest first.
    async fn deadlines(
        &self,
        after: Option<Timer>,
        until: Option<Timestamp>,
        limit: u64,
    ) -> Result<Vec<Timer>, StoreError>;
    /// Parcels due at an instant, the longest due first.
    async fn overdue(&self, at: Timestamp, limit: u64) -> Result<Vec<ParcelId>, StoreError>;

    /// The rows' own time, if they have one that all replicas share.
    async fn rows_time(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The present, by this replica's own clock.
    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    /// The time that decides what is due: the index's, as all replicas share it, wherever it has one.
    fn shared_now(&self) -> Timestamp {
        self.now() + self.timekeeping().offset()
    }

    /// Makes the loop look at the index.
    fn wake(&self) {
        self.woken().send_modify(|count| *count += 1);
    }

    /// How far overdue a deadline must be before the sweep takes it from the index.
    fn grace(&self) -> SignedDuration {
        SignedDuration::try_from(self.settings().sweep_grace).unwrap_or(SignedDuration::MAX)
    }
}

#[async_trait]
impl Ground for Platform {
    fn settings(&self) -> &config::Timers {
        &self.config.timers
    }

    fn index(&self) -> &dyn Timers {
        &*self.timers
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn timekeeping(&self) -> &Timekeeping {
        &self.timekeeping
    }

    fn woken(&self) -> &watch::Sender<u64> {
        &self.wakes.timers
    }

    async fn fire(&self, parcels: &[ParcelId], now: Timestamp) -> Result<Fired, Problem> {
        Platform::fire(self, parcels, now).await
    }

    async fn deadlines(
        &self,
        after: Option<Timer>,
        until: Option<Timestamp>,
        limit: u64,
    ) -> Result<Vec<Timer>, StoreError> {
        self.store.read().await?.deadlines(after, until, limit).await
    }

    async fn overdue(&self, at: Timestamp, limit: u64) -> Result<Vec<ParcelId>, StoreError> {
        self.store.read().await?.due_parcels(at, limit).await
    }

    async fn rows_time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.time().await
    }
}

/// After a commit: moves the index after the rows. That it does not follow is no error: the look ahead puts back what
/// it misses, and the sweep finds the rest.
pub async fn follow(ground: &impl Ground, mut moves: Vec<Move>) {
    moves.retain(|step| !failpoint::loses(if step.due.is_some() { "timers.put" } else { "timers.cancel" }));
    if moves.is_empty() {
        return;
    }
    failpoint::die_at("timers.moving");
    let count = moves.len() as u64;
    if let Err(error) = ground.index().schedule(&moves).await {
        tracing::warn!(timers = count, %error, "timers not moved, the look ahead or the sweep will find them");
        ground.metrics().timers_not_moved.add(count, &[]);
        ground.timekeeping().doubt();
    }
    ground.metrics().timers_scheduled.add(count, &[]);
    if let Some(due) = moves.iter().filter_map(|step| step.due).min()
        && ground.timekeeping().looks_later_than(due)
    {
        ground.wake();
    }
}
