//! Random steps against an index and a model of it that is too simple to be wrong.

use std::collections::BTreeMap;

use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Claim, Claimed},
};
use proptest::{collection, prelude::*, test_runner::TestRunner};

use super::{
    Bench,
    promises::{parcel, t},
};

#[derive(Debug, Clone)]
enum Step {
    Set(u128, i64),
    Clear(u128),
    /// Later by so much, leased for so long.
    Claim(i64, i64),
    /// The claim before the newest, so that leases may have run out or been replaced.
    Acknowledge(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let number = 1..6_u128;
    prop_oneof![
        (number.clone(), 0..40_i64).prop_map(|(parcel, due)| Step::Set(parcel, due)),
        number.prop_map(Step::Clear),
        (0..6_i64, 1..12_i64).prop_map(|(later, lease)| Step::Claim(later, lease)),
        (0..3_usize).prop_map(Step::Acknowledge),
    ]
}

/// When each timer is due, and whether that is a lease.
#[derive(Default)]
struct Model(BTreeMap<ParcelId, (Timestamp, bool)>);

impl Model {
    fn claim(&mut self, now: Timestamp, leased_until: Timestamp) -> Claim {
        let mut due: Vec<_> = self.0.iter().filter(|(_, (at, _))| *at <= now).map(|(id, due)| (*due, *id)).collect();
        due.sort();
        let mut timers = Vec::new();
        for (_, parcel) in due {
            self.0.insert(parcel, (leased_until, true));
            timers.push(Claimed { parcel, lease: leased_until });
        }
        Claim { timers, next_due: self.0.values().map(|(at, _)| *at).min() }
    }

    fn acknowledge(&mut self, claimed: &[Claimed]) {
        for Claimed { parcel, lease } in claimed {
            if self.0.get(parcel) == Some(&(*lease, true)) {
                self.0.remove(parcel);
            }
        }
    }
}

async fn compare(bench: &Bench, steps: Vec<Step>) {
    // Each case begins where nothing is set.
    for number in 1..6 {
        bench.timers.clear(parcel(number)).await.unwrap();
    }
    let mut model = Model::default();
    let mut claims: Vec<Vec<Claimed>> = Vec::new();
    let mut now = 0;
    for step in steps {
        match step {
            Step::Set(number, due) => {
                bench.timers.set(parcel(number), t(due)).await.unwrap();
                model.0.insert(parcel(number), (t(due), false));
            }
            Step::Clear(number) => {
                bench.timers.clear(parcel(number)).await.unwrap();
                model.0.remove(&parcel(number));
            }
            Step::Claim(later, lease) => {
                now += later;
                let claim = bench.timers.claim(t(now), t(now + lease), 100).await.unwrap();
                assert_eq!(claim, model.claim(t(now), t(now + lease)));
                claims.push(claim.timers);
            }
            Step::Acknowledge(ago) => {
                if let Some(claim) = claims.iter().rev().nth(ago) {
                    bench.timers.acknowledge(claim).await.unwrap();
                    model.acknowledge(claim);
                }
            }
        }
    }
}

fn check(cases: u32, bench: impl AsyncFnOnce() -> Bench) {
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
    check(500, async || Bench::embedded());
}

#[test]
fn redis_timers_are_as_the_model() {
    check(40, Bench::redis);
}
