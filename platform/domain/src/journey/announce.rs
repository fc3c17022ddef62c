//! A courier says a parcel will come.

use super::{place, publish, refuse};
use crate::{
    Refusal, Step, Timestamp,
    effect::EventKind,
    parcel::{Facts, Parcel, State},
    placement::Placement,
    recipient::Addressee,
    resident::Resident,
};

/// Makes the parcel. With a resident, the best place is reserved at once.
pub fn announce(facts: Facts, addressee: Addressee, best: place::Place<'_>) -> Step {
    let announced_at = facts.announced_at;
    let placement = match addressee {
        Addressee::Resident { .. } => best.reserve(announced_at),
        Addressee::Unresolved(_) => Placement::Unresolved,
    };
    let state = State::Announced { placement };
    Step::changed(Parcel { facts, addressee, state, state_since: announced_at, version: 0 }, Vec::new())
}

/// Staff say whose an unresolved parcel is.
pub fn resolve(parcel: Parcel, resident: &Resident, best: place::Place<'_>, now: Timestamp) -> Result<Step, Refusal> {
    if parcel.addressee.resident_id() == Some(resident.id) {
        return Ok(Step::unchanged(parcel));
    }
    if !matches!(parcel.state, State::Announced { placement: Placement::Unresolved }) {
        return refuse(&parcel, "resolve");
    }
    let parcel = Parcel { addressee: Addressee::resident(resident), ..parcel };
    let placement = best.reserve(now);
    let parcel = parcel.moved(State::Announced { placement }, now);
    Ok(Step::changed(parcel, vec![publish(now, EventKind::RecipientResolved)]))
}
