//! Takes due deadlines and lets each parcel decide. Sweeps the rows for what the index missed, and makes the index
//! again when it was lost.

use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Claim, TimersError},
};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::{platform::Platform, problem::Problem};

/// At most this long without looking at the index: another replica may have set an earlier timer.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(5);
/// What the sweep leaves to the index.
const SWEEP_GRACE: SignedDuration = SignedDuration::from_secs(30);
/// Rows read at once while rebuilding or sweeping.
const PAGE: u64 = 500;

/// Runs until the process drains.
pub async fn run(platform: Platform, draining: CancellationToken) -> anyhow::Result<()> {
    let mut woken = platform.wakes.timers.subscribe();
    loop {
        woken.mark_unchanged();
        let next = match turn(&platform).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, "timer index not read, the sweep goes on");
                platform.now() + SignedDuration::from_secs(1)
            }
        };
        let next = next.min(platform.now() + LONGEST_WAIT);
        tokio::select! {
            () = draining.cancelled() => return Ok(()),
            () = platform.clock.sleep_until(next) => {}
            _ = woken.changed() => {}
        }
    }
}

/// Fires what is due now. Returns when to look again.
async fn turn(platform: &Platform) -> Result<Timestamp, TimersError> {
    let settings = &platform.config.timers;
    let lease = SignedDuration::try_from(settings.lease).unwrap_or(SignedDuration::from_secs(5));
    loop {
        let now = platform.now();
        let claim = match platform.timers.claim(now, now + lease, settings.batch).await {
            Err(TimersError::Lost) => {
                rebuild(platform).await?;
                continue;
            }
            claim => claim?,
        };
        let Claim { timers, next_due } = claim;
        if timers.is_empty() {
            return Ok(next_due.unwrap_or(Timestamp::MAX));
        }
        let mut done = Vec::with_capacity(timers.len());
        for claimed in timers {
            // What could not be decided keeps its lease and comes back when that ends.
            if fire(platform, claimed.parcel).await {
                done.push(claimed);
            }
        }
        platform.timers.acknowledge(&done).await?;
    }
}

async fn fire(platform: &Platform, parcel: ParcelId) -> bool {
    match platform.fire(parcel).await {
        Ok(_) => true,
        Err(error) => {
            tracing::error!(parcel.id = %parcel, %error, "deadline not handled, it will be tried again");
            false
        }
    }
}

/// Makes the index again from the rows, earliest deadlines first.
pub async fn rebuild(platform: &Platform) -> Result<(), TimersError> {
    let unavailable = |error: gatepost_storage::StoreError| TimersError::Unavailable(error.to_string());
    let mut after = None;
    let mut total = 0;
    loop {
        let tx = platform.store.read().await.map_err(unavailable)?;
        let page = tx.deadlines(after, PAGE).await.map_err(unavailable)?;
        drop(tx);
        let last = (page.len() as u64) < PAGE;
        platform.timers.rebuild(&page, last).await?;
        total += page.len() as u64;
        after = page.last().map(|(parcel, due)| (*due, *parcel));
        if last {
            tracing::info!(timers = total, "timer index made from the rows");
            platform.metrics.timers_rebuilt.add(total, &[]);
            return Ok(());
        }
    }
}

/// Finds overdue rows now and then, whatever the index says, until the process drains.
pub async fn sweep(platform: Platform, draining: CancellationToken) -> anyhow::Result<()> {
    let every = SignedDuration::try_from(platform.config.timers.sweep_every)?;
    loop {
        tokio::select! {
            () = draining.cancelled() => return Ok(()),
            () = platform.clock.sleep_until(platform.now() + every) => {}
        }
        if let Err(error) = sweep_once(&platform).await {
            tracing::error!(%error, "sweep failed, it will be tried again");
        }
    }
}

async fn sweep_once(platform: &Platform) -> Result<(), Problem> {
    let now = platform.now();
    let tx = platform.store.read().await?;
    let overdue = tx.due_parcels(now - SWEEP_GRACE, PAGE).await?;
    drop(tx);
    for parcel in &overdue {
        fire(platform, *parcel).await;
    }
    if !overdue.is_empty() {
        tracing::warn!(parcels = overdue.len(), "the sweep found deadlines that the timer index had missed");
        platform.metrics.timers_swept.add(overdue.len() as u64, &[]);
    }
    // Request ids are promised for 24 hours.
    let tx = platform.store.write().await?;
    tx.forget_answers(now - SignedDuration::from_hours(25)).await?;
    tx.commit().await?;
    platform.store.empty_log().await?;
    Ok(())
}
