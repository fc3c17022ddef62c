//! Parcels are deposited. The resident of parcel A passes the gate before T1 and hears nothing, passes again after T1
//! and is reminded once, though a dozen frames show the face.

use gatepost_proto::v1::{EventKind, ReminderCause};
use jiff::{SignedDuration, Timestamp};

use super::{Letter, SOON, Stage, instant, seconds};
use crate::camera::WalkReport;
use crate::world::people::{CHEN, RESIDENTS, WANG};
use crate::world::place::{COURT_LOCKER, SOUTH_GATE};

/// What the audience reads.
pub const TITLE: &str = "it waits, and its resident is seen";
/// What it is about.
pub const CLAIMS: &[u8] = &[1, 2, 5];

/// From B's T1 to its resident's usual hour.
const HABIT_AFTER_T1: SignedDuration = SignedDuration::from_secs(4);

/// Plays it.
pub async fn play(stage: &mut Stage) -> anyhow::Result<()> {
    stage.deposit(Letter::C).await?;
    let parcel = stage.deposit(Letter::A).await?;
    let t1 = instant("remind_from of parcel A", parcel.remind_from.as_ref())?;
    stage.t2_of_a = Some(instant("recall_at of parcel A", parcel.recall_at.as_ref())?);
    before(stage, t1).await?;
    // The habit is on record before the parcel comes, as it would be.
    let habit = usual_hour_of_b(stage).await;
    stage.deposit(Letter::B).await?;
    stage.deposit(Letter::D).await?;
    habit?;
    after(stage, t1).await
}

async fn before(stage: &mut Stage, t1: Timestamp) -> anyhow::Result<()> {
    let report = stage.pass(&stage.south, &stage.passages.chen_early).await?;
    let looked_at = report.looked_at.unwrap_or(t1);
    anyhow::ensure!(
        looked_at < t1,
        "this machine looked at the frames {:.1} s after T1: give it a longer --remind-after",
        seconds(t1, looked_at)
    );
    let silent = stage.south.shown.all(|_| true).is_empty() && stage.gate_reminders().is_empty();
    let evidence = format!("{} frames looked at {:.1} s before T1: no reminder", report.sent, seconds(looked_at, t1));
    stage.progress.say(format!("parcel A's resident passes {SOUTH_GATE}: {evidence}"));
    stage.claims.check(2, silent, evidence);
    Ok(())
}

/// Gives the resident of parcel B a record of pickups a few seconds after what will be their T1.
async fn usual_hour_of_b(stage: &mut Stage) -> anyhow::Result<()> {
    let a = stage.parcel(Letter::A)?;
    let deposited = instant("deposit_time of parcel A", a.deposit.as_ref().and_then(|a| a.deposit_time.as_ref()))?;
    let t1 = instant("remind_from of parcel A", a.remind_from.as_ref())?.duration_since(deposited);
    let at = stage.clock.now() + t1 + HABIT_AFTER_T1;
    let (usual, pickups) = stage.office.import_habit(&stage.resident(WANG)?, at).await?;
    stage.usual_hour_of_b = Some(usual);
    stage.progress.say(format!("parcel B's resident usually comes at {usual}, known from {pickups} pickups"));
    stage.claims.check(6, pickups > 0, format!("usual time {usual} from {pickups} imported pickups"));
    Ok(())
}

async fn after(stage: &mut Stage, t1: Timestamp) -> anyhow::Result<()> {
    // A little later, because the platform's clock need not be ours to the millisecond.
    stage.wait_until("T1 of parcel A", t1 + SignedDuration::from_millis(250)).await;
    let report = stage.pass(&stage.south, &stage.passages.chen_late).await?;
    let shown = stage.south.shown.wait_for("a reminder on the gate's display", SOON, |_| true).await?;
    let reminded = stage.event_soon(EventKind::ReminderSent, Letter::A).await?;
    stage.progress.say(format!("{SOUTH_GATE} shows: {}", shown.what.text));

    let first_capture = report.first_capture.unwrap_or(t1);
    let decided = instant("event_time", reminded.what.event_time.as_ref())?;
    let seen = reminded.what.reminder_cause() == ReminderCause::SeenAtGate && decided >= t1;
    let evidence = format!(
        "{} frames after T1: reminder #{} {:.2} s after the first of them, {:.2} s after T1",
        report.sent,
        reminded.what.sequence,
        seconds(first_capture, shown.at),
        seconds(t1, decided)
    );
    stage.claims.check(2, seen && report.sent >= 12, evidence);
    recognised(stage, &report, &shown.what.text).await
}

async fn recognised(stage: &mut Stage, report: &WalkReport, text: &str) -> anyhow::Result<()> {
    let (parcel, resident_id) = (stage.parcel(Letter::A)?, stage.resident(CHEN)?);
    let records = stage.office.reminders(&resident_id).await?;
    let record = records.iter().find(|record| record.parcel_id == parcel.id && record.gate_id == SOUTH_GATE);
    let similarity = record.map_or(0.0, |record| record.similarity);
    let evidence = format!(
        "{} for {} at {SOUTH_GATE} by {} frames of another photograph, similarity {similarity:.3}",
        resident_id, parcel.id, report.sent
    );
    stage.claims.check(5, similarity > 0.0, evidence);
    let evidence =
        format!("{} matched with {resident_id}, who is reminded through {} channel(s)", parcel.id, records.len());
    stage.claims.check(1, record.is_some(), evidence);
    let tells = RESIDENTS.iter().any(|person| text.contains(person.name)) || text.contains(COURT_LOCKER);
    stage.claims.check(5, !tells, "the display names nobody and no locker");
    Ok(())
}
