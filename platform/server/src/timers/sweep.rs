//! Finds overdue rows now and then, whatever the index says: with the index away, deadlines still happen.

use gatepost_domain::{Timestamp, id::ParcelId};
use gatepost_storage::StoreError;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::ground::{self, Ground};

/// Parcels fired in one transaction.
const BATCH: u64 = 500;

/// Runs until the process drains.
pub async fn sweep<G: Ground>(ground: G, draining: CancellationToken) -> anyhow::Result<()> {
    let every = SignedDuration::try_from(ground.settings().sweep_every)?;
    loop {
        tokio::select! {
            biased;
            () = draining.cancelled() => return Ok(()),
            () = ground.clock().sleep_until(ground.now() + every) => {}
        }
        if let Err(error) = sweep_once(&ground, &draining).await {
            tracing::error!(%error, "sweep failed, it will be tried again");
        }
    }
}

/// Goes on until nothing is overdue, so that a backlog takes no longer than it must.
async fn sweep_once(ground: &impl Ground, draining: &CancellationToken) -> Result<(), StoreError> {
    if ground.settings().server_time && !ground.timekeeping().knows_offset() {
        // The index never told its time: a clock that is minutes ahead must not make anything early.
        let asked = ground.now();
        if let Some(time) = ground.rows_time().await? {
            ground.timekeeping().learn_offset(time.duration_since(asked), ground.now().duration_since(asked));
        }
    }
    while !draining.is_cancelled() {
        let now = ground.shared_now();
        let overdue = ground.overdue(now - ground.grace(), BATCH).await?;
        if overdue.is_empty() {
            break;
        }
        let changed = fire(ground, &overdue, now).await;
        tracing::warn!(parcels = changed, "the sweep found deadlines that the timer index had missed");
        ground.metrics().timers_swept.add(changed as u64, &[]);
        if changed == 0 || (overdue.len() as u64) < BATCH {
            break;
        }
    }
    Ok(())
}

/// All at once, or one by one when one of them cannot be decided. Returns how many changed.
async fn fire(ground: &impl Ground, parcels: &[ParcelId], now: Timestamp) -> usize {
    if let Ok(fired) = ground::fire(ground, parcels, now).await {
        return fired.changed;
    }
    let mut changed = 0;
    for parcel in parcels {
        match ground::fire(ground, &[*parcel], now).await {
            Ok(fired) => changed += fired.changed,
            Err(error) => tracing::error!(parcel.id = %parcel, %error, "overdue deadline not handled"),
        }
    }
    changed
}
