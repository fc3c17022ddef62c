//! The slots this replica has leased, and their timers in memory until each is fired and acknowledged.

use std::collections::{BTreeMap, HashSet};

use gatepost_domain::{
    Timestamp,
    ports::{Extent, Lease, PAGE, READ, Slot, Timer},
};

/// What is held.
#[derive(Debug, Default)]
pub struct Hold {
    slots: BTreeMap<Slot, Held>,
    /// Read and not under way, by when they are to be fired.
    queue: BTreeMap<Timestamp, Vec<(Timer, Slot)>>,
    /// Read and not acknowledged.
    count: usize,
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    /// Whether the lease stands, as far as is known.
    stands: bool,
    /// Read and not acknowledged.
    read: HashSet<Timer>,
    /// How many of these are still to be fired.
    pending: usize,
    /// The others.
    fired: Vec<Timer>,
    /// Whether the slot has more than was read.
    unread: bool,
    /// Whether one page, the only one read, was all of it.
    whole: bool,
    pages: usize,
    /// Whether an acknowledgement is on its way: until it is answered, nobody knows where in the index the unread begin.
    acknowledging: bool,
}

/// An acknowledgement to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub lease: Lease,
    pub fired: Vec<Timer>,
    pub extent: Extent,
}

impl Hold {
    /// How many timers there are in memory.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Takes a leased slot in. One that is held already keeps what is under way: it was freed by a new timer, or its
    /// lease ran out.
    pub fn lease(&mut self, lease: Lease) {
        let fresh = Held {
            lease,
            stands: true,
            read: HashSet::new(),
            pending: 0,
            fired: Vec::new(),
            unread: true,
            whole: false,
            pages: 0,
            acknowledging: false,
        };
        let held = self.slots.entry(lease.slot).or_insert(fresh);
        (held.lease, held.stands, held.unread, held.whole, held.pages) = (lease, true, true, false, 0);
    }

    /// Slots that have more to read.
    pub fn unread(&self) -> Vec<Lease> {
        let ready = self.slots.values().filter(|held| held.unread && !held.acknowledging);
        let mut unread: Vec<Lease> = ready.map(|held| held.lease).collect();
        unread.sort_unstable_by_key(|lease| lease.slot.start());
        unread
    }

    /// Whether nothing was read of the slot under its present lease.
    pub fn is_fresh(&self, slot: Slot) -> bool {
        self.slots.get(&slot).is_some_and(|held| held.pages == 0)
    }

    /// How many timers of the slot in the index to pass over.
    pub fn unacknowledged(&self, slot: Slot) -> usize {
        self.slots.get(&slot).map_or(0, |held| held.read.len())
    }

    /// Takes a page in, which began after `skip` timers of the slot.
    pub fn read(&mut self, slot: Slot, skip: usize, page: &[Timer]) {
        let Some(held) = self.slots.get_mut(&slot) else { return };
        for timer in page {
            if held.read.insert(*timer) {
                self.queue.entry(timer.due).or_default().push((*timer, slot));
                held.pending += 1;
                self.count += 1;
            }
        }
        held.unread = page.len() == READ;
        held.pages += 1;
        held.whole = skip == 0 && held.pages == 1 && !held.unread;
    }

    /// When the first timer is to be fired.
    pub fn next(&self) -> Option<Timestamp> {
        self.queue.first_key_value().map(|(at, _)| *at)
    }

    /// Takes out up to `limit` timers whose time has come; each must come back by [`Hold::fired`] or [`Hold::again`].
    pub fn due(&mut self, now: Timestamp, limit: usize) -> Vec<(Timer, Slot)> {
        let mut due = Vec::new();
        while due.len() < limit
            && let Some(mut first) = self.queue.first_entry()
            && *first.key() <= now
        {
            let timers = first.get_mut();
            due.extend(timers.drain(timers.len().saturating_sub(limit - due.len())..));
            if timers.is_empty() {
                first.remove();
            }
        }
        due
    }

    /// A timer that is to be fired at another time: it stays in memory, for writing it back would free its slot and
    /// let it be claimed over and over until then.
    pub fn again(&mut self, timer: Timer, slot: Slot, at: Timestamp) {
        self.queue.entry(at).or_default().push((timer, slot));
    }

    /// Timers that were fired.
    pub fn fired(&mut self, timers: &[(Timer, Slot)]) {
        for (timer, slot) in timers {
            if let Some(held) = self.slots.get_mut(slot) {
                held.pending -= 1;
                held.fired.push(*timer);
            }
        }
    }

    /// What can be acknowledged: slots that are done, and parts of large ones. Each must come back by
    /// [`Hold::acknowledged`].
    pub fn ended(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        self.slots.retain(|_, held| {
            let done = held.pending == 0 && !held.unread;
            let whole = held.whole && held.stands;
            if held.acknowledging || (!done && (whole || held.fired.len() < PAGE)) {
                return true;
            }
            let extent = match (done, whole) {
                (false, _) => Extent::Part,
                (true, true) => Extent::Whole,
                (true, false) => Extent::Rest,
            };
            held.acknowledging = true;
            let fired = std::mem::take(&mut held.fired);
            if !done {
                for timer in &fired {
                    held.read.remove(timer);
                }
            }
            ended.push(Ended { lease: held.lease, fired, extent });
            !done
        });
        ended
    }

