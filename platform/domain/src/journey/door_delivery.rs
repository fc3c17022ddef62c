//! The courier collects it and brings it to the door, again if need be, or returns it.

use super::{Circumstances, after_deposit, publish, refuse, reported_time};
use crate::{
    Refusal, Step, Timestamp,
    effect::{Effect, EventKind},
    parcel::{Parcel, State, Trip},
    placement::Placement,
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
    /// On the way to the door once more.
    Redelivering,
    /// Given up: it goes back to the sender.
    Returned,
}

/// What a courier reports.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// How far.
    pub outcome: Outcome,
    /// When, by the reporter's clock.
    pub at: Option<Timestamp>,
    /// On which attempt, from 1; the present one when not told.
    pub attempt: Option<u32>,
}

/// Moves a parcel on that was recalled, or is meant for the door. Reports may come late and out of order: DELIVERED
/// without COLLECTED implies it, a COLLECTED after the end changes nothing, nor does a report on an earlier attempt.
pub fn report(parcel: Parcel, report: Report, circumstances: Circumstances<'_>) -> Result<Step, Refusal> {
    let Report { outcome, at, attempt } = report;
    let reported = reported_time(at, circumstances.now)?;
    let at = match parcel.stay() {
        Some(stay) => after_deposit(reported, stay.deposited_at)?,
        // On its way, nothing happens before the parcel was taken out.
        None => reported.max(parcel.state_since),
    };
    let trip = trip(&parcel.state, outcome);
    if let (Some(attempt), Some(trip)) = (attempt, trip)
        && attempt != trip.attempt
    {
        let newest = trip.attempt;
        return if attempt < newest {
            Ok(Step::unchanged(parcel))
        } else {
            Err(Refusal::AttemptUnknown { attempt, newest })
        };
    }
    let (mut effects, trip) = match (follows(&parcel.state, outcome), trip) {
        (Follows::Nothing, _) => return Ok(Step::unchanged(parcel)),
        (Follows::After(implied), Some(trip)) => {
            (implied.iter().map(|kind| publish(at, kind.clone())).collect::<Vec<Effect>>(), trip)
        }
        (Follows::Refused, _) | (_, None) => return refuse(&parcel, "report door delivery"),
    };
    let (state, news) = match outcome {
        Outcome::Collected => (State::OutForDoorDelivery { trip }, None),
        Outcome::Redelivering => (State::OutForDoorDelivery { trip }, Some(EventKind::RedeliveryStarted)),
        Outcome::Delivered => (State::DeliveredToDoor, Some(EventKind::DeliveredToDoor)),
        Outcome::Failed => (State::DoorDeliveryFailed { trip, placement: None }, Some(EventKind::DoorDeliveryFailed)),
        Outcome::Returned => (State::ReturnedToSender, Some(EventKind::ReturnedToSender)),
    };
    effects.extend(news.map(|kind| publish(at, kind)));
    Ok(Step::changed(parcel.moved(state, at), effects))
}

/// The attempt that a report is about when it does not say; none where there is no parcel to bring.
fn trip(state: &State, outcome: Outcome) -> Option<Trip> {
    match state {
        State::Announced { .. } => Some(Trip { attempt: 1, recalls: 0 }),
        State::Waiting { stay, .. } | State::RecallRequested { stay } | State::RecallAccepted { stay } => {
            Some(Trip { attempt: stay.door_attempts + 1, recalls: stay.recalls })
        }
        State::DoorDeliveryFailed { trip, .. } if outcome == Outcome::Redelivering => {
            Some(Trip { attempt: trip.attempt + 1, ..*trip })
        }
        State::OutForDoorDelivery { trip } | State::DoorDeliveryFailed { trip, .. } => Some(*trip),
        State::PickedUp | State::DeliveredToDoor | State::Cancelled | State::ReturnedToSender => None,
    }
}

static ACCEPTED_AND_COLLECTED: [EventKind; 2] = [EventKind::RecallAccepted, EventKind::Collected];

/// What a report means in a state.
enum Follows {
    /// It was known, or is too late to matter.
    Nothing,
    /// It happened, and so did these before it.
    After(&'static [EventKind]),
    /// It cannot have happened.
    Refused,
}

fn follows(state: &State, outcome: Outcome) -> Follows {
    use Outcome::{Collected, Delivered, Failed, Redelivering, Returned};
    match (state, outcome) {
        (State::RecallRequested { .. }, Collected | Delivered | Failed | Returned) => {
            Follows::After(&ACCEPTED_AND_COLLECTED)
        }
        (State::RecallAccepted { .. }, Collected | Delivered | Failed | Returned) => {
            Follows::After(&ACCEPTED_AND_COLLECTED[1..])
        }
        (State::Announced { placement: Placement::Door(_) }, Delivered | Failed)
        | (State::OutForDoorDelivery { .. }, Delivered | Failed | Returned)
        | (State::DoorDeliveryFailed { .. }, Delivered | Redelivering | Returned) => Follows::After(&[]),
        (State::OutForDoorDelivery { .. }, Collected | Redelivering)
        | (State::DoorDeliveryFailed { .. }, Collected | Failed)
        | (State::DeliveredToDoor, Collected | Delivered | Redelivering)
        | (State::ReturnedToSender, Collected | Failed | Redelivering | Returned) => Follows::Nothing,
        (State::Announced { .. } | State::Waiting { .. } | State::PickedUp | State::Cancelled, _)
        | (State::RecallRequested { .. } | State::RecallAccepted { .. }, Redelivering)
        | (State::DeliveredToDoor, Failed | Returned)
        | (State::ReturnedToSender, Delivered) => Follows::Refused,
    }
}
