//! The couriers' event logs.

use gatepost_domain::{
    CourierEvent, EventKind, Parcel, State,
    parcel::{Facts, StateName, Trip},
};
use gatepost_storage::{EventCursor, Store, StoreError};

use super::{
    Bench,
    fixture::{addressed_to, courier, facts, id, keep, parcel, settle, t},
};

const WRITERS: u128 = 40;

pub async fn every_event_is_read_as_it_was_logged(bench: Bench) {
    settle(&bench.store, 1).await;
    let parcel =
        keep(&bench.store, &parcel(1, State::OutForDoorDelivery { trip: Trip { attempt: 1, recalls: 1 } })).await;
    let kinds = vec![
        EventKind::RecipientResolved,
        EventKind::Deposited,
        EventKind::ReminderSent { at_gate: true },
        EventKind::ReminderSent { at_gate: false },
        EventKind::RecallRequested {
            recall: 2,
            locker: id("一号柜"),
            compartment: id("A1"),
            building: "三号楼".to_owned(),
            unit: "1502".to_owned(),
        },
        EventKind::RecallWithdrawn { recall: 2 },
        EventKind::RecallAccepted,
        EventKind::RecallRefused,
        EventKind::Collected,
        EventKind::DoorDeliveryFailed,
        EventKind::DeliveredToDoor,
        EventKind::PickedUp,
        EventKind::Cancelled,
        EventKind::StayExtended,
        EventKind::StayHeld,
        EventKind::StayReleased,
        EventKind::RedeliveryStarted,
        EventKind::ReturnedToSender,
    ];
    let tx = bench.store.write().await.unwrap();
    for (sequence, kind) in (1..).zip(&kinds) {
        let event = CourierEvent { at: t(sequence), kind: kind.clone() };
        assert_eq!(tx.append_event(&parcel, &event).await, Ok(sequence));
    }
    // Once more, all together.
    let event = |(sequence, kind): (i64, &EventKind)| CourierEvent { at: t(sequence), kind: kind.clone() };
    let together: Vec<_> = (kinds.len() as i64 + 1..).zip(&kinds).map(event).collect();
    tx.append_events(&together.iter().map(|event| (&parcel, event)).collect::<Vec<_>>()).await.unwrap();
    tx.commit().await.unwrap();
    let tx = bench.store.read().await.unwrap();
    let events = tx.events(&id("swift"), 0, 100).await.unwrap();
    assert_eq!(events.len(), 2 * kinds.len());
    for ((sequence, kind), stored) in (1..).zip(kinds.iter().chain(&kinds)).zip(&events) {
        assert_eq!((stored.sequence, &stored.event.kind, stored.event.at), (sequence, kind, t(sequence)));
        assert_eq!((stored.parcel, stored.state), (parcel.id(), StateName::OutForDoorDelivery));
        assert_eq!(stored.tracking_number, "单号-1");
    }
    let page: Vec<i64> = tx.events(&id("swift"), 3, 2).await.unwrap().into_iter().map(|event| event.sequence).collect();
    assert_eq!(page, [4, 5]);
}

/// Logs two events, and every third time changes its mind.
async fn log_twice(store: Store, parcel: Parcel, number: u128) -> Result<(), StoreError> {
    let event = CourierEvent { at: t(0), kind: EventKind::Deposited };
    let tx = store.write().await?;
    tx.append_event(&parcel, &event).await?;
    tx.append_event(&parcel, &event).await?;
    if number.is_multiple_of(3) {
        return Ok(());
    }
    tx.commit().await
}

pub async fn sequences_have_no_gaps(bench: Bench) {
    settle(&bench.store, 1).await;
    let parcel = keep(&bench.store, &parcel(1, State::PickedUp)).await;
    let mut writers: Vec<_> =
        (1..=WRITERS).map(|number| tokio::spawn(log_twice(bench.store.clone(), parcel.clone(), number))).collect();
    // A follower that reads meanwhile never sees a hole it would skip.
    let mut followed = 0;
    while let Some(writer) = writers.pop() {
        writer.await.unwrap().unwrap();
        let tx = bench.store.read().await.unwrap();
        for event in tx.events(&id("swift"), followed, 1000).await.unwrap() {
            followed += 1;
            assert_eq!(event.sequence, followed);
        }
        assert_eq!(tx.event_cursor(&id("swift")).await.unwrap().newest, followed);
    }
    let committed = WRITERS - WRITERS / 3;
    assert_eq!(followed as u128, 2 * committed);
}

