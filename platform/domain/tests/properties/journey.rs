//! Random steps at random times never break an invariant.

use gatepost_domain::{
    Effect, EventKind, Parcel, State, Step, Timestamp, parcel::Stay, policy::WaitingPolicy, usual::is_quiet,
};
use jiff::{SignedDuration, tz::TimeZone};
use proptest::prelude::*;

use crate::fixture::{Act, World};

/// A timer that fires keeps firing until the parcel has nothing due; twice is the most: plan, then remind.
const FIRINGS_MAX: usize = 3;

fn start() -> Timestamp {
    "2026-03-20T00:00:00Z".parse().unwrap()
}

fn policies() -> impl Strategy<Value = WaitingPolicy> {
    let minutes = |most: i64| (0..=most).prop_map(SignedDuration::from_mins);
    let waits = (minutes(4_000), 1i64..6_000, 1i64..3_000);
    let reminders = (prop_oneof![Just(SignedDuration::ZERO), minutes(1_500)], 0u32..6);
    let hours = (0u16..1440, 0u16..1440, 0u16..1440);
    (waits, reminders, hours).prop_map(|((t1, more, again), (cooldown, most), (from, to, usual))| WaitingPolicy {
        remind_after: t1,
        recall_after: t1 + SignedDuration::from_mins(more),
        recall_again_after: SignedDuration::from_mins(again),
        reminder_cooldown: cooldown,
        reminders_max: most,
        quiet_from_minute: from,
        quiet_to_minute: to,
        usual_minute: usual,
        reservation: SignedDuration::from_hours(2),
        ..WaitingPolicy::default()
    })
}

/// A world, at most a dozen past pickups, and steps with the minutes between them. Steps that a waiting parcel can
/// take come more often, so that journeys last.
fn stories() -> impl Strategy<Value = (World, bool, Vec<(Act, i64)>)> {
    let zones = prop::sample::select(vec!["Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC"]);
    let lasting =
        prop::sample::select(vec![Act::Deposit, Act::SeenAtGate, Act::WhenDue, Act::Refuse, Act::Suggest, Act::Failed]);
    let act = prop_oneof![3 => lasting, 1 => prop::sample::select(Act::ALL.to_vec())];
    let gap = prop_oneof![1 => Just(0i64), 4 => 1i64..90, 4 => 90i64..1_500];
    let pickups = prop::collection::vec(1i64..60 * 24 * 60, 0..12);
    (policies(), zones, pickups, any::<bool>(), any::<bool>(), prop::collection::vec((act, gap), 1..60)).prop_map(
        |(policy, zone, mut pickups, may_deposit, resolved, story)| {
            pickups.sort_unstable();
            let pickups = pickups.into_iter().map(|minutes| start() - SignedDuration::from_mins(minutes)).collect();
            let time_zone = TimeZone::get(zone).unwrap();
            (World { time_zone, pickups, may_deposit, ..World::new(policy) }, resolved, story)
        },
    )
}

/// What has happened so far.
#[derive(Default)]
struct Record {
    reminders: Vec<Timestamp>,
    pickups: usize,
    open_recall: Option<u32>,
}

impl Record {
    /// Holds one step against the rules. `before` is the stay it was taken from.
    fn read(&mut self, world: &World, before: Option<&Stay>, step: &Step, now: Timestamp) -> Result<(), TestCaseError> {
        for (nth, effect) in step.effects.iter().enumerate() {
            match effect {
                Effect::Tell(_) => self.reminded(world, before, now)?,
                Effect::RecordPickup { .. } => {}
                Effect::Publish(event) => match &event.kind {
                    EventKind::PickedUp | EventKind::StayExtended | EventKind::StayHeld => {
                        self.pickups += usize::from(event.kind == EventKind::PickedUp);
                        let withdrawn = step.effects.get(nth + 1).and_then(|next| match next {
                            Effect::Publish(event) => match event.kind {
                                EventKind::RecallWithdrawn { recall } => Some(recall),
                                _ => None,
                            },
                            _ => None,
                        });
                        prop_assert_eq!(withdrawn, self.open_recall.take(), "a recall that ends so is withdrawn");
                    }
                    EventKind::RecallRequested { recall, .. } => {
                        prop_assert_eq!(self.pickups, 0, "no recall after a pickup");
                        prop_assert!(before.is_some_and(|stay| now >= stay.recall_at), "no recall before T2");
                        prop_assert!(before.is_some_and(|stay| !stay.is_held(now)), "no recall during a hold");
                        prop_assert_eq!(self.open_recall.replace(*recall), None, "one recall at a time");
                    }
                    EventKind::RecallRefused | EventKind::Collected => self.open_recall = None,
                    // Another stay: reminders are counted anew.
                    EventKind::Deposited => self.reminders.clear(),
                    _ => {}
                },
            }
        }
        prop_assert!(self.pickups <= 1, "picked up at most once");
        Ok(())
    }

