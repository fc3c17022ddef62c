//! Residents, what they agreed to, and their right to be forgotten.

use gatepost_domain::{
    CourierEvent, EventKind, State,
    consent::Purpose,
    parcel::{ReminderPlan, Stay},
    placement::Placement,
    recipient::{Addressee, Label},
    resident::Resident,
};
use gatepost_storage::{Answered, Key, SearchableFace, StoreError};
use jiff::SignedDuration;
use uuid::Uuid;

use super::{
    Bench,
    fixture::{
        MODEL, community, community_key, id, in_state, keep, label, notice, parcel_for, parcel_id, reserved, resident,
        resident_id, resident_key, settle, stay, t, template, waiting,
    },
};

pub async fn residents_are_kept_with_what_they_agreed_to(bench: Bench) {
    settle(&bench.store, 3).await;
    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.resident(resident_id(1)).await.unwrap(), Some(resident(1)));
    assert_eq!(tx.resident(resident_id(9)).await.unwrap(), None);
    tx.grant_consent(resident_id(1), Purpose::LockerDeposit, "v1", t(0)).await.unwrap();
    tx.grant_consent(resident_id(1), Purpose::GateRecognition, "v1", t(0)).await.unwrap();
    tx.grant_consent(resident_id(1), Purpose::GateRecognition, "v2", t(1)).await.unwrap();
    tx.grant_consent(resident_id(2), Purpose::GateRecognition, "v1", t(0)).await.unwrap();
    tx.withdraw_consent(resident_id(2), Purpose::GateRecognition, false, t(1)).await.unwrap();
    tx.withdraw_consent(resident_id(3), Purpose::LockerDeposit, false, t(1)).await.unwrap();
    for number in 1..=2 {
        tx.insert_template(&template(number, 1)).await.unwrap();
    }
    let first = Resident {
        consents: vec![Purpose::GateRecognition, Purpose::LockerDeposit],
        faces: 2,
        face_models: vec![MODEL.to_owned()],
        ..resident(1)
    };
    assert_eq!(tx.residents(&id("lotus"), None, 2).await.unwrap(), [first.clone(), resident(2)]);
    assert_eq!(tx.residents(&id("lotus"), Some(resident_id(2)), 2).await.unwrap(), [resident(3)]);

    assert_eq!(tx.enrolled_model().await.unwrap().as_deref(), Some(MODEL));
    assert_eq!(tx.delete_templates(resident_id(1)).await, Ok(2));
    assert_eq!(tx.enrolled_model().await.unwrap(), None);

    let moved = Resident { name: "王小芳".to_owned(), person_reference: "cam-7".to_owned(), ..first };
    tx.update_resident(&moved).await.unwrap();
    let moved = Resident { faces: 0, face_models: Vec::new(), ..moved };
    assert_eq!(tx.resident_by_person_reference(&id("lotus"), "cam-7").await.unwrap(), Some(moved));
    assert_eq!(tx.resident_by_person_reference(&id("lotus"), "").await.unwrap(), None);
    assert_eq!(tx.update_resident(&resident(9)).await, Err(StoreError::NotFound));
    tx.commit().await.unwrap();

    let tx = bench.store.write().await.unwrap();
    let impostor = Resident { person_reference: "cam-7".to_owned(), ..resident(4) };
    assert_eq!(tx.insert_resident(&impostor).await, Err(StoreError::Exists));
    drop(tx);
    let tx = bench.store.write().await.unwrap();
    let nobody = tx.grant_consent(resident_id(9), Purpose::LockerDeposit, "v1", t(0)).await;
    assert_eq!(nobody, Err(StoreError::NotFound));
}

pub async fn labels_find_their_candidates(bench: Bench) {
    settle(&bench.store, 0).await;
    let tx = bench.store.write().await.unwrap();
    tx.insert_community(&community("elsewhere")).await.unwrap();
    let named =
        |number, name: &str, phone: &str| Resident { name: name.into(), phone: phone.into(), ..resident(number) };
    let roster = [
        named(1, "李 伟", "+86 139-0000-1111"),
        named(2, "Ada Lovelace", "13900001111"),
        named(3, "李伟", ""),
        named(4, "王芳", "12"),
        Resident { community: id("elsewhere"), ..named(5, "李伟", "13900001111") },
    ];
    for resident in &roster {
        tx.insert_resident(resident).await.unwrap();
    }
    let with = |name: &str, phone: &str| Label { name: name.into(), phone: phone.into(), ..label() };
    for (label, found) in [
        (label(), vec![1, 2, 3]),
        (with("ADA  lovelace", ""), vec![2]),
        (with("", "0086 139 0000 1111"), vec![1, 2]),
        (with("", "12"), vec![]),
        (with("", ""), vec![]),
    ] {
        let candidates = tx.candidates(&id("lotus"), &label).await.unwrap();
        let numbers: Vec<u128> = candidates.iter().map(|resident| resident.id.0.as_u128()).collect();
        assert_eq!(numbers, found);
    }
}

