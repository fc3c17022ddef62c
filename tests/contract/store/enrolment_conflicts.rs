//! Photographs that resemble somebody else.

use std::slice;

use gatepost_storage::{EnrolmentConflict, Resolution, StoreError};

use super::{Bench, fixture::*};

fn conflict(resident: u128, other: u128, minute: i64) -> EnrolmentConflict {
    EnrolmentConflict {
        resident: resident_id(resident),
        other: resident_id(other),
        community: id("lotus"),
        similarity: 0.5,
        found_at: t(minute),
        settled: None,
    }
}

pub async fn conflicts_are_kept_until_somebody_goes(bench: Bench) {
    settle(&bench.store, 4).await;
    let tx = bench.store.write().await.unwrap();
    let [first, second, third] =
        [(1, 2, 10), (3, 1, 20), (1, 4, 30)].map(|(who, whom, when)| conflict(who, whom, when));
    for one in [&first, &second, &third] {
        tx.raise_conflict(one).await.unwrap();
    }
    assert_eq!(tx.conflicts(&id("lotus"), 10).await.unwrap(), [third.clone(), second.clone(), first.clone()]);
    assert_eq!(tx.conflicts(&id("lotus"), 1).await.unwrap(), slice::from_ref(&third));
    assert_eq!(tx.conflicts(&id("elsewhere"), 10).await.unwrap(), []);
    assert_eq!(tx.told_apart(resident_id(1)).await.unwrap(), []);

    let pair = |conflict: &EnrolmentConflict| (conflict.resident, conflict.other);
    tx.settle_conflict(pair(&first), Resolution::DifferentPeople, t(40)).await.unwrap();
    tx.settle_conflict(pair(&second), Resolution::SamePerson, t(41)).await.unwrap();
    let unknown = tx.settle_conflict((resident_id(2), resident_id(1)), Resolution::SamePerson, t(41)).await;
    assert_eq!(unknown, Err(StoreError::NotFound));
    assert_eq!(tx.told_apart(resident_id(1)).await.unwrap(), [resident_id(2)]);
    assert_eq!(tx.told_apart(resident_id(2)).await.unwrap(), [resident_id(1)], "both ways");
    assert_eq!(tx.told_apart(resident_id(3)).await.unwrap(), []);
    assert_eq!(tx.conflicts(&id("lotus"), 10).await.unwrap()[1].settled, Some((Resolution::SamePerson, t(41))));
    let again = EnrolmentConflict { similarity: 0.75, ..conflict(3, 1, 50) };
    tx.raise_conflict(&again).await.unwrap();
    assert_eq!(tx.conflicts(&id("lotus"), 1).await.unwrap(), slice::from_ref(&again), "open again");

    tx.delete_templates(resident_id(1)).await.unwrap();
    let left = tx.conflicts(&id("lotus"), 10).await.unwrap();
    assert_eq!(left.iter().map(pair).collect::<Vec<_>>(), [pair(&first)], "who was told apart stays so");
    tx.delete_resident(resident_id(2), t(60)).await.unwrap();
    assert_eq!(tx.conflicts(&id("lotus"), 10).await.unwrap(), []);
}
