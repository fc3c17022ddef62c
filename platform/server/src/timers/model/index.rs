//! An index that all replicas share, with a time of its own, and with everything that can happen to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use gatepost_domain::{
    Timestamp,
    ports::{Claim, Extent, Lease, Move, Terms, Timer, Timers, TimersError},
};
use gatepost_storage::EmbeddedTimers;
use jiff::SignedDuration;

use super::replica::Model;

/// Tokens of two lives of the index never meet.
const TOKENS: i64 = 1 << 40;
const REBUILDER_LEASE: SignedDuration = SignedDuration::from_secs(5);

/// What is shared.
#[derive(Default)]
pub struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    timers: Arc<EmbeddedTimers>,
    /// How often it was emptied.
    lives: i64,
    /// How often another server took over.
    servers: u64,
    away_until: Option<Timestamp>,
    full_until: Option<Timestamp>,
    /// A cut replication: what is written is taken, and lost in the failover.
    cut_until: Option<Timestamp>,
    rebuild: Option<Rebuild>,
}

struct Rebuild {
    life: i64,
    by: usize,
    until: Timestamp,
    came_to: Option<Timer>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn empty(&self) {
        let mut state = self.state();
        let servers = state.servers;
        *state = State { lives: state.lives + 1, away_until: state.away_until, servers, ..State::default() };
    }

    pub fn go_away(&self, until: Timestamp) {
        self.state().away_until = Some(until);
    }

    pub fn be_full(&self, until: Timestamp) {
        self.state().full_until = Some(until);
    }

    pub fn cut_replication(&self, until: Timestamp) {
        self.state().cut_until = Some(until);
    }

    pub fn fail_over(&self) {
        let mut state = self.state();
        state.cut_until = None;
        state.servers += 1;
    }
}

/// The index as one replica reaches it.
pub struct Reached {
    pub model: Arc<Model>,
    pub replica: usize,
    /// The server last seen.
    pub server: Mutex<Option<u64>>,
}

impl Reached {
    /// The index, unless it is away.
    async fn ask(&self) -> Result<(Arc<EmbeddedTimers>, i64), TimersError> {
        self.model.latency().await;
        let (now, state) = (self.model.time.now(), self.model.index.state());
        if state.away_until.is_some_and(|until| now < until) {
            return Err(TimersError::Unavailable("it is away".to_owned()));
        }
        Ok((Arc::clone(&state.timers), state.lives))
    }

    /// An answer on its way back, which may be lost although what was asked was done.
    async fn answer<T>(&self, answer: Result<T, TimersError>) -> Result<T, TimersError> {
        self.model.latency().await;
        if self.model.chance(self.model.lost_answers) {
            return Err(TimersError::Unavailable("the answer was lost".to_owned()));
        }
        answer
    }

    fn is_lost(&self, step: &Move) -> bool {
        let now = self.model.time.now();
        let cut = self.model.index.state().cut_until.is_some_and(|until| now < until);
        cut || self.model.loses(step)
    }
}

fn inner(lease: &Lease, life: i64) -> Option<Lease> {
    (lease.token.div_euclid(TOKENS) == life).then_some(Lease { token: lease.token.rem_euclid(TOKENS), ..*lease })
}

fn outer(lease: Lease, life: i64) -> Lease {
    Lease { token: lease.token + life * TOKENS, ..lease }
}

#[async_trait]
impl Timers for Reached {
    async fn schedule(&self, moves: &[Move]) -> Result<(), TimersError> {
        let (timers, _) = self.ask().await?;
        let now = self.model.time.now();
        if self.model.index.state().full_until.is_some_and(|until| now < until) {
            return Err(TimersError::Unavailable("it is full".to_owned()));
        }
        let kept: Vec<Move> = moves.iter().filter(|step| !self.is_lost(step)).copied().collect();
        self.model.lose((moves.len() - kept.len()) as u64);
        let done = timers.schedule(&kept).await;
        self.answer(done).await
    }

