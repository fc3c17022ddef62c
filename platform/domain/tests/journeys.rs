//! Every state by every step: what becomes of the parcel and what is asked of the world, as a table for each state.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its supporting functions too")]

mod fixture;

use std::fmt::Write as _;

use fixture::{Act, World};
use gatepost_domain::{
    Parcel, State, Timestamp,
    parcel::{Stay, Trip},
    placement::Placement,
    policy::WaitingPolicy,
};
use jiff::SignedDuration;

/// 08:00 on a Monday in Shanghai.
fn monday() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn world() -> World {
    World::new(WaitingPolicy::default())
}

/// Tries every step at `hours` (and a bit) after the announcement, and holds the table to its snapshot.
fn check(name: &str, world: &World, parcel: &Parcel, after: SignedDuration) {
    let now = monday() + after;
    let mut table = format!("at {now}\n{}\n", show(parcel));
    for act in Act::ALL {
        let outcome = match world.take(parcel.clone(), act, now) {
            Err(refusal) => format!("refused: {refusal}"),
            Ok(step) if !step.changed => {
                assert_eq!((&step.parcel, &step.effects[..]), (parcel, &[][..]), "{act:?} says that nothing changed");
                "nothing to do".into()
            }
            Ok(step) => step.effects.iter().fold(show(&step.parcel), |mut text, effect| {
                write!(text, "\n    {effect:?}").unwrap();
                text
            }),
        };
        write!(table, "\n{act:?}\n  {outcome}").unwrap();
    }
    insta::assert_snapshot!(name, table);
}

fn show(parcel: &Parcel) -> String {
    let (name, since) = (parcel.state().name(), parcel.state_since());
    let due = parcel.next_due().map_or_else(|| "never".to_owned(), |due| due.to_string());
    let detail = match parcel.state() {
        State::Announced { placement: Placement::Locker { locker, compartment, walking_metres, reserved_until } } => {
            format!(" {locker} {compartment} at {walking_metres} m kept until {reserved_until}")
        }
        State::Announced { placement } => format!(" {placement:?}"),
        State::Waiting { stay, plan } => format!(" {}, plan {plan:?}", show_stay(stay)),
        State::RecallRequested { stay } | State::RecallAccepted { stay } => format!(" {}", show_stay(stay)),
        State::OutForDoorDelivery { trip } => show_trip(trip),
        State::DoorDeliveryFailed { trip, placement: None } => show_trip(trip),
        State::DoorDeliveryFailed { trip, placement: Some(placement) } => {
            format!("{}, then {placement:?}", show_trip(trip))
        }
        State::PickedUp | State::DeliveredToDoor | State::Cancelled | State::ReturnedToSender => String::new(),
    };
    format!("{name} since {since}, due {due}{detail}")
}

fn show_stay(stay: &Stay) -> String {
    let Stay { locker, compartment, remind_from, recall_at, recall_basis, recalls, reminders_sent, .. } = stay;
    let last = stay.last_reminded_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let hold = stay.hold.map_or_else(String::new, |hold| format!(", held from {} to {}", hold.since, hold.until));
    let attempts = if stay.door_attempts == 0 { String::new() } else { format!(", attempts {}", stay.door_attempts) };
    format!(
        "{locker} {compartment} T1 {remind_from} T2 {recall_at} by {recall_basis:?} recalls {recalls} \
         reminders {reminders_sent}, last {last}{attempts}{hold}"
    )
}

