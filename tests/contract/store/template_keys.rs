//! Keys of enrolled faces: generations, and what may go when.

use gatepost_storage::{CommunityKey, ResidentKey, StoreError};

use super::{Bench, fixture::*};

pub async fn keys_move_to_the_next_generation(bench: Bench) {
    settle(&bench.store, 3).await;
    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.master_keys_in_use().await.unwrap(), Vec::<String>::new());
    let [first, second] = [1, 2].map(|generation| community_key("lotus", generation));
    tx.insert_community_key(&first).await.unwrap();
    for resident in 1..=3 {
        tx.insert_resident_key(&resident_key(resident, 1)).await.unwrap();
    }
    assert_eq!(tx.delete_unused_community_keys(&id("lotus")).await, Ok(0), "the newest stays");
    tx.insert_community_key(&second).await.unwrap();
    assert_eq!(tx.community_keys(&id("lotus")).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(tx.community_key(&id("lotus"), 2).await.unwrap(), Some(second.clone()));
    assert_eq!(tx.community_key(&id("lotus"), 3).await.unwrap(), None);
    assert_eq!(tx.community_keys(&id("elsewhere")).await.unwrap(), []);

    let before = tx.resident_keys_before(&id("lotus"), 2, 2).await.unwrap();
    assert_eq!(before, [resident_key(1, 1), resident_key(2, 1)]);
    for resident in 1..=2 {
        tx.rewrap_resident_key(&resident_key(resident, 2)).await.unwrap();
    }
    assert_eq!(tx.delete_unused_community_keys(&id("lotus")).await, Ok(0), "one resident still needs it");
    assert_eq!(tx.resident_keys_before(&id("lotus"), 2, 2).await.unwrap(), [resident_key(3, 1)]);
    tx.delete_templates(resident_id(3)).await.unwrap();
    assert_eq!(tx.delete_unused_community_keys(&id("lotus")).await, Ok(1));
    assert_eq!(tx.community_keys(&id("lotus")).await.unwrap(), std::slice::from_ref(&second));

    let rewrapped = CommunityKey { master: "fedcba9876543210".to_owned(), wrapped: vec![9], ..second };
    tx.rewrap_community_key(&rewrapped).await.unwrap();
    assert_eq!(tx.community_keys(&id("lotus")).await.unwrap(), [rewrapped]);
    assert_eq!(tx.master_keys_in_use().await.unwrap(), ["fedcba9876543210"]);
    assert_eq!(tx.rewrap_community_key(&first).await, Err(StoreError::NotFound));
    assert_eq!(tx.rewrap_resident_key(&resident_key(3, 2)).await, Err(StoreError::NotFound));
    tx.commit().await.unwrap();
}

pub async fn a_key_is_kept_once_and_only_under_its_community(bench: Bench) {
    settle(&bench.store, 1).await;
    let kept = |key: ResidentKey| {
        let store = bench.store.clone();
        async move {
            let tx = store.write().await.unwrap();
            tx.insert_community_key(&community_key("lotus", 1)).await.unwrap();
            tx.insert_resident_key(&resident_key(1, 1)).await.unwrap();
            tx.insert_resident_key(&key).await
        }
    };
    assert_eq!(kept(resident_key(1, 1)).await, Err(StoreError::Exists));
    assert_eq!(kept(resident_key(9, 1)).await, Err(StoreError::NotFound), "nobody of this id");
    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.insert_resident_key(&resident_key(1, 7)).await, Err(StoreError::NotFound), "no such generation");
    drop(tx);
    let tx = bench.store.write().await.unwrap();
    tx.insert_community_key(&community_key("lotus", 1)).await.unwrap();
    assert_eq!(tx.insert_community_key(&community_key("lotus", 1)).await, Err(StoreError::Exists));
}
