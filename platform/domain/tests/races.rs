//! Resident, courier and clock at once: every order of so many steps. Whatever the order, the courier's log tells a story
//! that holds together.
//!
//! Orders that lead to the same parcel at the same time with the same story are gone on from once, and counted; so every
//! order is explored, and none twice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its supporting functions too")]

mod fixture;

use std::collections::HashMap;

use fixture::{Act, World};
use gatepost_domain::{Effect, EventKind, Parcel, State, Timestamp, parcel::StateName, policy::WaitingPolicy};
use jiff::SignedDuration;

/// One move of somebody. Between two moves no time passes, unless time itself moves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Move {
    /// Everything that can reach the platform about a parcel whose resident is known.
    Take(Act),
    TimePasses,
}

fn moves() -> Vec<Move> {
    let acts = Act::ALL.into_iter().filter(|act| *act != Act::Resolve);
    acts.map(Move::Take).chain([Move::TimePasses]).collect()
}

/// Longer than T2, than the wait for another recall, than an extension and than a reservation; a hold takes two of it.
const BETWEEN: SignedDuration = SignedDuration::from_hours(3);

fn hasty() -> World {
    World::new(WaitingPolicy {
        remind_after: SignedDuration::from_mins(30),
        recall_after: SignedDuration::from_hours(1),
        recall_again_after: SignedDuration::from_hours(1),
        extension: SignedDuration::from_hours(1),
        hold_max: SignedDuration::from_hours(4),
        quiet_from_minute: 0,
        quiet_to_minute: 0,
        ..WaitingPolicy::default()
    })
}

fn start() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// What the courier's log has told so far.
#[derive(Debug, Clone, Default)]
struct Log {
    /// In a compartment.
    inside: bool,
    stays: u32,
    recalls: u32,
    /// The recall that holds.
    open: Option<u32>,
    /// A pickup or an extension ended this recall, and the log has not said so yet.
    to_withdraw: Option<u32>,
    extended: bool,
    held: bool,
    attempts: u32,
    ends: Vec<EventKind>,
    records: usize,
}

impl Log {
    fn read(&mut self, effect: &Effect, path: &Path) {
        let event = match effect {
            Effect::RecordPickup { .. } => {
                self.records += 1;
                return;
            }
            Effect::Tell(_) => {
                assert!(self.inside && self.open.is_none(), "reminded of what is not waiting: {path}");
                return;
            }
            Effect::Publish(event) => &event.kind,
        };
        let withdrawal = matches!(event, EventKind::RecallWithdrawn { .. });
        assert!(withdrawal || self.ends.is_empty(), "{event:?} after the end: {path}");
        assert!(withdrawal || self.to_withdraw.is_none(), "{event:?} before the recall was withdrawn: {path}");
        match event {
            EventKind::RecallWithdrawn { recall } => {
                assert_eq!(self.to_withdraw.take(), Some(*recall), "withdrew what was not to withdraw: {path}");
            }
            EventKind::Deposited => {
                assert!(!self.inside, "deposited twice: {path}");
                (self.inside, self.extended, self.held) = (true, false, false);
                self.stays += 1;
            }
            EventKind::RecallRequested { recall, .. } => {
                assert!(self.inside, "recalled from nowhere: {path}");
                assert_eq!((self.open, *recall), (None, self.recalls + 1), "one recall at a time: {path}");
                self.recalls = *recall;
                self.open = Some(*recall);
            }
            EventKind::RecallRefused => {
                assert!(self.open.take().is_some(), "refused a recall that did not hold: {path}");
            }
            EventKind::Collected => {
                assert!(self.open.take().is_some(), "collected what was not recalled: {path}");
                self.inside = false;
                self.attempts += 1;
            }
            EventKind::RecallAccepted => assert!(self.open.is_some(), "accepted no recall: {path}"),
            EventKind::StayExtended => {
                assert!(self.inside && !self.extended, "extended twice, or nothing: {path}");
                self.extended = true;
                self.to_withdraw = self.open.take();
            }
            EventKind::StayHeld => {
                assert!(self.inside && !self.held, "held twice, or nothing: {path}");
                self.held = true;
                self.to_withdraw = self.open.take();
            }
            EventKind::StayReleased => assert!(self.inside && self.held && self.open.is_none(), "{path}"),
            EventKind::PickedUp => {
                assert!(self.inside, "picked up from nowhere: {path}");
                self.inside = false;
                self.to_withdraw = self.open.take();
            }
            EventKind::RedeliveryStarted => self.attempts += 1,
            EventKind::DeliveredToDoor | EventKind::DoorDeliveryFailed | EventKind::ReturnedToSender => {
                assert!(!self.inside && self.open.is_none(), "brought what is in a compartment: {path}");
            }
            EventKind::RecipientResolved | EventKind::ReminderSent { .. } | EventKind::Cancelled => {}
        }
        if matches!(
            event,
            EventKind::PickedUp | EventKind::DeliveredToDoor | EventKind::Cancelled | EventKind::ReturnedToSender
        ) {
            self.ends.push(event.clone());
        }
    }
}

