//! A Redis that fails over to a replica which had not heard of the last deadlines, and a cluster whose primary dies in the
//! middle of a burst, behind a platform that runs on.

use std::sync::Arc;

use futures::future::join_all;

use gatepost_proto::v1::EventKind;
use gatepost_tests::{
    clients::{Label, from_wire},
    live::{Live, quick_policy},
    services::{RedisCluster, RedisPair},
};
use jiff::SignedDuration;

const PARCELS: usize = 12;
/// Of a cluster, the others must first agree that the primary is gone.
const CLUSTER_T1: i64 = 12_000;
/// The failover is noticed with the next look, at the latest after five seconds, and so before this.
const T1: i64 = 9_000;

#[tokio::test]
async fn deadlines_that_a_failover_lost_are_kept_at_their_time() {
    let mut pair = RedisPair::start().await;
    let urls = format!("[\"{}\"]", pair.url());
    let live = Live::serve(&[
        ("GATEPOST_TIMERS__KIND", "redis"),
        ("GATEPOST_TIMERS__REDIS_URLS", &urls),
        // The index has to be repaired by itself.
        ("GATEPOST_TIMERS__SWEEP_EVERY", "1h"),
    ])
    .await;
    live.community(quick_policy(T1, 10 * T1)).await;
    let (swift, wang) =
        (live.courier("swift-express").await, live.resident("王芳", "13800010001", "wang@example.org").await);
    pair.in_step().await;
    pair.cut().await;
    for _ in 0..PARCELS {
        swift.bring(&Label::to(&wang)).await;
    }
    pair.fail_over().await;
    for _ in 0..PARCELS {
        let reminder = swift.await_event(EventKind::ReminderSent).await;
        let due = from_wire(swift.parcel(&reminder.parcel_id).await.unwrap().remind_from.unwrap());
        let late = from_wire(reminder.event_time.unwrap()).duration_since(due);
        assert!(!late.is_negative() && late < SignedDuration::from_secs(5), "{late}");
    }
    let (_, metrics) = live.http("/metrics").await;
    let repaired = metrics.lines().find_map(|line| {
        line.strip_prefix("gatepost_timers_lookahead_repaired_total")?.rsplit(' ').next()?.parse::<f64>().ok()
    });
    assert_eq!(repaired, Some(PARCELS as f64), "as many as were lost");
}

#[tokio::test]
async fn deadlines_of_a_cluster_whose_primary_dies_in_a_burst_are_kept_at_their_time() {
    let cluster = Arc::new(tokio::task::spawn_blocking(RedisCluster::private).await.unwrap());
    let urls = format!("{:?}", cluster.urls());
    let live = Live::serve(&[
        ("GATEPOST_TIMERS__KIND", "redis_cluster"),
        ("GATEPOST_TIMERS__REDIS_URLS", &urls),
        // The index has to be repaired by itself.
        ("GATEPOST_TIMERS__SWEEP_EVERY", "1h"),
    ])
    .await;
    live.community(quick_policy(CLUSTER_T1, 10 * CLUSTER_T1)).await;
    let (swift, wang) =
        (live.courier("swift-express").await, live.resident("王芳", "13800010001", "wang@example.org").await);
    let burst = async || join_all((0..PARCELS).map(async |_| drop(swift.bring(&Label::to(&wang)).await))).await;
    burst().await;
    let killing = tokio::task::spawn_blocking({
        let cluster = Arc::clone(&cluster);
        move || cluster.kill_primary_of(cluster.slot_of("{gatepost:0/16}:i"))
    });
    while !killing.is_finished() {
        burst().await;
    }
    killing.await.unwrap();
    burst().await;
    let listed = swift.list(500, "").await.unwrap().parcels;
    for _ in &listed {
        let reminder = swift.await_event(EventKind::ReminderSent).await;
        let due = from_wire(swift.parcel(&reminder.parcel_id).await.unwrap().remind_from.unwrap());
        let late = from_wire(reminder.event_time.unwrap()).duration_since(due);
        assert!(!late.is_negative() && late < SignedDuration::from_secs(5), "{late}");
    }
    assert!(listed.len() >= 3 * PARCELS);
}
