//! What is done now and then: answers whose repetition is no longer promised are thrown away, sightings that are too old
//! to tell anything, and what was deleted but still stands in SQLite's log; and whatever a dying process left undone of
//! a change of the policy is done. Callers that have gone are forgotten.

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::{capture, platform::Platform, problem::Problem, vision::models::Models};

/// Request ids are promised for 24 hours.
const ANSWERS_KEPT: SignedDuration = SignedDuration::from_hours(25);
/// Longer than a walk through any community.
const SIGHTINGS_KEPT: SignedDuration = SignedDuration::from_mins(30);

/// Runs until the process drains, as often as the rows are swept.
pub async fn keep_house(platform: Platform, draining: CancellationToken) -> anyhow::Result<()> {
    let every = SignedDuration::try_from(platform.config.timers.sweep_every)?;
    loop {
        if let Err(error) = platform.rearm().await {
            tracing::error!(%error, "deadlines do not all follow the policy yet, it will be tried again");
        }
        tokio::select! {
            () = draining.cancelled() => return Ok(()),
            () = platform.clock.sleep_until(platform.now() + every) => {}
        }
        platform.quotas.forget_idle();
        if let Err(error) = throw_away(&platform).await {
            tracing::error!(%error, "old answers not thrown away, it will be tried again");
        }
    }
}

async fn throw_away(platform: &Platform) -> Result<(), Problem> {
    platform.vault.forget_enrolled(platform.now()).await;
    let models = Models::read(&platform.store.read().await?).await?;
    platform.vault.forget_other_models(&models).await;
    let tx = platform.store.write().await?;
    tx.forget_answers(platform.now() - ANSWERS_KEPT).await?;
    tx.forget_sightings(platform.now() - SIGHTINGS_KEPT).await?;
    tx.forget_captures(platform.now() - capture::KEPT_FOR).await?;
    tx.commit().await?;
    Ok(platform.store.empty_log().await?)
}
