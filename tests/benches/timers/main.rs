//! The timers beside raw Redis and BullMQ: how many can be set, fired and lost at once, how late they are, and what they
//! cost. All on one private Redis without persistence, ours and the peers in turns; `--quick` measures less of each.
//!
//! Ours is the platform's own index, loop and rows; what only fires does so with a handler that does nothing, as BullMQ's.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be measured has failed")]

mod bullmq;
mod burst;
mod idle;
mod load;
mod ours;
mod ping;
mod plot;
mod raw;
mod rebuild;
mod record;
mod steady;

use std::env;

use gatepost_tests::{
    benchmark::{Figure, Report, Target, percentile},
    services::Redis,
};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Builder;

use self::{bullmq::BullMq, load::Load};

/// What is measured how many of.
struct Scale {
    /// Timers in the index, over two days.
    timers: usize,
    /// Timers due at one instant, and jobs of BullMQ.
    burst: usize,
    /// Seconds of the steady stream, and of doing nothing.
    steady: i64,
    idle: i64,
    repeats: usize,
}

const FULL: Scale = Scale { timers: 1_000_000, burst: 20_000, steady: 15, idle: 15, repeats: 3 };
const QUICK: Scale = Scale { timers: 100_000, burst: 20_000, steady: 6, idle: 6, repeats: 1 };

/// One figure of ours and of a peer, repeat by repeat.
#[derive(Default)]
struct Pairs {
    ours: Vec<f64>,
    peer: Vec<f64>,
}

impl Pairs {
    fn add(&mut self, ours: f64, peer: f64) {
        self.ours.push(ours);
        self.peer.push(peer);
    }

    fn figure(&self, what: String, unit: &'static str, target: Target) -> Figure {
        Figure::beside(what, unit, &self.ours, &self.peer, target)
    }
}

/// Tells what is going on, and how far.
struct Progress(ProgressBar);

impl Progress {
    fn new(steps: u64) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}").unwrap();
        Self(ProgressBar::new(steps).with_style(style))
    }

    fn step(&self, what: &'static str) {
        self.0.set_message(what);
        self.0.inc(1);
    }
}

fn main() {
    let scale = if env::args().any(|argument| argument == "--quick") { QUICK } else { FULL };
    let redis = Redis::start();
    let mut peer = BullMq::start(&redis);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let report = runtime.block_on(measure(&scale, &redis, &mut peer));
    report.publish().unwrap();
}

async fn measure(scale: &Scale, redis: &Redis, peer: &mut BullMq) -> Report {
    let progress = Progress::new(13 * scale.repeats as u64 + 1);
    let mut report = Report::new("timers");
    let mut bursts = Vec::new();
    let (mut load, mut idle, mut steady, mut rebuild) = (Load::default(), Vec::new(), Vec::new(), Vec::new());
    for repeat in 0..scale.repeats {
        load.measure(scale, redis, repeat as u64, &progress).await;
        bursts.push(burst::measure(scale, redis, peer, &progress).await);
        steady.push(steady::measure(scale, redis, &progress).await);
        progress.step("doing nothing");
        idle.push(idle::measure(scale, redis).await);
    }
    progress.step("writing parcels to rebuild the index from");
    let record = rebuild::record(scale).await;
    for repeat in 0..scale.repeats {
        rebuild.push(rebuild::measure(scale, redis, &record, repeat as u64, &progress).await);
    }
    progress.0.finish_and_clear();

    let (timers, burst) = (scale.timers, scale.burst);
    let mut scheduled = Pairs::default();
    let mut bytes = Pairs::default();
    for (repeat, burst) in bursts.iter().enumerate() {
        scheduled.add(load.scheduled.ours[repeat], burst.bullmq_added);
        bytes.add(load.bytes[repeat], burst.bullmq_bytes);
    }
    let pairs = |ours: fn(&burst::Burst) -> f64, peer: fn(&burst::Burst) -> f64| Pairs {
        ours: bursts.iter().map(ours).collect(),
        peer: bursts.iter().map(peer).collect(),
    };
    report.add(load.scheduled.figure(format!("set {timers}, beside raw ZADD"), "/s", Target::RatioAtLeast(0.45)));
    report.add(scheduled.figure("set, beside BullMQ addBulk".to_owned(), "/s", Target::RatioAtLeast(8.0)));
    report.add(load.cpu.figure(
        format!("claim and ack at {timers}, Redis CPU each, beside ZPOPMIN"),
        "us",
        Target::RatioAtMost(0.5),
    ));
    report.add(pairs(|b| b.ours.rate, |b| b.bullmq.rate).figure(
        format!("fire {burst} at one instant, beside BullMQ"),
        "/s",
        Target::RatioAtLeast(100.0),
    ));
    report.add(pairs(|b| p99(&b.ours.late), |b| p99(&b.bullmq.late)).figure(
        "the same, lateness p99".to_owned(),
        "ms",
        Target::OursAtMost(5.0),
    ));
    report.add(pairs(|b| p99(&b.effects.late), |b| p99(&b.bullmq.late)).figure(
        "the same with rows and events, lateness p99".to_owned(),
        "ms",
        Target::RatioAtMost(0.5),
    ));
    report.add(pairs(|b| p99(&b.ours.pings), |b| p99(&b.bullmq.pings)).figure(
        "another client's PING p99 meanwhile".to_owned(),
        "ms",
        Target::RatioAtMost(0.333),
    ));
    for (what, share, most) in [("p50", 0.5, 10.0), ("p99", 0.99, 50.0)] {
        let mut lateness = Pairs::default();
        for stream in &steady {
            lateness.add(percentile(&stream.late, share), stream.ping);
        }
        let what = format!("{} due a second with rows and events, lateness {what}, beside PING p99", steady::RATE);
        report.add(lateness.figure(what, "ms", Target::OursAtMost(most)));
    }
    report.add(Figure::alone(format!("bytes a timer at {timers}"), "B", &load.bytes, Some(Target::OursAtMost(28.0))));
    report.add(bytes.figure("bytes a timer, beside BullMQ".to_owned(), "B", Target::RatioAtMost(0.0714)));
    let (mut whole, mut urgent) = (Pairs::default(), Pairs::default());
    for rebuilt in &rebuild {
        whole.add(rebuilt.seconds, rebuilt.raw);
        urgent.add(rebuilt.urgent, rebuilt.seconds);
    }
    report.add(whole.figure(format!("FLUSHALL: {timers} rebuilt, beside raw ZADD"), "s", Target::RatioAtMost(1.5)));
    let what = "FLUSHALL: what is due within a minute, beside all";
    report.add(urgent.figure(what.to_owned(), "s", Target::RatioAtMost(0.1)));
    report.add(Figure::alone("idle with 256 shards, of a Redis core", "%", &idle, Some(Target::OursAtMost(0.1))));
    for (what, effects) in [
        ("the burst with rows and events", pairs(|b| b.effects.rate, |_| f64::NAN).ours),
        ("the same over one connection", pairs(|b| b.effects_over_one, |_| f64::NAN).ours),
    ] {
        report.add(Figure::alone(what, "/s", &effects, None));
    }
    if let Some(burst) = bursts.last() {
        let curves = [
            ("BullMQ, a handler that does nothing", &burst.bullmq.late),
            ("Gatepost, with rows and events", &burst.effects.late),
            ("Gatepost, a handler that does nothing", &burst.ours.late),
        ];
        plot::lateness(&format!("{} timers due at one instant", scale.burst), &curves).unwrap();
    }
    report
}

fn p99(milliseconds: &[f64]) -> f64 {
    percentile(milliseconds, 0.99)
}