pub async fn pickups_are_counted_once(bench: Bench) {
    settle(&bench.store, 1).await;
    let tx = bench.store.write().await.unwrap();
    for minute in [5, 1, 3] {
        assert_eq!(tx.record_pickup(resident_id(1), t(minute)).await, Ok(true));
    }
    assert_eq!(tx.record_pickup(resident_id(1), t(3)).await, Ok(false));
    assert_eq!(tx.pickups(resident_id(1), 2).await.unwrap(), [t(5), t(3)]);
    assert_eq!(tx.pickups(resident_id(1), 10).await.unwrap().len(), 3);
}

pub async fn only_who_agreed_and_is_due_is_searched(bench: Bench) {
    settle(&bench.store, 6).await;
    let tx = bench.store.write().await.unwrap();
    tx.insert_community_key(&community_key("lotus", 1)).await.unwrap();
    for number in 1..=6 {
        tx.insert_resident_key(&resident_key(number, 1)).await.unwrap();
        tx.insert_template(&template(number, number)).await.unwrap();
        if number != 2 {
            tx.grant_consent(resident_id(number), Purpose::GateRecognition, "v1", t(0)).await.unwrap();
        }
    }
    tx.insert_template(&template(11, 1)).await.unwrap();
    // 1 is due, 2 has not agreed, 3 took it back, 4 has picked up, 5 has not waited T1, 6 has no parcel.
    tx.withdraw_consent(resident_id(3), Purpose::GateRecognition, false, t(1)).await.unwrap();
    tx.grant_consent(resident_id(3), Purpose::LockerDeposit, "v1", t(1)).await.unwrap();
    for number in 1..=3 {
        tx.insert_parcel(&parcel_for(number, number, waiting(&format!("A{number}"))), t(2)).await.unwrap();
    }
    tx.insert_parcel(&parcel_for(4, 4, State::PickedUp), t(2)).await.unwrap();
    let fresh = Stay { remind_from: t(60) + SignedDuration::from_millis(1), ..stay("A5") };
    tx.insert_parcel(&parcel_for(5, 5, State::Waiting { stay: fresh, plan: ReminderPlan::AtT1 }), t(2)).await.unwrap();

    let before = tx.searchable_faces(&id("lotus"), MODEL, t(60) - SignedDuration::from_millis(1)).await.unwrap();
    assert_eq!(before, []);
    let found = tx.searchable_faces(&id("lotus"), MODEL, t(60)).await.unwrap();
    let face = |number| SearchableFace {
        template: template(number, 1).id,
        resident: resident_id(1),
        generation: 1,
        mistaken_at: None,
    };
    assert_eq!(found, [face(1), face(11)]);
    let consenting = tx.consenting_faces(&id("lotus"), MODEL).await.unwrap();
    let whose: Vec<_> = consenting.iter().map(|face| face.resident).collect();
    assert_eq!(whose, [1, 1, 4, 5, 6].map(resident_id));
    assert_eq!(tx.consenting_faces(&id("elsewhere"), MODEL).await.unwrap(), []);
    let sealed = tx.sealed_faces(&found).await.unwrap();
    assert_eq!(sealed, [1, 11].map(|number| (template(number, 1), resident_key(1, 1))));
    assert_eq!(tx.searchable_faces(&id("elsewhere"), MODEL, t(60)).await.unwrap(), []);
    assert_eq!(tx.searchable_faces(&id("lotus"), "another model", t(60)).await.unwrap(), []);
    assert_eq!(tx.consenting_faces(&id("lotus"), "another model").await.unwrap(), []);
    // Without the key nobody could open them.
    tx.delete_templates(resident_id(1)).await.unwrap();
    tx.insert_template(&template(1, 1)).await.unwrap();
    assert_eq!(tx.searchable_faces(&id("lotus"), MODEL, t(60)).await.unwrap(), []);
    assert_eq!(tx.sealed_faces(&found).await.unwrap(), []);
}

