//! The loop: lease, read, fire, acknowledge, renew, sleep until the next of these. Nothing that is due waits for an
//! acknowledgement.

use std::collections::HashMap;

use futures::future::join_all;
use gatepost_domain::{
    Timestamp,
    ports::{Lease, READ, Slot, Terms, Timer, TimersError},
};
use jiff::SignedDuration;
use opentelemetry::KeyValue;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    AHEAD,
    ground::{Ground, fire},
    hold::Hold,
    rebuild::rebuild,
};
use crate::{failpoint, fire::Fired};

/// At most this long without looking at the index: another replica may have died with an earlier timer.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(5);
/// Slots leased at once.
const SLOTS_MAX: usize = 1000;
/// Transactions under way at once.
const BATCHES_MAX: usize = 4;
/// After anything failed.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);
/// How often it is told how long what nobody has leased is overdue.
const TELL_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// A parcel whose deadline lies further ahead has a timer of its own in another slot.
const HELD_LONGEST: SignedDuration = SignedDuration::from_secs(60);

/// Runs until the process drains, and then gives back what it holds.
pub async fn run<G: Ground>(ground: G, draining: CancellationToken) -> anyhow::Result<()> {
    let mut keeper = Keeper::new(ground.clone());
    let mut woken = ground.woken().subscribe();
    loop {
        // Whoever sets a timer from here on wakes us. Whatever ended the sleep, a wake-up counts.
        ground.timekeeping().will_look_at(Timestamp::MAX);
        if woken.has_changed().unwrap_or(false) {
            woken.mark_unchanged();
            keeper.look_at = None;
        }
        keeper.turn().await;
        let next = keeper.next_turn();
        // Not the next turn: that may have other reasons, and does not look then.
        ground.timekeeping().will_look_at(keeper.look_at.unwrap_or(Timestamp::MAX));
        let local = next - (ground.shared_now() - ground.now());
        tokio::select! {
            biased;
            () = draining.cancelled() => break,
            Some(outcome) = keeper.work.join_next() => keeper.worked(outcome),
            () = changed(woken.clone()) => {}
            () = ground.clock().sleep_until(local) => {}
        }
        while let Some(outcome) = keeper.work.try_join_next() {
            keeper.worked(outcome);
        }
    }
    keeper.give_back().await;
    Ok(())
}

/// Returns once there is something that `woken` has not seen, and leaves it unseen.
async fn changed(mut woken: watch::Receiver<u64>) {
    // The sender lives as long as the ground.
    let _ = woken.changed().await;
}

/// What a piece of work under way came to.
enum Outcome {
    Fired(Vec<(Timer, Slot)>, Result<Fired, String>),
    /// So many timers of a slot.
    Acknowledged(Slot, usize),
    Rebuilt(Result<(), TimersError>),
}

struct Keeper<G> {
    ground: G,
    terms: Terms,
    hold: Hold,
    work: JoinSet<Outcome>,
    batches: usize,
    rebuilding: Option<AbortHandle>,
    /// No rebuild before then.
    rebuild_at: Timestamp,
    /// When to claim; at once when unset.
    look_at: Option<Timestamp>,
    renew_at: Timestamp,
    /// As the last claim had them.
    heads: Vec<Option<Timestamp>>,
    tell_at: Timestamp,
    away: bool,
}

impl<G: Ground> Keeper<G> {
    fn new(ground: G) -> Self {
        let lease = SignedDuration::try_from(ground.settings().lease).unwrap_or(SignedDuration::from_secs(5));
        Self {
            ground,
            terms: Terms { ahead: AHEAD, lease, slots_max: SLOTS_MAX },
            hold: Hold::default(),
            work: JoinSet::new(),
            batches: 0,
            rebuilding: None,
            rebuild_at: Timestamp::MIN,
            look_at: None,
            renew_at: Timestamp::MIN,
            heads: Vec::new(),
            tell_at: Timestamp::MIN,
            away: false,
        }
    }

