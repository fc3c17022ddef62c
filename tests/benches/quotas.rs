//! What others notice of a greedy courier: the time of their calls beside one that makes 50 times as many calls as its
//! quota lets through, and alone. Both in turns in one run, on SQLite, each courier over a connection of its own.
//!
//! All have the same quota, and together they are no more than the database can serve: what a quota lets through is a
//! load like any other. The greedy courier's client takes its part of the machine too, which counts against the platform.

#![expect(clippy::unwrap_used, reason = "a benchmark that gets no answer has failed")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use gatepost_proto::v1::{self, parcel_service_client::ParcelServiceClient};
use gatepost_tests::{
    benchmark::{Figure, Report, Target, percentile},
    clients::{Authorised, Courier, Label, endpoint},
    world::{BOUND, World},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
    time::MissedTickBehavior,
};
use tonic::{Code, service::interceptor::InterceptedService};

/// Calls a second that a courier is let make.
const QUOTA: u32 = 25;
/// Times that the greedy one makes. A little above 50, because what counts is what was sent.
const GREED: u32 = 52;
const OTHERS: usize = 4;
/// Calls a second of each of the others, nearly as many as they may make.
const CALLS: u32 = 20;
const PHASE: Duration = Duration::from_secs(10);
const REPEATS: usize = 6;
/// Calls of the greedy courier without an answer yet; who hears nothing sends no more.
const UNANSWERED_MAX: usize = 1_000;

type Client = ParcelServiceClient<Authorised>;

/// A courier on a connection of its own.
async fn connect(world: &World, courier: &Courier) -> Client {
    let channel = endpoint(world.address(), None).connect().await.unwrap();
    ParcelServiceClient::new(InterceptedService::new(channel, courier.key().clone()))
}

/// Announcements that leave every compartment free, so that the last is as the first.
fn announcement(label: &Label) -> v1::AnnounceParcelRequest {
    let mut request = label.clone().consent(v1::DepositConsent::Refused).request();
    request.tracking_number.clone_from(&request.request_id);
    request
}

/// One of the others: a call at every tick, however long the one before takes. Milliseconds from each tick to the answer.
async fn follow(client: Client, label: Label) -> Vec<f64> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / CALLS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = Vec::new();
    for _ in 0..PHASE.as_secs() as u32 * CALLS {
        let due = ticks.tick().await.into_std();
        let (mut client, request) = (client.clone(), announcement(&label));
        calls.push(tokio::spawn(async move {
            client.announce_parcel(request).await.unwrap();
            due.elapsed().as_secs_f64() * 1e3
        }));
    }
    join_all(calls).await.into_iter().map(Result::unwrap).collect()
}

/// What the greedy courier did.
struct Greedy {
    sent: AtomicU64,
    taken: AtomicU64,
    unanswered: Arc<Semaphore>,
}

async fn be_greedy(client: Client, label: Label, done: Arc<Greedy>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begun = Instant::now();
    loop {
        ticks.tick().await;
        let due = begun.elapsed().as_secs_f64() * f64::from(QUOTA * GREED);
        while (done.sent.load(Ordering::Relaxed) as f64) < due {
            let Ok(leave) = done.unanswered.clone().try_acquire_owned() else { break };
            let (mut client, done) = (client.clone(), done.clone());
            let request = announcement(&label);
            done.sent.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                match client.announce_parcel(request).await {
                    Ok(_) => drop(done.taken.fetch_add(1, Ordering::Relaxed)),
                    Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status}"),
                }
                drop(leave);
            });
        }
    }
}

/// Every repeat's figures.
#[derive(Default)]
struct Found {
    alone: Phases,
    beside: Phases,
    sent: Vec<f64>,
    taken: Vec<f64>,
}

#[derive(Default)]
struct Phases {
    median: Vec<f64>,
    p99: Vec<f64>,
}

impl Phases {
    fn add(&mut self, times: &[f64]) {
        self.median.push(percentile(times, 0.5));
        self.p99.push(percentile(times, 0.99));
    }
}

async fn measure(greedy_runtime: &Runtime) -> Found {
    let builder = World::builder().real_time().config(|config| {
        config.quotas.calls_per_second = QUOTA.try_into().unwrap();
        config.quotas.burst = QUOTA.try_into().unwrap();
    });
    let world = builder.start().await;
    let label = Label::to(&world.resident("王芳"));
    let mut others = Vec::new();
    for number in 0..OTHERS {
        others.push(connect(&world, &world.courier(&format!("other-{number}")).await).await);
    }
    let greedy = world.courier("greedy").await;
    let everybody = async || {
        let calls = others.iter().map(|client| tokio::spawn(follow(client.clone(), label.clone())));
        let times = join_all(calls).await;
        times.into_iter().flat_map(Result::unwrap).collect::<Vec<f64>>()
    };
    // The first calls find nothing prepared.
    everybody().await;
    let mut found = Found::default();
    for _ in 0..REPEATS {
        found.alone.add(&everybody().await);
        let unanswered = Arc::new(Semaphore::new(UNANSWERED_MAX));
        let done = Arc::new(Greedy { sent: AtomicU64::new(0), taken: AtomicU64::new(0), unanswered });
        let client = connect(&world, &greedy).await;
        let begun = Instant::now();
        let being_greedy = greedy_runtime.spawn(be_greedy(client, label.clone(), done.clone()));
        found.beside.add(&everybody().await);
        being_greedy.abort();
        let quota = begun.elapsed().as_secs_f64() * f64::from(QUOTA);
        found.sent.push(done.sent.load(Ordering::Relaxed) as f64 / quota);
        // Nothing of it is left when the others are alone again.
        drop(done.unanswered.acquire_many(UNANSWERED_MAX as u32).await.unwrap());
        found.taken.push(done.taken.load(Ordering::Relaxed) as f64 / quota);
    }
    found
}

fn main() {
    let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // Threads of its own, so that what it does delays no other courier's client.
    let (runtime, greedy_runtime) = (runtime(), runtime());
    let found = runtime.block_on(measure(&greedy_runtime));
    greedy_runtime.shutdown_timeout(BOUND);
    let mut report = Report::new("quotas");
    let what = format!("p99 of the announcements of {OTHERS} others, beside a greedy courier");
    let alone = Target::RatioAtMost(1.5);
    report.add(Figure::beside(what, "ms", &found.beside.p99, &found.alone.p99, alone));
    let what = "their median";
    report.add(Figure::beside(what, "ms", &found.beside.median, &found.alone.median, alone));
    let what = "calls that the greedy one makes, in quotas";
    report.add(Figure::alone(what, "x", &found.sent, Some(Target::OursAtLeast(50.0))));
    // A full bucket is there in the beginning of every repeat.
    let most = 1.2;
    let what = "calls of it that are let through, in quotas";
    report.add(Figure::alone(what, "x", &found.taken, Some(Target::OursAtMost(most))));
    report.publish().unwrap();
}
