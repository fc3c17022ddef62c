//! Makes the index again from the rows, earliest deadlines first, so that what is urgent is there first.

use gatepost_domain::ports::TimersError;
use gatepost_storage::StoreError;

use super::ground::Ground;
use crate::failpoint;

/// Rows read at once.
const ROWS: u64 = 5000;

/// Goes on where one that died left off. [`TimersError::Busy`] while another replica is at it.
pub(super) async fn rebuild(ground: &impl Ground) -> Result<(), TimersError> {
    let unavailable = |error: StoreError| TimersError::Unavailable(error.to_string());
    let began = ground.now();
    let mut after = match ground.index().begin_rebuild().await {
        // The other one will end it, or its turn does.
        Err(TimersError::Busy) => return Ok(()),
        after => after?,
    };
    let mut total = 0;
    loop {
        let page = ground.deadlines(after, None, ROWS).await.map_err(unavailable)?;
        let last = (page.len() as u64) < ROWS;
        failpoint::die_at("timers.rebuilding");
        ground.index().rebuild(&page, last).await?;
        total += page.len() as u64;
        ground.metrics().timers_rebuilt.add(page.len() as u64, &[]);
        after = page.last().copied();
        // The first page is what is most urgent: the loop should not wait for the others.
        ground.wake();
        if last {
            let took = ground.now().duration_since(began).as_secs_f64().max(0.0);
            ground.metrics().timers_rebuild.record(took, &[]);
            tracing::info!(timers = total, seconds = took, "timer index made from the rows");
            return Ok(());
        }
    }
}
