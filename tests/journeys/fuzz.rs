//! Every rpc, found from the descriptors, with messages that no caller should send: fields unset, texts too long or no
//! text at all, numbers and instants at the ends of their types, enums that nobody knows, lists without end, encodings
//! that break off, lie or nest; by every kind of caller, on real servers.
//!
//! Never INTERNAL, never UNKNOWN, never a panic or a line of ERROR in the log, never a call without an answer, and no
//! refusal whose reason the page does not explain. `GATEPOST_FUZZ_CASES` says how many calls, `GATEPOST_FUZZ_SEED`
//! which ones; a fault is printed with the bytes that caused it. The test runner ends a test after five minutes, so long
//! runs are for `cargo test`.
//!
//! Tried: 40,000 calls of 77 rpcs on each database (seed 1), without a fault. Eleven of these rpcs were answered with
//! refusals alone, for what they need was not there just then: a recall, a stay, a conflict, a capture.

mod eye;
mod fields;
mod judge;
mod known;
mod rpcs;
mod sensible;
mod target;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use gatepost_tests::services::fresh_database;
use prost_reflect::DynamicMessage;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use tonic::Code;

use self::{
    judge::Catalogue,
    rpcs::{Rpc, call, rpcs},
    sensible::Maker,
    target::{Caller, Target},
};
use super::permissions::told;

/// Calls in the form that runs every time.
const CASES: u64 = 1_200;
/// Calls at once.
const LANES: u64 = 4;
/// More faults than this are not looked at one by one.
const FAULTS_MAX: usize = 20;

#[tokio::test]
async fn nonsense_is_refused_by_name_on_sqlite() {
    fuzz(&[]).await;
}

#[tokio::test]
async fn nonsense_is_refused_by_name_on_postgres() {
    let url = tokio::task::spawn_blocking(fresh_database).await.unwrap();
    fuzz(&[("GATEPOST_DATABASE__URL", &url)]).await;
}

async fn fuzz(settings: &[(&str, &str)]) {
    let setting = |name: &str| std::env::var(name).ok().map(|value| value.parse().unwrap());
    let (cases, seed) = (setting("GATEPOST_FUZZ_CASES").unwrap_or(CASES), setting("GATEPOST_FUZZ_SEED").unwrap_or(1));
    let run = Run {
        target: Target::start(settings, seed).await,
        rpcs: rpcs(),
        who_may: told().into_iter().map(|row| (row.path, row.who)).collect(),
        catalogue: Catalogue::read(),
        next: AtomicU64::new(0),
        outcomes: Mutex::default(),
        faults: Mutex::default(),
    };
    futures::future::join_all((0..LANES).map(|lane| run.lane(cases, seed * LANES + lane))).await;
    let outcomes = run.outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (rpc, codes) in &outcomes {
        println!("{rpc} {codes:?}");
    }
    let faults = run.faults.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(
        faults.is_empty(),
        "{} faults, among them\n{}\nand the log\n{}",
        faults.len(),
        faults[..faults.len().min(FAULTS_MAX)].join("\n"),
        run.target.live.log()
    );
    run.target.is_well().await;
    assert_eq!(outcomes.len(), run.rpcs.len(), "every rpc was called");
    let never: Vec<_> = outcomes.iter().filter(|(_, codes)| !codes.contains_key("Ok")).map(|(rpc, _)| rpc).collect();
    println!("never answered well: {never:?}");
    let total: u64 = outcomes.values().flat_map(BTreeMap::values).sum();
    println!("{total} calls of {} rpcs", outcomes.len());
}

struct Run {
    target: Target,
    rpcs: Vec<Rpc>,
    who_may: BTreeMap<String, Vec<&'static str>>,
    catalogue: Catalogue,
    next: AtomicU64,
    /// How often each rpc answered with each code.
    outcomes: Mutex<BTreeMap<String, BTreeMap<String, u64>>>,
    faults: Mutex<Vec<String>>,
}

impl Run {
    /// Takes one rpc after the other, until there were enough calls or too many faults.
    async fn lane(&self, cases: u64, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        loop {
            let case = self.next.fetch_add(1, Ordering::Relaxed);
            let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner).len();
            if case >= cases || faults >= FAULTS_MAX {
                return;
            }
            let rpc = &self.rpcs[case as usize % self.rpcs.len()];
            let caller = self.caller(rpc, &mut rng);
            let body = self.body(rpc, &mut rng);
            self.try_one(case, rpc, caller, body, &mut rng).await;
        }
    }

    async fn try_one(&self, case: u64, rpc: &Rpc, caller: &Caller, body: Bytes, rng: &mut StdRng) {
        let channel = self.target.channel(rpc);
        let answer = call(&channel, rpc, caller.key.as_ref(), body.clone()).await;
        let fault = match &answer {
            None => Some("no answer".to_owned()),
            Some(answer) => self.catalogue.fault(rpc, answer),
        };
        if let Some(fault) = fault {
            let body = STANDARD.encode(&body[..body.len().min(1_500)]);
            let fault = format!("call {case}, {} by {:?}: {fault}\n    {body}", rpc.path, caller.kind);
            self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
        }
        let code = match &answer {
            Some(Ok(_)) => Code::Ok,
            Some(Err(status)) => status.code(),
            None => Code::DeadlineExceeded,
        };
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        *outcomes.entry(rpc.path.clone()).or_default().entry(format!("{code:?}")).or_default() += 1;
        drop(outcomes);
        // The keys that the callers of this test show must not be found, and revoked.
        if let (Some(Ok(answers)), true) = (answer, rpc.name() != "ListKeys") {
            for answer in answers {
                if let Ok(answer) = DynamicMessage::decode(rpc.output.clone(), answer) {
                    self.target.known.learn(&answer, rng);
                }
            }
        }
    }

    /// Mostly somebody who may call it.
    fn caller(&self, rpc: &Rpc, rng: &mut StdRng) -> &Caller {
        let who = self.who_may.get(&rpc.path).map(Vec::as_slice).unwrap_or_default();
        let may: Vec<_> = self.target.callers.iter().filter(|caller| who.contains(&caller.kind)).collect();
        match may.choose(rng) {
            Some(caller) if rng.random_bool(0.9) => caller,
            _ => self.target.callers.choose(rng).unwrap(),
        }
    }

    /// The body of a request: sensible, then spoilt in fields, in its encoding, or in its frames. A third is left as
    /// it is, so that there is something to spoil afterwards.
    fn body(&self, rpc: &Rpc, rng: &mut StdRng) -> Bytes {
        let count = if rpc.streams_in { rng.random_range(1..6) } else { 1 };
        let spoil = rng.random_bool(0.67);
        let mut messages = Vec::new();
        for _ in 0..count {
            let mut message = Maker { known: &self.target.known, rng }.message(&rpc.input);
            let spoilt = if spoil { rng.random_range(0..4) } else { 0 };
            for _ in 0..spoilt {
                fields::spoil(&mut message, rng);
            }
            let mut bytes = fields::encode(&message);
            if spoil && spoilt == 0 {
                wire::spoil(&mut bytes, rng);
            }
            messages.push(bytes);
        }
        if spoil && rng.random_bool(0.06) { wire::spoilt_body(&messages, rng) } else { wire::body(&messages) }
    }
}