    async fn turn(&mut self) {
        let now = self.ground.shared_now();
        if self.look_at.is_none_or(|at| at <= now) && self.has_room() {
            self.look().await;
        }
        self.read().await;
        self.fire();
        self.acknowledge();
        self.renew().await;
        self.ground.metrics().timers_held.record(self.hold.len() as u64, &[]);
        self.tell_oldest();
    }

    /// A slot that is overdue waits for room here, or for an index that does not answer.
    fn tell_oldest(&mut self) {
        let now = self.ground.now();
        if now < self.tell_at {
            return;
        }
        self.tell_at = now + TELL_EVERY;
        for (shard, head) in self.heads.iter().enumerate() {
            let overdue = head.map_or(0.0, |head| now.duration_since(head).as_secs_f64().max(0.0));
            self.ground.metrics().timers_oldest.record(overdue, &[KeyValue::new("shard", shard as i64)]);
        }
    }

    fn has_room(&self) -> bool {
        self.hold.len() < self.ground.settings().held_max
    }

    fn next_turn(&self) -> Timestamp {
        let mut next = self.ground.shared_now() + LONGEST_WAIT;
        if self.has_room() {
            next = next.min(self.look_at.unwrap_or(self.ground.shared_now()));
        }
        if self.batches < BATCHES_MAX {
            next = next.min(self.hold.next().unwrap_or(Timestamp::MAX));
        }
        if !self.hold.leases().is_empty() {
            next = next.min(self.renew_at);
        }
        next
    }

    /// Leases what is due soon.
    async fn look(&mut self) {
        let (ground, began) = (self.ground.clone(), self.ground.now());
        let claim = ground.index().claim(began, self.terms).await;
        ground.metrics().timers_claim.record(ground.now().duration_since(began).as_secs_f64().max(0.0), &[]);
        let pause = ground.shared_now() + PAUSE;
        let failure = match &claim {
            Ok(claim) => claim.failed.as_ref(),
            Err(error) => Some(error),
        };
        self.is_away(failure);
        let Ok(claim) = claim else {
            self.look_at = Some(pause);
            return;
        };
        if let Some(offset) = claim.offset {
            ground.timekeeping().learn_offset(offset, ground.now().duration_since(began));
            let offset = ground.timekeeping().offset();
            ground.metrics().timers_clock_offset.record(i64::try_from(offset.as_millis()).unwrap_or(i64::MAX), &[]);
        }
        ground.metrics().timers_leases_expired.add(claim.expired, &[]);
        ground.metrics().timers_loaded.record(u64::from(!claim.lost), &[]);
        self.heads = claim.heads;
        if self.hold.leases().is_empty() {
            self.renew_at = ground.shared_now() + self.terms.lease / 2;
        }
        if !claim.leases.is_empty() {
            failpoint::die_at("timers.claimed");
        }
        for lease in claim.leases {
            self.hold.lease(lease);
        }
        if claim.doubtful {
            tracing::warn!("another server holds the timer index, what was last written may be lost: looking ahead");
            ground.timekeeping().look_ahead_anew();
        }
        if claim.lost {
            self.rebuild();
        }
        // The index tells in the caller's time.
        let offset = ground.shared_now() - ground.now();
        let next = claim.next_look.map_or(Timestamp::MAX, |at| at.saturating_add(offset).unwrap_or(Timestamp::MAX));
        let longest = ground.shared_now() + if claim.failed.is_some() { PAUSE } else { LONGEST_WAIT };
        self.look_at = Some(next.min(longest));
    }

    /// Tells once when the index goes away and when it is back.
    fn is_away(&mut self, failure: Option<&TimersError>) {
        if let Some(error) = failure
            && !self.away
        {
            tracing::warn!(%error, "the timer index does not answer, the sweep goes on without it");
        } else if failure.is_none() && self.away {
            tracing::info!("the timer index answers again");
            // It may have lost what was written before it went away.
            self.ground.timekeeping().look_ahead_anew();
        }
        self.away = failure.is_some();
        self.ground.timekeeping().set_reachable(!self.away);
        self.ground.metrics().timers_reachable.record(u64::from(!self.away), &[]);
    }