/// One of the orders that led somewhere, for whoever has to look into a failure.
#[derive(Debug, Clone, Default)]
struct Path(Vec<Move>);

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Where some orders led.
#[derive(Debug, Clone)]
struct Point {
    parcel: Parcel,
    log: Log,
    now: Timestamp,
    path: Path,
    orders: u128,
}

fn is_final(parcel: &Parcel) -> bool {
    use StateName::{Cancelled, DeliveredToDoor, PickedUp, ReturnedToSender};
    matches!(parcel.state().name(), PickedUp | DeliveredToDoor | Cancelled | ReturnedToSender)
}

/// Makes a move (or is refused, which changes nothing), and checks that parcel and log agree.
fn follow(world: &World, before: &Point, what: Move) -> Point {
    let mut after = before.clone();
    after.path.0.push(what);
    let Move::Take(act) = what else {
        after.now += BETWEEN;
        return after;
    };
    let path = &after.path;
    if let Ok(step) = world.take(before.parcel.clone(), act, before.now) {
        step.effects.iter().for_each(|effect| after.log.read(effect, path));
        let held = before.parcel.stay().is_some_and(|stay| stay.is_held(before.now));
        assert!(!(held && act == Act::WhenDue && step.changed), "something came due during a hold: {path}");
        after.parcel = step.parcel;
    }
    let (parcel, log) = (&after.parcel, &after.log);
    assert_eq!(log.to_withdraw, None, "the recall was not withdrawn: {path}");
    assert_eq!(is_final(parcel), log.ends.len() == 1, "{} and the log disagree: {path}", parcel.state().name());
    let picked_up = parcel.state().name() == StateName::PickedUp;
    assert_eq!(log.records, usize::from(picked_up), "one record for one pickup: {path}");
    let recalled = matches!(parcel.state(), State::RecallRequested { .. } | State::RecallAccepted { .. });
    assert_eq!(log.open.is_some(), recalled, "{path}");
    assert_eq!(parcel.stay().is_some(), log.inside, "{path}");
    // Nothing in a compartment is forgotten: a deadline is set, or the courier was asked.
    assert_eq!(parcel.next_due().is_some(), log.inside && !recalled, "{path}");
    if is_final(&before.parcel) {
        assert_eq!(parcel, &before.parcel, "nothing moves a parcel at its end: {path}");
    }
    if !is_final(parcel) && log.stays > 0 {
        assert_eq!(parcel.door_attempts(), log.attempts, "{path}");
    }
    after
}

/// Explores every order of `length` moves and returns how many there are and how many points they led to in the end.
fn explore(from: Parcel, log: Log, now: Timestamp, length: usize) -> (u128, Vec<Point>) {
    let world = hasty();
    let mut points = vec![Point { parcel: from, log, now, path: Path::default(), orders: 1 }];
    for _ in 0..length {
        let mut next: HashMap<String, Point> = HashMap::new();
        for point in &points {
            for what in moves() {
                let after = follow(&world, point, what);
                let key = format!("{:?} {:?} {}", after.parcel, after.log, after.now);
                match next.get_mut(&key) {
                    Some(known) => known.orders += after.orders,
                    None => drop(next.insert(key, after)),
                }
            }
        }
        points = next.into_values().collect();
    }
    (points.iter().map(|point| point.orders).sum(), points)
}

