//! The ledger of consent: whole, in order, one entry at a time, and of those who are gone too.

use gatepost_domain::consent::Purpose;
use gatepost_storage::{ConsentEntry, ShownNotice, StoreError};

use super::{Bench, fixture::*};

pub async fn every_consent_has_its_entry_in_the_chain(bench: Bench) {
    settle(&bench.store, 2).await;
    let tx = bench.store.write().await.unwrap();
    let notice = ShownNotice {
        version: "告知书 v1".to_owned(),
        sha256: Some([171; 32]),
        by_guardian: true,
        guardian: "file-7".to_owned(),
    };
    tx.grant_consent(resident_id(1), Purpose::GateRecognition, notice, t(0)).await.unwrap();
    tx.grant_consent(resident_id(2), Purpose::LockerDeposit, "v1", t(1)).await.unwrap();
    tx.withdraw_consent(resident_id(2), Purpose::GateRecognition, false, t(2)).await.unwrap();
    tx.withdraw_consent(resident_id(1), Purpose::GateRecognition, true, t(3)).await.unwrap();
    assert_eq!(tx.consents_in_force(&id("lotus")).await.unwrap(), [(resident_id(2), Purpose::LockerDeposit)]);
    tx.delete_resident(resident_id(2), t(4)).await.unwrap();
    tx.commit().await.unwrap();

    let tx = bench.store.read().await.unwrap();
    let ledger = tx.consent_entries(&id("lotus"), 0, 10).await.unwrap();
    let told: Vec<_> =
        ledger.iter().map(|it| (it.sequence, it.resident, it.given, it.by_guardian, it.recorded_at)).collect();
    assert_eq!(
        told,
        [
            (1, resident_id(1), true, true, t(0)),
            (2, resident_id(2), true, false, t(1)),
            (3, resident_id(1), false, true, t(3)),
            (4, resident_id(2), false, false, t(4)),
        ]
    );
    assert_eq!(ledger[0].guardian, "file-7");
    assert_eq!((&*ledger[0].notice, ledger[0].notice_sha256), ("告知书 v1", Some([171; 32])));
    let mut before = None;
    for entry in &ledger {
        assert!(entry.follows(before), "entry {}", entry.sequence);
        before = Some(entry);
    }
    assert_eq!(tx.newest_consent_entry(&id("lotus")).await.unwrap().as_ref(), before);
    assert_eq!(tx.consent_entries(&id("lotus"), 2, 1).await.unwrap(), ledger[2..3]);
    assert_eq!(tx.consents_in_force(&id("lotus")).await.unwrap(), []);
    assert_eq!(tx.newest_consent_entry(&id("elsewhere")).await.unwrap(), None);
}

pub async fn a_channel_can_be_refused_without_a_consent(bench: Bench) {
    settle(&bench.store, 2).await;
    let tx = bench.store.write().await.unwrap();
    let (whose, app, email) = (resident_id(1), Purpose::ReminderWebhook, Purpose::ReminderEmail);
    let said = async || tx.said_of_channels(&[whose, resident_id(2)]).await.unwrap().remove(&whose).unwrap_or_default();
    assert_eq!(said().await, []);
    assert!(tx.withdraw_consent(whose, app, false, t(0)).await.unwrap());
    assert!(!tx.withdraw_consent(whose, app, false, t(1)).await.unwrap(), "said once");
    tx.grant_consent(whose, Purpose::LockerDeposit, "v1", t(2)).await.unwrap();
    for minute in 3..5 {
        tx.grant_consent(whose, email, "v1", t(minute)).await.unwrap();
    }
    assert_eq!(said().await, [(app, false), (email, true)]);
    tx.grant_consent(whose, app, "v1", t(5)).await.unwrap();
    assert_eq!(said().await, [(app, false), (email, true), (app, true)]);
    assert!(tx.withdraw_consent(whose, app, false, t(6)).await.unwrap());
    assert_eq!(said().await, [(email, true), (app, true), (app, false)]);
    tx.delete_resident(whose, t(7)).await.unwrap();
    let ledger = tx.consent_entries(&id("lotus"), 0, 20).await.unwrap();
    let given: Vec<_> = ledger.iter().map(|entry| (entry.purpose, entry.given)).collect();
    // Whoever goes ends what is in force, and refuses nothing.
    assert_eq!(given[6..], [(Purpose::LockerDeposit, false), (email, false)]);
    assert!(ledger.windows(2).all(|pair| pair[1].follows(Some(&pair[0]))));
}

pub async fn any_change_breaks_the_chain(bench: Bench) {
    settle(&bench.store, 1).await;
    let tx = bench.store.write().await.unwrap();
    for minute in 0..2 {
        tx.grant_consent(resident_id(1), Purpose::LockerDeposit, "v1", t(minute)).await.unwrap();
    }
    let ledger = tx.consent_entries(&id("lotus"), 0, 10).await.unwrap();
    let [first, second] = &ledger[..] else { panic!("two entries") };
    type Change = fn(&mut ConsentEntry);
    let changed: [(&str, Change); 10] = [
        ("community", |entry| entry.community = id("elsewhere")),
        ("sequence", |entry| entry.sequence = 3),
        ("resident", |entry| entry.resident = resident_id(2)),
        ("purpose", |entry| entry.purpose = Purpose::GateRecognition),
        ("given", |entry| entry.given = false),
        ("notice", |entry| entry.notice = "v2".to_owned()),
        ("notice_sha256", |entry| entry.notice_sha256 = Some([0; 32])),
        ("by_guardian", |entry| entry.by_guardian = true),
        ("guardian", |entry| entry.guardian = "file-7".to_owned()),
        ("recorded_at", |entry| entry.recorded_at = t(9)),
    ];
    for (what, change) in changed {
        let mut entry = second.clone();
        change(&mut entry);
        assert!(!entry.follows(Some(first)), "{what}");
    }
    assert!(second.follows(Some(first)) && !second.follows(None) && !first.follows(Some(second)));
}

pub async fn consents_at_once_have_entries_one_after_the_other(bench: Bench) {
    settle(&bench.store, 8).await;
    let grants = (1..=8).map(|number| {
        let store = bench.store.clone();
        tokio::spawn(async move {
            let tx = store.write().await.unwrap();
            tx.grant_consent(resident_id(number), Purpose::LockerDeposit, "v1", t(0)).await.unwrap();
            tx.commit().await
        })
    });
    for grant in grants.collect::<Vec<_>>() {
        assert_eq!(grant.await.unwrap(), Ok(()));
    }
    let ledger = bench.store.read().await.unwrap().consent_entries(&id("lotus"), 0, 10).await.unwrap();
    assert_eq!(ledger.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert!(ledger.windows(2).all(|pair| pair[1].follows(Some(&pair[0]))));
    let tx = bench.store.write().await.unwrap();
    let nobody = tx.grant_consent(resident_id(9), Purpose::LockerDeposit, "v1", t(0)).await;
    assert_eq!(nobody, Err(StoreError::NotFound));
}
