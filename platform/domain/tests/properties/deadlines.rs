//! T1 and T2 to the millisecond, from the gate and from the timer.

use gatepost_domain::{
    Effect, Parcel, Step, Timestamp,
    journey::{deposit::Deposit, deposit::deposit, door_delivery, pickup, rearm::rearm, remind},
    parcel::StateName,
    policy::WaitingPolicy,
};
use jiff::SignedDuration;
use proptest::prelude::*;

use crate::fixture::{Act, World};

const MOMENT: SignedDuration = SignedDuration::from_millis(1);

/// Never quiet, so that only T1 and T2 decide.
fn world() -> World {
    World::new(WaitingPolicy { quiet_from_minute: 0, quiet_to_minute: 0, ..WaitingPolicy::default() })
}

fn start() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn waiting(world: &World) -> (Parcel, Timestamp, Timestamp) {
    let parcel = world.tell(world.announce(start(), true), start(), &[(Act::Deposit, 1)]);
    let stay = parcel.stay().expect("a deposit").clone();
    (parcel, stay.remind_from, stay.recall_at)
}

fn reminds(step: &Step) -> bool {
    step.effects.iter().any(|effect| matches!(effect, Effect::Tell(_)))
}

#[test]
fn a_gate_reminds_from_t1_on_and_not_from_t2_on() {
    let world = world();
    let (parcel, t1, t2) = waiting(&world);
    let cases =
        [(t1 - MOMENT, false), (t1, true), (t1 + MOMENT, true), (t2 - MOMENT, true), (t2, false), (t2 + MOMENT, false)];
    for (now, expected) in cases {
        let step = world.take(parcel.clone(), Act::SeenAtGate, now).unwrap();
        assert_eq!(reminds(&step), expected, "{now}");
    }
}

#[test]
fn a_timer_plans_from_t1_on_and_recalls_from_t2_on() {
    let world = world();
    let (parcel, t1, t2) = waiting(&world);
    assert_eq!(parcel.next_due(), Some(t1));
    let cases = [
        (t1 - MOMENT, false, StateName::Waiting),
        (t1, true, StateName::Waiting),
        (t1 + MOMENT, true, StateName::Waiting),
        (t2 - MOMENT, true, StateName::Waiting),
        (t2, true, StateName::RecallRequested),
        (t2 + MOMENT, true, StateName::RecallRequested),
    ];
    for (now, changed, state) in cases {
        let step = world.take(parcel.clone(), Act::WhenDue, now).unwrap();
        assert_eq!((step.changed, step.parcel.state().name()), (changed, state), "{now}");
        assert!(!reminds(&step), "T1 plans a reminder, it is none");
    }
}

#[test]
fn whom_no_usual_hour_reaches_before_t2_is_reminded_at_once() {
    let world = world();
    let (parcel, _, t2) = waiting(&world);
    let now = t2 - MOMENT;
    let planned = world.take(parcel, Act::WhenDue, now).unwrap().parcel;
    assert_eq!(planned.next_due(), Some(now));
    assert!(reminds(&world.take(planned, Act::WhenDue, now).unwrap()));
}

#[test]
fn a_camera_whose_clock_is_ahead_does_not_bring_t1_forward() {
    let world = world();
    let (parcel, t1, _) = waiting(&world);
    let seen =
        |now| reminds(&remind::seen_at_gate(parcel.clone(), &world.sighting(t1 + MOMENT), world.circumstances(now)));
    assert!(!seen(t1 - SignedDuration::from_mins(4)));
    assert!(seen(t1 + MOMENT));
}

#[test]
fn a_frame_from_before_t1_reminds_nobody_however_late_it_comes() {
    let world = world();
    let (parcel, t1, _) = waiting(&world);
    let late = world.circumstances(t1 + SignedDuration::from_mins(1));
    assert!(!reminds(&remind::seen_at_gate(parcel, &world.sighting(t1 - MOMENT), late)));
}

#[test]
fn without_a_cooldown_one_passage_told_twice_is_one_reminder() {
    let world = World::new(WaitingPolicy { reminder_cooldown: SignedDuration::ZERO, ..world().policy });
    let (parcel, t1, _) = waiting(&world);
    let seen = |parcel: Parcel, at, now| remind::seen_at_gate(parcel, &world.sighting(at), world.circumstances(now));
    let first = seen(parcel, t1, t1 + MOMENT);
    assert!(reminds(&first));
    assert!(!reminds(&seen(first.parcel.clone(), t1, t1 + SignedDuration::from_secs(9))), "the same passage");
    let later = t1 + SignedDuration::from_mins(1);
    assert!(reminds(&seen(first.parcel, later, later)), "another passage");
}

