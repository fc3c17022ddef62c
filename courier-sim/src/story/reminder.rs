//! Parcels are deposited. The resident of parcel A passes the gate before T1 and hears nothing, passes again after T1
//! and is reminded once, though a dozen frames show the face.

use gatepost_proto::v1::{EventKind, ReminderCause};
use jiff::{SignedDuration, Timestamp};

use super::{Letter, SOON, Stage, instant, seconds};
use crate::camera::WalkReport;
use crate::world::people::{CHEN, LI, Person, RESIDENTS, WANG};
use crate::world::place::{COURT_LOCKER, SOUTH_GATE};

/// What the audience reads.
pub const TITLE: &str = "it waits, and its resident is seen";
/// What it is about.
pub const CLAIMS: &[u8] = &[1, 2, 5, 6];

/// From B's T1 to its resident's usual hour.
const HABIT_AFTER_T1: SignedDuration = SignedDuration::from_secs(4);

/// From the usual hour of those who are to be seen at a gate to their parcels' T2. The platform reminds at T1 whom no
/// usual hour before T2 would reach, and they are not to be reminded before a camera sees them.
const LATE_HABIT_BEFORE_T2: SignedDuration = SignedDuration::from_secs(2);

/// Plays it.
pub async fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let (t1, t2) = (stage.remind_after, stage.recall_after);
    stage.deposit(Letter::C).await?;
    // Habits are on record before the parcels come, as they would be.
    habit(stage, CHEN, t2 - LATE_HABIT_BEFORE_T2).await?;
    let parcel = stage.deposit(Letter::A).await?;
    stage.t2_of_a = Some(instant("recall_at of parcel A", parcel.recall_at.as_ref())?);
    let due = instant("remind_from of parcel A", parcel.remind_from.as_ref())?;
    before(stage, due).await?;

    let usual = habit(stage, WANG, t1 + HABIT_AFTER_T1).await?;
    stage.usual_hour_of_b = Some(usual);
    stage.progress.say(format!("parcel B's resident usually comes at {usual}"));
    stage.deposit(Letter::B).await?;
    habit(stage, LI, t2 - LATE_HABIT_BEFORE_T2).await?;
    stage.deposit(Letter::D).await?;
    after(stage, due).await
}

/// Gives a resident a record of pickups at the time of day that comes in `ahead`; answers what the platform makes of
/// it.
async fn habit(stage: &mut Stage, person: Person, ahead: SignedDuration) -> anyhow::Result<Timestamp> {
    let (usual, pickups) = stage.office.import_habit(&stage.resident(person)?, stage.clock.now() + ahead).await?;
    anyhow::ensure!(pickups > 0, "the platform makes nothing of the imported pickups");
    Ok(usual)
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
