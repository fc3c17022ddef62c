//! The index of deadlines on Redis sorted sets, shared by all replicas.
//!
//! Keys of shard N of S; the braces keep a shard's keys in one slot of a cluster, and S in the name makes an index of
//! another S another, empty one:
//!
//! | key | type | holds |
//! | --- | --- | --- |
//! | `{PREFIX:N/S}:due` | sorted set | member: a parcel's id as 16 bytes; score: when it is due, in milliseconds since 1970 |
//! | `{PREFIX:N/S}:whole` | string | `1` once the shard was built from the rows; missing in an emptied Redis |
//! | `{PREFIX:N/S}:rebuilders` | set | a mark of every rebuild under way; a missing one means that its earlier pages are gone |
//!
//! A lease is a score too: the end of the lease plus half a millisecond. A deadline is always whole, so an
//! acknowledgement removes exactly its own lease and nothing that was set meanwhile, without a second structure.
//! Every script touches one shard and at most [`SCRIPT_TIMERS_MAX`] members, so no call holds up the server.
//!
//! What this does not notice: writes lost in a failover while the mark survived. The sweep over the rows fires those.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures::future::try_join_all;
use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Claim, Claimed, Timers, TimersError},
};
use uuid::Uuid;

use super::{
    RedisOptions,
    connection::{Call, Connection, Script},
};

/// The most members one script touches.
const SCRIPT_TIMERS_MAX: usize = 500;
/// The most shards; each costs a round trip a claim.
const SHARDS_MAX: u16 = 1024;
/// The mark of a rebuild that died is forgotten after this long.
const REBUILD_SECONDS_MAX: u32 = 24 * 60 * 60;

/// What `claim.lua` answers: whether the shard is whole, members with their scores, the score of the new head.
type ClaimAnswer = (i64, Vec<(Vec<u8>, String)>, Option<String>);

/// What a script answers for a shard that is not whole.
const NOT_WHOLE: i64 = -1;

/// Deadlines in Redis.
pub struct RedisTimers {
    connection: Connection,
    shards: Vec<Shard>,
    scripts: Scripts,
    /// The mark of this replica's rebuild under way.
    rebuild: Mutex<Option<Uuid>>,
}

struct Shard {
    due: String,
    whole: String,
    rebuilders: String,
}

struct Scripts {
    peek: Script,
    claim: Script,
    acknowledge: Script,
    rebuild: Script,
    finish: Script,
}

impl std::fmt::Debug for RedisTimers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisTimers({} shards)", self.shards.len())
    }
}

impl RedisTimers {
    /// Connects; fails when nobody answers.
    pub async fn connect(options: &RedisOptions) -> Result<Self, TimersError> {
        let prefix = &options.key_prefix;
        if options.shards == 0 || options.shards > SHARDS_MAX || prefix.contains(['{', '}']) {
            let text = format!("shards must be 1 to {SHARDS_MAX} and the key prefix without braces");
            return Err(TimersError::Unavailable(text));
        }
        let shards = (0..options.shards)
            .map(|shard| {
                let key = |what: &str| format!("{{{prefix}:{shard}/{}}}:{what}", options.shards);
                Shard { due: key("due"), whole: key("whole"), rebuilders: key("rebuilders") }
            })
            .collect();
        let scripts = Scripts {
            peek: Script::new(include_str!("peek.lua")),
            claim: Script::new(include_str!("claim.lua")),
            acknowledge: Script::new(include_str!("acknowledge.lua")),
            rebuild: Script::new(include_str!("rebuild.lua")),
            finish: Script::new(include_str!("finish.lua")),
        };
        Ok(Self { connection: Connection::open(options).await?, shards, scripts, rebuild: Mutex::new(None) })
    }

    /// The last bytes of our ids are random, so the shards fill evenly.
    fn shard_number(&self, parcel: ParcelId) -> usize {
        let (_, tail) = parcel.0.as_u64_pair();
        let shard = tail % self.shards.len() as u64;
        usize::try_from(shard).expect("this is a bug: a shard's number is below 1024")
    }

    fn shard(&self, parcel: ParcelId) -> &Shard {
        &self.shards[self.shard_number(parcel)]
    }

    /// What is due first in a shard, leases included.
    async fn head(&self, shard: &Shard) -> Result<Option<Due>, TimersError> {
        let call = Call::on(&[&shard.due, &shard.whole]);
        let (whole, head): (i64, Option<String>) = self.connection.run(&self.scripts.peek, &call).await?;
        if whole == NOT_WHOLE {
            return Err(TimersError::Lost);
        }
        head.as_deref().map(Due::read).transpose()
    }

