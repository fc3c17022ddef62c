//! When a key was last used: coarse, and beside the calls' way, so that no call waits for it.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, PoisonError},
};

use gatepost_domain::{Timestamp, id::KeyId};
use gatepost_storage::{Key, StoreError};
use jiff::SignedDuration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::platform::Platform;

/// A use is noted when the last one noted is this old.
const COARSE: SignedDuration = SignedDuration::from_mins(5);

/// Uses to be noted. Never more than there are keys.
#[derive(Default)]
pub struct Uses {
    unwritten: Mutex<HashMap<KeyId, Timestamp>>,
    news: Notify,
}

impl Uses {
    /// Notes that `key` was used.
    pub fn note(&self, key: &Key, now: Timestamp) {
        if key.last_used_at.is_none_or(|at| at + COARSE <= now) {
            self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).insert(key.id, now);
            self.news.notify_one();
        }
    }

    fn take(&self) -> HashMap<KeyId, Timestamp> {
        mem::take(&mut *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes what was noted. A failure loses nothing that the next call would not bring again.
pub async fn run(platform: Platform, draining: CancellationToken) -> anyhow::Result<()> {
    loop {
        let over = tokio::select! {
            () = draining.cancelled() => true,
            () = platform.key_uses.news.notified() => false,
        };
        if let Err(error) = write(&platform).await {
            tracing::warn!(%error, "the use of keys was not noted");
        }
        if over {
            return Ok(());
        }
    }
}

async fn write(platform: &Platform) -> Result<(), StoreError> {
    let uses = platform.key_uses.take();
    if uses.is_empty() {
        return Ok(());
    }
    let tx = platform.store.write().await?;
    for (key, at) in uses {
        tx.key_used(key, at, at - COARSE).await?;
    }
    tx.commit().await
}