pub async fn an_acknowledgement_never_moves_back(bench: Bench) {
    settle(&bench.store, 1).await;
    let parcel = keep(&bench.store, &parcel(1, State::PickedUp)).await;
    let tx = bench.store.write().await.unwrap();
    tx.insert_courier(&courier("brisk")).await.unwrap();
    for _ in 0..5 {
        tx.append_event(&parcel, &CourierEvent { at: t(0), kind: EventKind::Deposited }).await.unwrap();
    }
    for (acknowledged, stands) in [(3, 3), (2, 3), (0, 3), (-7, 3), (4, 4), (99, 5), (5, 5)] {
        tx.acknowledge_events(&id("swift"), acknowledged).await.unwrap();
        let cursor = tx.event_cursor(&id("swift")).await.unwrap();
        assert_eq!(cursor, EventCursor { newest: 5, acknowledged: stands }, "after {acknowledged}");
    }
    let untouched = tx.event_cursor(&id("brisk")).await.unwrap();
    assert_eq!(untouched, EventCursor { newest: 0, acknowledged: 0 });
    assert_eq!(tx.acknowledge_events(&id("nobody"), 1).await, Err(StoreError::NotFound));
    assert_eq!(tx.event_cursor(&id("nobody")).await, Err(StoreError::NotFound));
}

pub async fn old_events_go_without_a_gap(bench: Bench) {
    settle(&bench.store, 1).await;
    let parcel = keep(&bench.store, &parcel(1, State::PickedUp)).await;
    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.oldest_event(&id("swift")).await, Ok(1), "the next one");
    // The third was reported late, and happened before the second.
    for minute in [1, 5, 2, 6, 7, 8] {
        tx.append_event(&parcel, &CourierEvent { at: t(minute), kind: EventKind::Deposited }).await.unwrap();
    }
    assert_eq!(tx.forget_events(&id("swift"), t(1), 100).await, Ok(0));
    assert_eq!(tx.forget_events(&id("swift"), t(3), 100).await, Ok(1), "up to the first that is kept");
    assert_eq!(tx.oldest_event(&id("swift")).await, Ok(2));
    assert_eq!(tx.forget_events(&id("swift"), t(99), 2).await, Ok(2), "no more than asked for");
    assert_eq!(tx.event(&id("swift"), 3).await, Ok(None));
    assert_eq!(tx.event(&id("swift"), 4).await.unwrap().map(|event| event.sequence), Some(4));
    assert_eq!(tx.forget_events(&id("swift"), t(99), 100).await, Ok(3));
    assert_eq!(tx.oldest_event(&id("swift")).await, Ok(7));
    assert_eq!(tx.forget_events(&id("swift"), t(99), 100).await, Ok(0));
    assert_eq!(tx.append_event(&parcel, &CourierEvent { at: t(9), kind: EventKind::Collected }).await, Ok(7));
    assert_eq!(tx.oldest_event(&id("nobody")).await, Err(StoreError::NotFound));
}

