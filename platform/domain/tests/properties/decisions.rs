//! What is recorded of a step decides it again, and the step did what the record says.

use gatepost_domain::{
    Effect, EventKind, State, Timestamp,
    decision::{Answer, Decision, Inputs, Withheld},
    journey::remind,
    policy::WaitingPolicy,
};
use jiff::{SignedDuration, tz::TimeZone};
use proptest::prelude::*;

use crate::fixture::{Act, World};

fn start() -> Timestamp {
    "2026-03-20T00:00:00.000000001Z".parse().unwrap()
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

fn worlds() -> impl Strategy<Value = World> {
    let zones = prop::sample::select(vec!["Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC"]);
    let policy = (0i64..4_000, 1i64..6_000, 0i64..1_500, 0u32..4, 0u16..1440, 0u16..1440);
    (policy, zones).prop_map(|((t1, more, cooldown, most, from, to), zone)| {
        let policy = WaitingPolicy {
            remind_after: minutes(t1),
            recall_after: minutes(t1 + more),
            reminder_cooldown: minutes(cooldown),
            reminders_max: most,
            quiet_from_minute: from,
            quiet_to_minute: to,
            ..WaitingPolicy::default()
        };
        World { time_zone: TimeZone::get(zone).unwrap(), ..World::new(policy) }
    })
}

/// Through the text that is kept.
fn read_back(decision: &Decision) -> Decision {
    serde_json::from_str(&serde_json::to_string(decision).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn what_is_recorded_decides_again_what_the_step_did(
        world in worlds(),
        story in prop::collection::vec(
            (prop::sample::select(vec![Act::SeenAtGate, Act::WhenDue, Act::Refuse, Act::Hold, Act::Release]), 0i64..2_000, 0i64..300),
            1..40,
        ),
    ) {
        let mut parcel = world.tell(world.announce(start(), true), start(), &[(Act::Deposit, 0)]);
        let mut now = start();
        for (act, gap, camera_behind) in story {
            now += minutes(gap);
            let step = match act {
                Act::SeenAtGate => {
                    let sighting = world.sighting(now - minutes(camera_behind));
                    remind::seen_at_gate(parcel.clone(), &sighting, world.circumstances(now))
                }
                act => match world.take(parcel.clone(), act, now) {
                    Ok(step) => step,
                    Err(_) => continue,
                },
            };
            let told = step.effects.iter().any(|effect| matches!(effect, Effect::Tell(_)));
            let recalled = step.effects.iter().find_map(|effect| match effect {
                Effect::Publish(event) => match event.kind {
                    EventKind::RecallRequested { recall, .. } => Some(recall),
                    _ => None,
                },
                _ => None,
            });
            match &step.decision {
                None => prop_assert!(!told && recalled.is_none(), "{act:?} has no reason"),
                Some(decision) => {
                    prop_assert_eq!(&read_back(decision), decision);
                    prop_assert!(decision.replays());
                    prop_assert_eq!(told, decision.answer == Answer::Remind);
                    prop_assert_eq!(recalled.map(Answer::Recall), Some(decision.answer).filter(|it| matches!(it, Answer::Recall(_))));
                    prop_assert_eq!(decision.now(), now);
                    as_the_rule_says(decision)?;
                }
            }
            if act == Act::SeenAtGate && matches!(parcel.state(), State::Waiting { .. }) {
                prop_assert!(step.decision.is_some(), "whoever waits can ask why");
            }
            parcel = step.parcel;
        }
    }
}

/// Changes one recorded input at a time, and expects of the answer what the rule says.
fn as_the_rule_says(decision: &Decision) -> Result<(), TestCaseError> {
    match &decision.inputs {
        Inputs::Reminder(inputs) => {
            let with = |change: &dyn Fn(&mut gatepost_domain::decision::ReminderInputs)| {
                let mut inputs = inputs.clone();
                change(&mut inputs);
                Decision::of(Inputs::Reminder(inputs)).answer
            };
            let never = with(&|inputs| inputs.reminders_max = 0);
            prop_assert!(never != Answer::Remind, "no reminder is allowed");
            let always = with(&|inputs| {
                inputs.quiet_from_minute = 0;
                inputs.quiet_to_minute = 0;
            });
            if decision.answer == Answer::Withhold(Withheld::QuietHours) {
                prop_assert_eq!(always, Answer::Remind, "quiet hours are the last reason");
            } else {
                prop_assert_eq!(always, decision.answer, "and not the reason here");
            }
            let late = with(&|inputs| inputs.recall_at = inputs.now);
            prop_assert!(late != Answer::Remind, "T2 has passed");
            prop_assert_eq!(with(&|inputs| inputs.time_zone.clear()), decision.answer, "the name is for people");
        }
        Inputs::Recall(inputs) => {
            let mut early = inputs.clone();
            early.now = early.recall_at - SignedDuration::from_nanos(1);
            prop_assert_eq!(Decision::of(Inputs::Recall(early)).answer, Answer::Wait);
            let mut held = inputs.clone();
            held.held_until = Some(held.now + SignedDuration::from_nanos(1));
            prop_assert_eq!(Decision::of(Inputs::Recall(held)).answer, Answer::Wait);
        }
        Inputs::TwoGates(_) | Inputs::NotMe(_) => {}
    }
    Ok(())
}
