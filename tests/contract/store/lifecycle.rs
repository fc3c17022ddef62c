//! Migration, commit, rollback, and what one transaction sees of another.

use gatepost_storage::{Store, StoreError};

use super::{
    Bench,
    fixture::{community, id, parcel, settle, t, waiting},
};

pub async fn nothing_works_before_the_migration(bench: Bench) {
    bench.store.check().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let empty = if bench.url.starts_with("postgres") {
        gatepost_tests::services::fresh_database()
    } else {
        format!("sqlite://{}/other.db", folder.path().display())
    };
    let empty = Store::connect(&empty, 2).await.unwrap();
    assert!(matches!(empty.check().await, Err(StoreError::Unavailable(_))));
    let tx = empty.read().await.unwrap();
    assert!(matches!(tx.parcel(parcel(1, waiting("A1")).id()).await, Err(StoreError::Unavailable(_))));
}

pub async fn replicas_migrate_together(bench: Bench) {
    let replicas = (0..4).map(|_| {
        let url = bench.url.clone();
        tokio::spawn(async move { Store::connect(&url, 2).await?.migrate().await })
    });
    for replica in replicas.collect::<Vec<_>>() {
        replica.await.unwrap().unwrap();
    }
    bench.store.check().await.unwrap();
}

pub async fn what_is_not_committed_did_not_happen(bench: Bench) {
    let tx = bench.store.write().await.unwrap();
    tx.insert_community(&community("lotus")).await.unwrap();
    drop(tx);
    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.community(&id("lotus")).await.unwrap(), None);
    tx.insert_community(&community("lotus")).await.unwrap();
    tx.commit().await.unwrap();
    let tx = bench.store.read().await.unwrap();
    assert!(tx.community(&id("lotus")).await.unwrap().is_some());
}

pub async fn a_reader_sees_one_moment(bench: Bench) {
    let reader = bench.store.read().await.unwrap();
    assert_eq!(reader.communities(None, 10).await.unwrap(), []);
    settle(&bench.store, 0).await;
    assert_eq!(reader.communities(None, 10).await.unwrap(), []);
}

pub async fn what_refers_to_nothing_is_refused(bench: Bench) {
    settle(&bench.store, 0).await;
    let tx = bench.store.write().await.unwrap();
    let orphan = tx.insert_parcel(&parcel(1, waiting("A1")), t(0)).await;
    assert_eq!(orphan, Err(StoreError::NotFound));
}
