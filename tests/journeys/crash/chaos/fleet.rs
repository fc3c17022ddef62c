//! The replicas: killed from outside and at places inside, and each time started again.

use gatepost_tests::{clients::Line, live::Live};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::REPLICAS;
use crate::crash::seeded::Seeded;

/// Where a life may end by itself.
const PLACES: [&str; 5] =
    ["timers.claimed", "timers.moving", "timers.committed", "timers.acknowledging", "timers.rebuilding"];
/// One life of so many ends there.
const ONE_OF: u64 = 3;
/// How often it passed before, at most.
const PASSAGES: u64 = 60;
/// Until a replica is started again, in milliseconds.
const GONE: u64 = 600;

/// What a replica does wrong in one life: its clock, every twentieth write to the index, every cancellation, and the place
/// at which it dies.
pub fn points(skew: i64, death: Option<(&str, u64)>) -> String {
    let death = death.map(|(place, before)| format!(";{place}={before}*off->return")).unwrap_or_default();
    format!("timers.put=5%return;timers.cancel=return;clock=return({skew}){death}")
}

/// Replicas that are kept running.
pub struct Fleet {
    lines: Vec<Line>,
    orders: Vec<mpsc::Sender<()>>,
    keepers: Vec<JoinHandle<Lives>>,
    over: CancellationToken,
}

/// What was seen of the lives of all replicas.
#[derive(Default)]
pub struct Lives {
    pub deaths: u64,
    /// Parcels that a sweep changed.
    pub swept: u64,
}

impl Fleet {
    /// From replicas that run, with what is wrong with their clocks.
    pub fn of(replicas: [Live; REPLICAS as usize], skews: [i64; REPLICAS as usize], seed: u64) -> Fleet {
        let over = CancellationToken::new();
        let lines = replicas.iter().map(|live| live.line().clone()).collect();
        let (mut orders, mut keepers) = (Vec::new(), Vec::new());
        for ((number, live), skew) in replicas.into_iter().enumerate().zip(skews) {
            let (order, ordered) = mpsc::channel(1);
            orders.push(order);
            let keeper =
                Keeper { live, skew, seeded: Seeded::of(seed, 10 + number as u64), ordered, over: over.clone() };
            keepers.push(tokio::spawn(keeper.keep()));
        }
        Fleet { lines, orders, keepers, over }
    }

    /// The ways to them.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// SIGKILL, as soon as it runs.
    pub fn kill(&self, replica: u64) {
        // It is to be killed already.
        let _ = self.orders[replica as usize].try_send(());
    }

    /// Ends all well.
    pub async fn end(self) -> Lives {
        self.over.cancel();
        let mut all = Lives::default();
        for keeper in self.keepers {
            let lives = keeper.await.expect("no replica did what it must not");
            all.deaths += lives.deaths;
            all.swept += lives.swept;
        }
        all
    }
}

struct Keeper {
    live: Live,
    skew: i64,
    seeded: Seeded,
    ordered: mpsc::Receiver<()>,
    over: CancellationToken,
}

impl Keeper {
    async fn keep(mut self) -> Lives {
        let mut deaths = 0;
        loop {
            tokio::select! {
                biased;
                () = self.over.cancelled() => break,
                Some(()) = self.ordered.recv() => self.live.kill().await,
                () = self.live.gone() => {}
            }
            deaths += 1;
            self.check_end(None).await;
            self.seeded.pause(0, GONE).await;
            while !self.start().await {
                deaths += 1;
            }
        }
        self.live.terminate_if_running().await;
        self.check_end(Some(0)).await;
        let log = self.live.log();
        assert!(!log.contains("panicked"), "{log}");
        Lives { deaths, swept: swept(&log) }
    }

    /// Whether it lived to serve.
    async fn start(&mut self) -> bool {
        let dies = self.seeded.below(ONE_OF) == 0;
        let place = PLACES[self.seeded.below(PLACES.len() as u64) as usize];
        // There is one passage for each time that the index is made.
        let before = if place == "timers.rebuilding" { 0 } else { self.seeded.below(PASSAGES) };
        self.live.set("FAILPOINTS", &points(self.skew, dies.then_some((place, before))));
        match self.live.try_to_serve_again().await {
            Ok(()) => true,
            Err(ended) => {
                assert_eq!(ended.code, None, "{}", ended.said);
                false
            }
        }
    }

    /// It was killed, or ended in the one other way that is right.
    async fn check_end(&mut self, right: Option<i32>) {
        let ended = self.live.ended().await;
        assert!(ended.code.is_none() || ended.code == right, "{}", ended.said);
    }
}

/// The numbers of parcels that the sweep tells.
fn swept(log: &str) -> u64 {
    let counts = log.lines().filter(|line| line.contains("the sweep found deadlines")).filter_map(|line| {
        let (_, count) = line.split_once("parcels=")?;
        count.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    });
    counts.sum()
}
