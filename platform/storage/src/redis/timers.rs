//! The index of deadlines on Redis sorted sets, shared by all replicas: a queue of slots, and a bucket of timers for
//! each slot. Only the queue is searched by time, so a claim costs by the slot and not by the timer.
//!
//! Keys of shard N of S, for slots of W milliseconds; a shard's keys lie in one slot of a cluster:
//!
//! | key | type | holds |
//! | --- | --- | --- |
//! | `{PREFIX:N/S}:W:SLOT` | sorted set | member: a parcel's id as 16 bytes; score: its due time, as whole milliseconds after the slot's start |
//! | `{PREFIX:N/S}:i` | sorted set | member: `W:SLOT`; score: the slot's start in milliseconds, or the token of its lease |
//! | `{PREFIX:N/S}:g` | string | `1` once the shard was built from the rows; missing in an emptied Redis |
//! | `{PREFIX:N/S}:n` | string | how many leases there were; makes every token another |
//! | `{PREFIX:N/S}:r` | string | the mark of the rebuild under way; when it is missing, earlier pages are gone |
//! | `{PREFIX:0/S}:b` | string, expires | which replica rebuilds |
//! | `{PREFIX:0/S}:m` | string | how far the rebuild came: its mark, due time and parcel |
//!
//! A token is when the lease ends, counted from the horizon of the claim and not from now, plus a fraction of a
//! millisecond that no other lease of that millisecond has. A slot's start is always whole, so putting a timer into
//! a leased slot, which sets its score to its start, ends the lease for everyone to see.
//!
//! Nobody is woken by a message. Who schedules a timer looks at the index itself when that timer is the next one; other
//! replicas learn of it when they look at the shard the next time, at the latest after [`RedisOptions::look_every`], and
//! matter only if the first one dies before.
//!
//! Writes lost in a failover while the loaded mark survived are not seen here. A claim tells that another server answers
//! ([`Claim::doubtful`], see `history`), and the look ahead over the rows puts them back.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures::future::{join, join_all};
use gatepost_domain::{
    Timestamp,
    ports::{Claim, Extent, Lease, Move, PAGE, READ, Slot, Terms, Timer, Timers, TimersError},
};
use jiff::SignedDuration;
use uuid::Uuid;

use super::{
    RedisOptions,
    connection::{Call, Connection, Script},
    history::History,
    keys::{self, Keys, member, score_to_token, token_to_score, unreadable},
    look::{Claimed, View},
};

/// The most shards; each costs a look now and then.
const SHARDS_MAX: u16 = 4096;
/// The longest slot, in milliseconds.
const WIDTH_MAX: u32 = 3_600_000;

/// Deadlines in Redis.
pub struct RedisTimers {
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    pub(super) scripts: Scripts,
    pub(super) rebuild: Mutex<Option<Uuid>>,
    /// Names this replica while it rebuilds.
    pub(super) replica: Uuid,
    history: History,
    pub(super) server_time: bool,
    /// One clock for all shards.
    one_server: bool,
    look_every: i64,
    views: Mutex<Vec<View>>,
}

pub(super) struct Scripts {
    pub(super) put: Script,
    pub(super) finish: Script,
    pub(super) claim: Script,
    renew: Script,
    acknowledge: Script,
    release: Script,
}

/// What one call puts into a bucket and takes out.
#[derive(Default)]
pub(super) struct Change {
    puts: Vec<Timer>,
    takes: Vec<Timer>,
}

impl std::fmt::Debug for RedisTimers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisTimers({} shards)", self.keys.shards().count())
    }
}

impl RedisTimers {
    /// Prepares; connects when something is asked, and again whenever it must. Fails for settings that cannot work.
    pub fn new(options: RedisOptions) -> Result<Self, TimersError> {
        let wrong = |text: String| Err(TimersError::Unavailable(text));
        if options.shards == 0 || options.shards > SHARDS_MAX || options.key_prefix.contains(['{', '}']) {
            return wrong(format!("shards must be 1 to {SHARDS_MAX} and the key prefix without braces"));
        }
        if options.urls.is_empty() || (!options.cluster && options.urls.len() > 1) {
            return wrong("a single server has exactly one url, a cluster at least one".to_owned());
        }
        let width = u32::try_from(options.slot_width.as_millis()).unwrap_or(u32::MAX);
        if width == 0 || width > WIDTH_MAX {
            return wrong("a slot must last 1 ms to 1 h".to_owned());
        }
        let scripts = Scripts {
            put: Script::new(include_str!("move.lua")),
            finish: Script::new(include_str!("finish.lua")),
            claim: Script::new(include_str!("claim.lua")),
            renew: Script::new(include_str!("renew.lua")),
            acknowledge: Script::new(include_str!("acknowledge.lua")),
            release: Script::new(include_str!("release.lua")),
        };
        Ok(Self {
            keys: Keys::new(&options.key_prefix, options.shards, width),
            scripts,
            rebuild: Mutex::new(None),
            replica: Uuid::new_v4(),
            history: History::default(),
            server_time: options.server_time,
            one_server: !options.cluster,
            look_every: i64::try_from(options.look_every.as_millis()).unwrap_or(i64::MAX),
            views: Mutex::new(vec![View::default(); usize::from(options.shards)]),
            connection: Connection::new(options),
        })
    }

