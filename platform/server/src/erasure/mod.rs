//! Erasures: the rows of a resident go at once; then every replica clears its memory and says so; then a certificate of all
//! that is signed. What was cleared is cleared whether anybody signs or not.

pub mod certificate;

use gatepost_domain::Timestamp;
use gatepost_storage::{Confirmation, Erasure};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::certificate::{Certificate, Replica};
use crate::{
    platform::Platform,
    problem::{Problem, settle},
};

/// How often a replica looks for erasures that others began.
const EVERY: SignedDuration = SignedDuration::from_secs(10);
/// How often it says that it runs.
const BEAT: SignedDuration = SignedDuration::from_secs(30);
/// Who was not heard of for so long has ended, and its memory with it.
const GONE: SignedDuration = SignedDuration::from_secs(90);
const AT_ONCE: u64 = 100;

/// Runs until the process drains.
pub async fn run(platform: Platform, draining: CancellationToken) -> anyhow::Result<()> {
    let mut replica = Memory { id: platform.new_id(), beat_at: None };
    let mut news = platform.wakes.erasures.subscribe();
    loop {
        let began = platform.now();
        if let Err(problem) = replica.turn(&platform).await {
            tracing::error!(error = %problem, "erasures are not completed yet, it will be tried again");
        }
        tokio::select! {
            () = draining.cancelled() => break,
            _ = news.changed() => {}
            () = platform.clock.sleep_until(began + EVERY) => {}
        }
    }
    let tx = platform.store.write().await?;
    tx.forget_replicas(replica.id, platform.now() - GONE).await?;
    Ok(tx.commit().await?)
}

/// How many replicas have still to confirm an erasure.
pub async fn waited_for(platform: &Platform, erasure: &Erasure) -> Result<usize, Problem> {
    if erasure.completed.is_some() {
        return Ok(0);
    }
    let tx = platform.store.read().await?;
    let confirmed = tx.erasure_confirmations(erasure.id).await?;
    Ok(outstanding(&tx.replicas(platform.now() - GONE).await?, &confirmed))
}

fn outstanding(running: &[Uuid], confirmed: &[Confirmation]) -> usize {
    running.iter().filter(|replica| !confirmed.iter().any(|by| by.replica == **replica)).count()
}

/// This replica, whose memory may hold somebody's face.
struct Memory {
    id: Uuid,
    beat_at: Option<Timestamp>,
}

impl Memory {
    async fn turn(&mut self, platform: &Platform) -> Result<(), Problem> {
        let now = platform.now();
        if self.beat_at.is_none_or(|at| at + BEAT <= now) {
            let tx = platform.store.write().await?;
            tx.beat(self.id, now).await?;
            tx.commit().await?;
            self.beat_at = Some(now);
        }
        let running = platform.store.read().await?.running_erasures(AT_ONCE).await?;
        for erasure in running {
            self.confirm(platform, &erasure).await?;
            settle(|| complete(platform, &erasure)).await?;
        }
        Ok(())
    }

    async fn confirm(&self, platform: &Platform, erasure: &Erasure) -> Result<(), Problem> {
        let faces = platform.vault.clear(&erasure.community, erasure.resident).await;
        // What was deleted is overwritten in the file, and stands in SQLite's log no more.
        platform.store.empty_log().await?;
        let tx = platform.store.write().await?;
        let confirmation = Confirmation { replica: self.id, confirmed_at: platform.now(), faces };
        tx.confirm_erasure(erasure.id, confirmation).await?;
        Ok(tx.commit().await?)
    }
}

/// Signs the certificate once everybody has confirmed.
async fn complete(platform: &Platform, erasure: &Erasure) -> Result<(), Problem> {
    let now = platform.now();
    let tx = platform.store.write().await?;
    let confirmed = tx.erasure_confirmations(erasure.id).await?;
    if outstanding(&tx.replicas(now - GONE).await?, &confirmed) > 0 {
        return Ok(());
    }
    let replicas = confirmed.iter().map(Replica::of).collect();
    let kept = tx.rows_kept(erasure.resident).await?;
    let certificate = Certificate::new(erasure, kept, replicas, now);
    let signed = certificate.sign(&platform.vault.signing_key(&tx, now).await?)?;
    tx.complete_erasure(erasure.id, now, &signed).await?;
    Ok(tx.commit().await?)
}