pub async fn a_deleted_resident_leaves_nothing(bench: Bench) {
    settle(&bench.store, 2).await;
    let tx = bench.store.write().await.unwrap();
    for purpose in Purpose::ALL {
        tx.grant_consent(resident_id(1), purpose, "v1", t(0)).await.unwrap();
    }
    tx.insert_community_key(&community_key("lotus", 1)).await.unwrap();
    tx.insert_resident_key(&resident_key(1, 1)).await.unwrap();
    tx.insert_template(&template(1, 1)).await.unwrap();
    tx.record_pickup(resident_id(1), t(0)).await.unwrap();
    let waits = tx.insert_parcel(&parcel_for(1, 1, waiting("A1")), t(0)).await.unwrap();
    tx.insert_parcel(&parcel_for(2, 1, reserved("A2", t(120))), t(0)).await.unwrap();
    tx.insert_parcel(&parcel_for(3, 1, State::PickedUp), t(0)).await.unwrap();
    let other = tx.insert_parcel(&parcel_for(4, 2, waiting("A4")), t(0)).await.unwrap();
    tx.insert_notice(&notice(1, 1, 1)).await.unwrap();
    let recall = EventKind::RecallRequested {
        recall: 1,
        locker: id("一号柜"),
        compartment: id("A1"),
        building: "三号楼".to_owned(),
        unit: "102".to_owned(),
    };
    tx.append_event(&waits, &CourierEvent { at: t(0), kind: recall }).await.unwrap();
    tx.commit().await.unwrap();

    let tx = bench.store.write().await.unwrap();
    tx.delete_resident(resident_id(1), t(1)).await.unwrap();
    tx.commit().await.unwrap();

    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.resident(resident_id(1)).await.unwrap(), None);
    assert_eq!(tx.pickups(resident_id(1), 10).await.unwrap(), []);
    assert_eq!(tx.notices_of(resident_id(1), 10).await.unwrap(), []);
    assert_eq!(tx.delete_templates(resident_id(1)).await, Ok(0));
    assert_eq!(tx.resident_key(resident_id(1)).await.unwrap(), None);
    assert_eq!(tx.next_notice_at().await.unwrap(), None);
    let nobody = Addressee::Unresolved(Label::default());
    let unresolved = State::Announced { placement: Placement::Unresolved };
    for (number, state) in [(1, waiting("A1")), (2, unresolved), (3, State::PickedUp)] {
        let parcel = tx.parcel(parcel_id(number)).await.unwrap().unwrap();
        assert_eq!((parcel.addressee(), parcel.state()), (&nobody, &state));
    }
    assert_eq!(tx.parcel(other.id()).await.unwrap(), Some(other));
    // The reserved compartment is free, the other two are not.
    assert_eq!(tx.holds(&id("lotus"), t(0)).await.unwrap().len(), 2);
    let events = tx.events(&id("swift"), 0, 10).await.unwrap();
    assert!(
        matches!(&events[0].event.kind, EventKind::RecallRequested { building, unit, .. } if building.is_empty() && unit.is_empty())
    );
    // A step that was decided for the resident is not saved any more.
    assert_eq!(tx.save_parcel(&in_state(&waits, State::PickedUp), t(1)).await, Err(StoreError::Conflict));
    assert_eq!(tx.delete_resident(resident_id(1), t(1)).await, Err(StoreError::NotFound));
}

pub async fn nothing_personal_is_printed(bench: Bench) {
    settle(&bench.store, 1).await;
    keep(&bench.store, &parcel_for(1, 1, waiting("A1"))).await;
    let key = Key {
        id: gatepost_domain::id::KeyId(Uuid::nil()),
        principal: gatepost_domain::principal::Principal::Worker,
        secret_hash: [171; 32],
        created_at: t(0),
        revoked_at: None,
        scopes: Default::default(),
        expires_at: None,
        last_used_at: None,
    };
    let answered = Answered { rpc: "GetResident".to_owned(), body_hash: [171; 32], answer: "王芳".into() };
    let tx = bench.store.write().await.unwrap();
    let twin = tx.insert_resident(&resident(1)).await.unwrap_err();
    let printed = format!("{:?} {twin:?} {twin} {key:?} {answered:?} {:?} {tx:?}", resident(1), template(1, 1));
    for personal in ["王芳", "0013", "example.org", "171", "159", "102"] {
        assert!(!printed.contains(personal), "{personal} in {printed}");
    }
}
