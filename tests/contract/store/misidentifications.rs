//! Recognition policies, mistaken sightings, and where somebody was seen last.

use gatepost_domain::{consent::Purpose, parcel::StateName};
use gatepost_storage::{Delivery, Misidentification, MisidentificationReason, StoreError};

use super::{Bench, fixture::*};

fn mistaken(resident: u128, minute: i64, similarity: Option<f32>) -> Misidentification {
    Misidentification {
        resident: resident_id(resident),
        community: id("lotus"),
        reason: MisidentificationReason::NotMe,
        gate: id("北门"),
        seen_at: t(minute),
        similarity,
        other: None,
        reported_at: t(minute + 1),
        settled_at: None,
    }
}

pub async fn a_recognition_policy_is_the_communitys_own(bench: Bench) {
    settle(&bench.store, 0).await;
    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.recognition_policy(&id("lotus")).await.unwrap(), None);
    for (policy, version) in [("first", 1), ("第二", 2)] {
        tx.set_recognition_policy(&id("lotus"), policy).await.unwrap();
        assert_eq!(tx.recognition_policy(&id("lotus")).await.unwrap(), Some((policy.to_owned(), version)));
    }
    assert_eq!(tx.recognition_policy(&id("elsewhere")).await.unwrap(), None);
    assert_eq!(tx.set_recognition_policy(&id("elsewhere"), "none").await, Err(StoreError::NotFound));
}

pub async fn what_was_mistaken_is_kept_until_the_faces_go(bench: Bench) {
    settle(&bench.store, 2).await;
    let tx = bench.store.write().await.unwrap();
    let [first, second] = [(1, 60, Some(0.625)), (1, 70, None)].map(|(who, when, how)| mistaken(who, when, how));
    let other = Some((id("南门"), t(79)));
    let gates = Misidentification { reason: MisidentificationReason::TwoGates, other, ..mistaken(2, 80, Some(0.5)) };
    assert_eq!(tx.misidentification_stands(&id("lotus")).await, Ok(false));
    for news in [true, false] {
        for one in [&first, &second, &gates] {
            assert_eq!(tx.insert_misidentification(one).await, Ok(news));
        }
    }
    let flagged = async |who, reason| tx.is_flagged(resident_id(who), reason).await.unwrap();
    assert!(flagged(2, MisidentificationReason::TwoGates).await && !flagged(2, MisidentificationReason::NotLive).await);
    assert!(!flagged(1, MisidentificationReason::TwoGates).await);
    let listed = tx.misidentifications(&id("lotus"), 10).await.unwrap();
    assert_eq!(listed, [gates.clone(), second.clone(), first.clone()]);
    assert_eq!(tx.misidentifications(&id("lotus"), 1).await.unwrap(), [gates]);
    assert_eq!(tx.misidentifications(&id("elsewhere"), 10).await.unwrap(), []);

    assert_eq!(tx.misidentification_stands(&id("lotus")).await, Ok(true));
    tx.settle_misidentification(first.resident, first.seen_at, t(90)).await.unwrap();
    tx.settle_misidentification(first.resident, first.seen_at, t(99)).await.unwrap();
    assert_eq!(tx.misidentification_stands(&id("lotus")).await, Ok(true), "one is left");
    tx.settle_misidentification(second.resident, second.seen_at, t(90)).await.unwrap();
    assert_eq!(tx.misidentification_stands(&id("lotus")).await, Ok(false), "two gates are no confirmation");
    assert_eq!(tx.misidentifications(&id("lotus"), 10).await.unwrap()[2].settled_at, Some(t(90)));
    assert_eq!(tx.settle_misidentification(resident_id(2), t(1), t(2)).await, Err(StoreError::NotFound));
    tx.delete_templates(resident_id(1)).await.unwrap();
    assert_eq!(tx.misidentifications(&id("lotus"), 10).await.unwrap().len(), 1);
}

pub async fn a_search_knows_what_was_mistaken(bench: Bench) {
    settle(&bench.store, 2).await;
    let tx = bench.store.write().await.unwrap();
    tx.insert_community_key(&community_key("lotus", 1)).await.unwrap();
    for number in 1..=2 {
        tx.insert_resident_key(&resident_key(number, 1)).await.unwrap();
        tx.insert_template(&template(number, number)).await.unwrap();
        tx.grant_consent(resident_id(number), Purpose::GateRecognition, "v1", t(0)).await.unwrap();
        tx.insert_parcel(&parcel_for(number, number, waiting(&format!("A{number}"))), t(2)).await.unwrap();
    }
    for (minute, similarity) in [(1, Some(0.5)), (2, Some(0.625)), (3, Some(0.25)), (4, None)] {
        tx.insert_misidentification(&mistaken(1, minute, similarity)).await.unwrap();
    }
    let gates = Misidentification { reason: MisidentificationReason::TwoGates, ..mistaken(2, 5, Some(0.75)) };
    tx.insert_misidentification(&gates).await.unwrap();
    let found = tx.searchable_faces(&id("lotus"), MODEL, t(60)).await.unwrap();
    assert_eq!(found.iter().map(|face| face.mistaken_at).collect::<Vec<_>>(), [Some(0.625), None]);
}

pub async fn a_reminders_pending_notices_are_withdrawn(bench: Bench) {
    settle(&bench.store, 1).await;
    keep(&bench.store, &parcel_for(1, 1, waiting("A1"))).await;
    let tx = bench.store.write().await.unwrap();
    let delivered = gatepost_storage::NoticeRecord { delivery: Delivery::Delivered, ..notice(2, 1, 1) };
    let later = gatepost_storage::NoticeRecord { decided_at: t(61), ..notice(3, 1, 1) };
    for one in [&notice(1, 1, 1), &delivered, &later] {
        tx.insert_notice(one).await.unwrap();
    }
    assert_eq!(tx.withdraw_notices(resident_id(1), t(60), "withdrawn").await, Ok(1));
    let states: Vec<_> = tx.notices_of(resident_id(1), 10).await.unwrap().into_iter().map(|it| it.delivery).collect();
    assert_eq!(states, [Delivery::Pending, Delivery::Delivered, Delivery::Failed]);
    assert_eq!(tx.parcel(parcel_id(1)).await.unwrap().unwrap().state().name(), StateName::Waiting);
}

pub async fn last_sightings_are_forgotten(bench: Bench) {
    settle(&bench.store, 2).await;
    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.last_sighting(resident_id(1)).await.unwrap(), None);
    for (resident, gate, minute) in [(1, "北门", 1), (1, "南门", 2), (2, "北门", 3)] {
        tx.set_last_sighting(resident_id(resident), &id(gate), t(minute)).await.unwrap();
    }
    assert_eq!(tx.last_sighting(resident_id(1)).await.unwrap(), Some((id("南门"), t(2))));
    assert_eq!(tx.forget_sightings(t(3)).await, Ok(1));
    assert_eq!(tx.last_sighting(resident_id(1)).await.unwrap(), None);
    assert_eq!(tx.last_sighting(resident_id(2)).await.unwrap(), Some((id("北门"), t(3))));
}
