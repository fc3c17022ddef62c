//! The resident of parcel D comes while the courier is on the way: the recall is withdrawn, and the terminal stops.

use gatepost_proto::v1::{EventKind, ParcelState};

use super::forgotten::is_go;
use super::{Letter, SOON, Stage, instant, seconds};
use crate::terminal::TerminalNote;

/// What the audience reads.
pub const TITLE: &str = "parcel D is picked up while its recall is on the way";
/// What it is about.
pub const CLAIMS: &[u8] = &[3, 8];

/// Plays it.
pub async fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let number = stage.parcel(Letter::D)?.tracking_number;
    let t2 = instant("recall_at of parcel D", stage.parcel(Letter::D)?.recall_at.as_ref())?;
    let requested = stage.event(EventKind::RecallRequested, Letter::D, t2).await?;
    stage.far_terminal.wait_for("an instruction to the other terminal", SOON, is_go(&number)).await?;
    stage.progress.say("parcel D is recalled and a terminal is on its way");

    let before = stage.clock.now();
    stage.pick_up(Letter::D).await?;
    let withdrawn = stage.event_soon(EventKind::RecallWithdrawn, Letter::D).await?;
    let is_stop = |note: &TerminalNote| matches!(note, TerminalNote::Withdrawn { tracking_number, .. } if *tracking_number == number);
    let stopped = stage.far_terminal.wait_for("the withdrawal at the terminal", SOON, is_stop).await?;
    let reports = stage.far_terminal.all(|note| matches!(note, TerminalNote::Reported { .. })).len();
    let parcel = stage.look_up(Letter::D).await?;
    let right = withdrawn.what.recall_number == requested.what.recall_number
        && parcel.state() == ParcelState::PickedUp
        && parcel.recall_at.is_none()
        && reports == 0;
    let evidence = format!(
        "D's recall {} (event {}) withdrawn (event {}), terminal stopped {:.2} s after the pickup",
        withdrawn.what.recall_number,
        requested.what.sequence,
        withdrawn.what.sequence,
        seconds(before, stopped.at)
    );
    stage.progress.say(evidence.clone());
    stage.claims.check(8, right, evidence);
    Ok(())
}