    fn views(&self) -> MutexGuard<'_, Vec<View>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was known of a shard may be wrong.
    fn look_again_at(&self, shard: u16) {
        if let Some(view) = self.views().get_mut(usize::from(shard)) {
            view.looked_at = None;
        }
    }

    /// The time as scripts take it: none for the server's own.
    pub(super) fn time(&self, now: Timestamp) -> String {
        if self.server_time { String::new() } else { now.as_millisecond().to_string() }
    }

    /// Applies changes, as many to one call as it may hold. `mark` is of the rebuild they belong to, or empty.
    pub(super) async fn apply(&self, changes: BTreeMap<Slot, Change>, mark: &str) -> Result<(), TimersError> {
        let calls = self.calls(changes, mark);
        let run = calls.iter().map(async |(shard, head, call)| {
            let answer: i64 = self.connection.run(*shard, &self.scripts.put, call).await?;
            if answer < 0 {
                return Err(TimersError::Lost);
            }
            if let Some(view) = self.views().get_mut(usize::from(*shard)) {
                view.head = view.head.into_iter().chain(*head).min();
                view.put_since = view.put_since.into_iter().chain(*head).min();
            }
            Ok(())
        });
        // All are tried: the failure of one shard is no reason to miss the others.
        join_all(run).await.into_iter().collect()
    }

    /// The calls, each with its shard and the earliest slot it puts something into.
    fn calls(&self, changes: BTreeMap<Slot, Change>, mark: &str) -> Vec<(u16, Option<i64>, Call)> {
        let mut calls: Vec<(u16, Option<i64>, Call)> = Vec::new();
        let mut room = 0;
        for (slot, Change { puts, takes }) in changes {
            let puts = puts.chunks(PAGE).map(|puts| (puts, &takes[..0]));
            let takes = takes.chunks(PAGE).map(|takes| (&takes[..0], takes));
            // Takes after puts, as they were asked for.
            for (puts, takes) in puts.chain(takes) {
                let count = puts.len() + takes.len();
                if room < count || calls.last().is_none_or(|(shard, ..)| *shard != slot.shard) {
                    let keys = vec![self.keys.index(slot.shard), self.keys.rebuild(slot.shard)];
                    calls.push((slot.shard, None, Call::on(keys).with(mark)));
                    room = PAGE;
                }
                room -= count;
                let Some((_, head, call)) = calls.last_mut() else { continue };
                if !puts.is_empty() {
                    *head = Some(head.map_or(slot.start(), |head| head.min(slot.start())));
                }
                call.key(self.keys.bucket(slot));
                for argument in
                    [member(slot), slot.start().to_string(), puts.len().to_string(), takes.len().to_string()]
                {
                    call.add(argument);
                }
                add_timers(call, slot, puts);
                add_timers(call, slot, takes);
            }
        }
        calls
    }

    /// Whether the lease stands.
    async fn take_out(&self, lease: &Lease, fired: &[Timer], extent: &str) -> Result<bool, TimersError> {
        let slot = lease.slot;
        let mut call = Call::on(vec![self.keys.index(slot.shard), self.keys.bucket(slot)])
            .with(member(slot))
            .with(slot.start().to_string())
            .with(token_to_score(lease.token))
            .with(extent);
        add_timers(&mut call, slot, fired);
        let held: i64 = self.connection.run(slot.shard, &self.scripts.acknowledge, &call).await?;
        Ok(held == 1)
    }
}

/// Offset and member, timer by timer.
fn add_timers(call: &mut Call, slot: Slot, timers: &[Timer]) {
    for timer in timers {
        call.add(keys::offset(slot, timer.due).to_string());
        call.add(*timer.parcel.0.as_bytes());
    }
}

/// What a page of a rebuild puts where.
pub(super) fn puts(keys: &Keys, timers: &[Timer]) -> BTreeMap<Slot, Change> {
    let mut changes: BTreeMap<Slot, Change> = BTreeMap::new();
    for timer in timers {
        changes.entry(keys.slot(*timer)).or_default().puts.push(*timer);
    }
    changes
}

