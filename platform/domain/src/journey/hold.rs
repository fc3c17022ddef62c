//! The resident is away: the stay rests for a while, once.

use super::{Circumstances, publish, refuse};
use crate::{
    Refusal, Step, Timestamp,
    effect::EventKind,
    parcel::{Hold, Parcel, RecallBasis, ReminderPlan, State, Stay},
};

/// Lets a stay rest until then: nobody is reminded or asked for a recall, and T1 and T2 are as much later. A recall that
/// was requested is withdrawn and comes again when the hold ends; one that was accepted stands.
pub fn hold(parcel: Parcel, until: Timestamp, circumstances: Circumstances<'_>) -> Result<Step, Refusal> {
    let (now, hold_max) = (circumstances.now, circumstances.policy.hold_max);
    let (stay, since, recalled) = match &parcel.state {
        State::Waiting { stay, .. } => (stay, parcel.state_since, false),
        State::RecallRequested { stay } => (stay, now, true),
        _ => return refuse(&parcel, "hold"),
    };
    if let Some(hold) = stay.hold {
        let asked_again = stay.is_held(now) && hold.until == until;
        return if asked_again { Ok(Step::unchanged(parcel)) } else { Err(Refusal::AlreadyHeld) };
    }
    if hold_max.is_zero() {
        return Err(Refusal::NoHold);
    }
    let latest = now + hold_max;
    if until <= now || until > latest {
        return Err(Refusal::HoldOutOfRange { after: now, latest });
    }
    let later = |deadline: Timestamp| if deadline > now { deadline + until.duration_since(now) } else { deadline };
    let mut held = Stay {
        remind_from: later(stay.remind_from),
        recall_at: later(stay.recall_at),
        hold: Some(Hold { since: now, until }),
        ..stay.clone()
    };
    let mut effects = vec![publish(now, EventKind::StayHeld)];
    if recalled {
        (held.recall_at, held.recall_basis) = (until, RecallBasis::Extension);
        effects.push(publish(now, EventKind::RecallWithdrawn { recall: stay.recalls }));
    }
    let state = State::Waiting { stay: held, plan: ReminderPlan::AtT1 };
    Ok(Step::changed(parcel.moved(state, since), effects))
}

/// Ends a hold before its time: T1 and T2 are where they would be had it been meant to end now.
pub fn release(parcel: Parcel, circumstances: Circumstances<'_>) -> Result<Step, Refusal> {
    let now = circumstances.now;
    let State::Waiting { stay, .. } = &parcel.state else {
        return refuse(&parcel, "release");
    };
    let Some(hold) = stay.hold else {
        return refuse(&parcel, "release");
    };
    if !stay.is_held(now) {
        return Ok(Step::unchanged(parcel));
    }
    let unused = hold.until.duration_since(now);
    let sooner = |deadline: Timestamp| if deadline >= hold.until { deadline - unused } else { deadline };
    let stay = Stay {
        remind_from: sooner(stay.remind_from),
        recall_at: sooner(stay.recall_at),
        hold: Some(Hold { until: now, ..hold }),
        ..stay.clone()
    };
    let since = parcel.state_since;
    let state = State::Waiting { stay, plan: ReminderPlan::AtT1 };
    Ok(Step::changed(parcel.moved(state, since), vec![publish(now, EventKind::StayReleased)]))
}
