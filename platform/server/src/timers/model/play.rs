//! One play: parcels come, move and are taken, replicas come and go, and the index suffers, all by a seed.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use gatepost_domain::{Timestamp, id::ParcelId, ports::Move};
use jiff::SignedDuration;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    clock::Time,
    index::Shared,
    replica::{Effect, Model, Replica, Row},
};
use crate::timers::{follow, look_ahead, run, sweep};

const PARCELS: u128 = 30;
/// When the last parcel is deposited, and how far ahead deadlines are at most, in milliseconds.
const DEPOSITS: i64 = 5 * 60_000;
const AHEAD_MAX: i64 = 14 * 60_000;
/// Nobody has anything to do for so many turns of the scheduler: everybody sleeps.
const QUIET: usize = 8;

/// What is played.
pub struct Play {
    /// A replica for each, its clock ahead by so many milliseconds.
    pub skews: Vec<i64>,
    /// How many faults, each of one of these kinds.
    pub faults: usize,
    pub kinds: &'static [Fault],
    /// Replica 0 stays, and no answer is lost.
    pub steady: bool,
    /// The index is never there.
    pub away: bool,
    /// How many failovers that lose what was written just before.
    pub failovers: usize,
    /// In percent.
    pub lost_writes: u32,
    pub lost_cancels: u32,
    /// Of the steps, in percent.
    pub panics: u32,
    /// Deadlines are at least so far ahead when they are set, in milliseconds.
    pub at_least_ahead: i64,
    /// Every first deadline moves a little later, and the index never hears of it.
    pub untold_shifts: bool,
    pub look_ahead: bool,
}

impl Default for Play {
    fn default() -> Self {
        Self {
            skews: vec![0, 0],
            faults: 0,
            kinds: &Fault::ALL,
            steady: false,
            away: false,
            failovers: 0,
            lost_writes: 0,
            lost_cancels: 0,
            panics: 0,
            at_least_ahead: 1_500,
            untold_shifts: false,
            look_ahead: true,
        }
    }
}

/// What can happen.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Kill,
    Drain,
    Empty,
    GoAway,
    BeFull,
}

impl Fault {
    pub const ALL: [Fault; 5] = [Fault::Kill, Fault::Drain, Fault::Empty, Fault::GoAway, Fault::BeFull];
}

/// How it ended.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// The latest effect, after its deadline or after the setting of it.
    pub latest: SignedDuration,
    pub effects: u64,
    pub asked: u64,
    pub lost: u64,
    pub swept: u64,
    story: Vec<Effect>,
}

#[derive(Debug, Clone)]
enum Act {
    Deposit(ParcelId, VecDeque<Timestamp>),
    PickUp(ParcelId),
    /// As a change of the policy does: later or earlier, perhaps into the past; and whether the index is told.
    Shift(ParcelId, i64, bool),
    Kill(usize),
    Drain(usize),
    Start(usize),
    Empty,
    GoAway(i64),
    BeFull(i64),
    CutReplication(i64),
    FailOver,
}

struct Stage {
    model: Arc<Model>,
    look_ahead: bool,
    skews: Vec<i64>,
    cast: Vec<Option<Running>>,
}

struct Running {
    replica: Replica,
    tasks: JoinSet<()>,
    draining: CancellationToken,
}

fn at(milliseconds: i64) -> Timestamp {
    "2026-06-01T04:00:00Z".parse::<Timestamp>().expect("an instant") + SignedDuration::from_millis(milliseconds)
}

/// Plays to the end and checks what must hold whatever happened.
pub fn play(seed: u64, game: &Play) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut random = StdRng::seed_from_u64(seed);
        let script = script(&mut random, game);
        let model = Arc::new(Model {
            time: Time::new(at(0)),
            index: Shared::default(),
            random: Mutex::new(random),
            rows: Mutex::default(),
            effects: Mutex::default(),
            asked: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            swept: AtomicU64::new(0),
            lost_writes: game.lost_writes,
            lost_cancels: game.lost_cancels,
            lost_answers: u32::from(game.faults > 0 && !game.steady),
            panics: game.panics,
        });
        if game.away {
            model.index.go_away(Timestamp::MAX);
        }
        let cast = game.skews.iter().map(|_| None).collect();
        let mut stage =
            Stage { model: Arc::clone(&model), look_ahead: game.look_ahead, skews: game.skews.clone(), cast };
        (0..game.skews.len()).for_each(|number| stage.start(number));
        for (when, act) in script {
            stage.pass_until(when).await;
            stage.play(act);
        }
        for number in 0..game.skews.len() {
            stage.start(number);
        }
        stage.pass_until(at(DEPOSITS + 3 * AHEAD_MAX)).await;
        outcome(seed, &model)
    })
}

