//! One parcel per compartment, whoever races and whatever expires.

use std::collections::BTreeSet;

use gatepost_domain::State;
use gatepost_storage::{Hold, Store, StoreError};
use jiff::SignedDuration;

use super::{
    Bench,
    fixture::{id, in_state, keep, parcel, parcel_id, reserved, settle, t, waiting},
};

const COMPARTMENTS: u128 = 50;
const WRITERS: u128 = 200;

/// Tries to put a parcel into a compartment that three others want too.
async fn race(store: Store, number: u128) -> Result<(), StoreError> {
    let wanted = format!("A{}", number % COMPARTMENTS);
    loop {
        let tx = store.write().await?;
        match tx.insert_parcel(&parcel(number, waiting(&wanted)), t(0)).await {
            Ok(_) => return tx.commit().await,
            Err(StoreError::Conflict) => continue,
            Err(other) => return Err(other),
        }
    }
}

pub async fn one_parcel_per_compartment_whoever_races(bench: Bench) {
    settle(&bench.store, 1).await;
    let writers: Vec<_> = (1..=WRITERS).map(|number| tokio::spawn(race(bench.store.clone(), number))).collect();
    let mut placed = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Ok(()) => placed += 1,
            Err(refused) => assert_eq!(refused, StoreError::CompartmentTaken),
        }
    }
    assert_eq!(placed, COMPARTMENTS);
    let tx = bench.store.read().await.unwrap();
    let holds = tx.holds(&id("lotus"), t(0)).await.unwrap();
    let compartments: BTreeSet<_> = holds.iter().map(|hold| &hold.compartment).collect();
    assert_eq!((holds.len() as u128, compartments.len() as u128), (COMPARTMENTS, COMPARTMENTS));
}

pub async fn an_expired_reservation_is_free(bench: Bench) {
    settle(&bench.store, 1).await;
    let late = keep(&bench.store, &parcel(1, reserved("A1", t(120)))).await;
    let millisecond = SignedDuration::from_millis(1);
    let (locker, compartment) = (id("一号柜"), id("A1"));
    let hold = |number, reserved_until| Hold { locker, compartment, parcel: parcel_id(number), reserved_until };

    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.holds(&id("lotus"), t(120) - millisecond).await.unwrap(), [hold(1, Some(t(120)))]);
    assert_eq!(tx.holds(&id("lotus"), t(120)).await.unwrap(), []);
    let early = tx.insert_parcel(&parcel(2, waiting("A1")), t(120) - millisecond).await;
    assert_eq!(early, Err(StoreError::CompartmentTaken));
    drop(tx);

    let tx = bench.store.write().await.unwrap();
    tx.insert_parcel(&parcel(2, waiting("A1")), t(120)).await.unwrap();
    tx.commit().await.unwrap();

    // The late parcel is as it was, and may still go elsewhere, only not there.
    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.parcel(late.id()).await.unwrap().as_ref(), Some(&late));
    assert_eq!(tx.save_parcel(&in_state(&late, waiting("A1")), t(121)).await, Err(StoreError::CompartmentTaken));
    drop(tx);
    let tx = bench.store.write().await.unwrap();
    let elsewhere = tx.save_parcel(&in_state(&late, waiting("A2")), t(121)).await.unwrap();
    // What is taken out frees its compartment at once.
    tx.save_parcel(&in_state(&elsewhere, State::PickedUp), t(122)).await.unwrap();
    let held: Vec<_> = tx.holds(&id("lotus"), t(122)).await.unwrap().into_iter().map(|hold| hold.parcel).collect();
    assert_eq!(held, [parcel_id(2)]);
}
