//! Parcel C is forgotten: at T2 the courier is asked to take it back, sends a terminal, and it is brought to the door.

use gatepost_proto::courier::TerminalOutcome;
use gatepost_proto::v1::{EventKind, ParcelState};

use super::{Letter, SOON, Stage, instant, seconds};
use crate::terminal::TerminalNote;
use crate::world::people::ZHAO;

/// What the audience reads.
pub const TITLE: &str = "parcel C is forgotten and brought to the door";
/// What it is about.
pub const CLAIMS: &[u8] = &[3, 4];

/// Plays it.
pub async fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let parcel = stage.parcel(Letter::C)?;
    let t2 = instant("recall_at of parcel C", parcel.recall_at.as_ref())?;
    let left = seconds(stage.clock.now(), t2);
    if left > 0.0 {
        stage.progress.say(format!("waiting {left:.1} s for T2 of parcel C"));
    }
    let recall = stage.event(EventKind::RecallRequested, Letter::C, t2).await?;
    let at = instant("event_time", recall.what.event_time.as_ref())?;
    let evidence = format!(
        "recall {} of {} requested by event {} {:+.2} s from T2",
        recall.what.recall_number,
        parcel.id,
        recall.what.sequence,
        seconds(t2, at)
    );
    stage.progress.say(evidence.clone());
    stage.claims.check(3, at >= t2 && recall.what.recall_number == 1, evidence);

    stage.event_soon(EventKind::RecallAccepted, Letter::C).await?;
    let instructed =
        stage.near_terminal.wait_for("an instruction to the terminal", SOON, is_go(&parcel.tracking_number)).await?;
    let TerminalNote::Instructed(instruction) = &instructed.what else { anyhow::bail!("this is a bug: not a go") };
    let deposit = parcel.deposit.clone().unwrap_or_default();
    let right = instruction.locker_id == deposit.locker_id
        && instruction.compartment_id == deposit.compartment_id
        && instruction.building == ZHAO.building
        && instruction.unit == ZHAO.unit;
    let evidence = format!(
        "terminal instructed ({}) {:.2} s after the recall: {}/{} to the door",
        instruction.instruction_id,
        seconds(recall.at, instructed.at).max(0.0),
        instruction.locker_id,
        instruction.compartment_id
    );
    stage.claims.check(4, right, evidence);
    delivered(stage).await
}

async fn delivered(stage: &mut Stage) -> anyhow::Result<()> {
    let number = stage.parcel(Letter::C)?.tracking_number;
    let collected = stage.event_soon(EventKind::Collected, Letter::C).await?;
    let delivered = stage.event_soon(EventKind::DeliveredToDoor, Letter::C).await?;
    let reported = |note: &TerminalNote| matches!(note, TerminalNote::Reported { tracking_number, outcome: TerminalOutcome::Delivered, .. } if *tracking_number == number);
    stage.near_terminal.wait_for("the terminal's report", SOON, reported).await?;
    let parcel = stage.look_up(Letter::C).await?;
    let evidence = format!(
        "collected (event {}) and delivered (event {}): {}",
        collected.what.sequence,
        delivered.what.sequence,
        parcel.state().as_str_name()
    );
    stage.progress.say(format!("parcel C: {evidence}"));
    stage.claims.check(4, parcel.state() == ParcelState::DeliveredToDoor, evidence);
    Ok(())
}

/// Accepts the instruction to fetch a parcel.
pub(super) fn is_go(number: &str) -> impl Fn(&TerminalNote) -> bool {
    move |note| matches!(note, TerminalNote::Instructed(instruction) if instruction.tracking_number == number)
}
