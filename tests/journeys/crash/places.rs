//! SIGKILL at the very places where a deadline is between two stores: leased and not read, committed and not moved in
//! the index, happened and not acknowledged, the index half made. The row was there first, so what is missing is put
//! back and what is left over finds nothing to do.

use std::time::Duration;

use futures::future::join_all;
use gatepost_proto::v1::{ConfirmDepositRequest, EventKind, ParcelState};
use gatepost_tests::{
    clients::{Label, from_wire, new_request_id},
    live::{Live, quick_policy},
    services::{Redis, fresh_database},
};
use jiff::SignedDuration;

const T1: i64 = 1_500;
/// No restart on a busy machine is so slow that T2 comes before T1 is seen.
const T2: i64 = 25_000;
/// A lease and the longest wait between two looks are six seconds; the rest is the restart.
const LATE_MAX: SignedDuration = SignedDuration::from_secs(15);

/// Some places are reached at T2 only.
const DEATH_MAX: Duration = Duration::from_secs(60);

/// Where the process dies, at which passage, and whether Redis is emptied before it starts again.
struct Death {
    place: &'static str,
    passage: &'static str,
    emptied: Emptied,
}

#[derive(Clone, Copy, PartialEq)]
enum Emptied {
    Never,
    /// While nobody is there: what was under way is gone from Redis as well.
    Afterwards,
    /// Before the deadline, so that the index is being made again when the process dies.
    Before,
}

const FIRST: &str = "return";
const SECOND: &str = "1*off->return";

const DEATHS: [Death; 9] = [
    Death { place: "timers.claimed", passage: FIRST, emptied: Emptied::Never },
    Death { place: "timers.claimed", passage: FIRST, emptied: Emptied::Afterwards },
    // The deposit is committed, and the index never hears of it.
    Death { place: "timers.moving", passage: FIRST, emptied: Emptied::Never },
    // T1 planned the reminder; then the reminder itself.
    Death { place: "timers.committed", passage: FIRST, emptied: Emptied::Never },
    Death { place: "timers.committed", passage: SECOND, emptied: Emptied::Never },
    // The reminder is committed, and T2 is not in the index.
    Death { place: "timers.moving", passage: SECOND, emptied: Emptied::Never },
    Death { place: "timers.acknowledging", passage: FIRST, emptied: Emptied::Never },
    Death { place: "timers.acknowledging", passage: SECOND, emptied: Emptied::Afterwards },
    Death { place: "timers.rebuilding", passage: SECOND, emptied: Emptied::Before },
];

async fn die_and_go_on(death: &Death, database: &str) {
    let redis = tokio::task::spawn_blocking(Redis::start).await.unwrap();
    let (place, urls) = (death.place, redis.urls());
    let points = format!("{place}={}", death.passage);
    let mut live = Live::serve(&[
        ("GATEPOST_DATABASE__URL", database),
        ("GATEPOST_TIMERS__KIND", "redis"),
        ("GATEPOST_TIMERS__REDIS_URLS", &urls),
        ("GATEPOST_TIMERS__LEASE", "1s"),
        // The index has to be repaired by itself.
        ("GATEPOST_TIMERS__SWEEP_EVERY", "1h"),
        ("FAILPOINTS", &points),
    ])
    .await;
    live.community(quick_policy(T1, T2)).await;
    let (swift, wang) =
        (live.courier("swift-express").await, live.resident("王芳", "13800010001", "wang@example.org").await);
    let announced = swift.announce(&Label::to(&wang)).await.unwrap().parcel;
    let placement = announced.placement.unwrap();
    let deposit = ConfirmDepositRequest {
        request_id: new_request_id(),
        parcel_id: announced.id,
        locker_id: placement.locker_id,
        compartment_id: placement.compartment_id,
        deposit_time: None,
    };
    let first = swift.parcels().confirm_deposit(deposit.clone()).await;
    if death.emptied == Emptied::Before {
        redis.ask(&["FLUSHALL"]).await.unwrap();
    }
    tokio::time::timeout(DEATH_MAX, live.gone()).await.unwrap_or_else(|_| panic!("{place}: nobody died"));
    let ended = live.ended().await;
    assert_eq!(ended.code, None, "{place}: {}", ended.said);
    if death.emptied == Emptied::Afterwards {
        redis.ask(&["FLUSHALL"]).await.unwrap();
    }
    live.set("FAILPOINTS", "");
    live.serve_again().await;
    // Whoever got no answer asks again, and is answered what was committed.
    let answer = swift.parcels().confirm_deposit(deposit).await.unwrap().into_inner();
    assert!(first.is_err() || first.is_ok_and(|first| first.into_inner() == answer), "{place}");
    let parcel = answer.parcel.unwrap();
    assert_eq!(parcel.state(), ParcelState::Waiting);
    swift.expect_event(EventKind::Deposited).await;
    for (kind, due) in [(EventKind::ReminderSent, parcel.remind_from), (EventKind::RecallRequested, parcel.recall_at)] {
        let (event, due) = (swift.next_event().await, from_wire(due.unwrap()));
        assert_eq!(event.kind(), kind, "{place} {}", death.passage);
        let late = from_wire(event.event_time.unwrap()).duration_since(due);
        assert!(!late.is_negative() && late <= LATE_MAX, "{place} {}: {kind:?} {late}", death.passage);
    }
    assert_eq!(swift.parcel(&parcel.id).await.unwrap().reminders_sent, 1);
}

#[tokio::test]
async fn sigkill_between_a_deadlines_two_stores_loses_and_doubles_nothing() {
    let databases = tokio::task::spawn_blocking(|| DEATHS.map(|_| fresh_database())).await.unwrap();
    join_all(DEATHS.iter().zip(&databases).map(|(death, database)| die_and_go_on(death, database))).await;
}
