//! Finds overdue rows now and then, whatever the index says: with the index away, deadlines still happen.

use gatepost_domain::id::ParcelId;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::{platform::Platform, problem::Problem};

/// What the sweep leaves to the index.
const GRACE: SignedDuration = SignedDuration::from_secs(30);
/// Parcels fired in one transaction.
const BATCH: u64 = 500;
/// Request ids are promised for 24 hours.
const ANSWERS_KEPT: SignedDuration = SignedDuration::from_hours(25);

/// Longer than a walk through any community.
const SIGHTINGS_KEPT: SignedDuration = SignedDuration::from_mins(30);

/// Runs until the process drains.
pub async fn sweep(platform: Platform, draining: CancellationToken) -> anyhow::Result<()> {
    let every = SignedDuration::try_from(platform.config.timers.sweep_every)?;
    loop {
        tokio::select! {
            () = draining.cancelled() => return Ok(()),
            () = platform.clock.sleep_until(platform.now() + every) => {}
        }
        if let Err(error) = sweep_once(&platform, &draining).await {
            tracing::error!(%error, "sweep failed, it will be tried again");
        }
    }
}

/// Goes on until nothing is overdue, so that a backlog takes no longer than it must.
async fn sweep_once(platform: &Platform, draining: &CancellationToken) -> Result<(), Problem> {
    while !draining.is_cancelled() {
        let now = platform.shared_now();
        let tx = platform.store.read().await?;
        let overdue = tx.due_parcels(now - GRACE, BATCH).await?;
        drop(tx);
        if overdue.is_empty() {
            break;
        }
        let changed = fire(platform, &overdue, now).await;
        tracing::warn!(parcels = changed, "the sweep found deadlines that the timer index had missed");
        platform.metrics.timers_swept.add(changed as u64, &[]);
        if changed == 0 || (overdue.len() as u64) < BATCH {
            break;
        }
    }
    let tx = platform.store.write().await?;
    tx.forget_answers(platform.now() - ANSWERS_KEPT).await?;
    tx.forget_sightings(platform.now() - SIGHTINGS_KEPT).await?;
    tx.commit().await?;
    platform.store.empty_log().await?;
    Ok(())
}

/// All at once, or one by one when one of them cannot be decided. Returns how many changed.
async fn fire(platform: &Platform, parcels: &[ParcelId], now: gatepost_domain::Timestamp) -> usize {
    if let Ok(fired) = platform.fire(parcels, now).await {
        return fired.changed;
    }
    let mut changed = 0;
    for parcel in parcels {
        match platform.fire(&[*parcel], now).await {
            Ok(fired) => changed += fired.changed,
            Err(error) => tracing::error!(parcel.id = %parcel, %error, "overdue deadline not handled"),
        }
    }
    changed
}
