//! How far each courier's log goes, for the streams that follow it. One look serves all of them: ten thousand streams on
//! which nothing happens ask the database no more often than one.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use gatepost_domain::id::CourierId;
use jiff::SignedDuration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{platform::Platform, problem::Problem};

/// Another replica's events are found by looking this often.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// The newest number of every log that is followed, as it was last seen.
#[derive(Default)]
pub struct Heads(Mutex<HashMap<CourierId, watch::Sender<i64>>>);

impl Heads {
    /// Changes after every event that is appended from here on, and perhaps once for those before.
    pub fn follow(&self, courier: &CourierId) -> watch::Receiver<i64> {
        let mut heads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heads.entry(courier.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Whose logs are followed; the others are forgotten.
    fn followed(&self) -> Vec<CourierId> {
        let mut heads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heads.retain(|_, head| !head.is_closed());
        heads.keys().cloned().collect()
    }

    fn tell(&self, newest: Vec<(CourierId, i64)>) {
        let heads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (courier, newest) in newest {
            if let Some(head) = heads.get(&courier) {
                head.send_if_modified(|head| std::mem::replace(head, newest) != newest);
            }
        }
    }
}

/// Looks whenever an event may have been appended, until the process drains.
pub async fn run(platform: Platform, draining: CancellationToken) -> anyhow::Result<()> {
    let mut woken = platform.wakes.events.subscribe();
    loop {
        woken.mark_unchanged();
        let looked_at = platform.now();
        if let Err(error) = look(&platform).await {
            tracing::error!(%error, "couriers' logs not looked at, streams wait until they are");
        }
        tokio::select! {
            () = draining.cancelled() => return Ok(()),
            _ = woken.changed() => {}
            () = platform.clock.sleep_until(looked_at + LOOK_EVERY) => {}
        }
    }
}

async fn look(platform: &Platform) -> Result<(), Problem> {
    let couriers = platform.heads.followed();
    if !couriers.is_empty() {
        let newest = platform.store.read().await?.newest_events(&couriers).await?;
        platform.heads.tell(newest);
    }
    Ok(())
}