    /// So many timers of a slot are out of the index, or will be fired once more.
    pub fn acknowledged(&mut self, slot: Slot, count: usize) {
        self.count -= count;
        if let Some(held) = self.slots.get_mut(&slot) {
            held.acknowledging = false;
        }
    }

    /// Leases that stand.
    pub fn leases(&self) -> Vec<Lease> {
        self.slots.values().filter(|held| held.stands).map(|held| held.lease).collect()
    }

    /// What became of leases that were to be renewed.
    pub fn renewed(&mut self, before: &[Lease], after: &[Option<Lease>]) {
        for (before, after) in before.iter().zip(after) {
            if let Some(held) = self.slots.get_mut(&before.slot)
                && held.lease == *before
            {
                held.stands = after.is_some();
                held.lease = after.unwrap_or(*before);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatepost_domain::id::ParcelId;
    use uuid::Uuid;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    fn timer(number: u128, due: i64) -> Timer {
        Timer { due: at(due), parcel: ParcelId(Uuid::from_u128(number)) }
    }

    fn lease(token: i64) -> Lease {
        Lease { slot: Slot { shard: 0, width: 1000, number: 0 }, token }
    }

    #[test]
    fn a_slot_is_acknowledged_as_a_whole_when_one_page_was_all() {
        let mut hold = Hold::default();
        hold.lease(lease(1));
        hold.read(lease(1).slot, 0, &[timer(1, 5), timer(2, 7)]);
        assert_eq!(hold.due(at(4), 10), []);
        let first = hold.due(at(5), 10);
        assert_eq!(first, [(timer(1, 5), lease(1).slot)]);
        hold.fired(&first);
        assert_eq!(hold.ended(), []);
        let second = hold.due(at(7), 10);
        hold.fired(&second);
        let fired = vec![timer(1, 5), timer(2, 7)];
        assert_eq!(hold.ended(), [Ended { lease: lease(1), fired, extent: Extent::Whole }]);
        assert_eq!((hold.len(), hold.next()), (2, None));
        hold.acknowledged(lease(1).slot, 2);
        assert_eq!(hold.len(), 0);
    }

    #[test]
    fn what_is_not_due_yet_stays_in_memory() {
        let mut hold = Hold::default();
        hold.lease(lease(1));
        hold.read(lease(1).slot, 0, &[timer(1, 5)]);
        let due = hold.due(at(5), 10);
        hold.again(due[0].0, due[0].1, at(9));
        assert_eq!((hold.ended(), hold.due(at(8), 10), hold.next()), (vec![], vec![], Some(at(9))));
        assert_eq!(hold.due(at(9), 10), due);
    }

    #[test]
    fn a_slot_leased_again_fires_nothing_twice_and_everything_once() {
        let mut hold = Hold::default();
        hold.lease(lease(1));
        hold.read(lease(1).slot, 0, &[timer(1, 5)]);
        let under_way = hold.due(at(5), 10);
        hold.lease(lease(2));
        hold.read(lease(2).slot, 0, &[timer(1, 5), timer(2, 5)]);
        assert_eq!(hold.due(at(5), 10), [(timer(2, 5), lease(1).slot)]);
        hold.fired(&under_way);
        assert_eq!(hold.ended(), [], "one is under way");
    }

    #[test]
    fn a_lost_lease_is_acknowledged_by_what_was_fired() {
        let mut hold = Hold::default();
        hold.lease(lease(1));
        hold.read(lease(1).slot, 0, &[timer(1, 5)]);
        hold.renewed(&[lease(1)], &[None]);
        assert_eq!(hold.leases(), []);
        let due = hold.due(at(5), 10);
        hold.fired(&due);
        assert_eq!(hold.ended(), [Ended { lease: lease(1), fired: vec![timer(1, 5)], extent: Extent::Rest }]);
    }

    #[test]
    fn a_large_slot_is_acknowledged_in_parts() {
        let mut hold = Hold::default();
        hold.lease(lease(1));
        let page: Vec<Timer> = (0..READ as u128).map(|number| timer(number, 5)).collect();
        hold.read(lease(1).slot, 0, &page);
        let due = hold.due(at(5), READ);
        hold.fired(&due);
        assert_eq!(hold.ended()[0].extent, Extent::Part);
        assert_eq!((hold.unread(), hold.ended()), (vec![], vec![]), "one acknowledgement is on its way");
        hold.acknowledged(lease(1).slot, READ);
        assert_eq!((hold.unacknowledged(lease(1).slot), hold.unread()), (0, vec![lease(1)]));
        hold.read(lease(1).slot, 0, &[]);
        assert_eq!(hold.ended()[0].extent, Extent::Rest);
    }
}
