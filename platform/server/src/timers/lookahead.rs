//! Looks for every timer once, ten minutes before it is due, and puts back what the index misses: a write that a crash
//! or a failover lost makes nothing late.

use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Move, Timer, TimersError},
};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::platform::Platform;

const WINDOW: SignedDuration = SignedDuration::from_mins(10);
const EVERY: SignedDuration = SignedDuration::from_secs(30);
/// So far back, where the index went away or a process died: the sweep leaves as much to the index.
const GRACE: SignedDuration = SignedDuration::from_secs(30);
/// Timers looked for at once.
const ROWS: u64 = 5000;

/// Runs until the process drains. When the index comes back after it was away, the window is looked at anew.
pub async fn look_ahead(platform: Platform, draining: CancellationToken) -> anyhow::Result<()> {
    let mut returned = platform.timekeeping.returned.subscribe();
    // Who ran before may have died between a row and its timer, so the first look is at once and a little back.
    let mut checked_until = platform.shared_now() - GRACE;
    loop {
        let now = platform.shared_now();
        match check(&platform, checked_until.max(now - GRACE), now + WINDOW).await {
            Ok(()) => checked_until = now + WINDOW,
            Err(error) => tracing::debug!(error, "not looked ahead, it will be tried again"),
        }
        tokio::select! {
            () = draining.cancelled() => return Ok(()),
            () = platform.clock.sleep_until(platform.now() + EVERY) => {}
            _ = returned.changed() => checked_until = platform.shared_now() - GRACE,
        }
    }
}

async fn check(platform: &Platform, from: Timestamp, until: Timestamp) -> Result<(), String> {
    let store = |error: gatepost_storage::StoreError| error.to_string();
    let index = |error: TimersError| error.to_string();
    // From the instant on, whoever has it.
    let before = from - SignedDuration::from_millis(1);
    let nobody = ParcelId(uuid::Uuid::max());
    let mut after = Some(Timer { due: before, parcel: nobody });
    loop {
        let tx = platform.store.read().await.map_err(store)?;
        let rows = tx.deadlines(after, Some(until), ROWS).await.map_err(store)?;
        drop(tx);
        platform.metrics.timers_checked.add(rows.len() as u64, &[]);
        let missing = platform.timers.missing(&rows).await.map_err(index)?;
        if !missing.is_empty() {
            tracing::warn!(timers = missing.len(), "the timer index had missed timers, they were put back");
            let put = |timer: &Timer| Move { parcel: timer.parcel, was: None, due: Some(timer.due) };
            platform.timers.schedule(&missing.iter().map(put).collect::<Vec<_>>()).await.map_err(index)?;
            platform.metrics.timers_repaired.add(missing.len() as u64, &[]);
            platform.wakes.timers.send_modify(|count| *count += 1);
        }
        if (rows.len() as u64) < ROWS {
            return Ok(());
        }
        after = rows.last().copied();
    }
}
