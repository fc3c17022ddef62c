//! Random steps against an index and a model of it that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use gatepost_domain::{
    id::ParcelId,
    ports::{Extent, Lease, Move, Slot, Timer},
};
use proptest::{collection, prelude::*, test_runner::TestRunner};

use super::{
    Bench,
    promises::{TERMS, parcel, read_all, t},
};

#[derive(Debug, Clone)]
enum Step {
    /// Where it goes, or away.
    Move(u128, Option<i64>),
    /// The cancellation never arrives.
    Forget(u128),
    /// Later by so much.
    Claim(i64),
    /// The claim before the newest, so that leases may have run out or been replaced.
    Acknowledge(usize),
    Renew(usize),
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let number = 1..6_u128;
    prop_oneof![
        4 => (number.clone(), proptest::option::weighted(0.8, 0..40_i64)).prop_map(|(n, due)| Step::Move(n, due)),
        1 => number.prop_map(Step::Forget),
        4 => (0..6_i64).prop_map(Step::Claim),
        3 => (0..3_usize).prop_map(Step::Acknowledge),
        1 => (0..3_usize).prop_map(Step::Renew),
        1 => (0..3_usize).prop_map(Step::Release),
    ]
}

/// What the rows say, and what is in the index beyond that.
#[derive(Default)]
struct Model {
    rows: BTreeMap<ParcelId, i64>,
    index: BTreeSet<Timer>,
    /// Of every slot that is held: by which claim, and until when.
    held: BTreeMap<Slot, (usize, i64)>,
}

struct Claimed {
    leases: Vec<Lease>,
    timers: Vec<Timer>,
}

impl Model {
    fn is_free(&self, timer: &Timer, width: u32, now: i64) -> bool {
        let held = self.held.iter().find(|(slot, _)| number(timer, width) == slot.number && same_shard(slot, timer));
        held.is_none_or(|(_, (_, until))| *until <= now)
    }
}

fn number(timer: &Timer, width: u32) -> i64 {
    timer.due.as_millisecond().div_euclid(width.into())
}

/// Shards are by the last bytes of the id; the model's parcels have small numbers.
fn same_shard(slot: &Slot, timer: &Timer) -> bool {
    let shards = SHARDS.with(std::cell::Cell::get);
    timer.parcel.0.as_u128() % u128::from(shards) == u128::from(slot.shard)
}

thread_local! {
    static SHARDS: std::cell::Cell<u16> = const { std::cell::Cell::new(1) };
}

/// The width of the slots of every bench: one second, so that several timers share one only at the same second.
const WIDTH: u32 = 1000;

async fn compare(bench: &Bench, steps: Vec<Step>) {
    let timers = &*bench.timers;
    // Each case begins where nothing is there.
    loop {
        let all = timers.claim(t(10_000), TERMS).await.unwrap().leases;
        if all.is_empty() {
            break;
        }
        for lease in all {
            let rest = timers.read(&lease, 0).await.unwrap();
            timers.acknowledge(&lease, &rest, Extent::Whole).await.unwrap();
        }
    }
    let (mut model, mut claims, mut now) = (Model::default(), Vec::<Claimed>::new(), 0);
    for step in steps {
        match step {
            Step::Move(number, due) => {
                let was = model.rows.get(&parcel(number)).copied();
                let step = Move { parcel: parcel(number), was: was.map(t), due: due.map(t) };
                timers.schedule(&[step]).await.unwrap();
                let timer = |seconds| Timer { due: t(seconds), parcel: parcel(number) };
                was.map(|was| model.index.remove(&timer(was)));
                model.rows.remove(&parcel(number));
                if let Some(due) = due {
                    model.rows.insert(parcel(number), due);
                    model.index.insert(timer(due));
                    let of =
                        |slot: &Slot| same_shard(slot, &timer(due)) && self::number(&timer(due), WIDTH) == slot.number;
                    model.held.retain(|slot, _| !of(slot));
                }
            }
            Step::Forget(number) => drop(model.rows.remove(&parcel(number))),
            Step::Claim(later) => {
                now += later;
                let claim = timers.claim(t(now), TERMS).await.unwrap();
                let found = read_all(timers, &claim.leases).await;
                let free = |timer: &&Timer| timer.due <= t(now) && model.is_free(timer, WIDTH, now);
                assert_eq!(found, model.index.iter().filter(free).copied().collect::<Vec<_>>());
                model.held.extend(claim.leases.iter().map(|lease| (lease.slot, (claims.len(), now + 10))));
                claims.push(Claimed { leases: claim.leases, timers: found });
            }
            Step::Acknowledge(ago) => {
                let Some(which) = claims.len().checked_sub(ago + 1) else { continue };
                for lease in &claims[which].leases {
                    let slot = lease.slot;
                    let fired = claims[which].timers.iter().filter(|timer| same_shard(&slot, timer));
                    let fired: Vec<Timer> =
                        fired.filter(|timer| number(timer, WIDTH) == slot.number).copied().collect();
                    timers.acknowledge(lease, &fired, Extent::Whole).await.unwrap();
                    model.index.retain(|timer| !fired.contains(timer));
                    let mine = model.held.get(&slot).is_some_and(|(claim, _)| *claim == which);
                    let empty = !model.index.iter().any(|t| same_shard(&slot, t) && number(t, WIDTH) == slot.number);
                    if mine || empty {
                        model.held.remove(&slot);
                    }
                }
            }
            Step::Renew(ago) => {
                let Some(which) = claims.len().checked_sub(ago + 1) else { continue };
                let leases = std::mem::take(&mut claims[which].leases);
                let renewed = timers.renew(&leases, t(now), TERMS).await.unwrap();
                for (lease, after) in leases.into_iter().zip(renewed) {
                    let mine = model.held.get(&lease.slot).is_some_and(|(claim, _)| *claim == which);
                    assert_eq!(after.is_some(), mine, "{lease:?}");
                    if mine {
                        model.held.insert(lease.slot, (which, now + 10));
                    }
                    claims[which].leases.push(after.unwrap_or(lease));
                }
            }
            Step::Release(ago) => {
                let Some(which) = claims.len().checked_sub(ago + 1) else { continue };
                timers.release(&claims[which].leases).await.unwrap();
                model.held.retain(|_, (claim, _)| *claim != which);
            }
        }
    }
}

fn check(cases: u32, shards: u16, bench: impl AsyncFnOnce() -> Bench) {
    SHARDS.with(|known| known.set(shards));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(async { bench().await.whole().await });
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let steps = collection::vec(step(), 1..60);
    let outcome = runner.run(&steps, |steps| {
        runtime.block_on(compare(&bench, steps));
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn embedded_timers_are_as_the_model() {
    check(500, 1, async || Bench::embedded());
}

#[test]
fn redis_timers_are_as_the_model() {
    check(60, 4, Bench::redis);
}
