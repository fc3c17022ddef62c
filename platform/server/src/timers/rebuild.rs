//! Makes the index again from the rows, earliest deadlines first, so that what is urgent is there first.

use futures::future::join;
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
    let after = match ground.index().begin_rebuild().await {
        // The other one will end it, or its turn does.
        Err(TimersError::Busy) => return Ok(()),
        after => after?,
    };
    let mut total = 0;
    let mut page = ground.deadlines(after, None, ROWS).await.map_err(unavailable)?;
    loop {
        let last = (page.len() as u64) < ROWS;
        failpoint::die_at("timers.rebuilding");
        // The rows are read on while the index is written.
        let next =
            async { if last { Ok(Vec::new()) } else { ground.deadlines(page.last().copied(), None, ROWS).await } };
        let (written, next) = join(ground.index().rebuild(&page, last), next).await;
        written?;
        total += page.len() as u64;
        ground.metrics().timers_rebuilt.add(page.len() as u64, &[]);
        // The first page is what is most urgent: the loop should not wait for the others.
        ground.wake();
        if last {
            let took = ground.now().duration_since(began).as_secs_f64().max(0.0);
            ground.metrics().timers_rebuild.record(took, &[]);
            tracing::info!(timers = total, seconds = took, "timer index made from the rows");
            return Ok(());
        }
        page = next.map_err(unavailable)?;
    }
}
