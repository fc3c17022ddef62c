//! The index of deadlines in this process, for the embedded default. It is empty at every start, and says so until
//! it was built from the rows. It has the same slots and leases as the one in Redis, so the same loop serves both.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Claim, Extent, Lease, Move, READ, Slot, Terms, Timer, Timers, TimersError, millis_up},
};

/// How long a slot is. Here it only bounds how much is read ahead.
const WIDTH: u32 = 1000;

/// Deadlines in order, in memory.
#[derive(Debug, Default)]
pub struct EmbeddedTimers {
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    slots: BTreeMap<i64, Bucket>,
    /// When a slot is free to be leased, in milliseconds, and its number.
    order: BTreeSet<(i64, i64)>,
    leases: i64,
    whole: bool,
}

#[derive(Debug, Default)]
struct Bucket {
    timers: BTreeSet<(i64, ParcelId)>,
    /// As in the order.
    free_at: i64,
    /// Of the present lease, if any.
    token: Option<i64>,
}

impl Index {
    fn put(&mut self, parcel: ParcelId, due: Timestamp) {
        let due = millis_up(due);
        let number = due.div_euclid(WIDTH.into());
        self.slots.entry(number).or_default().timers.insert((due, parcel));
        self.free(number);
    }

    /// Ends the lease of a slot, if there is one.
    fn free(&mut self, number: i64) {
        self.set_free_at(number, slot(number).start(), None);
    }

    fn set_free_at(&mut self, number: i64, at: i64, token: Option<i64>) {
        let Some(bucket) = self.slots.get_mut(&number) else { return };
        self.order.remove(&(bucket.free_at, number));
        (bucket.free_at, bucket.token) = (at, token);
        self.order.insert((at, number));
    }

    fn take(&mut self, parcel: ParcelId, due: Timestamp) {
        let due = millis_up(due);
        if let Some(bucket) = self.slots.get_mut(&due.div_euclid(WIDTH.into())) {
            bucket.timers.remove(&(due, parcel));
        }
    }

    fn drop_slot(&mut self, number: i64) {
        if let Some(bucket) = self.slots.remove(&number) {
            self.order.remove(&(bucket.free_at, number));
        }
    }

    fn held(&self, lease: &Lease) -> bool {
        self.slots.get(&lease.slot.number).is_some_and(|bucket| bucket.token == Some(lease.token))
    }

    fn lease(&mut self, number: i64, now: Timestamp, terms: Terms) -> Lease {
        self.leases += 1;
        let end = millis_up(now + terms.ahead + terms.lease);
        self.set_free_at(number, end, Some(self.leases));
        Lease { slot: slot(number), token: self.leases }
    }
}

fn slot(number: i64) -> Slot {
    Slot { shard: 0, width: WIDTH, number }
}

impl EmbeddedTimers {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Every change leaves the index whole or throws nothing, so a panic elsewhere spoils nothing here.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Timers for EmbeddedTimers {
    async fn schedule(&self, moves: &[Move]) -> Result<(), TimersError> {
        let mut index = self.index();
        for Move { parcel, was, due } in moves {
            if let Some(was) = was.filter(|was| Some(millis_up(*was)) != due.map(millis_up)) {
                index.take(*parcel, was);
            }
            if let Some(due) = due {
                index.put(*parcel, *due);
            }
        }
        Ok(())
    }

    async fn claim(&self, now: Timestamp, terms: Terms) -> Result<Claim, TimersError> {
        let mut index = self.index();
        let horizon = (now + terms.ahead).as_millisecond();
        let numbers: Vec<i64> = index
            .order
            .iter()
            .take_while(|(free_at, _)| *free_at <= horizon)
            .take(terms.slots_max)
            .map(|(_, number)| *number)
            .collect();
        let leases = numbers.into_iter().map(|number| index.lease(number, now, terms)).collect();
        let head = index.order.first().and_then(|(free_at, _)| Timestamp::from_millisecond(*free_at).ok());
        let next_look = head.map(|at| at - terms.ahead);
        Ok(Claim { leases, next_look, heads: vec![head], lost: !index.whole, ..Claim::default() })
    }

    async fn read(&self, lease: &Lease, skip: usize) -> Result<Vec<Timer>, TimersError> {
        let index = self.index();
        let timers = index.slots.get(&lease.slot.number).map(|bucket| &bucket.timers);
        let page = timers.into_iter().flatten().skip(skip).take(READ);
        Ok(page.filter_map(|(due, parcel)| timer(*due, *parcel)).collect())
    }

    async fn renew(&self, leases: &[Lease], now: Timestamp, terms: Terms) -> Result<Vec<Option<Lease>>, TimersError> {
        let mut index = self.index();
        let renewed = leases.iter().map(|lease| index.held(lease).then(|| index.lease(lease.slot.number, now, terms)));
        Ok(renewed.collect())
    }

    async fn acknowledge(&self, lease: &Lease, fired: &[Timer], extent: Extent) -> Result<bool, TimersError> {
        let mut index = self.index();
        let held = index.held(lease);
        for timer in fired {
            index.take(timer.parcel, timer.due);
        }
        let number = lease.slot.number;
        let empty = index.slots.get(&number).is_some_and(|bucket| bucket.timers.is_empty());
        if empty {
            index.drop_slot(number);
        } else if extent != Extent::Part && held {
            index.free(number);
        }
        Ok(held)
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), TimersError> {
        let mut index = self.index();
        for lease in leases {
            if index.held(lease) {
                index.free(lease.slot.number);
            }
        }
        Ok(())
    }

    async fn begin_rebuild(&self) -> Result<Option<Timer>, TimersError> {
        Ok(None)
    }

    async fn rebuild(&self, page: &[Timer], last: bool) -> Result<(), TimersError> {
        let mut index = self.index();
        for timer in page {
            index.put(timer.parcel, timer.due);
        }
        index.whole |= last;
        Ok(())
    }

    async fn missing(&self, timers: &[Timer]) -> Result<Vec<Timer>, TimersError> {
        let index = self.index();
        if !index.whole {
            // What a start has not come to yet is not missing.
            return Err(TimersError::Lost);
        }
        let known = |timer: &&Timer| {
            let due = millis_up(timer.due);
            let bucket = index.slots.get(&due.div_euclid(WIDTH.into()));
            bucket.is_some_and(|bucket| bucket.timers.contains(&(due, timer.parcel)))
        };
        Ok(timers.iter().filter(|timer| !known(timer)).copied().collect())
    }
}

fn timer(due: i64, parcel: ParcelId) -> Option<Timer> {
    Timestamp::from_millisecond(due).ok().map(|due| Timer { due, parcel })
}
