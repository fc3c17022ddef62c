//! What every part of the server shares, and the two moments around each mutation: begin and commit.

use std::{ops::ControlFlow, sync::Arc};

use gatepost_domain::{
    Parcel, Timestamp,
    id::CommunityId,
    policy,
    ports::{Move, Timers},
    principal::Principal,
};
use gatepost_process::{clock::SharedClock, ids::new_id};
use gatepost_storage::{Answered, Store, StoreError, Tx};
use prost::Message;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedMutexGuard, watch};
use uuid::Uuid;

use crate::{
    auth::{oidc::Oidc, quota::Quotas, uses::Uses},
    config::Config,
    courier_webhooks::Gateway,
    heads::Heads,
    metrics::Metrics,
    premises::Known,
    problem::Problem,
    timers::{self, Timekeeping},
    vault::Vault,
    vision::hub::Hub,
};

/// A handle on the server's parts; clones share them.
#[derive(Clone)]
pub struct Platform(Arc<Parts>);

/// The parts.
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// The record.
    pub store: Store,
    /// The index over deadlines.
    pub timers: Arc<dyn Timers>,
    /// The time.
    pub clock: SharedClock,
    /// Communities as they were last read.
    pub known: Known,
    /// Counts and durations.
    pub metrics: Metrics,
    /// Connected workers and the frames on their way.
    pub hub: Hub,
    /// Enrolled faces.
    pub vault: Vault,
    /// How far couriers' logs go.
    pub heads: Heads,
    /// The way to couriers' webhook endpoints.
    pub courier_webhooks: Gateway,
    /// What the timers' loop knows of the index.
    pub timekeeping: Timekeeping,
    /// Administrators' tokens, if an identity provider is set.
    pub oidc: Option<Oidc>,
    /// How much each principal may ask for.
    pub quotas: Quotas,
    /// Keys that were used.
    pub key_uses: Uses,
    /// Woken when an event may have been appended, a notice written or a timer set.
    pub wakes: Wakes,
}

/// Counters that grow when there may be work; who waits for one sees every growth.
pub struct Wakes {
    /// Events appended.
    pub events: watch::Sender<u64>,
    /// Webhook endpoints changed.
    pub webhooks: watch::Sender<u64>,
    /// Notices written.
    pub notices: watch::Sender<u64>,
    /// Timers set.
    pub timers: watch::Sender<u64>,
    /// Erasures begun.
    pub erasures: watch::Sender<u64>,
}

impl Default for Wakes {
    fn default() -> Self {
        let wake = || watch::Sender::new(0);
        Self { events: wake(), webhooks: wake(), notices: wake(), timers: wake(), erasures: wake() }
    }
}

impl std::ops::Deref for Platform {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// A mutation under way: its transaction, and the request it will be remembered by.
pub struct Mutation {
    /// Everything it reads and writes.
    pub tx: Tx,
    /// The present, one for the whole mutation.
    pub now: Timestamp,
    principal: String,
    request_id: Uuid,
    answered: Answered,
    /// Until it is committed or dropped, nothing else of the caller's is in the way of other callers.
    turn: Option<OwnedMutexGuard<()>>,
}

impl Platform {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A new id.
    pub fn new_id(&self) -> Uuid {
        new_id(self.now())
    }

    /// Begins a mutation, or breaks off with the answer that the same request was given before.
    pub async fn begin<A: Message + Default>(
        &self,
        caller: &Principal,
        rpc: &'static str,
        request_id: &str,
        body: &impl Message,
    ) -> Result<ControlFlow<A, Mutation>, Problem> {
        let request_id = Uuid::try_parse(request_id)
            .ok()
            .filter(|id| !id.is_nil())
            .ok_or_else(|| Problem::invalid("request_id", "a UUID, chosen anew for every new request"))?;
        let body_hash = Sha256::new().chain_update(rpc).chain_update(body.encode_to_vec()).finalize().into();
        let principal = caller.name();
        let turn = self.turn_to_write(caller).await;
        let tx = self.store.write().await?;
        tx.lock_request(request_id).await?;
        if let Some(before) = tx.answered(&principal, request_id).await? {
            if before.rpc != rpc || before.body_hash != body_hash {
                return Err(Problem::RequestIdReused);
            }
            let answer =
                A::decode(&before.answer[..]).map_err(|_| Problem::Bug("a remembered answer does not decode"))?;
            return Ok(ControlFlow::Break(answer));
        }
        let answered = Answered { rpc: rpc.to_owned(), body_hash, answer: Vec::new() };
        Ok(ControlFlow::Continue(Mutation { tx, now: self.now(), principal, request_id, answered, turn }))
    }

    /// Whoever writes for a caller takes this before, where there is one writer.
    pub async fn turn_to_write(&self, caller: &Principal) -> Option<OwnedMutexGuard<()>> {
        if self.store.has_one_writer() { self.quotas.write(caller).await } else { None }
    }

    /// Remembers the answer, commits, and lets the index and the waiting streams follow.
    pub async fn commit<A: Message>(&self, mutation: Mutation, answer: A, moved: &[Parcel]) -> Result<A, Problem> {
        let Mutation { tx, now, principal, request_id, mut answered, turn: _turn } = mutation;
        answered.answer = answer.encode_to_vec();
        tx.remember_answer(&principal, request_id, &answered, now).await?;
        self.commit_steps(tx, moved).await?;
        Ok(answer)
    }

    /// Commits steps that no request asked for.
    pub async fn commit_steps(&self, tx: Tx, moved: &[Parcel]) -> Result<(), StoreError> {
        let moves = tx.moves();
        tx.commit().await?;
        self.follow(moves, !moved.is_empty()).await;
        Ok(())
    }

    /// After a commit: wakes who waits for events and notices, and moves the index after the rows.
    pub async fn follow(&self, moves: Vec<Move>, news: bool) {
        if news {
            self.wakes.events.send_modify(|count| *count += 1);
            self.wakes.notices.send_modify(|count| *count += 1);
        }
        timers::follow(self, moves).await;
    }

    /// The waiting policy in effect for a community and a courier.
    pub async fn policy(
        &self,
        tx: &Tx,
        community: &CommunityId,
        courier: Option<&gatepost_domain::id::CourierId>,
    ) -> Result<policy::WaitingPolicy, StoreError> {
        Ok(self.policy_with_origins(tx, community, courier).await?.0)
    }

    /// The same, with the layers that decided.
    pub async fn policy_with_origins(
        &self,
        tx: &Tx,
        community: &CommunityId,
        courier: Option<&gatepost_domain::id::CourierId>,
    ) -> Result<(policy::WaitingPolicy, policy::Origins), StoreError> {
        Ok(policy::merge_versions(&tx.layers_for(community, courier).await?))
    }
}
