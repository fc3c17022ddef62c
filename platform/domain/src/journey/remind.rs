//! It has waited T1, and its resident came home or it is their usual hour.

use super::Circumstances;
use crate::{
    Step, Timestamp,
    decision::{Answer, Decision, Inputs, Occasion, ReminderInputs},
    effect::{CourierEvent, Effect, EventKind, Notice, ReminderCause},
    parcel::{Parcel, ReminderPlan, State, Stay},
    sighting::Sighting,
    usual::{next_usual_pickup, out_of_quiet},
};

/// The resident was seen at a gate. Reminds when the parcel has waited T1, outside quiet hours and the cooldown, and
/// only up to the policy's number; else nothing happens.
pub fn seen_at_gate(parcel: Parcel, sighting: &Sighting, circumstances: Circumstances<'_>) -> Step {
    let mine =
        parcel.addressee.resident_id() == Some(sighting.resident) && parcel.facts.community == sighting.community;
    let State::Waiting { stay, .. } = &parcel.state else {
        return Step::unchanged(parcel);
    };
    if !mine {
        return Step::unchanged(parcel);
    }
    let occasion = Occasion::SeenAtGate { gate: sighting.gate.clone(), seen_at: sighting.seen_at };
    let decision = decide(occasion, stay, circumstances);
    if decision.answer != Answer::Remind {
        return Step::unchanged(parcel).because(decision);
    }
    let cause = ReminderCause::SeenAtGate { gate: sighting.gate.clone(), similarity: sighting.similarity };
    remind(parcel, cause, circumstances).because(decision)
}

/// T1 has passed, or the planned time has come: plans the next usual hour, or reminds.
pub(super) fn at_planned_time(parcel: Parcel, circumstances: Circumstances<'_>) -> Step {
    let State::Waiting { stay, plan } = &parcel.state else {
        return Step::unchanged(parcel);
    };
    let now = circumstances.now;
    let (stay, plan) = (stay.clone(), *plan);
    match plan {
        ReminderPlan::AtT1 if now >= stay.remind_from => replan(parcel, stay, circumstances),
        ReminderPlan::At(planned) if now >= planned => {
            let decision = decide(Occasion::PlannedHour { planned_at: planned }, &stay, circumstances);
            let step = if decision.answer == Answer::Remind {
                remind(parcel, ReminderCause::UsualHour, circumstances)
            } else {
                replan(parcel, stay, circumstances)
            };
            step.because(decision)
        }
        ReminderPlan::AtT1 | ReminderPlan::At(_) | ReminderPlan::Never => Step::unchanged(parcel),
    }
}

fn decide(occasion: Occasion, stay: &Stay, circumstances: Circumstances<'_>) -> Decision {
    Decision::of(Inputs::Reminder(ReminderInputs::new(occasion, stay, circumstances)))
}

fn remind(parcel: Parcel, cause: ReminderCause, circumstances: Circumstances<'_>) -> Step {
    let (State::Waiting { stay, .. }, Some(resident)) = (&parcel.state, parcel.addressee.resident_id()) else {
        return Step::unchanged(parcel);
    };
    let now = circumstances.now;
    let stay = Stay { reminders_sent: stay.reminders_sent + 1, last_reminded_at: Some(now), ..stay.clone() };
    let at_gate = matches!(cause, ReminderCause::SeenAtGate { .. });
    let effects = vec![
        Effect::Tell(Notice { resident, cause }),
        Effect::Publish(CourierEvent { at: now, kind: EventKind::ReminderSent { at_gate } }),
    ];
    Step { effects, ..replan(parcel, stay, circumstances) }
}

/// Plans the next reminder after this one: the first usual hour that the cooldown allows, if that is before T2.
/// Who was never reminded is not let down by a habit that comes too late: then the first hour that is not quiet does.
pub(super) fn replan(parcel: Parcel, stay: Stay, circumstances: Circumstances<'_>) -> Step {
    let plan = next_plan(&stay, circumstances);
    let since = parcel.state_since;
    Step::changed(parcel.moved(State::Waiting { stay, plan }, since), Vec::new())
}

fn next_plan(stay: &Stay, circumstances: Circumstances<'_>) -> ReminderPlan {
    let policy = circumstances.policy;
    if stay.reminders_sent >= policy.reminders_max {
        return ReminderPlan::Never;
    }
    let cooled = stay.last_reminded_at.map_or(Timestamp::MIN, |last| last + policy.reminder_cooldown);
    let after = circumstances.now.max(cooled);
    let usual = next_usual_pickup(after, circumstances.pickups, circumstances.time_zone, policy).at;
    let soonest = out_of_quiet(after, circumstances.time_zone, policy);
    if usual < stay.recall_at {
        ReminderPlan::At(usual)
    } else if stay.reminders_sent == 0 && soonest < stay.recall_at {
        ReminderPlan::At(soonest)
    } else {
        ReminderPlan::Never
    }
}