    fn rebuild(&mut self) {
        if self.rebuilding.is_none() && self.rebuild_at <= self.ground.shared_now() {
            let ground = self.ground.clone();
            self.rebuilding = Some(self.work.spawn(async move { Outcome::Rebuilt(rebuild(&ground).await) }));
        }
    }

    /// Reads what was leased, as far as there is room: a page of each slot, and then of each that has more.
    async fn read(&mut self) {
        let (mut reached, mut failed): (HashMap<Slot, usize>, bool) = (HashMap::new(), false);
        while self.has_room() {
            let room = self.ground.settings().held_max - self.hold.len();
            let mut unread = self.hold.unread();
            unread.truncate(room.div_ceil(READ));
            if unread.is_empty() {
                return;
            }
            let pages = unread.iter().map(async |lease| {
                // A slot that was leased anew is read from its beginning.
                let begun = if self.hold.is_fresh(lease.slot) { 0 } else { self.hold.unacknowledged(lease.slot) };
                let skip = reached.get(&lease.slot).copied().unwrap_or(begun);
                (*lease, skip, self.ground.index().read(lease, skip).await)
            });
            for (lease, skip, page) in join_all(pages).await {
                match page {
                    Ok(page) => {
                        reached.insert(lease.slot, skip + page.len());
                        if page.len() < READ {
                            self.ground.metrics().timers_slot.record((skip + page.len()) as u64, &[]);
                        }
                        self.take_in(lease, skip, &page);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "slot not read, it will be tried again");
                        self.look_at = Some(self.ground.shared_now() + PAUSE);
                        failed = true;
                    }
                }
            }
            if failed {
                return;
            }
        }
    }

    fn take_in(&mut self, lease: Lease, skip: usize, page: &[Timer]) {
        self.hold.read(lease.slot, skip, page);
        if page.is_empty() && skip == 0 {
            // Cancelled, or the index was emptied since it was leased.
            self.look_at = None;
        }
    }

    /// Begins to fire what is due.
    fn fire(&mut self) {
        while self.batches < BATCHES_MAX {
            let now = self.ground.shared_now();
            let due = self.hold.due(now, self.ground.settings().batch);
            if due.is_empty() {
                return;
            }
            self.batches += 1;
            let ground = self.ground.clone();
            self.work.spawn(async move {
                let parcels: Vec<_> = due.iter().map(|(timer, _)| timer.parcel).collect();
                let fired = fire(&ground, &parcels, now).await.map_err(|error| error.to_string());
                Outcome::Fired(due, fired)
            });
        }
    }

    fn worked(&mut self, outcome: Result<Outcome, tokio::task::JoinError>) {
        let now = self.ground.shared_now();
        match outcome {
            Ok(Outcome::Fired(timers, Ok(fired))) => {
                self.batches -= 1;
                let later: HashMap<_, _> = fired.not_due.iter().map(|timer| (timer.parcel, timer.due)).collect();
                let soon = |timer: &Timer| later.get(&timer.parcel).copied().filter(|due| *due < now + HELD_LONGEST);
                let (again, done): (Vec<_>, Vec<_>) = timers.into_iter().partition(|(timer, _)| soon(timer).is_some());
                for (timer, slot) in again {
                    self.hold.again(timer, slot, soon(&timer).unwrap_or(now));
                }
                self.hold.fired(&done);
            }
            Ok(Outcome::Fired(timers, Err(error))) => {
                self.batches -= 1;
                tracing::error!(timers = timers.len(), error, "deadlines not handled, they will be tried again");
                self.one_by_one(timers, now);
            }
            Ok(Outcome::Acknowledged(slot, count)) => self.hold.acknowledged(slot, count),
            Ok(Outcome::Rebuilt(result)) => {
                self.rebuilding = None;
                self.rebuild_at = now + PAUSE;
                // What was put there is to be claimed.
                self.look_at = Some(now);
                if let Err(error) = result {
                    self.look_at = Some(self.rebuild_at);
                    tracing::warn!(%error, "timer index not made, it will be tried again");
                }
            }
            Err(error) => {
                // No batch, which counts a panic as a failure: an acknowledgement, whose lease runs out, or a rebuild.
                tracing::error!(%error, "a task of the timers panicked");
                self.rebuilding = None;
            }
        }
    }

    /// One parcel that cannot be decided must not hold up the others of its batch.
    fn one_by_one(&mut self, timers: Vec<(Timer, Slot)>, now: Timestamp) {
        if let [(timer, slot)] = timers[..] {
            self.hold.again(timer, slot, now + PAUSE);
            return;
        }
        self.batches += 1;
        let ground = self.ground.clone();
        self.work.spawn(async move {
            let mut all = Fired::default();
            for (timer, _) in &timers {
                match fire(&ground, &[timer.parcel], now).await {
                    Ok(fired) => all.not_due.extend(fired.not_due),
                    Err(error) => {
                        tracing::error!(parcel.id = %timer.parcel, %error, "deadline not handled");
                        all.not_due.push(Timer { due: now + PAUSE * 10, ..*timer });
                    }
                }
            }
            Outcome::Fired(timers, Ok(all))
        });
    }

    /// Begins to acknowledge what was fired.
    fn acknowledge(&mut self) {
        for ended in self.hold.ended() {
            failpoint::die_at("timers.acknowledging");
            let ground = self.ground.clone();
            self.work.spawn(async move {
                match ground.index().acknowledge(&ended.lease, &ended.fired, ended.extent).await {
                    Ok(stood) => ground.metrics().timers_fenced.add(u64::from(!stood), &[]),
                    // Its lease runs out, everything in it is fired again, and nothing happens.
                    Err(error) => tracing::debug!(%error, "slot not acknowledged"),
                }
                Outcome::Acknowledged(ended.lease.slot, ended.fired.len())
            });
        }
    }

    async fn renew(&mut self) {
        let now = self.ground.shared_now();
        if now < self.renew_at {
            return;
        }
        self.renew_at = now + self.terms.lease / 2;
        let leases = self.hold.leases();
        if leases.is_empty() {
            return;
        }
        match self.ground.index().renew(&leases, self.ground.now(), self.terms).await {
            Ok(renewed) => {
                if renewed.contains(&None) {
                    // Something new is there, or the index was emptied.
                    self.look_at = None;
                }
                self.hold.renewed(&leases, &renewed);
            }
            Err(error) => tracing::debug!(%error, "leases not renewed"),
        }
    }

    /// Finishes what is under way and gives back the rest, so that others need not wait for the leases to end.
    async fn give_back(&mut self) {
        if let Some(rebuilding) = self.rebuilding.take() {
            // It may take long; whoever goes on begins where it was.
            rebuilding.abort();
        }
        self.finish().await;
        self.acknowledge();
        self.finish().await;
        if let Err(error) = self.ground.index().release(&self.hold.leases()).await {
            tracing::warn!(%error, "slots not given back, their leases run out");
        }
    }

    /// Returns when nothing is under way any more.
    async fn finish(&mut self) {
        while let Some(outcome) = self.work.join_next().await {
            match outcome {
                Ok(Outcome::Fired(timers, Ok(fired))) => {
                    let not_due = |timer: &Timer| fired.not_due.iter().any(|later| later.parcel == timer.parcel);
                    let done: Vec<_> = timers.into_iter().filter(|(timer, _)| !not_due(timer)).collect();
                    self.hold.fired(&done);
                }
                Ok(Outcome::Acknowledged(slot, count)) => self.hold.acknowledged(slot, count),
                Ok(Outcome::Fired(_, Err(_)) | Outcome::Rebuilt(_)) | Err(_) => {}
            }
        }
    }
}
