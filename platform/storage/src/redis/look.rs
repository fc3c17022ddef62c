//! One shard looked at: its slots leased when something is due, or peeked at when nothing is, as far as is known.

use futures::future::join;
use gatepost_domain::{
    Timestamp,
    ports::{Lease, PAGE, Terms, TimersError},
};

use super::{
    RedisTimers,
    connection::Call,
    keys::{self, number, score_to_token},
};

/// What `claim.lua` answers: whether loaded, its time, the token, slots with their old scores, the new head.
type ClaimAnswer = (i64, String, String, Vec<String>, Option<String>);

/// What is known of a shard without asking.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct View {
    /// The lowest score, in Redis's time; `None` when the shard is empty.
    pub(super) head: Option<i64>,
    /// The earliest slot this replica put anything into since it last began to look: the answer may be older.
    pub(super) put_since: Option<i64>,
    /// In the caller's time; `None` before the first look and after a failed one.
    pub(super) looked_at: Option<i64>,
    /// Redis's time minus the caller's.
    pub(super) offset: i64,
}

/// What one shard answered to a claim.
pub(super) struct Claimed {
    pub(super) leases: Vec<Lease>,
    pub(super) loaded: bool,
    pub(super) view: View,
    pub(super) expired: u64,
    /// Whether its clock was looked at.
    pub(super) timed: bool,
}

impl RedisTimers {
    /// Whether something is due after all where nothing is, as far as is known. That is nearly all that an idle platform
    /// asks, and costs Redis a fraction of a claim; the time it does not tell. `None` when a claim is needed.
    pub(super) async fn peek(
        &self,
        shard: u16,
        view: View,
        (now, horizon): (i64, i64),
    ) -> Result<Option<Claimed>, TimersError> {
        let (mut head, mut loaded) = (redis::cmd("ZRANGE"), redis::cmd("EXISTS"));
        head.arg(self.keys.index(shard)).arg(0).arg(0).arg("WITHSCORES");
        loaded.arg(self.keys.loaded(shard));
        let (head, loaded) =
            join(self.connection.query(shard, &head), self.connection.query::<i64>(shard, &loaded)).await;
        let (head, loaded): (Vec<(String, f64)>, bool) = (head?, loaded? == 1);
        let head = head.first().map(|(_, score)| *score as i64);
        if head.is_some_and(|head| head <= horizon) {
            return Ok(None);
        }
        let view = View { head, put_since: None, looked_at: Some(now), offset: view.offset };
        Ok(Some(Claimed { leases: Vec::new(), loaded, view, expired: 0, timed: false }))
    }

    /// Leases what is due.
    pub(super) async fn claim_from(&self, shard: u16, now: Timestamp, terms: Terms) -> Result<Claimed, TimersError> {
        let call = Call::on(vec![self.keys.index(shard), self.keys.loaded(shard), self.keys.count(shard)])
            .with(self.time(now))
            .with(terms.ahead.as_millis().to_string())
            .with(terms.lease.as_millis().to_string())
            .with(terms.slots_max.min(PAGE / 2).to_string());
        let (loaded, time, token, slots, head): ClaimAnswer =
            self.connection.run(shard, &self.scripts.claim, &call).await?;
        let (mut leases, mut expired) = (Vec::with_capacity(slots.len() / 2), 0);
        for pair in slots.chunks_exact(2) {
            let slot = keys::slot(shard, &pair[0])?;
            // Who held it neither acknowledged nor renewed.
            expired += u64::from(number(&pair[1])? != slot.start() as f64);
            leases.push(Lease { slot, token: score_to_token(&token)? });
        }
        let caller = now.as_millisecond();
        let head = head.as_deref().map(number).transpose()?.map(|head| head as i64);
        let offset = if self.server_time { number(&time)? as i64 - caller } else { 0 };
        let view = View { head, put_since: None, looked_at: Some(caller), offset };
        Ok(Claimed { leases, loaded: loaded == 1, view, expired, timed: true })
    }
}
