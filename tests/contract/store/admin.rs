//! Communities, policies, couriers and keys.

use gatepost_domain::{
    community::DisplayPolicy,
    id::{CommunityId, CourierId, KeyId},
    policy::{Layer, PolicyLayer},
    principal::{Principal, Scope},
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
    let for_both = [
        (Layer::Tenant, layer(hours(1)), 2),
        (Layer::Community, layer(hours(2)), 1),
        (Layer::Courier, layer(hours(3)), 1),
    ];
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
        scopes: Default::default(),
        expires_at: None,
        last_used_at: None,
    };
    let keys = [
        key(1, Principal::ADMINISTRATOR),
        key(2, Principal::Camera { community: id("lotus"), gate: id("北门") }),
        key(3, Principal::Courier { courier: id("swift") }),
        key(4, Principal::Worker),
    ];
    for key in &keys {
        tx.insert_key(key).await.unwrap();
    }
    assert_eq!(tx.key_by_hash(&[2; 32]).await.unwrap(), Some((keys[1].clone(), None)));
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

pub async fn a_rotated_key_is_known_by_its_former_secrets_too(bench: Bench) {
    let key = Key {
        id: KeyId(Uuid::from_u128(1)),
        principal: Principal::Administrator { community: Some(id("lotus")) },
        secret_hash: [1; 32],
        created_at: t(0),
        revoked_at: None,
        scopes: [Scope::Read, Scope::Manage].into_iter().collect(),
        expires_at: Some(t(100)),
        last_used_at: None,
    };
    let other = Key { id: KeyId(Uuid::from_u128(2)), secret_hash: [9; 32], ..key.clone() };
    let tx = bench.store.write().await.unwrap();
    tx.insert_key(&key).await.unwrap();
    tx.insert_key(&other).await.unwrap();
    assert_eq!(tx.lock_key(key.id).await.unwrap().as_ref(), Some(&key));

    let second = Key { secret_hash: [2; 32], expires_at: Some(t(200)), ..key.clone() };
    tx.rotate_key(&second, t(50)).await.unwrap();
    assert_eq!(tx.key_by_hash(&[1; 32]).await.unwrap(), Some((second.clone(), Some(t(50)))));
    assert_eq!(tx.key_by_hash(&[2; 32]).await.unwrap(), Some((second.clone(), None)));
    assert_eq!(tx.former_secrets(key.id, t(49)).await.unwrap(), 1);
    assert_eq!(tx.former_secrets(key.id, t(50)).await.unwrap(), 0);

    let third = Key { secret_hash: [3; 32], ..second.clone() };
    tx.rotate_key(&third, t(30)).await.unwrap();
    let until = async |hash: u8| tx.key_by_hash(&[hash; 32]).await.unwrap().map(|(_, until)| until);
    assert_eq!((until(1).await, until(2).await, until(3).await), (Some(Some(t(30))), Some(Some(t(30))), Some(None)));

    let fourth = Key { secret_hash: [4; 32], ..second.clone() };
    tx.rotate_key(&fourth, t(90)).await.unwrap();
    assert_eq!((until(1).await, until(3).await), (Some(Some(t(30))), Some(Some(t(90)))), "what is over stays over");
    assert_eq!(tx.key(other.id).await.unwrap(), Some(other), "another key has nothing to do with it");

    tx.key_used(key.id, t(41), t(36)).await.unwrap();
    tx.key_used(key.id, t(42), t(37)).await.unwrap();
    assert_eq!(tx.key(key.id).await.unwrap().unwrap().last_used_at, Some(t(41)), "coarse");
    tx.key_used(key.id, t(47), t(42)).await.unwrap();
    assert_eq!(tx.key(key.id).await.unwrap().unwrap().last_used_at, Some(t(47)));
}
