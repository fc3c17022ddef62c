//! A replica takes over that had not heard of the last writes; and a cluster whose slots move.

use gatepost_domain::ports::{Claim, Move, Timers};
use gatepost_storage::{RedisOptions, RedisTimers};
use gatepost_tests::{
    services::{RedisCluster, RedisPair},
    world::until,
};

use super::{
    options,
    promises::{TERMS, read_all, t, timer},
};

fn put(number: u128, seconds: i64) -> Move {
    Move { parcel: timer(number, seconds).parcel, was: None, due: Some(t(seconds)) }
}

/// A claim, as soon as there is somebody to ask.
async fn claim(timers: &dyn Timers, seconds: i64) -> Claim {
    let answered = std::sync::Mutex::new(None);
    until("an answer", || async {
        let claim = timers.claim(t(seconds), TERMS).await.ok();
        let some = claim.is_some();
        *answered.lock().unwrap() = claim;
        some
    })
    .await;
    answered.into_inner().unwrap().unwrap()
}

#[tokio::test]
async fn a_failover_is_noticed_though_everything_seems_to_be_there() {
    let mut pair = RedisPair::start().await;
    let timers = RedisTimers::new(options(vec![pair.url()], "gatepost".to_owned())).unwrap();
    timers.begin_rebuild().await.unwrap();
    timers.rebuild(&[], true).await.unwrap();
    timers.schedule(&[put(1, 10)]).await.unwrap();
    pair.in_step().await;
    for _ in 0..2 {
        let calm = claim(&timers, 0).await;
        assert!(!calm.lost && !calm.doubtful);
    }
    pair.cut().await;
    timers.schedule(&[put(2, 10)]).await.unwrap();
    pair.fail_over().await;
    let after = claim(&timers, 0).await;
    assert!(!after.lost && after.doubtful, "the loaded mark survived and the last write did not");
    assert_eq!(timers.missing(&[timer(1, 10), timer(2, 10)]).await, Ok(vec![timer(2, 10)]));
    assert!(!claim(&timers, 0).await.doubtful, "told once");
}

#[tokio::test]
async fn the_keys_of_a_shard_lie_in_one_slot_and_may_move_while_they_are_used() {
    const TIMERS: u128 = 4_000;
    let cluster = tokio::task::spawn_blocking(RedisCluster::private).await.unwrap();
    let options = RedisOptions { cluster: true, shards: 8, ..options(cluster.urls(), "gatepost".to_owned()) };
    let timers = RedisTimers::new(options).unwrap();
    timers.begin_rebuild().await.unwrap();
    let page: Vec<_> = (1..=100).map(|number| timer(number, number as i64)).collect();
    timers.rebuild(&page, true).await.unwrap();
    claim(&timers, 20).await;
    let (cluster, slots) = tokio::task::spawn_blocking(move || {
        let keys = cluster.keys();
        let mut slots: Vec<(String, u16)> =
            keys.into_iter().map(|(key, slot)| (key.split_once("}:").expect("a tag").0.to_owned(), slot)).collect();
        slots.sort();
        slots.dedup();
        (cluster, slots)
    })
    .await
    .unwrap();
    assert_eq!(slots.len(), 8, "each shard has one slot: {slots:?}");
    let moved = slots.clone();
    let moving = tokio::task::spawn_blocking(move || {
        moved.iter().for_each(|(_, slot)| cluster.move_slot(*slot));
        cluster
    });
    // All the while, timers are put in and claimed; none of it fails.
    let mut number = 100;
    while number < TIMERS || !moving.is_finished() {
        let moves: Vec<_> = (1..=50).map(|more| put(number + more, 200)).collect();
        timers.schedule(&moves).await.unwrap();
        number += 50;
        let meanwhile = timers.claim(t(150), TERMS).await.unwrap();
        assert_eq!((meanwhile.failed, meanwhile.lost), (None, false));
    }
    let cluster = moving.await.unwrap();
    let all: Vec<_> = (101..=number).map(|number| timer(number, 200)).collect();
    assert_eq!(timers.missing(&all).await, Ok(vec![]));
    let found = claim(&timers, 200).await;
    assert_eq!(read_all(&timers, &found.leases).await.len() as u128, number);
    drop(cluster);
}

#[tokio::test]
async fn a_primary_of_a_cluster_that_dies_in_a_burst_is_noticed_and_what_it_lost_is_told() {
    let cluster = tokio::task::spawn_blocking(RedisCluster::private).await.unwrap();
    let options = RedisOptions { cluster: true, shards: 8, ..options(cluster.urls(), "gatepost".to_owned()) };
    let timers = RedisTimers::new(options).unwrap();
    timers.begin_rebuild().await.unwrap();
    timers.rebuild(&[], true).await.unwrap();
    claim(&timers, 0).await;
    let killing = tokio::task::spawn_blocking(move || {
        cluster.kill_primary_of(cluster.slot_of("{gatepost:3/8}:i"));
        cluster
    });
    let (mut number, mut noticed, mut whole) = (0, false, false);
    // Whoever asks while the others have not agreed that it is gone is refused.
    while !(noticed && whole && killing.is_finished()) {
        let moves: Vec<_> = (1..=50).map(|more| put(number + more, 200)).collect();
        let _ = timers.schedule(&moves).await;
        number += 50;
        if let Ok(meanwhile) = timers.claim(t(150), TERMS).await {
            noticed |= meanwhile.doubtful || meanwhile.lost;
            whole = meanwhile.failed.is_none();
        }
    }
    let cluster = killing.await.unwrap();
    let all: Vec<_> = (1..=number).map(|number| timer(number, 200)).collect();
    let missing = timers.missing(&all).await.unwrap();
    assert!(missing.len() < all.len());
    let put_back: Vec<_> = missing.iter().map(|timer| put(timer.parcel.0.as_u128(), 200)).collect();
    timers.schedule(&put_back).await.unwrap();
    assert_eq!(timers.missing(&all).await, Ok(vec![]));
    let found = claim(&timers, 200).await;
    assert_eq!(read_all(&timers, &found.leases).await, all);
    drop(cluster);
}