/// Every way to end and every way to go on is among the orders; otherwise the moves are too few to prove anything.
fn assert_covers(points: &[Point], holds: impl Fn(&Point) -> bool, what: &str) {
    assert!(points.iter().any(holds), "no order leads to {what}");
}

#[test]
fn every_order_from_the_announcement_on() {
    let (orders, points) = explore(hasty().announce(start(), true), Log::default(), start(), 7);
    assert_eq!(orders, 17_u128.pow(7));
    for name in StateName::ALL {
        assert_covers(&points, |point| point.parcel.state().name() == name, name.name());
    }
}

#[test]
fn every_order_from_the_deposit_on() {
    let world = hasty();
    let parcel = world.tell(world.announce(start(), true), start(), &[(Act::Deposit, 0)]);
    let log = Log { inside: true, stays: 1, ..Log::default() };
    let (orders, points) = explore(parcel, log, start(), 8);
    assert_eq!(orders, 17_u128.pow(8));
    let extended = |point: &Point| point.log.extended && point.log.recalls == 2;
    assert_covers(&points, extended, "a second recall after an extension that withdrew the first");
    let resumed = |point: &Point| point.log.held && point.log.recalls == 2 && point.log.open == Some(2);
    assert_covers(&points, resumed, "the recall that a hold withdrew, once more");
    assert_covers(&points, |point| point.log.stays == 2, "a second stay after a failed door delivery");
    assert_covers(&points, |point| point.log.attempts == 2, "a second attempt at the door");
}

#[test]
fn every_order_from_the_failed_door_delivery_on() {
    let world = hasty();
    let story = [(Act::Deposit, 0), (Act::WhenDue, 1), (Act::Failed, 1)];
    let parcel = world.tell(world.announce(start(), true), start(), &story);
    let log = Log { stays: 1, recalls: 1, attempts: 1, ..Log::default() };
    let (orders, points) = explore(parcel, log, start() + BETWEEN, 7);
    assert_eq!(orders, 17_u128.pow(7));
    let recalled_again = |point: &Point| point.log.stays == 2 && point.log.open == Some(2);
    assert_covers(&points, recalled_again, "a recall of the second stay, counted on");
}

#[test]
fn late_and_disordered_reports_of_one_delivery_end_alike() {
    let world = hasty();
    let recalled = world.tell(world.announce(start(), true), start(), &[(Act::Deposit, 0), (Act::WhenDue, 1)]);
    let reports = [Act::Accept, Act::Collected, Act::Delivered];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let story = order.map(|nth| (reports[nth], 2));
        let end = world.tell(recalled.clone(), start(), &story);
        assert_eq!(end.state().name(), StateName::DeliveredToDoor, "{story:?}");
    }
}

#[test]
fn a_late_report_on_an_earlier_attempt_changes_nothing() {
    use gatepost_domain::{
        Refusal,
        journey::door_delivery::{Outcome, Report, report},
    };
    let world = hasty();
    let story = [(Act::Deposit, 0), (Act::WhenDue, 1), (Act::Failed, 1), (Act::Redeliver, 2)];
    let parcel = world.tell(world.announce(start(), true), start(), &story);
    let now = start() + BETWEEN;
    let failed = |attempt| {
        let told = Report { outcome: Outcome::Failed, at: None, attempt: Some(attempt) };
        report(parcel.clone(), told, world.circumstances(now))
    };
    assert!(!failed(1).unwrap().changed);
    assert_eq!(failed(2).unwrap().parcel.state().name(), StateName::DoorDeliveryFailed);
    assert_eq!(failed(3), Err(Refusal::AttemptUnknown { attempt: 3, newest: 2 }));
}
