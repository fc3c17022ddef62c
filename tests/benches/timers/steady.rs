//! A steady stream of deadlines, each with its row and its event.

use gatepost_tests::{benchmark::percentile, services::Redis};
use jiff::SignedDuration;

use super::{
    Progress, Scale, burst,
    ours::{self, Loop},
    ping::Pinger,
    raw::Raw,
    record::Record,
};

/// A hundred million parcels, each with two deadlines in two days, would be 1,200.
pub const RATE: usize = 2_400;
/// For writing the parcels.
const LEAD: SignedDuration = SignedDuration::from_secs(8);

pub struct Stream {
    /// Milliseconds.
    pub late: Vec<f64>,
    /// The 99th percentile of another client's PING, in milliseconds.
    pub ping: f64,
}

pub async fn measure(scale: &Scale, redis: &Redis, progress: &Progress) -> Stream {
    progress.step("a steady stream");
    Raw::connect(redis).await.flush().await;
    let span = SignedDuration::from_secs(scale.steady);
    let count = RATE * usize::try_from(scale.steady).unwrap();
    let due = ours::now() + LEAD;
    let record = Record::waiting(count, due, span / count as i32).await;
    let running = Loop::start(record.platform(redis, ours::slot_width(count, span), 16, None).await);
    record.ready(redis, due).await;
    let (pinger, at) = (Pinger::start(redis), burst::instant(due));
    record.recalled(count).await;
    let ping = percentile(&pinger.stop(at), 0.99);
    running.stop().await;
    Stream { late: record.late().await, ping }
}
