//! Looks for every timer once, ten minutes before it is due, and puts back what the index misses: a write that a crash
//! or a failover lost makes nothing late.

use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Move, Timer},
};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::ground::Ground;

const WINDOW: SignedDuration = SignedDuration::from_mins(10);
const EVERY: SignedDuration = SignedDuration::from_secs(30);
/// Timers looked for at once.
const ROWS: u64 = 5000;

/// Runs until the process drains. When writes may have been lost, the whole window is looked at anew: at once when the
/// index comes back after it was away or is another server's now, with the next look when it only refused some.
pub async fn look_ahead<G: Ground>(ground: G, draining: CancellationToken) -> anyhow::Result<()> {
    let mut returned = ground.timekeeping().returned.subscribe();
    // So far back, where a process died between a row and its timer: the sweep leaves as much to the index.
    let anew = || ground.shared_now() - ground.grace();
    let mut checked_until = anew();
    loop {
        let now = ground.shared_now();
        match check(&ground, checked_until.max(now - ground.grace()), now + WINDOW).await {
            Ok(0) => checked_until = now + WINDOW,
            // Whether what was put back is there is looked at once more.
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "not looked ahead, it will be tried again"),
        }
        tokio::select! {
            biased;
            () = draining.cancelled() => return Ok(()),
            _ = returned.changed() => checked_until = anew(),
            () = ground.clock().sleep_until(ground.now() + EVERY) => {}
        }
        if ground.timekeeping().is_in_doubt() {
            checked_until = anew();
        }
    }
}

/// Puts back what is missing; how many timers were.
async fn check(ground: &impl Ground, from: Timestamp, until: Timestamp) -> anyhow::Result<usize> {
    // From the instant on, whoever has it.
    let before = from - SignedDuration::from_millis(1);
    let nobody = ParcelId(uuid::Uuid::max());
    let mut after = Some(Timer { due: before, parcel: nobody });
    let mut repaired = 0;
    loop {
        let rows = ground.deadlines(after, Some(until), ROWS).await?;
        ground.metrics().timers_checked.add(rows.len() as u64, &[]);
        let missing = ground.index().missing(&rows).await?;
        if !missing.is_empty() {
            tracing::warn!(timers = missing.len(), "the timer index had missed timers, they were put back");
            let put = |timer: &Timer| Move { parcel: timer.parcel, was: None, due: Some(timer.due) };
            ground.index().schedule(&missing.iter().map(put).collect::<Vec<_>>()).await?;
            repaired += missing.len();
            ground.metrics().timers_repaired.add(missing.len() as u64, &[]);
            ground.wake();
        }
        if (rows.len() as u64) < ROWS {
            return Ok(repaired);
        }
        after = rows.last().copied();
    }
}