#[async_trait]
impl Timers for RedisTimers {
    async fn schedule(&self, moves: &[Move]) -> Result<(), TimersError> {
        // By parcel first: what a parcel left and came back to must not be taken out.
        let mut net: HashMap<_, Move> = HashMap::with_capacity(moves.len());
        for step in moves {
            net.entry(step.parcel).and_modify(|known| known.due = step.due).or_insert(*step);
        }
        let mut changes: BTreeMap<Slot, Change> = BTreeMap::new();
        for Move { parcel, was, due } in net.into_values() {
            let [was, due] = [was, due].map(|at| at.map(|due| Timer { due, parcel }));
            if let Some(timer) = due {
                changes.entry(self.keys.slot(timer)).or_default().puts.push(timer);
            }
            if let Some(timer) = was.filter(|was| due != Some(*was)) {
                changes.entry(self.keys.slot(timer)).or_default().takes.push(timer);
            }
        }
        self.apply(changes, "").await
    }

    /// Asks only shards that have something within the horizon as far as is known, or that were not asked for long.
    async fn claim(&self, now: Timestamp, terms: Terms) -> Result<Claim, TimersError> {
        let caller = now.as_millisecond();
        let ahead = i64::try_from(terms.ahead.as_millis()).unwrap_or(i64::MAX);
        let worth_asking = |view: &View| {
            let horizon = caller + view.offset + ahead;
            view.looked_at.is_none_or(|at| at + self.look_every <= caller || at > caller)
                || view.head.is_some_and(|head| head <= horizon)
        };
        let asked: Vec<(u16, View)> = {
            let mut views = self.views();
            let asked = self.keys.shards().zip(views.iter_mut()).filter(|(_, view)| worth_asking(view));
            asked
                .map(|(shard, view)| {
                    view.put_since = None;
                    (shard, *view)
                })
                .collect()
        };
        let terms = Terms { slots_max: terms.slots_max.div_ceil(asked.len().max(1)), ..terms };
        let claims = join_all(asked.iter().enumerate().map(async |(place, (shard, view))| {
            let horizon = caller + view.offset + ahead;
            let idle = view.looked_at.is_some() && view.head.is_none_or(|head| head > horizon);
            // The first one tells the time, which in a cluster each server has for itself.
            if self.one_server
                && idle
                && place > 0
                && let Some(claimed) = self.peek(*shard, *view, (caller, horizon)).await?
            {
                return Ok(claimed);
            }
            self.claim_from(*shard, now, terms).await
        }));
        let (answers, ()) = join(claims, self.history.look(&self.connection, caller, self.look_every)).await;
        let mut claim = Claim::default();
        let (mut failures, mut offset) = (Vec::new(), None);
        let mut views = self.views();
        for ((shard, _), answer) in asked.iter().zip(answers) {
            let view = &mut views[usize::from(*shard)];
            match answer {
                Ok(Claimed { leases, loaded, view: seen, expired, timed }) => {
                    // The least of those that were asked now: an older answer may have been slower than this claim.
                    offset = offset.into_iter().chain(timed.then_some(seen.offset)).min();
                    claim.leases.extend(leases);
                    claim.lost |= !loaded;
                    claim.expired += expired;
                    let head = seen.head.into_iter().chain(view.put_since).min();
                    *view = View { head, put_since: view.put_since, ..seen };
                }
                Err(error) => {
                    view.looked_at = None;
                    failures.push(error);
                }
            }
        }
        if let (true, Some(offset)) = (self.one_server, offset) {
            views.iter_mut().for_each(|view| view.offset = offset);
        }
        // Some shards of a cluster may be away while the others go on.
        if failures.len() == asked.len()
            && let Some(error) = failures.pop()
        {
            return Err(error);
        }
        claim.failed = failures.pop();
        claim.doubtful = self.history.take_news();
        claim.offset = offset.filter(|_| self.server_time).map(SignedDuration::from_millis);
        let next = views.iter().filter_map(|view| Some(view.head? - ahead - view.offset)).min();
        claim.next_look = next.and_then(|next| Timestamp::from_millisecond(next).ok());
        claim.heads = views.iter().map(|view| Timestamp::from_millisecond(view.head? - view.offset).ok()).collect();
        Ok(claim)
    }

