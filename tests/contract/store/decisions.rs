//! Why something was decided is kept until it is old, or its resident goes.

use gatepost_domain::id::DecisionId;
use gatepost_storage::{DecisionRecord, StoreError};
use uuid::Uuid;

use super::{Bench, fixture::*};

fn decision(number: u128, resident: u128, parcel: Option<u128>, rule: &'static str, minute: i64) -> DecisionRecord {
    DecisionRecord {
        id: DecisionId(Uuid::from_u128(number)),
        resident: Some(resident_id(resident)),
        parcel: parcel.map(parcel_id),
        community: id("lotus"),
        rule: rule.into(),
        decided_at: t(minute),
        record: "{\"why\": \"因为\"}".to_owned(),
    }
}

pub async fn decisions_are_kept_until_their_resident_goes(bench: Bench) {
    settle(&bench.store, 2).await;
    keep(&bench.store, &parcel_for(1, 1, waiting("A1"))).await;
    let tx = bench.store.write().await.unwrap();
    let [reminded, recall, other] = [
        decision(1, 1, Some(1), "gate.reminded", 60),
        DecisionRecord { resident: None, ..decision(2, 1, Some(1), "recall", 70) },
        decision(3, 2, None, "gate.two_gates", 80),
    ];
    tx.insert_decisions(&[]).await.unwrap();
    tx.insert_decisions(&[reminded.clone(), recall.clone()]).await.unwrap();
    tx.insert_decisions(std::slice::from_ref(&other)).await.unwrap();
    let ambiguous = decision(4, 1, None, "gate.ambiguous", 65);
    tx.replace_decision(&ambiguous).await.unwrap();
    let of_parcel = tx.decisions_of(parcel_id(1), Some(resident_id(1)), 10).await.unwrap();
    assert_eq!(of_parcel, [recall.clone(), ambiguous.clone(), reminded.clone()]);
    assert_eq!(tx.decisions_of(parcel_id(1), None, 10).await.unwrap(), [recall.clone(), reminded.clone()]);
    assert_eq!(tx.decisions_about(resident_id(2), 10).await.unwrap(), std::slice::from_ref(&other));
    assert_eq!(tx.decisions_about(resident_id(1), 1).await.unwrap(), std::slice::from_ref(&recall));
    assert_eq!(tx.decision(recall.id).await.unwrap(), Some(recall.clone()));
    assert_eq!(tx.decision(DecisionId(Uuid::from_u128(9))).await.unwrap(), None);

    // With the faces goes what gates went by.
    tx.delete_templates(resident_id(1)).await.unwrap();
    assert_eq!(tx.decisions_about(resident_id(1), 10).await.unwrap(), std::slice::from_ref(&recall));
    let hour = decision(5, 1, Some(1), "hour.reminded", 80);
    tx.insert_decisions(std::slice::from_ref(&hour)).await.unwrap();
    tx.delete_resident(resident_id(1), t(90)).await.unwrap();
    // A recall is its courier's too.
    assert_eq!(tx.decisions_of(parcel_id(1), Some(resident_id(1)), 10).await.unwrap(), [recall]);
    assert_eq!(tx.decisions_about(resident_id(1), 10).await.unwrap(), []);
    tx.commit().await.unwrap();
    let tx = bench.store.write().await.unwrap();
    let gone = decision(6, 1, Some(1), "hour.reminded", 91);
    assert_eq!(tx.insert_decisions(&[gone]).await, Err(StoreError::NotFound));
}

pub async fn of_what_came_to_nothing_the_last_is_kept(bench: Bench) {
    settle(&bench.store, 2).await;
    keep(&bench.store, &parcel_for(1, 1, waiting("A1"))).await;
    let tx = bench.store.write().await.unwrap();
    let others = [
        decision(1, 1, Some(1), "gate.quiet_hours", 1),
        decision(2, 1, None, "gate.cooldown", 2),
        decision(3, 2, Some(1), "gate.cooldown", 3),
    ];
    tx.insert_decisions(&others).await.unwrap();
    for (number, minute) in [(4, 4), (5, 5)] {
        tx.replace_decision(&decision(number, 1, Some(1), "gate.cooldown", minute)).await.unwrap();
    }
    let kept: Vec<_> = tx.decisions_about(resident_id(1), 10).await.unwrap().into_iter().map(|it| it.id.0).collect();
    assert_eq!(kept, [5, 2, 1].map(Uuid::from_u128));
    assert_eq!(tx.decisions_about(resident_id(2), 10).await.unwrap().len(), 1);

    assert_eq!(tx.forget_decisions(t(5), 2).await, Ok(2), "so many at once");
    assert_eq!(tx.forget_decisions(t(5), 2).await, Ok(1));
    assert_eq!(tx.forget_decisions(t(5), 2).await, Ok(0));
    assert_eq!(tx.decisions_about(resident_id(1), 10).await.unwrap().len(), 1);
}