fn show_trip(trip: &Trip) -> String {
    format!(" attempt {} after {} recalls", trip.attempt, trip.recalls)
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

/// A parcel after these steps, each so many hours after its announcement, and the table of what may come next.
fn after(name: &str, story: &[(Act, i64)], then: SignedDuration) {
    let world = world();
    let parcel = world.tell(world.announce(monday(), true), monday(), story);
    check(name, &world, &parcel, then);
}

const MOMENT: SignedDuration = SignedDuration::from_millis(1);

#[test]
fn announced() {
    after("announced", &[], hours(1));
    after("announced_reservation_over", &[], hours(2));
    check("announced_unresolved", &world(), &world().announce(monday(), false), hours(1));
    let doors_only = World { may_deposit: false, ..world() };
    check("announced_no_deposit_consent", &doors_only, &doors_only.announce(monday(), true), hours(1));
    let mut no_locker = world();
    no_locker.topology.lockers[0].offline = true;
    check("announced_no_locker", &no_locker, &no_locker.announce(monday(), true), hours(1));
}

#[test]
fn waiting() {
    let deposit = (Act::Deposit, 1);
    after("waiting_before_T1", &[deposit], hours(25) - MOMENT);
    after("waiting_at_T1", &[deposit], hours(25));
    after("waiting_planned", &[deposit, (Act::WhenDue, 25)], hours(30));
    after("waiting_at_the_planned_hour", &[deposit, (Act::WhenDue, 25)], hours(34) + SignedDuration::from_mins(30));
    after("waiting_in_quiet_hours", &[deposit, (Act::WhenDue, 25)], hours(40));
    after("waiting_in_the_cooldown", &[deposit, (Act::SeenAtGate, 25)], hours(36));
    after("waiting_after_the_cooldown", &[deposit, (Act::SeenAtGate, 25)], hours(37));
    after("waiting_before_T2", &[deposit, (Act::WhenDue, 25)], hours(73) - MOMENT);
    after("waiting_at_T2", &[deposit, (Act::WhenDue, 25)], hours(73));
    let refused = [deposit, (Act::WhenDue, 73), (Act::Refuse, 74)];
    after("waiting_recall_refused", &refused, hours(75));
    after("waiting_recalled_again", &refused, hours(98));
}

#[test]
fn waiting_with_all_reminders_sent() {
    let world = World::new(WaitingPolicy { reminders_max: 1, ..WaitingPolicy::default() });
    let story = [(Act::Deposit, 1), (Act::SeenAtGate, 25)];
    let parcel = world.tell(world.announce(monday(), true), monday(), &story);
    check("waiting_all_reminders_sent", &world, &parcel, hours(50));
}

#[test]
fn recalled() {
    let requested = [(Act::Deposit, 1), (Act::WhenDue, 73)];
    after("recall_requested", &requested, hours(74));
    let accepted = [requested[0], requested[1], (Act::Accept, 74)];
    after("recall_accepted", &accepted, hours(75));
    after("out_for_door_delivery", &[&accepted[..], &[(Act::Collected, 75)]].concat(), hours(76));
    let failed = [&accepted[..], &[(Act::Failed, 75)]].concat();
    after("door_delivery_failed", &failed, hours(76));
    after("door_delivery_once_more", &[&failed[..], &[(Act::Redeliver, 76)]].concat(), hours(77));
    let placed = [&failed[..], &[(Act::Suggest, 76)]].concat();
    after("door_delivery_failed_and_placed", &placed, hours(77));
    let again = [&placed[..], &[(Act::Deposit, 77)]].concat();
    after("waiting_in_a_second_stay", &again, hours(78));
    after("waiting_in_a_second_stay_at_T2", &again, hours(77 + 72));
}

#[test]
fn extended() {
    let deposit = (Act::Deposit, 1);
    after("waiting_extended", &[deposit, (Act::WhenDue, 25), (Act::Extend, 26)], hours(73));
    after("waiting_extended_at_T2", &[deposit, (Act::WhenDue, 25), (Act::Extend, 26)], hours(121));
    after("waiting_extended_during_a_recall", &[deposit, (Act::WhenDue, 73), (Act::Extend, 74)], hours(75));
}

#[test]
fn held() {
    let deposit = (Act::Deposit, 1);
    after("waiting_held_before_T1", &[deposit, (Act::Hold, 10)], hours(100));
    after("waiting_held_after_T1", &[deposit, (Act::WhenDue, 25), (Act::Hold, 60)], hours(100));
    after("waiting_after_the_hold", &[deposit, (Act::WhenDue, 25), (Act::Hold, 60)], hours(60 + 7 * 24 + 13));
    after("waiting_released", &[deposit, (Act::Hold, 10), (Act::Release, 20)], hours(35));
    after("waiting_held_during_a_recall", &[deposit, (Act::WhenDue, 73), (Act::Hold, 74)], hours(74 + 7 * 24));
}

#[test]
fn to_the_door_at_once() {
    let world = World { may_deposit: false, ..world() };
    let parcel = world.tell(world.announce(monday(), true), monday(), &[(Act::Failed, 5)]);
    check("door_delivery_failed_at_first", &world, &parcel, hours(6));
}

#[test]
fn finished() {
    let requested = [(Act::Deposit, 1), (Act::WhenDue, 73)];
    after("picked_up", &[(Act::Deposit, 1), (Act::PickUp, 20)], hours(90));
    after("picked_up_during_a_recall", &[&requested[..], &[(Act::PickUp, 74)]].concat(), hours(90));
    after("delivered_to_the_door", &[&requested[..], &[(Act::Delivered, 80)]].concat(), hours(90));
    after("returned_to_the_sender", &[&requested[..], &[(Act::Return, 80)]].concat(), hours(90));
    after("cancelled", &[(Act::Cancel, 1)], hours(90));
}
