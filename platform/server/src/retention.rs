//! Deletes what is old enough, class by class and a few rows at a time, so that nobody waits for it. How long each class
//! is kept stands in `config/retention.rs`.

use gatepost_domain::{Timestamp, id::CourierId};
use gatepost_storage::LookChain;
use jiff::SignedDuration;
use opentelemetry::KeyValue;
use tokio_util::sync::CancellationToken;

use crate::{platform::Platform, problem::Problem, vault::rotate};

const EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Rows deleted in one transaction: few enough that a writer behind it does not notice.
const BATCH: u64 = 500;
const COURIERS_AT_ONCE: u64 = 100;

/// Runs until the process drains.
pub async fn run(platform: Platform, draining: CancellationToken) -> anyhow::Result<()> {
    loop {
        let looked_at = platform.now();
        let retention = Retention { platform: &platform, now: looked_at, draining: &draining };
        if let Err(error) = retention.events().await {
            tracing::error!(%error, "old events not deleted, it will be tried again");
        }
        if let Err(error) = retention.looks().await {
            tracing::error!(%error, "old looks not deleted, it will be tried again");
        }
        if let Err(error) = retention.residents().await {
            tracing::error!(%error, "old rows about residents not deleted, it will be tried again");
        }
        tokio::select! {
            () = draining.cancelled() => return Ok(()),
            () = platform.clock.sleep_until(looked_at + EVERY) => {}
        }
    }
}

/// One turn.
struct Retention<'a> {
    platform: &'a Platform,
    now: Timestamp,
    draining: &'a CancellationToken,
}

impl Retention<'_> {
    /// Before when a class is old.
    fn before(&self, kept_for: std::time::Duration) -> Result<Timestamp, Problem> {
        let kept_for = SignedDuration::try_from(kept_for).map_err(|_| Problem::Bug("a time that settings allow"))?;
        Ok(self.now - kept_for)
    }

    async fn events(&self) -> Result<(), Problem> {
        let before = self.before(self.platform.config.events.keep_for)?;
        let mut after: Option<CourierId> = None;
        loop {
            let couriers = self.platform.store.read().await?.couriers(after.as_ref(), COURIERS_AT_ONCE).await?;
            for courier in &couriers {
                self.events_of(&courier.id, before).await?;
            }
            match couriers.last() {
                Some(last) if couriers.len() as u64 == COURIERS_AT_ONCE => after = Some(last.id.clone()),
                _ => return Ok(()),
            }
        }
    }

    async fn events_of(&self, courier: &CourierId, before: Timestamp) -> Result<(), Problem> {
        while !self.draining.is_cancelled() {
            let tx = self.platform.store.write().await?;
            let forgotten = tx.forget_events(courier, before, BATCH).await?;
            tx.commit().await?;
            self.platform.metrics.events_expired.add(forgotten, &[]);
            if forgotten < BATCH {
                break;
            }
        }
        Ok(())
    }

    /// What is kept about residents: each class by its own age.
    async fn residents(&self) -> Result<(), Problem> {
        let kept_for = &self.platform.config.retention;
        self.forget(&Class::Notices, self.before(kept_for.notices)?).await?;
        self.forget(&Class::Pickups, self.before(kept_for.pickups)?).await?;
        self.forget(&Class::Decisions, self.before(kept_for.decisions)?).await?;
        self.forget(&Class::Addressees, self.before(kept_for.addressees)?).await
    }

    async fn looks(&self) -> Result<(), Problem> {
        let before = self.before(self.platform.config.retention.looks)?;
        let communities = rotate::communities(&self.platform.store).await?;
        for chain in communities.into_iter().map(Some).chain([None]) {
            self.forget(&Class::Looks(chain), before).await?;
        }
        Ok(())
    }

    /// Forgets a few at a time until there are none left.
    async fn forget(&self, class: &Class, before: Timestamp) -> Result<(), Problem> {
        while !self.draining.is_cancelled() {
            let tx = self.platform.store.write().await?;
            let forgotten = match class {
                Class::Looks(chain) => tx.forget_looks(chain, before, BATCH).await?,
                Class::Notices => tx.forget_notices(before, BATCH).await?,
                Class::Pickups => tx.forget_pickups(before, BATCH).await?,
                Class::Decisions => tx.forget_decisions(before, BATCH).await?,
                Class::Addressees => tx.forget_addressees(before, BATCH).await?,
            };
            tx.commit().await?;
            self.platform.metrics.retention_deleted.add(forgotten, &[KeyValue::new("class", class.label())]);
            if forgotten == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// What is forgotten together.
enum Class {
    Looks(LookChain),
    Notices,
    Pickups,
    Decisions,
    Addressees,
}

impl Class {
    /// The class as a metric's label.
    fn label(&self) -> &'static str {
        match self {
            Class::Looks(_) => "looks",
            Class::Notices => "notices",
            Class::Pickups => "pickups",
            Class::Decisions => "decisions",
            Class::Addressees => "addressees",
        }
    }
}
