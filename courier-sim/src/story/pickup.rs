//! Parcel A is picked up, and nothing is left to come.

use gatepost_proto::v1::{EventKind, ParcelState};

use super::{Letter, Stage};

/// What the audience reads.
pub const TITLE: &str = "parcel A is taken out";
/// What it is about.
pub const CLAIMS: &[u8] = &[2, 8];

/// Plays it.
pub async fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let parcel = stage.look_up(Letter::A).await?;
    let evidence = format!("{} reminder of parcel A until its pickup", parcel.reminders_sent);
    stage.claims.check(2, parcel.reminders_sent == 1, evidence);
    stage.pick_up(Letter::A).await?;
    let event = stage.event_soon(EventKind::PickedUp, Letter::A).await?;
    let parcel = stage.look_up(Letter::A).await?;
    let cleared = parcel.next_reminder_at.is_none() && parcel.recall_at.is_none();
    let evidence = format!("A picked up (event {}): no reminder planned, no recall due", event.what.sequence);
    stage.claims.check(8, parcel.state() == ParcelState::PickedUp && cleared, evidence);
    Ok(())
}