/// Transactions that commit in another order than they began in. On PostgreSQL both are open at once; SQLite has one
/// writer, so there is no such order.
#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_numbers_is_the_order_of_commits() {
    let bench = Bench::postgres().await;
    settle(&bench.store, 1).await;
    let parcel = keep(&bench.store, &parcel(1, State::PickedUp)).await;
    let event = |minute| CourierEvent { at: t(minute), kind: EventKind::Deposited };
    let read = async || {
        let tx = bench.store.read().await.unwrap();
        let events = tx.events(&id("swift"), 0, 100).await.unwrap();
        events.into_iter().map(|event| (event.sequence, event.event.at)).collect::<Vec<_>>()
    };
    // One begins earlier, writes something, and takes its number only after the other one has committed.
    let earlier = bench.store.write().await.unwrap();
    earlier.insert_courier(&courier("brisk")).await.unwrap();
    let later = bench.store.write().await.unwrap();
    assert_eq!(later.append_event(&parcel, &event(1)).await, Ok(1));
    later.commit().await.unwrap();
    assert_eq!(read().await, [(1, t(1))]);
    assert_eq!(earlier.append_event(&parcel, &event(2)).await, Ok(2));
    assert_eq!(read().await, [(1, t(1))]);
    earlier.commit().await.unwrap();
    assert_eq!(read().await, [(1, t(1)), (2, t(2))]);

    // One takes its number first and commits last: the other one waits, and no reader sees its number before.
    for commits in [true, false] {
        let before = read().await.len() as i64;
        let slow = bench.store.write().await.unwrap();
        assert_eq!(slow.append_event(&parcel, &event(3)).await, Ok(before + 1));
        let (store, parcel) = (bench.store.clone(), parcel.clone());
        let quick = tokio::spawn(async move {
            let tx = store.write().await.unwrap();
            let taken = tx.append_event(&parcel, &CourierEvent { at: t(4), kind: EventKind::Collected }).await.unwrap();
            tx.commit().await.unwrap();
            taken
        });
        waits_for_a_lock(&bench).await;
        assert!(!quick.is_finished());
        assert_eq!(read().await.len() as i64, before, "nothing is seen that could be passed over");
        if commits {
            slow.commit().await.unwrap();
        } else {
            drop(slow);
        }
        let expected = if commits { before + 2 } else { before + 1 };
        assert_eq!(quick.await.unwrap(), expected, "a number that was not used is given to the next");
        let read = read().await;
        let numbers: Vec<i64> = read.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(numbers, (1..=expected).collect::<Vec<_>>());
    }
}

/// Returns once a transaction of this database waits for another.
async fn waits_for_a_lock(bench: &Bench) {
    use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};
    let database = Database::connect(&bench.url).await.unwrap();
    gatepost_tests::world::until("the wait for the other transaction", || async {
        let ask = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let ask = Statement::from_string(DbBackend::Postgres, ask);
        database.query_one_raw(ask).await.unwrap().is_some()
    })
    .await;
}

/// Two replicas that fire at once append to the logs of the same couriers, each in an order of its own.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_many_couriers_are_numbered_without_a_gap_whoever_else_appends() {
    const ROUNDS: i64 = 50;
    const EACH: i64 = 3;
    let bench = Bench::postgres().await;
    settle(&bench.store, 1).await;
    let tx = bench.store.write().await.unwrap();
    tx.insert_courier(&courier("brisk")).await.unwrap();
    tx.commit().await.unwrap();
    let of = |number: u128, courier: &str| {
        let facts = Facts { courier: id(courier), ..facts(number) };
        Parcel::restore(facts, addressed_to(1), State::PickedUp, t(2), 0)
    };
    let parcels = [keep(&bench.store, &of(1, "swift")).await, keep(&bench.store, &of(2, "brisk")).await];
    let replicas = [[0, 1], [1, 0]].map(|order| {
        let (store, parcels) = (bench.store.clone(), order.map(|place| parcels[place].clone()));
        tokio::spawn(async move {
            let events: Vec<_> = (0..EACH).map(|at| CourierEvent { at: t(at), kind: EventKind::Collected }).collect();
            let both: Vec<_> = events.iter().flat_map(|event| parcels.iter().map(move |of| (of, event))).collect();
            for _ in 0..ROUNDS {
                let tx = store.write().await.unwrap();
                tx.append_events(&both).await.unwrap();
                tx.commit().await.unwrap();
            }
        })
    });
    for replica in replicas {
        replica.await.unwrap();
    }
    let tx = bench.store.read().await.unwrap();
    for courier in ["swift", "brisk"] {
        let events = tx.events(&id(courier), 0, 1000).await.unwrap();
        let told: Vec<_> = events.iter().map(|event| (event.sequence, event.event.at)).collect();
        let wanted: Vec<_> = (0..2 * ROUNDS * EACH).map(|place| (place + 1, t(place % EACH))).collect();
        assert_eq!(told, wanted, "{courier}");
    }
}
