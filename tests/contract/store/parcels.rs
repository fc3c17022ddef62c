//! Parcels: whole, versioned, in order.

use gatepost_domain::{
    Parcel, State,
    parcel::{RecallBasis, ReminderPlan, StateName, Stay, Trip},
    placement::{DoorReason, Placement},
    ports::Timer,
    recipient::Addressee,
};
use gatepost_storage::StoreError;
use jiff::SignedDuration;

use super::{
    Bench,
    fixture::{
        courier, facts, id, in_state, keep, label, parcel, parcel_id, reserved, resident_id, settle, stay, t, waiting,
    },
};

fn every_state() -> Vec<State> {
    let announced = |placement| State::Announced { placement };
    let fresh = Stay {
        recall_basis: RecallBasis::Deposit,
        extended: false,
        hold: None,
        recalls: 0,
        door_attempts: 0,
        reminders_sent: 0,
        last_reminded_at: None,
        ..stay("A2")
    };
    let extended = Stay { recall_basis: RecallBasis::Extension, ..stay("A3") };
    let trip = Trip { attempt: 2, recalls: 1 };
    let failed = |placement| State::DoorDeliveryFailed { trip, placement };
    let placement = Parcel::placement(&parcel(1, reserved("A7", t(120)))).cloned();
    vec![
        reserved("A1", t(120)),
        announced(Placement::Door(DoorReason::NoDepositConsent)),
        announced(Placement::Door(DoorReason::NoLockerFits)),
        announced(Placement::Door(DoorReason::NoAccessibleLocker)),
        announced(Placement::Unresolved),
        State::Waiting { stay: fresh, plan: ReminderPlan::AtT1 },
        State::Waiting { stay: extended, plan: ReminderPlan::At(t(90)) },
        State::Waiting { stay: stay("A4"), plan: ReminderPlan::Never },
        State::RecallRequested { stay: stay("A5") },
        State::RecallAccepted { stay: stay("A6") },
        State::OutForDoorDelivery { trip },
        failed(None),
        failed(Some(Placement::Door(DoorReason::NoLockerFits))),
        failed(placement),
        State::PickedUp,
        State::DeliveredToDoor,
        State::Cancelled,
        State::ReturnedToSender,
    ]
}

pub async fn every_state_is_read_as_it_was_saved(bench: Bench) {
    settle(&bench.store, 1).await;
    let tx = bench.store.write().await.unwrap();
    for (number, state) in (1..).zip(every_state()) {
        let new = parcel(number, state);
        let kept = tx.insert_parcel(&new, t(2)).await.unwrap();
        assert_eq!(kept, Parcel::restore(new.facts().clone(), new.addressee().clone(), new.state().clone(), t(2), 1));
        assert_eq!(tx.parcel(new.id()).await.unwrap().as_ref(), Some(&kept));
    }
    let unresolved = Parcel::restore(
        facts(99),
        Addressee::Unresolved(label()),
        State::Announced { placement: Placement::Unresolved },
        t(0),
        0,
    );
    tx.insert_parcel(&unresolved, t(2)).await.unwrap();
    let read = tx.parcel_by_tracking_number(&id("swift"), "单号-99").await.unwrap().unwrap();
    assert_eq!(read.addressee(), &Addressee::Unresolved(label()));

    // One parcel through every state: nothing of an earlier state stays behind.
    let mut moving = tx.insert_parcel(&parcel(100, State::Cancelled), t(2)).await.unwrap();
    for state in every_state() {
        let occupant = tx.holds(&id("lotus"), t(2)).await.unwrap();
        let moved = in_state(&moving, state);
        if moved.holds().is_some_and(|(_, compartment, _)| occupant.iter().any(|hold| hold.compartment == *compartment))
        {
            continue;
        }
        moving = tx.save_parcel(&moved, t(2)).await.unwrap();
        assert_eq!(tx.parcel(moving.id()).await.unwrap().as_ref(), Some(&moving));
    }
}