    /// Leases up to `limit` due timers of one shard; answers them with when they were due, and the shard's new head.
    async fn claim_from(
        &self,
        shard: &Shard,
        now: Timestamp,
        leased_until: Timestamp,
        limit: usize,
    ) -> Result<(Vec<(Due, ParcelId)>, Option<Due>), TimersError> {
        let call = Call::on(&[&shard.due, &shard.whole])
            // A lease that ends now is over.
            .with(Due::lease(now).score())
            .with(Due::lease(leased_until).score())
            .with(limit.min(SCRIPT_TIMERS_MAX).to_string());
        let (whole, claimed, head): ClaimAnswer = self.connection.run(&self.scripts.claim, &call).await?;
        if whole == NOT_WHOLE {
            return Err(TimersError::Lost);
        }
        let mut timers = Vec::with_capacity(claimed.len());
        for (member, due) in claimed {
            timers.push((Due::read(&due)?, parcel(&member)?));
        }
        Ok((timers, head.as_deref().map(Due::read).transpose()?))
    }

    /// The mark of this replica's rebuild, put up on every shard when there is none.
    async fn rebuild_mark(&self) -> Result<Uuid, TimersError> {
        if let Some(mark) = *self.rebuild.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(mark);
        }
        let mark = Uuid::new_v4();
        try_join_all(self.shards.iter().map(async |shard| {
            let mut add = redis::cmd("SADD");
            add.arg(&shard.rebuilders).arg(mark.as_bytes());
            self.connection.query::<i64>(&add).await?;
            let mut expire = redis::cmd("EXPIRE");
            expire.arg(&shard.rebuilders).arg(REBUILD_SECONDS_MAX);
            self.connection.query::<i64>(&expire).await
        }))
        .await?;
        self.set_rebuild_mark(Some(mark));
        Ok(mark)
    }

    fn set_rebuild_mark(&self, mark: Option<Uuid>) {
        *self.rebuild.lock().unwrap_or_else(PoisonError::into_inner) = mark;
    }

    async fn add_page(&self, mark: Uuid, page: &[(ParcelId, Timestamp)]) -> Result<(), TimersError> {
        for (shard, timers) in self.by_shard(page, |(parcel, _)| *parcel) {
            for timers in timers.chunks(SCRIPT_TIMERS_MAX) {
                let mut call = Call::on(&[&shard.due, &shard.rebuilders]).with(*mark.as_bytes());
                for (parcel, due) in timers {
                    call.add(Due::deadline(*due).score());
                    call.add(*parcel.0.as_bytes());
                }
                if self.connection.run::<i64>(&self.scripts.rebuild, &call).await? == NOT_WHOLE {
                    return Err(TimersError::Lost);
                }
            }
        }
        Ok(())
    }

    async fn finish_rebuild(&self, mark: Uuid) -> Result<(), TimersError> {
        let finished = try_join_all(self.shards.iter().map(async |shard| {
            let call = Call::on(&[&shard.whole, &shard.rebuilders]).with(*mark.as_bytes());
            self.connection.run::<i64>(&self.scripts.finish, &call).await
        }))
        .await?;
        if finished.contains(&NOT_WHOLE) { Err(TimersError::Lost) } else { Ok(()) }
    }

    fn by_shard<T: Copy>(&self, timers: &[T], parcel: impl Fn(&T) -> ParcelId) -> Vec<(&Shard, Vec<T>)> {
        let mut sorted: Vec<(&Shard, Vec<T>)> = self.shards.iter().map(|shard| (shard, Vec::new())).collect();
        for timer in timers {
            sorted[self.shard_number(parcel(timer))].1.push(*timer);
        }
        sorted.retain(|(_, timers)| !timers.is_empty());
        sorted
    }
}

#[async_trait]
impl Timers for RedisTimers {
    async fn set(&self, parcel: ParcelId, due: Timestamp) -> Result<(), TimersError> {
        let mut command = redis::cmd("ZADD");
        command.arg(&self.shard(parcel).due).arg(Due::deadline(due).score()).arg(parcel.0.as_bytes());
        self.connection.query::<i64>(&command).await.map(|_| ())
    }

