//! Parcel A gets the nearest locker with a compartment that fits; the next one finds it full.

use anyhow::Context;
use gatepost_proto::v1::{AnnounceParcelResponse, Placement, PlacementKind, PlacementReason, RankedLocker};

use super::{Letter, Stage};
use crate::server::{Consignment, Size};
use crate::world::people::{CHEN, LI, LIU, WANG, ZHAO};
use crate::world::place::{COURT_LOCKER, GATE_LOCKER, LAKE_LOCKER};

/// What the audience reads.
pub const TITLE: &str = "a parcel finds its locker";
/// What it is about.
pub const CLAIMS: &[u8] = &[1, 7];

/// Plays it.
pub async fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let number = |letter: Letter| format!("YT-2026-{letter:?}");
    let first = announce(stage, Letter::A, CHEN.consignment(number(Letter::A), Size::Large)).await?;
    let place = placement(&first)?;
    let walks_farther = |locker: &RankedLocker| {
        locker.locker_id == LAKE_LOCKER && locker.walking_metres.is_some_and(|metres| metres > place.walking_metres)
    };
    let nearest = place.locker_id == COURT_LOCKER
        && is(&first.ranking, COURT_LOCKER, PlacementReason::Nearest)
        && first.ranking.iter().any(walks_farther);
    stage.claims.check(7, nearest, format!("A -> {} ({})", place.locker_id, distances(&first.ranking)));

    // The court has one large compartment, and A has it reserved.
    let second = announce(stage, Letter::E, LIU.consignment(number(Letter::E), Size::Large)).await?;
    let place = placement(&second)?;
    let passed_over = place.locker_id == GATE_LOCKER
        && is(&second.ranking, COURT_LOCKER, PlacementReason::Full)
        && is(&second.ranking, GATE_LOCKER, PlacementReason::Nearest);
    let evidence =
        format!("a neighbour's -> {}, {COURT_LOCKER} being full ({})", place.locker_id, distances(&second.ranking));
    stage.claims.check(7, passed_over, evidence);
    stage.counter.cancel(&stage.parcel(Letter::E)?.id).await?;

    announce(stage, Letter::B, WANG.consignment_by_address(number(Letter::B), Size::Small)).await?;
    announce(stage, Letter::C, ZHAO.consignment(number(Letter::C), Size::Medium)).await?;
    announce(stage, Letter::D, LI.consignment(number(Letter::D), Size::Medium)).await?;
    let resolved = stage.parcels.values().filter(|parcel| parcel.recipient_resolved).count();
    let evidence = format!("{resolved} of {} recipients resolved from name, phone and address", stage.parcels.len());
    stage.claims.check(1, resolved == stage.parcels.len(), evidence);
    Ok(())
}

async fn announce(
    stage: &mut Stage,
    letter: Letter,
    consignment: Consignment,
) -> anyhow::Result<AnnounceParcelResponse> {
    let answer = stage.counter.announce(&stage.office.community_id, consignment).await?;
    let parcel = answer.parcel.clone().context("the platform's answer has no parcel")?;
    let place = parcel.placement.clone().unwrap_or_default();
    stage.progress.say(format!(
        "parcel {letter:?} {} announced: {} {} at {:.0} m",
        parcel.id,
        place.kind().as_str_name().trim_start_matches("PLACEMENT_KIND_"),
        place.locker_id,
        place.walking_metres
    ));
    stage.parcels.insert(letter, parcel);
    Ok(answer)
}

fn placement(answer: &AnnounceParcelResponse) -> anyhow::Result<Placement> {
    let placement = answer.parcel.as_ref().and_then(|parcel| parcel.placement.clone()).unwrap_or_default();
    anyhow::ensure!(
        placement.kind() == PlacementKind::Locker,
        "placed as {} because of {}",
        placement.kind().as_str_name(),
        placement.reason().as_str_name()
    );
    Ok(placement)
}

fn is(ranking: &[RankedLocker], locker_id: &str, reason: PlacementReason) -> bool {
    ranking.iter().any(|locker| locker.locker_id == locker_id && locker.reason() == reason)
}

fn distances(ranking: &[RankedLocker]) -> String {
    let one = |locker: &RankedLocker| {
        let reason = locker.reason().as_str_name().trim_start_matches("PLACEMENT_REASON_");
        format!("{} {:.0} m {reason}", locker.locker_id, locker.walking_metres.unwrap_or(f64::NAN))
    };
    ranking.iter().map(one).collect::<Vec<_>>().join(", ")
}
