//! The couriers' event logs.

use gatepost_domain::{
    CourierEvent, EventKind, Parcel, State,
    parcel::{StateName, Trip},
};
use gatepost_storage::{EventCursor, Store, StoreError};

use super::{
    Bench,
    fixture::{courier, id, keep, parcel, settle, t},
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
    tx.commit().await.unwrap();
    let tx = bench.store.read().await.unwrap();
    let events = tx.events(&id("swift"), 0, 100).await.unwrap();
    assert_eq!(events.len(), kinds.len());
    for ((sequence, kind), stored) in (1..).zip(&kinds).zip(&events) {
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
