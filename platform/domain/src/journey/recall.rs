//! T2: the courier is asked to take it back; never after a pickup.

use super::{Circumstances, publish, refuse, remind};
use crate::{
    Refusal, Step,
    decision::{Answer, Decision, Inputs, RecallInputs},
    effect::EventKind,
    parcel::{Parcel, RecallBasis, ReminderPlan, State, Stay},
    recipient::Addressee,
};

/// A timer fired, or the sweep came by: does whatever is due at this instant, which may be nothing.
pub fn when_due(parcel: Parcel, circumstances: Circumstances<'_>) -> Step {
    let State::Waiting { stay, .. } = &parcel.state else {
        return Step::unchanged(parcel);
    };
    let decision = Decision::of(Inputs::Recall(RecallInputs::new(stay, circumstances.now)));
    match decision.answer {
        _ if stay.is_held(circumstances.now) => Step::unchanged(parcel),
        Answer::Recall(recall) => request(parcel, recall, circumstances).because(decision),
        _ => remind::at_planned_time(parcel, circumstances),
    }
}

fn request(parcel: Parcel, recall: u32, circumstances: Circumstances<'_>) -> Step {
    let (State::Waiting { stay, .. }, now) = (&parcel.state, circumstances.now) else {
        return Step::unchanged(parcel);
    };
    let stay = Stay { recalls: recall, ..stay.clone() };
    let unit = match &parcel.addressee {
        Addressee::Resident { unit, .. } => unit.clone(),
        Addressee::Unresolved(_) => String::new(),
    };
    let kind = EventKind::RecallRequested {
        recall: stay.recalls,
        locker: stay.locker.clone(),
        compartment: stay.compartment.clone(),
        building: circumstances.building_name.to_owned(),
        unit,
    };
    Step::changed(parcel.moved(State::RecallRequested { stay }, now), vec![publish(now, kind)])
}

/// The courier will collect the parcel and bring it to the door. `recall` names the recall that is answered; without
/// it, it is the one in effect.
pub fn accept(parcel: Parcel, recall: Option<u32>, circumstances: Circumstances<'_>) -> Result<Step, Refusal> {
    check_number(&parcel, recall)?;
    match &parcel.state {
        State::RecallRequested { stay } => {
            let state = State::RecallAccepted { stay: stay.clone() };
            let now = circumstances.now;
            Ok(Step::changed(parcel.moved(state, now), vec![publish(now, EventKind::RecallAccepted)]))
        }
        State::RecallAccepted { .. }
        | State::OutForDoorDelivery { .. }
        | State::DeliveredToDoor
        | State::DoorDeliveryFailed { .. }
        | State::ReturnedToSender => Ok(Step::unchanged(parcel)),
        State::Announced { .. } | State::Waiting { .. } | State::PickedUp | State::Cancelled => {
            refuse(&parcel, "accept recall")
        }
    }
}

/// The courier will not. The parcel waits on, and is recalled again later. `recall` is as for [`accept`].
pub fn refuse_recall(parcel: Parcel, recall: Option<u32>, circumstances: Circumstances<'_>) -> Result<Step, Refusal> {
    check_number(&parcel, recall)?;
    let now = circumstances.now;
    match &parcel.state {
        State::RecallRequested { stay } | State::RecallAccepted { stay } => {
            let recall_at = now + circumstances.policy.recall_again_after;
            let stay = Stay { recall_at, recall_basis: RecallBasis::Refusal, ..stay.clone() };
            let state = State::Waiting { stay, plan: ReminderPlan::AtT1 };
            Ok(Step::changed(parcel.moved(state, now), vec![publish(now, EventKind::RecallRefused)]))
        }
        // Refused before, and waiting for the next recall.
        State::Waiting { stay, .. } if stay.recall_basis == RecallBasis::Refusal => Ok(Step::unchanged(parcel)),
        _ => refuse(&parcel, "refuse recall"),
    }
}

/// A late answer to one recall must not pass for an answer to the next. Of a parcel that is in no compartment none is
/// in effect, and no answer changes it.
fn check_number(parcel: &Parcel, recall: Option<u32>) -> Result<(), Refusal> {
    match (parcel.stay(), recall) {
        (Some(stay), Some(asked)) if asked != stay.recalls => {
            Err(Refusal::RecallNotInEffect { asked, latest: stay.recalls })
        }
        _ => Ok(()),
    }
}
