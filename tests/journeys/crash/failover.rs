//! A Redis that fails over to a replica which had not heard of the last deadlines, behind a platform that runs on.

use gatepost_proto::v1::EventKind;
use gatepost_tests::{
    clients::{Label, from_wire},
    live::{Live, quick_policy},
    services::RedisPair,
};
use jiff::SignedDuration;

const PARCELS: usize = 12;
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
