//! An upgrade of the model of faces: one at a time, counted, switched, and ended with the faces of one model.

use gatepost_storage::{Agreement, EnrolledUnder, ModelUpgrade, Models, StoreError, Template};

use super::{Bench, fixture::*};

const NEW: &str = "another model";

pub async fn one_model_follows_another(bench: Bench) {
    settle(&bench.store, 3).await;
    let tx = bench.store.write().await.unwrap();
    tx.insert_community_key(&community_key("lotus", 1)).await.unwrap();
    for resident in 1..=3 {
        tx.insert_resident_key(&resident_key(resident, 1)).await.unwrap();
    }
    assert_eq!(tx.models().await.unwrap(), Models::default());
    // 1 has faces under both, 2 under the old one, 3 under the new one.
    for (number, resident) in [(1, 1), (2, 1), (3, 2)] {
        tx.insert_template(&template(number, resident)).await.unwrap();
    }
    let old_only = Models { in_use: Some(MODEL.to_owned()), other: None };
    assert_eq!(tx.models().await.unwrap(), old_only);
    assert_eq!(tx.model_upgrade().await.unwrap(), None);
    assert_eq!(tx.switch_model(true).await, Err(StoreError::NotFound));
    tx.count_agreement(&Agreement { same: 1, ..Agreement::default() }).await.unwrap();
    tx.start_model_upgrade(MODEL, NEW).await.unwrap();
    for (number, resident) in [(4, 1), (5, 3)] {
        tx.insert_template(&Template { model: NEW.to_owned(), ..template(number, resident) }).await.unwrap();
    }
    tx.commit().await.unwrap();

    let tx = bench.store.write().await.unwrap();
    tx.lock_models().await.unwrap();
    let begun =
        ModelUpgrade { old: MODEL.to_owned(), new: NEW.to_owned(), switched: false, agreement: Agreement::default() };
    assert_eq!(tx.model_upgrade().await.unwrap(), Some(begun.clone()));
    let both = Models { in_use: Some(MODEL.to_owned()), other: Some(NEW.to_owned()) };
    assert_eq!(tx.models().await.unwrap(), both, "the newest face does not decide now");
    assert_eq!(tx.enrolled_under(&begun).await.unwrap(), EnrolledUnder { old: 2, new: 2, old_only: 1 });
    let said = Agreement { same: 5, neither: 4, only_old: 3, only_new: 2, different: 1 };
    for _ in 0..2 {
        tx.count_agreement(&said).await.unwrap();
    }
    tx.switch_model(true).await.unwrap();
    let twice = Agreement { same: 10, neither: 8, only_old: 6, only_new: 4, different: 2 };
    let switched = ModelUpgrade { switched: true, agreement: twice, ..begun };
    assert_eq!(tx.model_upgrade().await.unwrap(), Some(switched.clone()));
    tx.commit().await.unwrap();

    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.start_model_upgrade(MODEL, NEW).await, Err(StoreError::Exists));
    drop(tx);
    let tx = bench.store.write().await.unwrap();
    tx.keep_models().await.unwrap();
    assert_eq!(tx.finish_model_upgrade(&switched).await, Ok(3));
    assert_eq!(tx.models().await.unwrap(), Models { in_use: Some(NEW.to_owned()), other: None });
    let keys = tx.resident_keys_before(&id("lotus"), 2, 10).await.unwrap();
    assert_eq!(keys, [resident_key(1, 1), resident_key(3, 1)], "who has no face has no key");
    let models = |resident: &gatepost_domain::resident::Resident| resident.face_models.clone();
    let residents = tx.residents(&id("lotus"), None, 3).await.unwrap();
    let left: Vec<_> = residents.iter().map(models).collect();
    assert_eq!(left, [vec![NEW.to_owned()], Vec::new(), vec![NEW.to_owned()]]);
    tx.commit().await.unwrap();
}