    fn reminded(&mut self, world: &World, before: Option<&Stay>, now: Timestamp) -> Result<(), TestCaseError> {
        let stay = before.ok_or_else(|| TestCaseError::fail("a reminder of a parcel that is in no compartment"))?;
        prop_assert!(now >= stay.remind_from, "before T1");
        prop_assert!(!stay.is_held(now), "during a hold");
        prop_assert!(now < stay.recall_at, "at or after T2");
        prop_assert_eq!(self.pickups, 0, "after the pickup");
        prop_assert_eq!(self.open_recall, None, "during a recall");
        prop_assert!(!is_quiet(now, &world.time_zone, &world.policy), "in quiet hours");
        if let Some(last) = self.reminders.last() {
            prop_assert!(now >= *last + world.policy.reminder_cooldown, "in the cooldown");
        }
        self.reminders.push(now);
        prop_assert!(self.reminders.len() <= world.policy.reminders_max as usize, "too many");
        Ok(())
    }
}

fn due_matches_state(parcel: &Parcel) -> Result<(), TestCaseError> {
    let waits = matches!(parcel.state(), State::Waiting { .. });
    prop_assert_eq!(parcel.next_due().is_some(), waits, "{} is due {:?}", parcel.state().name(), parcel.next_due());
    Ok(())
}

/// Fires the timer until nothing is due, as the timers do.
fn settle(world: &World, mut parcel: Parcel, now: Timestamp, record: &mut Record) -> Result<Parcel, TestCaseError> {
    let reminders = record.reminders.len();
    for _ in 0..FIRINGS_MAX {
        let before = parcel.stay().cloned();
        let step = world.take(parcel, Act::WhenDue, now).expect("a timer is never refused");
        record.read(world, before.as_ref(), &step, now)?;
        parcel = step.parcel;
        if !step.changed {
            prop_assert!(parcel.next_due().is_none_or(|due| due > now), "still due after a step that did nothing");
            prop_assert!(record.reminders.len() <= reminders + 1, "one firing, one reminder");
            return Ok(parcel);
        }
    }
    Err(TestCaseError::fail("the timer fires and fires"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_steps_never_break_an_invariant((world, resolved, story) in stories()) {
        let mut now = start();
        let mut parcel = world.announce(now, resolved);
        let mut record = Record::default();
        due_matches_state(&parcel)?;
        for (act, minutes) in story {
            now += SignedDuration::from_mins(minutes);
            let before = parcel.stay().cloned();
            let Ok(step) = world.take(parcel.clone(), act, now) else { continue };
            record.read(&world, before.as_ref(), &step, now)?;
            prop_assert_eq!(step.changed, step.parcel != parcel, "{:?} says whether there is anything to save", act);
            due_matches_state(&step.parcel)?;
            parcel = step.parcel;
            if act == Act::WhenDue {
                parcel = settle(&world, parcel, now, &mut record)?;
            } else {
                // Why a reminder is withheld is told every time, and changes nothing.
                let again = world.take(parcel.clone(), act, now).map(|step| Step { decision: None, ..step });
                prop_assert_eq!(again, Ok(Step::unchanged(parcel.clone())), "{:?} taken twice", act);
            }
        }
    }
}
