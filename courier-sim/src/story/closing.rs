//! What must not have happened, over the whole story: nothing is told twice, and nothing after the end.

use std::collections::BTreeSet;

use gatepost_proto::v1::EventKind;

use super::{Letter, Stage};
use crate::world::people::CHEN;

/// What the audience reads.
pub const TITLE: &str = "what must not have happened";
/// What it is about.
pub const CLAIMS: &[u8] = &[2, 3, 5, 8];

/// Plays it.
pub async fn play(stage: &mut Stage) -> anyhow::Result<()> {
    one_reminder_each(stage).await?;
    nobody_twice(stage)?;
    one_recall_each(stage)?;
    let displays = stage.south.shown.all(|_| true).len() + stage.north.shown.all(|_| true).len();
    stage.claims.check(5, displays == 2, format!("{displays} displays in all, for two residents"));

    let sequences: Vec<i64> = stage.events.all(|_| true).iter().map(|entry| entry.what.sequence).collect();
    let gapless = sequences.iter().zip(1..).all(|(sequence, expected)| *sequence == expected);
    let evidence =
        format!("{} events in order without a gap, between four separate parties over gRPC", sequences.len());
    stage.claims.check(8, gapless && !sequences.is_empty(), evidence);
    Ok(())
}

async fn one_reminder_each(stage: &mut Stage) -> anyhow::Result<()> {
    let records = stage.office.reminders(&stage.resident(CHEN)?).await?;
    let decided: BTreeSet<_> =
        records.iter().filter_map(|record| record.decide_time.map(|at| (at.seconds, at.nanos))).collect();
    let evidence = format!("{} reminder of A's resident on record at the end", decided.len());
    stage.claims.check(2, decided.len() == 1, evidence);
    Ok(())
}

/// A was picked up before its T2, which has passed since: D's recall came, and D was deposited after A.
fn one_recall_each(stage: &mut Stage) -> anyhow::Result<()> {
    let recalls = |letter| -> anyhow::Result<usize> {
        let parcel_id = stage.parcel(letter)?.id;
        Ok(stage.events.all(crate::observer::of(EventKind::RecallRequested, &parcel_id)).len())
    };
    let counts = [recalls(Letter::A)?, recalls(Letter::B)?, recalls(Letter::C)?, recalls(Letter::D)?];
    let evidence = format!("recalls of A, B, C, D: {counts:?}");
    stage.claims.check(3, counts == [0, 0, 1, 1], evidence);
    let t2 = stage.t2_of_a.ok_or_else(|| anyhow::anyhow!("parcel A was never deposited"))?;
    let passed = stage.clock.now() > t2;
    stage.claims.check(8, passed && counts[0] == 0, format!("A's T2 ({t2}) passed without a recall"));
    Ok(())
}

/// The cooldown is longer than the story, so nobody is reminded twice of one parcel, at a gate or otherwise.
fn nobody_twice(stage: &mut Stage) -> anyhow::Result<()> {
    let reminders = |letter| -> anyhow::Result<usize> {
        let parcel_id = stage.parcel(letter)?.id;
        Ok(stage.events.all(crate::observer::of(EventKind::ReminderSent, &parcel_id)).len())
    };
    let counts = [reminders(Letter::A)?, reminders(Letter::B)?, reminders(Letter::C)?, reminders(Letter::D)?];
    let holds = counts[0] == 1 && counts[1] == 1 && counts[2] <= 1 && counts[3] == 1;
    stage.claims.check(2, holds, format!("reminders of A, B, C, D: {counts:?}"));
    Ok(())
}
