//! The resident takes it.

use super::{Circumstances, after_deposit, publish, refuse, reported_time};
use crate::{
    Refusal, Step, Timestamp,
    effect::{Effect, EventKind},
    parcel::{Parcel, State},
};

/// Ends the journey. A recall on its way is withdrawn.
pub fn pick_up(
    parcel: Parcel,
    picked_up_at: Option<Timestamp>,
    circumstances: Circumstances<'_>,
) -> Result<Step, Refusal> {
    let now = circumstances.now;
    let reported = reported_time(picked_up_at, now)?;
    if parcel.state == State::PickedUp {
        return Ok(Step::unchanged(parcel));
    }
    let Some(stay) = parcel.stay() else {
        return refuse(&parcel, "pickup");
    };
    let picked_up_at = after_deposit(reported, stay.deposited_at)?;
    let mut effects = vec![publish(picked_up_at, EventKind::PickedUp)];
    if matches!(parcel.state, State::RecallRequested { .. } | State::RecallAccepted { .. }) {
        effects.push(publish(now, EventKind::RecallWithdrawn { recall: stay.recalls }));
    }
    if let Some(resident) = parcel.addressee.resident_id() {
        effects.push(Effect::RecordPickup { resident, picked_up_at });
    }
    Ok(Step::changed(parcel.moved(State::PickedUp, picked_up_at), effects))
}
