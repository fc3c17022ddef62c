//! The resident cannot come in time: T2 is put off, once.

use super::{Circumstances, publish, refuse};
use crate::{
    Refusal, Step, Timestamp,
    effect::EventKind,
    parcel::{Parcel, RecallBasis, ReminderPlan, State, Stay},
};

/// Puts T2 off until then, or as far as the policy goes. A recall that was requested is withdrawn; one that was accepted
/// stands, because the courier is on its way.
pub fn extend(parcel: Parcel, until: Option<Timestamp>, circumstances: Circumstances<'_>) -> Result<Step, Refusal> {
    let (now, extension) = (circumstances.now, circumstances.policy.extension);
    let (stay, since, recalled) = match &parcel.state {
        State::Waiting { stay, .. } => (stay, parcel.state_since, false),
        State::RecallRequested { stay } => (stay, now, true),
        _ => return refuse(&parcel, "extend"),
    };
    if stay.extended {
        let same = !recalled && stay.recall_basis == RecallBasis::Extension;
        let asked_again = same && until.is_none_or(|until| until == stay.recall_at);
        return if asked_again { Ok(Step::unchanged(parcel)) } else { Err(Refusal::AlreadyExtended) };
    }
    if let Some(hold) = stay.hold.filter(|_| stay.is_held(now)) {
        return Err(Refusal::Held { until: hold.until });
    }
    if extension.is_zero() {
        return Err(Refusal::NoExtension);
    }
    let after = stay.recall_at.max(now);
    let latest = after + extension;
    let recall_at = until.unwrap_or(latest);
    if recall_at <= after || recall_at > latest {
        return Err(Refusal::ExtensionOutOfRange { after, latest });
    }
    let mut effects = vec![publish(now, EventKind::StayExtended)];
    if recalled {
        effects.push(publish(now, EventKind::RecallWithdrawn { recall: stay.recalls }));
    }
    let stay = Stay { recall_at, recall_basis: RecallBasis::Extension, extended: true, ..stay.clone() };
    // What was planned is planned anew: there may be time for another reminder.
    let state = State::Waiting { stay, plan: ReminderPlan::AtT1 };
    Ok(Step::changed(parcel.moved(state, since), effects))
}
