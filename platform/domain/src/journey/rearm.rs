//! The waiting policy changed: T1 and T2 of a parcel that waits move with it.

use crate::{
    Step,
    parcel::{Hold, Parcel, RecallBasis, ReminderPlan, State, Stay},
    policy::WaitingPolicy,
};

/// Gives a waiting parcel the deadlines that this policy would have given it. One that is in the past by now is due at
/// once. A recall that was requested stands.
pub fn rearm(parcel: Parcel, policy: &WaitingPolicy) -> Step {
    let State::Waiting { stay, .. } = &parcel.state else {
        return Step::unchanged(parcel);
    };
    let remind_from = Hold::deadline(stay.hold, stay.deposited_at, policy.remind_after);
    let recall_at = match stay.recall_basis {
        RecallBasis::Deposit => Hold::deadline(stay.hold, stay.deposited_at, policy.recall_after),
        RecallBasis::Refusal => Hold::deadline(stay.hold, parcel.state_since, policy.recall_again_after),
        RecallBasis::Extension => stay.recall_at,
    };
    if (remind_from, recall_at) == (stay.remind_from, stay.recall_at) {
        return Step::unchanged(parcel);
    }
    let stay = Stay { remind_from, recall_at, ..stay.clone() };
    let since = parcel.state_since;
    // What was planned may lie after the new T2: it is planned anew at T1, or at once when that has passed.
    let state = State::Waiting { stay, plan: ReminderPlan::AtT1 };
    Step::changed(parcel.moved(state, since), Vec::new())
}
