//! A compartment near home is suggested and reserved.

use super::refuse;
use crate::{
    Refusal, Step, Timestamp,
    parcel::{Parcel, State},
    placement::{self, Candidate, DoorReason, Placement, Unusable},
    policy::WaitingPolicy,
    recipient::Addressee,
};

/// What placement has to decide with.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Every locker, ranked for this parcel.
    pub ranking: &'a [Candidate],
    /// Whether the recipient agrees to lockers.
    pub may_deposit: bool,
    /// What the courier found unusable.
    pub unusable: &'a [Unusable],
    /// For the length of the reservation.
    pub policy: &'a WaitingPolicy,
}

impl Place<'_> {
    /// The best place there is, reserved from `now` on.
    pub fn reserve(&self, now: Timestamp) -> Placement {
        if !self.may_deposit {
            return Placement::Door(DoorReason::NoDepositConsent);
        }
        match placement::best(self.ranking) {
            Some((locker, compartment, walking_metres)) => Placement::Locker {
                locker: locker.clone(),
                compartment: compartment.clone(),
                walking_metres,
                reserved_until: now + self.policy.reservation,
            },
            None => Placement::Door(placement::door_reason(self.ranking)),
        }
    }
}

/// Suggests anew, also for a parcel that nobody took at the door. A reservation that still stands is kept as it is unless the courier found it unusable, and so is a
/// door that is still the best.
pub fn suggest(parcel: Parcel, best: Place<'_>, now: Timestamp) -> Result<Step, Refusal> {
    let trip = match &parcel.state {
        State::Announced { .. } => None,
        State::DoorDeliveryFailed { trip, .. } => Some(*trip),
        _ => return refuse(&parcel, "suggest placement"),
    };
    if matches!(parcel.addressee, Addressee::Unresolved(_)) {
        return Ok(Step::unchanged(parcel));
    }
    if let Some(Placement::Locker { locker, compartment, reserved_until, .. }) = parcel.placement()
        && *reserved_until > now
        && best.may_deposit
        && !best.unusable.iter().any(|place| place.covers(locker, compartment))
    {
        return Ok(Step::unchanged(parcel));
    }
    let placement = best.reserve(now);
    if parcel.placement() == Some(&placement) {
        return Ok(Step::unchanged(parcel));
    }
    let since = parcel.state_since;
    let state = match trip {
        None => State::Announced { placement },
        Some(trip) => State::DoorDeliveryFailed { trip, placement: Some(placement) },
    };
    Ok(Step::changed(parcel.moved(state, since), Vec::new()))
}