#[test]
fn nobody_elses_sighting_reminds() {
    let world = world();
    let (parcel, t1, _) = waiting(&world);
    let mut stranger = world.sighting(t1);
    stranger.resident.0 = uuid::Uuid::from_u128(99);
    let mut elsewhere = world.sighting(t1);
    elsewhere.community = "other-garden".parse().unwrap();
    for sighting in [stranger, elsewhere] {
        assert!(!remind::seen_at_gate(parcel.clone(), &sighting, world.circumstances(t1)).changed);
    }
}

#[test]
fn clocks_may_differ_by_five_minutes_and_no_more() {
    let world = world();
    let announced = world.announce(start(), true);
    let at =
        |minutes: i64, millis: i64| start() + SignedDuration::from_mins(minutes) + SignedDuration::from_millis(millis);
    let deposited = |reported| {
        let (locker, compartment) = ("L1".parse().unwrap(), "A2".parse().unwrap());
        let report = Deposit { locker, compartment, deposited_at: Some(reported) };
        let step = deposit(announced.clone(), &report, &world.topology, world.circumstances(at(60, 0)));
        step.ok().map(|step| step.parcel.stay().expect("a deposit").deposited_at)
    };
    assert_eq!(deposited(at(65, 1)), None, "in the future");
    assert_eq!(deposited(at(65, 0)), Some(at(60, 0)), "now, by a clock that is ahead");
    assert_eq!(deposited(at(-5, 0)), Some(at(0, 0)), "at the announcement, by a clock that is behind");
    assert_eq!(deposited(at(-5, -1)), None, "before the announcement");

    let (waiting, deposited_at) = (waiting(&world).0, at(60, 0));
    let picked_up = |reported| {
        let step = pickup::pick_up(waiting.clone(), Some(reported), world.circumstances(at(120, 0)));
        step.ok().map(|step| step.parcel.state_since())
    };
    assert_eq!(picked_up(at(55, -1)), None, "before the deposit");
    assert_eq!(picked_up(at(55, 0)), Some(deposited_at));
    assert_eq!(picked_up(at(90, 0)), Some(at(90, 0)));
}

#[test]
fn nothing_happens_at_the_door_before_the_parcel_left_its_compartment() {
    let world = world();
    let story = [(Act::Deposit, 1), (Act::WhenDue, 73), (Act::Collected, 74)];
    let out = world.tell(world.announce(start(), true), start(), &story);
    let (left, now) = (out.state_since(), start() + SignedDuration::from_hours(80));
    let report = |at| {
        let report = door_delivery::Report { outcome: door_delivery::Outcome::Delivered, at: Some(at), attempt: None };
        let step = door_delivery::report(out.clone(), report, world.circumstances(now));
        step.expect("an allowed step").parcel.state_since()
    };
    assert_eq!(report(start()), left);
    assert_eq!(report(left + MOMENT), left + MOMENT);
}

/// T1 and T2 in milliseconds, T1 below T2.
fn deadlines() -> impl Strategy<Value = (i64, i64)> {
    (1i64..200 * 3_600_000, 1i64..200 * 3_600_000).prop_map(|(t1, more)| (t1, t1 + more))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_policy_and_every_change_of_it_holds_to_the_millisecond(
        (before, after) in (deadlines(), deadlines()),
    ) {
        let under = |(t1, t2)| {
            let (remind_after, recall_after) = (SignedDuration::from_millis(t1), SignedDuration::from_millis(t2));
            World::new(WaitingPolicy { remind_after, recall_after, ..world().policy })
        };
        let (old, new) = (under(before), under(after));
        let waiting = old.tell(old.announce(start(), true), start(), &[(Act::Deposit, 1)]);
        let step = rearm(waiting.clone(), &new.policy);
        prop_assert_eq!(step.changed, before != after);
        prop_assert_eq!(step.effects.len(), 0);
        let deposited_at = waiting.stay().expect("a deposit").deposited_at;
        let (t1, t2) = (deposited_at + new.policy.remind_after, deposited_at + new.policy.recall_after);
        prop_assert_eq!(step.parcel.next_due(), Some(t1));
        let take = |act, now| new.take(step.parcel.clone(), act, now).unwrap();
        let changed = [t1 - MOMENT, t1, t1 + MOMENT].map(|now| take(Act::WhenDue, now).changed);
        prop_assert_eq!(changed, [false, true, true]);
        let recalled = [t2 - MOMENT, t2, t2 + MOMENT]
            .map(|now| take(Act::WhenDue, now).parcel.state().name() == StateName::RecallRequested);
        prop_assert_eq!(recalled, [false, true, true]);
        let reminded = [t1 - MOMENT, t1, t2 - MOMENT, t2, t2 + MOMENT].map(|now| reminds(&take(Act::SeenAtGate, now)));
        prop_assert_eq!(reminded, [false, true, true, false, false]);
    }
}
