//! Redis loses everything, and the index is made again from the rows.

use std::time::{Duration, Instant};

use gatepost_domain::{Timestamp, ports::Timers as _};
use gatepost_process::clock::ManualClock;
use gatepost_tests::services::Redis;
use jiff::SignedDuration;

use super::{
    Progress, Scale,
    load::SPAN,
    ours::{self, Loop},
    raw::Raw,
    record::{self, Record},
};

/// What is due so soon is urgent.
const URGENT: SignedDuration = SignedDuration::from_mins(1);

/// Seconds.
pub struct Rebuilt {
    /// Until all timers were back.
    pub seconds: f64,
    /// Until those were that are due within a minute.
    pub urgent: f64,
    /// What raw ZADD needs for as many.
    pub raw: f64,
}

/// When the first one is due; nothing is fired, for the clock of this platform stands still.
fn first() -> Timestamp {
    "2026-06-01T04:00:00Z".parse().unwrap()
}

fn between(scale: &Scale) -> SignedDuration {
    SPAN / scale.timers as i32
}

/// The parcels, once for all repeats.
pub async fn record(scale: &Scale) -> Record {
    Record::waiting(scale.timers, first(), between(scale)).await
}

pub async fn measure(scale: &Scale, redis: &Redis, record: &Record, seed: u64, progress: &Progress) -> Rebuilt {
    let mut raw = Raw::connect(redis).await;
    progress.step("raw ZADD of all");
    raw.flush().await;
    let raw_seconds = raw.add(&ours::anywhen(scale.timers, first(), SPAN, seed)).await;

    progress.step("rebuilding all");
    raw.flush().await;
    let width = ours::slot_width(scale.timers, SPAN);
    let clock = ManualClock::new(first() - SignedDuration::from_secs(1));
    let platform = record.platform(redis, width, 16, Some(clock)).await;
    let timers = record::timers(scale.timers, first(), between(scale));
    let urgent: Vec<_> = timers.iter().filter(|timer| timer.due < first() + URGENT).copied().collect();
    let index = ours::index(redis, ours::SHARDS, width);
    let began = Instant::now();
    let running = Loop::start(platform);
    let mut look = tokio::time::interval(Duration::from_millis(2));
    while !index.missing(&urgent).await.unwrap().is_empty() {
        look.tick().await;
    }
    let urgent = began.elapsed().as_secs_f64();
    record::loaded(redis).await;
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(index.missing(&timers).await.unwrap(), [], "all are back");
    running.stop().await;
    Rebuilt { seconds, urgent, raw: raw_seconds }
}
