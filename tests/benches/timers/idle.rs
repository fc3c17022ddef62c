//! What a platform without anything to do costs Redis.

use gatepost_process::clock::{Clock as _, SystemClock};
use gatepost_tests::services::Redis;
use jiff::SignedDuration;

use super::{
    Scale, burst,
    ours::{self, Loop, Nothing},
    raw::Raw,
};

const SHARDS: u16 = 256;
/// Until the index is made and looked at for the first time.
const BEGINNING: SignedDuration = SignedDuration::from_secs(2);

/// The share of a core that the loop takes beyond what Redis needs for itself, in percent.
pub async fn measure(scale: &Scale, redis: &Redis) -> f64 {
    let mut raw = Raw::connect(redis).await;
    raw.flush().await;
    let span = SignedDuration::from_secs(scale.idle);
    let alone = share(&mut raw, span).await;
    let later = ours::anywhen(10_000, ours::now() + SignedDuration::from_hours(24), SignedDuration::from_hours(24), 7);
    let width = burst::SLOT;
    ours::set(&ours::index(redis, SHARDS, width), &later).await;
    let running = Loop::start(Nothing::over(ours::index(redis, SHARDS, width)));
    pass(BEGINNING).await;
    let with_loop = share(&mut raw, span).await;
    running.stop().await;
    (with_loop - alone) * 100.0
}

async fn share(raw: &mut Raw, span: SignedDuration) -> f64 {
    let before = raw.cpu().await;
    pass(span).await;
    (raw.cpu().await - before) / span.as_secs_f64()
}

async fn pass(span: SignedDuration) {
    SystemClock.sleep_until(ours::now() + span).await;
}
