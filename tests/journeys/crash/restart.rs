//! A restart with many parcels: the embedded index is made again from the rows before anybody has to wait.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use gatepost_domain::ports::{PAGE, Terms, Timers as _};
use gatepost_storage::{EmbeddedTimers, Store};
use gatepost_tests::{
    clients::Label,
    crowd::crowd,
    live::{Live, quick_policy},
};
use jiff::{SignedDuration, Timestamp};

const PARCELS: u32 = 100_000;
/// T1 in milliseconds: of some parcels within the ten minutes that are looked ahead.
const T1: i64 = 5 * 60_000;
/// From the start of the process to the whole index. What is not optimised, on a machine that does other things as well,
/// may take longer.
const RESTART_MAX: Duration = Duration::from_secs(if cfg!(debug_assertions) { 15 } else { 2 });
/// As the platform reads them.
const ROWS: u64 = 5_000;

#[tokio::test]
async fn sqlite_with_a_hundred_thousand_parcels_restarts_into_a_whole_index() {
    let mut live = Live::serve(&[]).await;
    live.community(quick_policy(T1, 10 * T1)).await;
    let (swift, wang) =
        (live.courier("swift-express").await, live.resident("王芳", "13800010001", "wang@example.org").await);
    swift.bring(&Label::to(&wang)).await;
    live.kill().await;
    let url = format!("sqlite://{}/gatepost.db", live.data_dir().display());
    crowd(&url, PARCELS, SignedDuration::from_millis(100)).await;

    let began = Instant::now();
    live.serve_again().await;
    let made = live.says("timer index made from the rows").await;
    let took = began.elapsed();
    println!("{:.2} s from the start of the process to the whole index: {made}", took.as_secs_f64());
    assert!(made.contains(&format!("timers={}", PARCELS + 1)), "{made}");
    assert!(took < RESTART_MAX, "{took:?}");
    let (_, metrics) = live.http("/metrics").await;
    assert!(!metrics.contains("gatepost_timers_lookahead_repaired_total"), "a start is no reason for an alarm");
    live.kill().await;
    every_row_is_in_the_index(&url).await;
}

/// The same index, made here of the same rows.
async fn every_row_is_in_the_index(url: &str) {
    let (store, index) = (Store::connect(url, 1).await.unwrap(), EmbeddedTimers::new());
    let (mut rows, mut after) = (BTreeSet::new(), None);
    loop {
        let page = store.read().await.unwrap().deadlines(after, None, ROWS).await.unwrap();
        let last = (page.len() as u64) < ROWS;
        index.rebuild(&page, last).await.unwrap();
        after = page.last().copied();
        assert!(page.into_iter().all(|timer| rows.insert(timer)), "each row once");
        if last {
            break;
        }
    }
    assert_eq!(rows.len(), PARCELS as usize + 1);
    let terms = Terms { ahead: SignedDuration::ZERO, lease: SignedDuration::from_secs(5), slots_max: usize::MAX };
    let latest = rows.last().map_or(Timestamp::MIN, |timer| timer.due);
    let claim = index.claim(latest, terms).await.unwrap();
    assert!(!claim.lost);
    let mut found = BTreeSet::new();
    for lease in &claim.leases {
        let mut skip = 0;
        loop {
            let page = index.read(lease, skip).await.unwrap();
            skip += page.len();
            let more = page.len() == PAGE;
            assert!(page.into_iter().all(|timer| found.insert(timer)), "each timer once");
            if !more {
                break;
            }
        }
    }
    assert!(found == rows, "the index is as the rows");
}
