//! The reminder at a gate was for somebody else.

use super::Circumstances;
use crate::{
    Step, Timestamp,
    decision::{Answer, Decision, Inputs, NotMeInputs},
    parcel::{Parcel, State, Stay},
};

/// Takes back the reminder that was decided at `reminded_at`, if it was the parcel's last: it counts for nothing, and
/// the next one waits for no cooldown.
pub fn disown(parcel: Parcel, reminded_at: Timestamp, circumstances: Circumstances<'_>) -> Step {
    let State::Waiting { stay, .. } = &parcel.state else {
        return Step::unchanged(parcel);
    };
    let inputs = NotMeInputs { now: circumstances.now, reminded_at, last_reminded_at: stay.last_reminded_at };
    let decision = Decision::of(Inputs::NotMe(inputs));
    if decision.answer != Answer::TakeBack {
        return Step::unchanged(parcel);
    }
    let stay = Stay { reminders_sent: stay.reminders_sent.saturating_sub(1), last_reminded_at: None, ..stay.clone() };
    super::remind::replan(parcel, stay, circumstances).because(decision)
}
