//! Somebody passes who does not live here, while a resident's parcel is due: nothing is kept. Then that resident
//! passes, and is reminded.

use gatepost_proto::v1::EventKind;
use jiff::SignedDuration;

use super::{Letter, SOON, Stage, instant, seconds};
use crate::world::people::LI;
use crate::world::place::{NORTH_GATE, SOUTH_GATE};

/// What the audience reads.
pub const TITLE: &str = "a stranger passes, then a second resident";
/// What it is about.
pub const CLAIMS: &[u8] = &[5];

/// Plays it.
pub async fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let parcel = stage.parcel(Letter::D)?;
    let t1 = instant("remind_from of parcel D", parcel.remind_from.as_ref())?;
    // Parcel D is due, so there is somebody whom the stranger could be mistaken for.
    stage.wait_until("T1 of parcel D", t1 + SignedDuration::from_millis(250)).await;
    stranger(stage).await?;
    second_resident(stage).await
}

async fn stranger(stage: &mut Stage) -> anyhow::Result<()> {
    let traces = async |stage: &Stage| -> anyhow::Result<[usize; 3]> {
        let records = stage.recorded_at_gates().await?;
        Ok([stage.south.shown.all(|_| true).len(), stage.gate_reminders().len(), records.len()])
    };
    let before = traces(stage).await?;
    let report = stage.pass(&stage.south, &stage.passages.stranger).await?;
    let after = traces(stage).await?;
    let evidence = format!(
        "a stranger in {} frames at {SOUTH_GATE} left {} displays, {} events, {} reminders",
        report.sent,
        after[0] - before[0],
        after[1] - before[1],
        after[2] - before[2]
    );
    stage.progress.say(evidence.clone());
    stage.claims.check(5, before == after, evidence);
    Ok(())
}

async fn second_resident(stage: &mut Stage) -> anyhow::Result<()> {
    let report = stage.pass(&stage.north, &stage.passages.li).await?;
    let shown = stage.north.shown.wait_for("a reminder on the other gate's display", SOON, |_| true).await?;
    stage.event_soon(EventKind::ReminderSent, Letter::D).await?;
    stage.progress.say(format!("{NORTH_GATE} shows: {}", shown.what.text));
    let (parcel, resident_id) = (stage.parcel(Letter::D)?, stage.resident(LI)?);
    let records = stage.office.reminders(&resident_id).await?;
    let record = records.iter().find(|record| record.parcel_id == parcel.id && record.gate_id == NORTH_GATE);
    let evidence = format!(
        "{resident_id} for {} at {NORTH_GATE}, similarity {:.3} (the enrolment's photograph mirrored and lit, for want \
         of a second one), display {:.2} s after the first frame",
        parcel.id,
        record.map_or(0.0, |record| record.similarity),
        report.first_capture.map_or(f64::NAN, |first| seconds(first, shown.at))
    );
    stage.claims.check(5, record.is_some(), evidence);
    Ok(())
}