pub async fn a_stale_version_is_refused(bench: Bench) {
    settle(&bench.store, 1).await;
    let first = keep(&bench.store, &parcel(1, waiting("A1"))).await;
    let tx = bench.store.write().await.unwrap();
    let second = tx.save_parcel(&in_state(&first, State::PickedUp), t(4)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((first.version(), second.version()), (1, 2));
    let tx = bench.store.write().await.unwrap();
    let stale = tx.save_parcel(&in_state(&first, State::RecallRequested { stay: stay("A1") }), t(4)).await;
    assert_eq!(stale, Err(StoreError::Conflict));
    drop(tx);
    let tx = bench.store.read().await.unwrap();
    assert_eq!(tx.parcel(first.id()).await.unwrap(), Some(second));
}

pub async fn a_tracking_number_is_the_couriers_own(bench: Bench) {
    settle(&bench.store, 1).await;
    keep(&bench.store, &parcel(1, State::PickedUp)).await;
    let mut same = facts(2);
    same.tracking_number = facts(1).tracking_number;
    let twin = |facts| Parcel::restore(facts, parcel(1, State::PickedUp).addressee().clone(), State::PickedUp, t(0), 0);

    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.insert_parcel(&twin(same.clone()), t(0)).await, Err(StoreError::TrackingNumberTaken));
    drop(tx);

    same.courier = id("brisk");
    let tx = bench.store.write().await.unwrap();
    tx.insert_courier(&courier("brisk")).await.unwrap();
    tx.insert_parcel(&twin(same.clone()), t(0)).await.unwrap();
    let found = tx.parcel_by_tracking_number(&id("brisk"), &same.tracking_number).await.unwrap();
    assert_eq!(found.map(|parcel| parcel.id()), Some(same.id));
    assert_eq!(tx.parcel_by_tracking_number(&id("swift"), "unknown").await.unwrap(), None);
}

pub async fn pages_of_parcels_join(bench: Bench) {
    settle(&bench.store, 1).await;
    let tx = bench.store.write().await.unwrap();
    for number in 1..=10_u128 {
        let mut facts = facts(number);
        // Pairs of equal instants, so that the id must break ties.
        facts.announced_at = t(number as i64 / 2);
        let waits = number % 3 == 0;
        let (addressee, state) = if waits {
            (parcel(1, State::PickedUp).addressee().clone(), waiting(&format!("A{number}")))
        } else {
            (Addressee::Unresolved(label()), State::Announced { placement: Placement::Unresolved })
        };
        tx.insert_parcel(&Parcel::restore(facts, addressee, state, t(0), 0), t(0)).await.unwrap();
    }
    let numbers = |parcels: &[Parcel]| parcels.iter().map(|parcel| parcel.id().0.as_u128()).collect::<Vec<_>>();
    let place = |parcel: &Parcel| (parcel.facts().announced_at, parcel.id());

    let mut newest_first = Vec::new();
    loop {
        let before = newest_first.last().map(place);
        let page = tx.parcels_of(&id("swift"), None, before, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        newest_first.extend(page);
    }
    assert_eq!(numbers(&newest_first), (1..=10).rev().collect::<Vec<_>>());
    let waiting = tx.parcels_of(&id("swift"), Some(StateName::Waiting), None, 10).await.unwrap();
    assert_eq!(numbers(&waiting), [9, 6, 3]);
    assert_eq!(numbers(&tx.waiting_parcels(resident_id(1)).await.unwrap()), [3, 6, 9]);

    let mut unresolved = Vec::new();
    loop {
        let after = unresolved.last().map(place);
        let page = tx.unresolved_parcels(&id("lotus"), after, 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        unresolved.extend(page);
    }
    assert_eq!(numbers(&unresolved), [1, 2, 4, 5, 7, 8, 10]);
}

pub async fn deadlines_come_in_order(bench: Bench) {
    settle(&bench.store, 1).await;
    let tx = bench.store.write().await.unwrap();
    for number in 1..=9_u128 {
        let remind_from = t(100 - 10 * (number as i64 / 2));
        let stay = Stay { remind_from, ..stay(&format!("A{number}")) };
        let state = if number == 5 { State::PickedUp } else { State::Waiting { stay, plan: ReminderPlan::AtT1 } };
        tx.insert_parcel(&parcel(number, state), t(0)).await.unwrap();
    }
    let expected: Vec<_> = [8, 9, 6, 7, 4, 2, 3, 1]
        .map(|number: u128| Timer { due: t(100 - 10 * (number as i64 / 2)), parcel: parcel_id(number) })
        .to_vec();
    let mut all = Vec::new();
    loop {
        let page = tx.deadlines(all.last().copied(), None, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    assert_eq!(all, expected);
    assert_eq!(tx.deadlines(None, Some(t(60)), 10).await.unwrap(), expected[..2]);
    let just_before = t(70) - SignedDuration::from_millis(1);
    assert_eq!(tx.due_parcels(just_before, 10).await.unwrap(), [8, 9].map(parcel_id));
    assert_eq!(tx.due_parcels(t(70), 3).await.unwrap(), [8, 9, 6].map(parcel_id));
}