fn script(random: &mut StdRng, game: &Play) -> Vec<(Timestamp, Act)> {
    let mut script = Vec::new();
    for number in 1..=PARCELS {
        let parcel = ParcelId(Uuid::from_u128(number));
        let deposited = random.random_range(0..DEPOSITS);
        let first = deposited + random.random_range(game.at_least_ahead..AHEAD_MAX);
        // Sometimes the next deadline is the same instant: a plan for the millisecond of its making.
        let second =
            if random.random_range(0..20) == 0 { 0 } else { random.random_range(game.at_least_ahead..AHEAD_MAX) };
        script.push((at(deposited), Act::Deposit(parcel, [at(first), at(first + second)].into())));
        if game.untold_shifts {
            let when = random.random_range(deposited + 1..first);
            script.push((at(when), Act::Shift(parcel, random.random_range(1..20_000), false)));
            continue;
        }
        match random.random_range(0..10) {
            0..3 => script.push((at(deposited + random.random_range(0..AHEAD_MAX)), Act::PickUp(parcel))),
            3..5 if game.at_least_ahead < AHEAD_MAX / 10 => {
                let shift = random.random_range(-AHEAD_MAX / 2..AHEAD_MAX / 2);
                script.push((at(deposited + random.random_range(0..AHEAD_MAX)), Act::Shift(parcel, shift, true)));
            }
            _ => {}
        }
    }
    for _ in 0..game.faults {
        let (when, lasts) = (random.random_range(0..DEPOSITS + AHEAD_MAX), random.random_range(1..20_000));
        let number = random.random_range(usize::from(game.steady)..game.skews.len());
        let (begin, end) = match game.kinds[random.random_range(0..game.kinds.len())] {
            Fault::Kill => (Act::Kill(number), Some(Act::Start(number))),
            Fault::Drain => (Act::Drain(number), Some(Act::Start(number))),
            Fault::Empty => (Act::Empty, None),
            Fault::GoAway => (Act::GoAway(lasts), None),
            Fault::BeFull => (Act::BeFull(lasts), None),
        };
        script.push((at(when), begin));
        script.extend(end.map(|end| (at(when + lasts), end)));
    }
    for _ in 0..game.failovers {
        let when = random.random_range(0..DEPOSITS);
        script.push((at(when), Act::CutReplication(10_000)));
        script.push((at(when + 1_000), Act::FailOver));
    }
    script.sort_by_key(|(when, _)| *when);
    script
}

impl Stage {
    /// Lets everybody work until all sleep, then jumps to the first who wakes, until it is this time.
    async fn pass_until(&self, end: Timestamp) {
        loop {
            let (mut quiet, mut seen) = (0, self.model.time.activity());
            while quiet < QUIET {
                tokio::task::yield_now().await;
                let activity = self.model.time.activity();
                quiet = if activity == seen { quiet + 1 } else { 0 };
                seen = activity;
            }
            if self.model.time.now() >= end {
                return;
            }
            self.model.time.jump(end);
        }
    }

    fn start(&mut self, number: usize) {
        if self.cast[number].is_some() {
            return;
        }
        let replica = Replica::new(&self.model, number, self.skews[number]);
        let (draining, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let loops = (run(replica.clone(), draining.clone()), sweep(replica.clone(), draining.clone()));
        tasks.spawn(async move { loops.0.await.expect("it runs") });
        tasks.spawn(async move { loops.1.await.expect("it runs") });
        if self.look_ahead {
            let looking = look_ahead(replica.clone(), draining.clone());
            tasks.spawn(async move { looking.await.expect("it runs") });
        }
        self.cast[number] = Some(Running { replica, tasks, draining });
    }

    fn play(&mut self, act: Act) {
        let now = self.model.time.now();
        let lasts = |milliseconds| now + SignedDuration::from_millis(milliseconds);
        match act {
            Act::Deposit(parcel, deadlines) => {
                let due = deadlines.front().copied();
                self.model.rows().insert(parcel, Row { deadlines, set_at: now });
                self.follow(Move { parcel, was: None, due });
            }
            Act::PickUp(parcel) => self.change(parcel, true, |row| row.deadlines.clear()),
            Act::Shift(parcel, by, told) => self.change(parcel, told, |row| {
                row.deadlines.iter_mut().for_each(|due| *due += SignedDuration::from_millis(by));
                row.set_at = now;
            }),
            // Wherever each of its tasks stands.
            Act::Kill(number) => self.cast[number] = None,
            Act::Drain(number) => {
                if let Some(mut ending) = self.cast[number].take() {
                    ending.draining.cancel();
                    tokio::spawn(async move { while ending.tasks.join_next().await.is_some() {} });
                }
            }
            Act::Start(number) => self.start(number),
            Act::Empty => self.model.index.empty(),
            Act::GoAway(milliseconds) => self.model.index.go_away(lasts(milliseconds)),
            Act::BeFull(milliseconds) => self.model.index.be_full(lasts(milliseconds)),
            Act::CutReplication(milliseconds) => self.model.index.cut_replication(lasts(milliseconds)),
            Act::FailOver => self.model.index.fail_over(),
        }
    }

    fn change(&mut self, parcel: ParcelId, told: bool, change: impl FnOnce(&mut Row)) {
        let step = {
            let mut rows = self.model.rows();
            let Some(row) = rows.get_mut(&parcel) else { return };
            let was = row.deadlines.front().copied();
            change(row);
            Move { parcel, was, due: row.deadlines.front().copied() }
        };
        if told {
            self.follow(step);
        }
    }

    /// One of those that run follows; when none does, whoever committed died at once.
    fn follow(&mut self, step: Move) {
        let number = (step.parcel.0.as_u128() % self.cast.len() as u128) as usize;
        if let Some(running) = &mut self.cast[number] {
            let replica = running.replica.clone();
            running.tasks.spawn(async move { follow(&replica, vec![step]).await });
        }
    }
}

/// Nothing lost, doubled, early or after a pickup; and how late the latest was.
fn outcome(seed: u64, model: &Model) -> Outcome {
    let story = model.effects().clone();
    for (parcel, row) in &*model.rows() {
        assert!(row.deadlines.is_empty(), "seed {seed}: {parcel} still waits for {:?}", row.deadlines);
    }
    let mut latest = SignedDuration::ZERO;
    for effect in &story {
        assert!(effect.at >= effect.due, "seed {seed}: early: {effect:?}");
        latest = latest.max(effect.at.duration_since(effect.due.max(effect.set_at)));
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (asked, lost, swept) = (count(&model.asked), count(&model.lost), count(&model.swept));
    Outcome { latest, effects: story.len() as u64, asked, lost, swept, story }
}
