//! Resident, courier and clock at once: every order of up to five steps. Whatever the order, the courier's log tells
//! a story that holds together.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its supporting functions too")]

mod fixture;

use fixture::{Act, World};
use gatepost_domain::{Effect, EventKind, Parcel, State, Timestamp, parcel::StateName, policy::WaitingPolicy};
use jiff::SignedDuration;

/// What can reach the platform while a parcel waits, is recalled or is collected; a deposit is a repeat.
fn racers() -> impl Iterator<Item = Act> {
    Act::ALL.into_iter().filter(|act| !matches!(act, Act::Resolve | Act::Suggest | Act::SeenAtGate))
}

const LENGTH_MAX: usize = 5;
/// Longer than T2 and than the wait for another recall: every look at the clock is one past the deadline.
const BETWEEN: SignedDuration = SignedDuration::from_hours(2);

fn hasty() -> World {
    World::new(WaitingPolicy {
        remind_after: SignedDuration::from_mins(30),
        recall_after: SignedDuration::from_hours(1),
        recall_again_after: SignedDuration::from_hours(1),
        ..WaitingPolicy::default()
    })
}

fn start() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// What the courier's log has told so far.
#[derive(Debug, Clone, Default)]
struct Log {
    recalls: u32,
    /// The recall that holds.
    open: Option<u32>,
    /// A pickup ended this recall, and the log has not said so yet.
    to_withdraw: Option<u32>,
    ends: Vec<EventKind>,
    records: usize,
}

impl Log {
    fn read(&mut self, effect: &Effect, path: &[Act]) {
        let event = match effect {
            Effect::RecordPickup { .. } => {
                self.records += 1;
                return;
            }
            Effect::Tell(_) => return,
            Effect::Publish(event) => &event.kind,
        };
        match event {
            EventKind::RecallWithdrawn { recall } => {
                assert_eq!(self.to_withdraw.take(), Some(*recall), "withdrew what was not to withdraw: {path:?}");
                return;
            }
            EventKind::RecallRequested { recall, .. } => {
                assert_eq!((self.open, *recall), (None, self.recalls + 1), "one recall at a time: {path:?}");
                self.recalls = *recall;
                self.open = Some(*recall);
            }
            EventKind::RecallRefused | EventKind::Collected => {
                assert!(self.open.take().is_some(), "ended a recall that did not hold: {path:?}");
            }
            EventKind::RecallAccepted => assert!(self.open.is_some(), "accepted no recall: {path:?}"),
            EventKind::PickedUp => self.to_withdraw = self.open.take(),
            EventKind::RecipientResolved
            | EventKind::Deposited
            | EventKind::ReminderSent { .. }
            | EventKind::DeliveredToDoor
            | EventKind::DoorDeliveryFailed
            | EventKind::Cancelled => {}
        }
        assert!(self.ends.is_empty(), "{event:?} after the end: {path:?}");
        if matches!(event, EventKind::PickedUp | EventKind::DeliveredToDoor | EventKind::Cancelled) {
            self.ends.push(event.clone());
        }
    }
}

fn is_final(parcel: &Parcel) -> bool {
    matches!(parcel.state(), State::PickedUp | State::DeliveredToDoor | State::Cancelled)
}

/// Takes `act` (or is refused, which changes nothing), checks the log, and goes on with every act there is.
fn explore(world: &World, parcel: &Parcel, log: &Log, path: &mut Vec<Act>, now: Timestamp) -> usize {
    let mut orders = 1;
    if path.len() == LENGTH_MAX {
        return orders;
    }
    for act in racers() {
        path.push(act);
        let (mut next, mut log) = (parcel.clone(), log.clone());
        if let Ok(step) = world.take(parcel.clone(), act, now) {
            step.effects.iter().for_each(|effect| log.read(effect, path));
            next = step.parcel;
        }
        assert_eq!(log.to_withdraw, None, "the recall was not withdrawn: {path:?}");
        assert_eq!(is_final(&next), log.ends.len() == 1, "{} and the log disagree: {path:?}", next.state().name());
        let picked_up = next.state().name() == StateName::PickedUp;
        assert_eq!(log.records, usize::from(picked_up), "one record for one pickup: {path:?}");
        let recalled = matches!(next.state(), State::RecallRequested { .. } | State::RecallAccepted { .. });
        assert_eq!(log.open.is_some(), recalled, "{path:?}");
        if is_final(parcel) {
            assert_eq!(&next, parcel, "nothing moves a parcel at its end: {path:?}");
        }
        orders += explore(world, &next, &log, path, now + BETWEEN);
        path.pop();
    }
    orders
}

#[test]
fn every_order_from_the_announcement_on() {
    let world = hasty();
    let parcel = world.announce(start(), true);
    let orders = explore(&world, &parcel, &Log::default(), &mut Vec::new(), start() + BETWEEN);
    assert_eq!(orders, 66_430, "1 + 9 + .. + 9^5");
}

#[test]
fn every_order_from_the_deposit_on() {
    let world = hasty();
    let parcel = world.tell(world.announce(start(), true), start(), &[(Act::Deposit, 0)]);
    explore(&world, &parcel, &Log::default(), &mut Vec::new(), start() + BETWEEN);
}

#[test]
fn every_order_from_the_recall_on() {
    let world = hasty();
    let parcel = world.tell(world.announce(start(), true), start(), &[(Act::Deposit, 0), (Act::WhenDue, 1)]);
    let log = Log { recalls: 1, open: Some(1), ..Log::default() };
    explore(&world, &parcel, &log, &mut Vec::new(), start() + BETWEEN);
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
