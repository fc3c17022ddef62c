//! Many timers at once: setting them, what they take up, and what it costs the server to claim and acknowledge them.

use futures::future::join_all;
use gatepost_domain::{
    Timestamp,
    ports::{Extent, Lease, READ, Terms, Timer, Timers},
};
use gatepost_storage::RedisTimers;
use gatepost_tests::services::Redis;
use jiff::SignedDuration;

use super::{Pairs, Progress, Scale, ours, raw::Raw};

/// Over which the timers are spread.
pub const SPAN: SignedDuration = SignedDuration::from_hours(48);
/// One in so many is due.
const DUE: usize = 10;
/// Leases under way at once.
const AT_ONCE: usize = 32;

#[derive(Default)]
pub struct Load {
    /// Timers a second.
    pub scheduled: Pairs,
    /// Microseconds of the server for each.
    pub cpu: Pairs,
    /// For each.
    pub bytes: Vec<f64>,
}

impl Load {
    pub async fn measure(&mut self, scale: &Scale, redis: &Redis, seed: u64, progress: &Progress) {
        let mut raw = Raw::connect(redis).await;
        let count = scale.timers as f64;
        let now = ours::now();
        let timers = ours::anywhen(scale.timers, now - SPAN / DUE as i32, SPAN, seed);

        progress.step("raw ZADD");
        raw.flush().await;
        let peer_seconds = raw.add(&timers).await;
        progress.step("raw ZPOPMIN");
        let before = raw.cpu().await;
        raw.pop(scale.timers / DUE).await;
        let peer_cpu = (raw.cpu().await - before) * 1e6 / (scale.timers / DUE) as f64;

        progress.step("setting timers");
        raw.flush().await;
        let empty = raw.memory().await;
        let index = ours::index(redis, ours::SHARDS, ours::slot_width(scale.timers, SPAN));
        self.scheduled.add(count / ours::set(&index, &timers).await, count / peer_seconds);
        self.bytes.push((raw.memory().await - empty) / count);
        progress.step("claiming and acknowledging");
        let before = raw.cpu().await;
        let taken = take_due(&index, now).await;
        let due = timers.iter().filter(|Timer { due, .. }| *due <= now).count();
        assert!(taken >= due, "{taken} of {due}");
        self.cpu.add((raw.cpu().await - before) * 1e6 / taken as f64, peer_cpu);
        raw.flush().await;
    }
}

/// Leases, reads and acknowledges slot by slot whatever is due; how many timers that were.
async fn take_due(index: &RedisTimers, now: Timestamp) -> usize {
    let terms = Terms { ahead: SignedDuration::ZERO, lease: SignedDuration::from_secs(60), slots_max: 1000 };
    let mut taken = 0;
    loop {
        let leases = index.claim(now, terms).await.unwrap().leases;
        if leases.is_empty() {
            return taken;
        }
        for some in leases.chunks(AT_ONCE) {
            taken += join_all(some.iter().map(|lease| take(index, lease))).await.into_iter().sum::<usize>();
        }
    }
}

async fn take(index: &RedisTimers, lease: &Lease) -> usize {
    let timers = index.read(lease, 0).await.unwrap();
    assert!(timers.len() < READ, "a slot is one page");
    index.acknowledge(lease, &timers, Extent::Whole).await.unwrap();
    timers.len()
}
