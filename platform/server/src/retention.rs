//! Deletes couriers' events once they are old enough, a few at a time, so that nobody waits for it.

use gatepost_domain::{Timestamp, id::CourierId};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::{platform::Platform, problem::Problem};

const EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Events deleted in one transaction: few enough that a writer behind it does not notice.
const BATCH: u64 = 500;
const COURIERS_AT_ONCE: u64 = 100;

/// Runs until the process drains.
pub async fn run(platform: Platform, draining: CancellationToken) -> anyhow::Result<()> {
    let keep_for = SignedDuration::try_from(platform.config.events.keep_for)?;
    loop {
        let looked_at = platform.now();
        if let Err(error) = forget(&platform, looked_at - keep_for, &draining).await {
            tracing::error!(%error, "old events not deleted, it will be tried again");
        }
        tokio::select! {
            () = draining.cancelled() => return Ok(()),
            () = platform.clock.sleep_until(looked_at + EVERY) => {}
        }
    }
}

async fn forget(platform: &Platform, before: Timestamp, draining: &CancellationToken) -> Result<(), Problem> {
    let mut after: Option<CourierId> = None;
    loop {
        let couriers = platform.store.read().await?.couriers(after.as_ref(), COURIERS_AT_ONCE).await?;
        for courier in &couriers {
            forget_of(platform, &courier.id, before, draining).await?;
        }
        match couriers.last() {
            Some(last) if couriers.len() as u64 == COURIERS_AT_ONCE => after = Some(last.id.clone()),
            _ => return Ok(()),
        }
    }
}

async fn forget_of(
    platform: &Platform,
    courier: &CourierId,
    before: Timestamp,
    draining: &CancellationToken,
) -> Result<(), Problem> {
    while !draining.is_cancelled() {
        let tx = platform.store.write().await?;
        let forgotten = tx.forget_events(courier, before, BATCH).await?;
        tx.commit().await?;
        platform.metrics.events_expired.add(forgotten, &[]);
        if forgotten < BATCH {
            break;
        }
    }
    Ok(())
}