    async fn read(&self, lease: &Lease, skip: usize) -> Result<Vec<Timer>, TimersError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys.bucket(lease.slot)).arg(skip).arg(skip + READ - 1).arg("WITHSCORES");
        let page: Vec<(Vec<u8>, f64)> = self.connection.query(lease.slot.shard, &command).await?;
        if page.is_empty() && skip == 0 {
            // Everything was cancelled, or Redis was emptied: the next look should tell.
            self.look_again_at(lease.slot.shard);
        }
        page.iter().map(|(id, offset)| keys::timer(lease.slot, id, *offset)).collect()
    }

    async fn renew(&self, leases: &[Lease], now: Timestamp, terms: Terms) -> Result<Vec<Option<Lease>>, TimersError> {
        let shards = by_shard(leases);
        let run = shards.iter().map(async |(shard, leases)| {
            let (shard, mut renewed) = (*shard, Vec::with_capacity(leases.len()));
            for leases in leases.chunks(PAGE / 2) {
                let mut call = Call::on(vec![self.keys.index(shard), self.keys.count(shard)])
                    .with(self.time(now))
                    .with(terms.ahead.as_millis().to_string())
                    .with(terms.lease.as_millis().to_string());
                for lease in leases {
                    call.add(member(lease.slot));
                    call.add(token_to_score(lease.token));
                }
                let (token, held): (String, Vec<i64>) = self.connection.run(shard, &self.scripts.renew, &call).await?;
                if held.len() != leases.len() {
                    return Err(unreadable());
                }
                if held.contains(&0) {
                    // Something was put there, or Redis was emptied.
                    self.look_again_at(shard);
                }
                let token = score_to_token(&token)?;
                renewed.extend(leases.iter().zip(held).map(|(lease, held)| (lease.slot, (held == 1).then_some(token))));
            }
            Ok(renewed)
        });
        let mut renewed = HashMap::with_capacity(leases.len());
        for shard in join_all(run).await {
            renewed.extend(shard?);
        }
        let after = |lease: &Lease| {
            let token = renewed.get(&lease.slot).copied().flatten();
            token.map(|token| Lease { token, ..*lease })
        };
        Ok(leases.iter().map(after).collect())
    }

    async fn acknowledge(&self, lease: &Lease, fired: &[Timer], extent: Extent) -> Result<bool, TimersError> {
        // While the lease stands nothing was put there, and nobody need look what it is.
        if extent == Extent::Whole && self.take_out(lease, &[], "whole").await? {
            return Ok(true);
        }
        let mut stood = extent != Extent::Whole;
        let chunks = if fired.is_empty() { vec![fired] } else { fired.chunks(PAGE).collect() };
        let last = chunks.len() - 1;
        for (i, chunk) in chunks.into_iter().enumerate() {
            // Only the last call may say that nothing was left out.
            let extent = if i < last || extent == Extent::Part { "part" } else { "rest" };
            stood &= self.take_out(lease, chunk, extent).await?;
        }
        Ok(stood)
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), TimersError> {
        for (shard, leases) in by_shard(leases) {
            for leases in leases.chunks(PAGE / 3) {
                let mut call = Call::on(vec![self.keys.index(shard)]);
                for lease in leases {
                    for argument in [member(lease.slot), lease.slot.start().to_string(), token_to_score(lease.token)] {
                        call.add(argument);
                    }
                }
                self.connection.run::<i64>(shard, &self.scripts.release, &call).await?;
                self.look_again_at(shard);
            }
        }
        Ok(())
    }

    async fn begin_rebuild(&self) -> Result<Option<Timer>, TimersError> {
        self.begin().await
    }

    async fn rebuild(&self, page: &[Timer], last: bool) -> Result<(), TimersError> {
        self.add_page(page, last).await
    }

    async fn missing(&self, timers: &[Timer]) -> Result<Vec<Timer>, TimersError> {
        let mut by_slot: BTreeMap<Slot, Vec<Timer>> = BTreeMap::new();
        for timer in timers {
            by_slot.entry(self.keys.slot(*timer)).or_default().push(*timer);
        }
        let calls: Vec<(Slot, &[Timer])> =
            by_slot.iter().flat_map(|(slot, timers)| timers.chunks(PAGE).map(|chunk| (*slot, chunk))).collect();
        let answers = join_all(calls.iter().map(async |(slot, timers)| {
            let mut command = redis::cmd("ZMSCORE");
            command.arg(self.keys.bucket(*slot));
            for timer in *timers {
                command.arg(timer.parcel.0.as_bytes());
            }
            self.connection.query::<Vec<Option<f64>>>(slot.shard, &command).await
        }))
        .await;
        let mut missing = Vec::new();
        for ((slot, timers), answer) in calls.into_iter().zip(answers) {
            for (timer, offset) in timers.iter().zip(answer?) {
                if offset.map(|offset| offset as i64) != Some(keys::offset(slot, timer.due)) {
                    missing.push(*timer);
                }
            }
        }
        Ok(missing)
    }
}

fn by_shard(leases: &[Lease]) -> BTreeMap<u16, Vec<Lease>> {
    let mut shards: BTreeMap<u16, Vec<Lease>> = BTreeMap::new();
    for lease in leases {
        shards.entry(lease.slot.shard).or_default().push(*lease);
    }
    shards
}
