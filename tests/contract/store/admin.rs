//! Communities, policies, couriers and keys.

use gatepost_domain::{
    community::DisplayPolicy,
    id::{CommunityId, CourierId, KeyId},
    policy::{Layer, PolicyLayer},
    principal::Principal,
};
use gatepost_storage::{Key, PolicyKey, StoreError};
use jiff::SignedDuration;
use uuid::Uuid;

use super::{
    Bench,
    fixture::{community, courier, id, settle, t},
};

pub async fn communities_are_kept(bench: Bench) {
    settle(&bench.store, 0).await;
    let tx = bench.store.write().await.unwrap();
    let mut lotus = community("lotus");
    assert_eq!(tx.versioned_community(&lotus.id).await.unwrap(), Some((1, lotus.clone())));
    lotus.display_name = "荷花苑".to_owned();
    lotus.display = DisplayPolicy::Silent;
    tx.update_community(&lotus).await.unwrap();
    assert_eq!(tx.update_community(&community("elsewhere")).await, Err(StoreError::NotFound));
    tx.insert_community(&community("acacia")).await.unwrap();
    tx.insert_community(&community("willow")).await.unwrap();
    tx.lock_community(&lotus.id).await.unwrap();
    let named = |page: Vec<gatepost_domain::community::Community>| -> Vec<String> {
        page.into_iter().map(|community| community.id.to_string()).collect()
    };
    assert_eq!(named(tx.communities(None, 2).await.unwrap()), ["acacia", "lotus"]);
    assert_eq!(named(tx.communities(Some(&lotus.id), 2).await.unwrap()), ["willow"]);
    assert_eq!(tx.community(&lotus.id).await.unwrap(), Some(lotus.clone()));
    let versions = [tx.community_version(&lotus.id).await, tx.community_version(&id("acacia")).await];
    assert_eq!(versions, [Ok(Some(2)), Ok(Some(1))], "a change makes another version, and only of what changed");
    assert_eq!(tx.community_version(&id("nowhere")).await, Ok(None));
    assert_eq!(tx.insert_community(&lotus).await, Err(StoreError::Exists));
}

pub async fn policy_layers_are_kept(bench: Bench) {
    let hours = |hours| Some(SignedDuration::from_hours(hours));
    let layer = |remind_after| PolicyLayer { remind_after, usual_minute: Some(1110), ..PolicyLayer::default() };
    let (lotus, swift): (CommunityId, CourierId) = (id("lotus"), id("swift"));
    let tx = bench.store.write().await.unwrap();
    for (key, hour) in [
        (PolicyKey::Courier(swift.clone()), 3),
        (PolicyKey::Tenant, 9),
        (PolicyKey::Community(lotus.clone()), 2),
        (PolicyKey::Community(id("swift")), 4),
        (PolicyKey::Tenant, 1),
    ] {
        tx.set_policy_layer(&key, &layer(hours(hour))).await.unwrap();
    }
    let all = tx.policy_layers().await.unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!(all[0], (PolicyKey::Tenant, layer(hours(1))));
    let for_both =
        [(Layer::Tenant, layer(hours(1))), (Layer::Community, layer(hours(2))), (Layer::Courier, layer(hours(3)))];
    assert_eq!(tx.layers_for(&lotus, Some(&swift)).await.unwrap(), for_both);
    assert_eq!(tx.layers_for(&lotus, None).await.unwrap(), for_both[..2]);
    assert_eq!(tx.layers_for(&id("elsewhere"), None).await.unwrap(), for_both[..1]);
}

pub async fn couriers_and_keys_are_kept(bench: Bench) {
    let tx = bench.store.write().await.unwrap();
    for name in ["swift", "brisk", "zippy"] {
        tx.insert_courier(&courier(name)).await.unwrap();
    }
    assert_eq!(tx.courier(&id("swift")).await.unwrap(), Some(courier("swift")));
    assert_eq!(tx.couriers(Some(&id("brisk")), 1).await.unwrap(), [courier("swift")]);
    assert_eq!(tx.couriers(None, 10).await.unwrap().len(), 3);

    let key = |number: u8, principal| Key {
        id: KeyId(Uuid::from_u128(number.into())),
        principal,
        secret_hash: [number; 32],
        created_at: t(0),
        revoked_at: None,
    };
    let keys = [
        key(1, Principal::Administrator),
        key(2, Principal::Camera { community: id("lotus"), gate: id("北门") }),
        key(3, Principal::Courier { courier: id("swift") }),
        key(4, Principal::Worker),
    ];
    for key in &keys {
        tx.insert_key(key).await.unwrap();
    }
    assert_eq!(tx.key_by_hash(&[2; 32]).await.unwrap(), Some(keys[1].clone()));
    assert_eq!(tx.key_by_hash(&[9; 32]).await.unwrap(), None);
    assert_eq!(tx.keys(Some(keys[1].id), 10).await.unwrap(), keys[2..]);
    let revoked = tx.revoke_key(keys[0].id, t(5)).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(t(5)));
    assert_eq!(tx.revoke_key(keys[0].id, t(6)).await.unwrap(), Some(revoked), "the first time stands");
    assert_eq!(tx.revoke_key(KeyId(Uuid::from_u128(9)), t(6)).await.unwrap(), None);
    tx.commit().await.unwrap();

    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.insert_courier(&courier("swift")).await, Err(StoreError::Exists));
}
