//! The courier collects it and brings it to the door.

use super::{Circumstances, after_deposit, publish, refuse, reported_time};
use crate::{
    Refusal, Step, Timestamp,
    effect::{Effect, EventKind},
    parcel::{Parcel, State},
};

/// How far a door delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Taken out of the compartment.
    Collected,
    /// Handed over at the door.
    Delivered,
    /// Nobody took it.
    Failed,
}

/// Moves a recalled parcel on. Reports may come late and out of order: DELIVERED without COLLECTED implies it, and
/// a COLLECTED after the end changes nothing.
pub fn report(
    parcel: Parcel,
    outcome: Outcome,
    at: Option<Timestamp>,
    circumstances: Circumstances<'_>,
) -> Result<Step, Refusal> {
    let reported = reported_time(at, circumstances.now)?;
    let at = match parcel.stay() {
        Some(stay) => after_deposit(reported, stay.deposited_at)?,
        // On its way, nothing happens before the parcel was taken out.
        None => reported.max(parcel.state_since),
    };
    let mut effects: Vec<Effect> = Vec::new();
    match (&parcel.state, outcome) {
        (State::RecallRequested { .. }, _) => {
            effects.push(publish(at, EventKind::RecallAccepted));
            effects.push(publish(at, EventKind::Collected));
        }
        (State::RecallAccepted { .. }, _) => effects.push(publish(at, EventKind::Collected)),
        (State::OutForDoorDelivery, Outcome::Delivered | Outcome::Failed)
        | (State::DoorDeliveryFailed, Outcome::Delivered) => {}
        (State::OutForDoorDelivery | State::DoorDeliveryFailed | State::DeliveredToDoor, Outcome::Collected)
        | (State::DoorDeliveryFailed, Outcome::Failed)
        | (State::DeliveredToDoor, Outcome::Delivered) => return Ok(Step::unchanged(parcel)),
        (State::DeliveredToDoor, Outcome::Failed)
        | (State::Announced { .. } | State::Waiting { .. } | State::PickedUp | State::Cancelled, _) => {
            return refuse(&parcel, "report door delivery");
        }
    }
    let state = match outcome {
        Outcome::Collected => State::OutForDoorDelivery,
        Outcome::Delivered => {
            effects.push(publish(at, EventKind::DeliveredToDoor));
            State::DeliveredToDoor
        }
        Outcome::Failed => {
            effects.push(publish(at, EventKind::DoorDeliveryFailed));
            State::DoorDeliveryFailed
        }
    };
    Ok(Step::changed(parcel.moved(state, at), effects))
}