    async fn clear(&self, parcel: ParcelId) -> Result<(), TimersError> {
        let mut command = redis::cmd("ZREM");
        command.arg(&self.shard(parcel).due).arg(parcel.0.as_bytes());
        self.connection.query::<i64>(&command).await.map(|_| ())
    }

    /// Looks at the head of every shard first and then takes from those that are due, the earliest head first. When
    /// there is more than `limit`, later timers of one shard can be taken before earlier ones of another.
    async fn claim(&self, now: Timestamp, leased_until: Timestamp, limit: usize) -> Result<Claim, TimersError> {
        let heads = try_join_all(self.shards.iter().map(|shard| self.head(shard))).await?;
        let mut shards: Vec<(Due, &Shard)> =
            heads.iter().zip(&self.shards).filter_map(|(head, shard)| Some(((*head)?, shard))).collect();
        shards.sort_by_key(|(head, _)| *head);
        let mut claimed: Vec<(Due, ParcelId)> = Vec::new();
        let mut next: Option<Due> = None;
        for (head, shard) in shards {
            let mut head = Some(head);
            while let Some(due) = head
                && due <= Due::lease(now)
                && claimed.len() < limit
            {
                let (timers, new_head) = self.claim_from(shard, now, leased_until, limit - claimed.len()).await?;
                // Another replica may have been here since the look.
                let emptied = timers.is_empty();
                claimed.extend(timers);
                head = new_head;
                if emptied {
                    break;
                }
            }
            next = [next, head].into_iter().flatten().min();
        }
        claimed.sort();
        let timers = claimed.into_iter().map(|(_, parcel)| Claimed { parcel, lease: leased_until }).collect();
        Ok(Claim { timers, next_due: next.and_then(Due::at) })
    }

    async fn acknowledge(&self, claimed: &[Claimed]) -> Result<(), TimersError> {
        for (shard, claimed) in self.by_shard(claimed, |claimed| claimed.parcel) {
            for claimed in claimed.chunks(SCRIPT_TIMERS_MAX) {
                let mut call = Call::on(&[&shard.due]);
                for Claimed { parcel, lease } in claimed {
                    call.add(Due::lease(*lease).score());
                    call.add(*parcel.0.as_bytes());
                }
                self.connection.run::<i64>(&self.scripts.acknowledge, &call).await?;
            }
        }
        Ok(())
    }

    /// [`TimersError::Lost`] when Redis was emptied during the rebuild: begin again with the first page.
    async fn rebuild(&self, page: &[(ParcelId, Timestamp)], last: bool) -> Result<(), TimersError> {
        let mark = self.rebuild_mark().await?;
        let mut done = self.add_page(mark, page).await;
        if done.is_ok() && last {
            done = self.finish_rebuild(mark).await;
        }
        if last && done.is_ok() || done == Err(TimersError::Lost) {
            self.set_rebuild_mark(None);
        }
        done
    }
}

/// A score: twice the milliseconds, odd for the end of a lease. Redis sees half of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due(i64);

impl Due {
    fn deadline(at: Timestamp) -> Self {
        Self(at.as_millisecond() * 2)
    }

    fn lease(until: Timestamp) -> Self {
        Self(until.as_millisecond() * 2 + 1)
    }

    fn at(self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.0.div_euclid(2)).ok()
    }

    /// As Redis takes it. Instants of any year stay far below 2^52, so the half is kept exactly.
    fn score(self) -> String {
        format!("{:.1}", self.0 as f64 / 2.0)
    }

    fn read(score: &str) -> Result<Self, TimersError> {
        let score: f64 = score.parse().map_err(|_| unreadable())?;
        Ok(Self((score * 2.0).round() as i64))
    }
}

fn parcel(member: &[u8]) -> Result<ParcelId, TimersError> {
    Uuid::from_slice(member).map(ParcelId).map_err(|_| unreadable())
}

fn unreadable() -> TimersError {
    TimersError::Unavailable("a timer in Redis that we did not write".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_keep_every_millisecond_and_tell_leases_apart() {
        for text in ["2026-03-02T08:00:00.123Z", "1969-12-31T23:59:59.999Z", "9000-01-01T00:00:00.001Z"] {
            let at: Timestamp = text.parse().unwrap();
            for due in [Due::deadline(at), Due::lease(at)] {
                assert_eq!(Due::read(&due.score()), Ok(due));
                assert_eq!(due.at(), Some(at));
            }
            assert!(Due::deadline(at) < Due::lease(at));
        }
    }
}
