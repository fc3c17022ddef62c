//! The courier calls it off before the deposit.

use super::{Circumstances, publish, refuse};
use crate::{
    Refusal, Step,
    effect::EventKind,
    parcel::{Parcel, State},
};

/// Frees the reservation.
pub fn cancel(parcel: Parcel, circumstances: Circumstances<'_>) -> Result<Step, Refusal> {
    let now = circumstances.now;
    match &parcel.state {
        State::Cancelled => Ok(Step::unchanged(parcel)),
        State::Announced { .. } => {
            Ok(Step::changed(parcel.moved(State::Cancelled, now), vec![publish(now, EventKind::Cancelled)]))
        }
        _ => refuse(&parcel, "cancel"),
    }
}
