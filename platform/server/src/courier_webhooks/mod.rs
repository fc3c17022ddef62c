//! Couriers' events as webhooks: endpoints that have something to be told take turns, each by itself, so that a slow
//! one holds up nobody else. What is promised stands in `webhooks.proto`.
//!
//! An endpoint follows its courier's log by number, as a stream does; nothing is copied. Whoever calls it holds a lease
//! in its row, so that replicas share the work; whoever dies in a turn leaves it to be done again.

mod gateway;
mod schedule;
mod turn;

use std::{collections::HashMap, time::Duration};

use gatepost_domain::{Timestamp, id::EndpointId};
use gatepost_storage::{Disabled, EndpointLease};
use jiff::SignedDuration;
use opentelemetry::KeyValue;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::gateway::{Delivery, Gateway};
use crate::{platform::Platform, problem::Problem};

/// Endpoints called at once by one replica.
const TURNS_MAX: usize = 128;
/// A turn takes less: see `turn::TIME_MAX` and [`gateway::TIMEOUT`].
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// What became due, and another replica's events, are found by looking this often.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(1);
const MEASURE_EVERY: SignedDuration = SignedDuration::from_secs(15);
/// What calls under way may take to end when the process drains.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// Endpoints and the turns they have at the moment.
#[derive(Default)]
struct Turns {
    running: JoinSet<()>,
    endpoints: HashMap<Id, EndpointId>,
}

/// Tells endpoints until the process drains.
pub async fn run(platform: Platform, draining: CancellationToken) -> anyhow::Result<()> {
    let (mut events, mut endpoints) = (platform.wakes.events.subscribe(), platform.wakes.webhooks.subscribe());
    let mut turns = Turns::default();
    let mut measured_at = Timestamp::MIN;
    loop {
        events.mark_unchanged();
        endpoints.mark_unchanged();
        // Time that passes while we look is not slept away.
        let looked_at = platform.now();
        if let Err(error) = turns.begin(&platform, &draining).await {
            tracing::error!(%error, "webhook endpoints not read, they will be looked at again");
        }
        if platform.now() >= measured_at.saturating_add(MEASURE_EVERY).unwrap_or(Timestamp::MAX) {
            measured_at = platform.now();
            measure(&platform).await;
        }
        tokio::select! {
            () = draining.cancelled() => break,
            Some(ended) = turns.running.join_next_with_id() => turns.end(ended.map_or_else(|e| e.id(), |(id, ())| id)),
            _ = events.changed() => {}
            _ = endpoints.changed() => {}
            () = platform.clock.sleep_until(looked_at + LOOK_EVERY) => {}
        }
    }
    // What is cut off here is told again.
    let ended = async { while turns.running.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN_WITHIN, ended).await;
    Ok(())
}

impl Turns {
    /// Gives turns to endpoints that are due, as far as there is room.
    async fn begin(&mut self, platform: &Platform, draining: &CancellationToken) -> Result<(), Problem> {
        let room = TURNS_MAX - self.endpoints.len();
        let now = platform.now();
        if room == 0 || !platform.store.read().await?.endpoint_is_due(now).await? {
            return Ok(());
        }
        let lease = EndpointLease { token: Uuid::new_v4(), until: now + LEASE };
        // A lease runs out by a clock that may jump; what this process is at is not begun twice.
        let but: Vec<EndpointId> = self.endpoints.values().copied().collect();
        let tx = platform.store.write().await?;
        let claimed = tx.claim_endpoints(now, lease, &but, room as u64).await?;
        tx.commit().await?;
        for endpoint in claimed {
            let id = endpoint.id;
            let turn = turn::take(platform.clone(), endpoint, lease, draining.clone());
            self.endpoints.insert(self.running.spawn(turn).id(), id);
        }
        Ok(())
    }

    fn end(&mut self, turn: Id) {
        self.endpoints.remove(&turn);
    }
}

async fn measure(platform: &Platform) {
    let look = async {
        let tx = platform.store.read().await?;
        Ok::<_, Problem>((tx.oldest_undelivered().await?, tx.disabled_endpoints().await?))
    };
    let (oldest, disabled) = match look.await {
        Ok(found) => found,
        Err(error) => return tracing::warn!(%error, "webhook endpoints not measured"),
    };
    let age = oldest.map_or(0.0, |oldest| platform.now().duration_since(oldest).as_secs_f64().max(0.0));
    platform.metrics.webhooks_oldest.record(age, &[]);
    let reasons = [
        (Disabled::ByCourier, "courier"),
        (Disabled::ByAdministrator, "administrator"),
        (Disabled::Gone, "gone"),
        (Disabled::Failing, "failing"),
    ];
    for (reason, word) in reasons {
        let count = disabled.iter().find(|(found, _)| *found == reason).map_or(0, |(_, count)| *count);
        platform.metrics.webhooks_disabled.record(count, &[KeyValue::new("reason", word)]);
    }
}