    async fn claim(&self, caller: Timestamp, terms: Terms) -> Result<Claim, TimersError> {
        let (timers, life) = self.ask().await?;
        let now = self.model.time.now();
        let offset = now.duration_since(caller);
        let mut claim = timers.claim(now, terms).await?;
        claim.leases = claim.leases.into_iter().map(|lease| outer(lease, life)).collect();
        claim.next_look = claim.next_look.map(|at| at - offset);
        claim.heads.iter_mut().flatten().for_each(|at| *at -= offset);
        claim.offset = Some(offset);
        let servers = self.model.index.state().servers;
        let before = self.server.lock().unwrap_or_else(PoisonError::into_inner).replace(servers);
        claim.doubtful = before.is_some_and(|before| before != servers);
        self.answer(Ok(claim)).await
    }

    async fn read(&self, lease: &Lease, skip: usize) -> Result<Vec<Timer>, TimersError> {
        let (timers, life) = self.ask().await?;
        let read = match inner(lease, life) {
            Some(lease) => timers.read(&lease, skip).await,
            None => Ok(Vec::new()),
        };
        self.answer(read).await
    }

    async fn renew(&self, leases: &[Lease], _: Timestamp, terms: Terms) -> Result<Vec<Option<Lease>>, TimersError> {
        let (timers, life) = self.ask().await?;
        let mut renewed = Vec::with_capacity(leases.len());
        for lease in leases {
            renewed.push(match inner(lease, life) {
                Some(lease) => timers.renew(&[lease], self.model.time.now(), terms).await?[0],
                None => None,
            });
        }
        let renewed = renewed.into_iter().map(|lease| lease.map(|lease| outer(lease, life))).collect();
        self.answer(Ok(renewed)).await
    }

    async fn acknowledge(&self, lease: &Lease, fired: &[Timer], extent: Extent) -> Result<bool, TimersError> {
        let (timers, life) = self.ask().await?;
        // In another life it has a token that nobody was given; what was fired goes all the same.
        let lease = inner(lease, life).unwrap_or(Lease { token: 0, ..*lease });
        let done = timers.acknowledge(&lease, fired, extent).await;
        self.answer(done).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), TimersError> {
        let (timers, life) = self.ask().await?;
        let leases: Vec<Lease> = leases.iter().filter_map(|lease| inner(lease, life)).collect();
        let done = timers.release(&leases).await;
        self.answer(done).await
    }

    async fn begin_rebuild(&self) -> Result<Option<Timer>, TimersError> {
        self.ask().await?;
        let now = self.model.time.now();
        let mut state = self.model.index.state();
        if state.rebuild.as_ref().is_some_and(|rebuild| rebuild.by != self.replica && now < rebuild.until) {
            return Err(TimersError::Busy);
        }
        let life = state.lives;
        let came_to = state.rebuild.take().filter(|rebuild| rebuild.life == life).and_then(|rebuild| rebuild.came_to);
        state.rebuild = Some(Rebuild { life, by: self.replica, until: now + REBUILDER_LEASE, came_to });
        Ok(came_to)
    }

    async fn rebuild(&self, page: &[Timer], last: bool) -> Result<(), TimersError> {
        let (timers, life) = self.ask().await?;
        {
            let mut state = self.model.index.state();
            let now = self.model.time.now();
            match &mut state.rebuild {
                Some(rebuild) if rebuild.life == life && rebuild.by == self.replica => {
                    rebuild.until = now + REBUILDER_LEASE;
                    rebuild.came_to = page.last().copied().or(rebuild.came_to);
                }
                _ => return Err(TimersError::Lost),
            }
            if last {
                state.rebuild = None;
            }
        }
        let done = timers.rebuild(page, last).await;
        self.answer(done).await
    }

    async fn missing(&self, timers: &[Timer]) -> Result<Vec<Timer>, TimersError> {
        let (known, _) = self.ask().await?;
        let missing = known.missing(timers).await;
        self.answer(missing).await
    }
}
