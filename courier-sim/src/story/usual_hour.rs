//! The resident of parcel B, whom no camera knows, is reminded at the hour at which they usually come.

use gatepost_proto::v1::{EventKind, ReminderCause};
use jiff::SignedDuration;

use super::{Letter, SOON, Stage, instant, seconds};

/// What the audience reads.
pub const TITLE: &str = "parcel B's resident is reminded at the usual hour";
/// What it is about.
pub const CLAIMS: &[u8] = &[6];

/// How late a reminder may be that is due at an instant.
const LATE: SignedDuration = SignedDuration::from_secs(3);

/// Plays it.
pub async fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let parcel = stage.parcel(Letter::B)?;
    let t1 = instant("remind_from of parcel B", parcel.remind_from.as_ref())?;
    // Planned at T1, for the usual hour; once it has been sent, the plan is gone.
    let reminded = stage.event(EventKind::ReminderSent, Letter::B, t1 + SOON).await?;
    let at = instant("event_time", reminded.what.event_time.as_ref())?;
    let usual = usual(stage)?;
    let delay = at.duration_since(usual);
    let on_time = reminded.what.reminder_cause() == ReminderCause::UsualHour
        && at >= t1
        && delay >= SignedDuration::from_millis(-50)
        && delay <= LATE;
    let evidence = format!(
        "{} reminded by event {} at {at}, {:+.2} s from the usual time and {:.2} s after T1",
        parcel.id,
        reminded.what.sequence,
        delay.as_secs_f64(),
        seconds(t1, at)
    );
    stage.progress.say(format!("parcel B: {evidence}"));
    stage.claims.check(6, on_time, evidence);
    let told = stage
        .app
        .wait_for("the reminder in the residents' app", SOON, |reminder| reminder.parcel_id == parcel.id)
        .await?;
    let evidence = format!(
        "{} told by a signed webhook {:.2} s after the decision, cause {}",
        told.what.resident_id,
        seconds(at, told.at),
        told.what.cause
    );
    stage.progress.say(format!("the residents' app: {evidence}"));
    stage.claims.check(6, told.what.cause == "usual_hour", evidence);
    stage.pick_up(Letter::B).await?;
    Ok(())
}

fn usual(stage: &Stage) -> anyhow::Result<jiff::Timestamp> {
    stage.usual_hour_of_b.ok_or_else(|| anyhow::anyhow!("parcel B's resident has no usual hour"))
}
