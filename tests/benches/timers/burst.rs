//! Twenty thousand timers due at one instant.

use std::time::{Duration, Instant};

use gatepost_domain::Timestamp;
use gatepost_tests::{benchmark::percentile, services::Redis};
use jiff::SignedDuration;

use super::{
    Progress, Scale,
    bullmq::BullMq,
    ours::{self, Loop, Nothing},
    ping::Pinger,
    raw::Raw,
    record::Record,
};

/// Until ours is due: setting takes a fraction of it, and the loop looks a second ahead.
const LEAD: SignedDuration = SignedDuration::from_secs(4);
/// What BullMQ adds in a second, at the very least.
const BULLMQ_ADDS: usize = 1_500;
pub const SLOT: Duration = Duration::from_secs(20);
/// Ours with nothing to do is over before many a PING is answered, so it is measured so often, and the median taken.
const TIMES: usize = 5;

/// One way to fire them.
pub struct Fired {
    /// Timers a second, from the instant to the last acknowledgement.
    pub rate: f64,
    /// Milliseconds.
    pub late: Vec<f64>,
    /// What another client's PINGs took, in milliseconds.
    pub pings: Vec<f64>,
}

pub struct Burst {
    pub bullmq: Fired,
    /// Jobs a second.
    pub bullmq_added: f64,
    pub bullmq_bytes: f64,
    pub ours: Fired,
    /// With the rows of the parcels and their couriers' events.
    pub effects: Fired,
    /// Effects a second over one connection to PostgreSQL.
    pub effects_over_one: f64,
}

pub async fn measure(scale: &Scale, redis: &Redis, peer: &mut BullMq, progress: &Progress) -> Burst {
    let mut raw = Raw::connect(redis).await;
    let count = scale.burst as f64;

    progress.step("BullMQ addBulk");
    raw.flush().await;
    let empty = raw.memory().await;
    let due = ours::now() + SignedDuration::from_secs((scale.burst / BULLMQ_ADDS) as i64 + 2);
    let seconds = tokio::task::block_in_place(|| peer.add(scale.burst, due));
    let bullmq_bytes = (raw.memory().await - empty) / count;
    progress.step("BullMQ works");
    let (pinger, at) = (Pinger::start(redis), instant(due));
    let worked = tokio::task::block_in_place(|| peer.work(scale.burst, due));
    let bullmq = Fired { rate: count / worked.seconds, pings: pinger.stop(at), late: worked.late };

    progress.step("ours, a handler that does nothing");
    let mut times = Vec::new();
    for _ in 0..TIMES {
        raw.flush().await;
        times.push(nothing(scale, redis).await);
    }
    let pings = times.iter().flat_map(|fired| fired.pings.iter().copied()).collect();
    times.sort_by(|one, other| percentile(&one.late, 0.99).total_cmp(&percentile(&other.late, 0.99)));
    let ours = Fired { pings, ..times.swap_remove(TIMES / 2) };
    progress.step("ours, with rows and events");
    raw.flush().await;
    let effects = with_rows(scale, redis, 16).await;
    progress.step("the same over one connection");
    raw.flush().await;
    let effects_over_one = with_rows(scale, redis, 1).await.rate;
    Burst { bullmq, bullmq_added: count / seconds, bullmq_bytes, ours, effects, effects_over_one }
}

async fn nothing(scale: &Scale, redis: &Redis) -> Fired {
    let due = ours::now() + LEAD;
    let ground = Nothing::over(ours::index(redis, ours::SHARDS, SLOT));
    let running = Loop::start(ground.clone());
    let timers = ours::anywhen(scale.burst, due, SignedDuration::from_millis(1), 7);
    ground.set(&timers).await;
    assert!(ours::now() + SignedDuration::from_secs(2) < due, "not set in time");
    let (pinger, at) = (Pinger::start(redis), instant(due));
    ground.fired(scale.burst).await;
    running.stop().await;
    let rate = scale.burst as f64 / at.elapsed().as_secs_f64();
    let pings = pinger.stop(at);
    assert_eq!(ground.left(&timers).await, 0, "all are acknowledged");
    Fired { rate, late: ground.late(at), pings }
}

async fn with_rows(scale: &Scale, redis: &Redis, connections: u32) -> Fired {
    // Writing the parcels takes most of it.
    let due = ours::now() + LEAD * 2;
    let record = Record::waiting(scale.burst, due, SignedDuration::ZERO).await;
    let running = Loop::start(record.platform(redis, SLOT, connections, None).await);
    let (pinger, at) = (Pinger::start(redis), instant(due));
    record.ready(redis, due).await;
    record.recalled(scale.burst).await;
    let pings = pinger.stop(at);
    running.stop().await;
    let late = record.late().await;
    let last = late.iter().copied().fold(0.0, f64::max) / 1e3;
    Fired { rate: scale.burst as f64 / last, late, pings }
}

/// The same moment on the clock that only goes forward.
pub fn instant(at: Timestamp) -> Instant {
    Instant::now() + Duration::try_from(at.duration_since(ours::now())).unwrap()
}
