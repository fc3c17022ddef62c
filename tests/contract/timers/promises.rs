//! The promises, each against an index that was just made.

use std::collections::BTreeSet;

use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Claim, Extent, Lease, Move, READ, Terms, Timer, Timers, TimersError},
};
use jiff::SignedDuration;
use uuid::Uuid;

use super::Bench;

pub fn t(seconds: i64) -> Timestamp {
    "2026-03-02T08:00:00.000Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub fn parcel(number: u128) -> ParcelId {
    ParcelId(Uuid::from_u128(number))
}

pub const TERMS: Terms = Terms { ahead: SignedDuration::ZERO, lease: SignedDuration::from_secs(10), slots_max: 10_000 };
const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);

pub fn timer(number: u128, seconds: i64) -> Timer {
    Timer { due: t(seconds), parcel: parcel(number) }
}

fn put(timer: Timer) -> Move {
    Move { parcel: timer.parcel, was: None, due: Some(timer.due) }
}

async fn set(timers: &dyn Timers, number: u128, seconds: i64) {
    timers.schedule(&[put(timer(number, seconds))]).await.unwrap();
}

/// Everything in these slots, in order.
pub async fn read_all(timers: &dyn Timers, leases: &[Lease]) -> Vec<Timer> {
    let mut all = Vec::new();
    for lease in leases {
        let mut skip = 0;
        loop {
            let page = timers.read(lease, skip).await.unwrap();
            assert!(page.is_sorted() && page.len() <= READ);
            skip += page.len();
            all.extend(&page);
            if page.len() < READ {
                break;
            }
        }
    }
    all.sort_unstable();
    all
}

async fn claim(timers: &dyn Timers, seconds: i64) -> Claim {
    timers.claim(t(seconds), TERMS).await.unwrap()
}

/// Which parcels a claim at this second finds.
async fn found(timers: &dyn Timers, seconds: i64) -> Vec<u128> {
    let claim = claim(timers, seconds).await;
    read_all(timers, &claim.leases).await.iter().map(|timer| timer.parcel.0.as_u128()).collect()
}

pub async fn an_index_is_lost_until_it_is_rebuilt(bench: Bench) {
    let timers = &*bench.timers;
    assert!(claim(timers, 0).await.lost);
    set(timers, 1, 0).await;
    assert_eq!(timers.begin_rebuild().await, Ok(None));
    timers.rebuild(&[timer(2, 1), timer(3, 9)], false).await.unwrap();
    // What is there can be leased meanwhile.
    if bench.redis.is_none() {
        assert_eq!(timers.missing(&[timer(4, 2)]).await, Err(TimersError::Lost), "nobody knows yet");
    }
    let early = claim(timers, 0).await;
    assert!(early.lost);
    assert_eq!(read_all(timers, &early.leases).await, [timer(1, 0)]);
    timers.rebuild(&[timer(4, 2)], true).await.unwrap();
    let later = claim(timers, 2).await;
    assert!(!later.lost);
    assert_eq!(read_all(timers, &later.leases).await, [timer(2, 1), timer(4, 2)]);
    assert_eq!(later.next_look, Some(t(9)));
}

pub async fn slots_are_leased_when_they_begin(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &*bench.timers;
    assert_eq!(claim(timers, 0).await.leases, []);
    for (number, due) in [(1, 30), (2, 10), (3, 20), (4, 39)] {
        set(timers, number, due).await;
    }
    let early = timers.claim(t(10) - MILLISECOND, TERMS).await.unwrap();
    assert_eq!((early.leases.len(), early.next_look), (0, Some(t(10))));
    assert_eq!(early.heads.iter().flatten().min(), Some(&t(10)));
    assert_eq!(found(timers, 30).await, [2, 3, 1]);
    // Leased: nobody else gets them.
    assert_eq!(found(timers, 30).await, []);
    let ahead = Terms { ahead: SignedDuration::from_secs(5), ..TERMS };
    let claim = timers.claim(t(34), ahead).await.unwrap();
    assert_eq!(read_all(timers, &claim.leases).await, [timer(4, 39)]);
}

pub async fn a_claim_keeps_to_its_limit(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &*bench.timers;
    let moves: Vec<_> = (0..40).map(|number| put(timer(number, number as i64))).collect();
    timers.schedule(&moves).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..40 {
        let claim = timers.claim(t(40), Terms { slots_max: 4, ..TERMS }).await.unwrap();
        // A limit is shared by the shards, rounded up.
        assert!(claim.leases.len() <= 16);
        seen.extend(read_all(timers, &claim.leases).await);
    }
    assert_eq!(seen.len(), 40);
}

pub async fn a_timer_moves_and_is_cleared(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &*bench.timers;
    let moved = |number, was, due: Option<i64>| Move { parcel: parcel(number), was: Some(t(was)), due: due.map(t) };
    for (number, due) in [(1, 10), (2, 20), (3, 1), (4, 3)] {
        set(timers, number, due).await;
    }
    let moves = [moved(1, 10, Some(20)), moved(2, 20, Some(5)), moved(3, 1, None), moved(9, 1, None)];
    timers.schedule(&moves).await.unwrap();
    // There and back, told at once.
    timers.schedule(&[moved(4, 3, Some(7)), moved(4, 7, Some(3))]).await.unwrap();
    // Told late: the timer was moved on meanwhile.
    timers.schedule(&[moved(1, 10, None)]).await.unwrap();
    assert_eq!(found(timers, 10).await, [4, 2]);
    assert_eq!(found(timers, 20).await, [4, 2, 1]);
}

pub async fn a_lease_comes_back_unless_acknowledged(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &*bench.timers;
    set(timers, 1, 0).await;
    set(timers, 2, 1).await;
    let first = claim(timers, 1).await;
    assert_eq!(first.next_look, Some(t(11)));
    for lease in &first.leases {
        let fired = timers.read(lease, 0).await.unwrap();
        if fired == [timer(1, 0)] {
            timers.acknowledge(lease, &fired, Extent::Whole).await.unwrap();
        }
    }
    assert_eq!(timers.claim(t(11) - MILLISECOND, TERMS).await.unwrap().leases, []);
    let again = claim(timers, 11).await;
    assert_eq!(read_all(timers, &again.leases).await, [timer(2, 1)]);
    for stood in [true, false] {
        assert_eq!(timers.acknowledge(&again.leases[0], &[timer(2, 1)], Extent::Whole).await, Ok(stood));
    }
    assert_eq!(found(timers, 100).await, []);
}

pub async fn leases_are_renewed_while_they_stand(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &*bench.timers;
    set(timers, 1, 0).await;
    set(timers, 2, 1).await;
    let first = claim(timers, 1).await.leases;
    let lost = first.iter().position(|lease| lease.slot.start() == t(1).as_millisecond()).unwrap();
    // Something new in a slot ends its lease; of every number of shards here, these two parcels share one.
    set(timers, 18, 1).await;
    let renewed = timers.renew(&first, t(9), TERMS).await.unwrap();
    assert_eq!(renewed[lost], None);
    assert_eq!(found(timers, 12).await, [2, 18]);
    assert_eq!(found(timers, 18).await, []);
    assert_eq!(found(timers, 19).await, [1]);
}

pub async fn released_slots_are_free_at_once(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &*bench.timers;
    set(timers, 1, 0).await;
    let held = claim(timers, 0).await;
    timers.release(&held.leases).await.unwrap();
    assert_eq!(found(timers, 0).await, [1]);
    // A lease that ended gives nothing back.
    timers.release(&held.leases).await.unwrap();
    assert_eq!(found(timers, 0).await, []);
}

pub async fn an_acknowledgement_leaves_alone_what_was_put_anew(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &*bench.timers;
    let half = |number| Timer { due: t(0) + MILLISECOND * 500, parcel: parcel(number) };
    for extent in [Extent::Whole, Extent::Rest] {
        for number in 1..=3 {
            set(timers, number, 0).await;
        }
        let held = claim(timers, 0).await.leases;
        let slow = read_all(timers, &held).await;
        // Into the very slot that is held, one whose parcel was fired and one that is new.
        timers.schedule(&[put(half(1)), put(half(4))]).await.unwrap();
        for lease in &held {
            let fired: Vec<_> = read_of(&slow, timers, lease).await;
            timers.acknowledge(lease, &fired, extent).await.unwrap();
        }
        let again = claim(timers, 0).await.leases;
        let rest = read_all(timers, &again).await;
        assert!(rest.ends_with(&[half(1), half(4)]), "{extent:?}: {rest:?}");
        for lease in &again {
            let fired = timers.read(lease, 0).await.unwrap();
            timers.acknowledge(lease, &fired, Extent::Whole).await.unwrap();
        }
        assert_eq!(found(timers, 0).await, []);
    }
}

/// Of what was read before, what lies in this slot.
async fn read_of(before: &[Timer], timers: &dyn Timers, lease: &Lease) -> Vec<Timer> {
    let ids: BTreeSet<_> = timers.read(lease, 0).await.unwrap().iter().map(|timer| timer.parcel).collect();
    before.iter().filter(|timer| ids.contains(&timer.parcel)).copied().collect()
}

pub async fn an_old_lease_ends_nothing(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &*bench.timers;
    set(timers, 1, 0).await;
    let slow = claim(timers, 0).await.leases;
    let other = claim(timers, 10).await;
    assert_eq!((other.leases.len(), other.expired), (1, u64::from(bench.redis.is_some())));
    // The slow one did not fire; it only thinks that it holds the slot.
    assert_eq!(timers.acknowledge(&slow[0], &[], Extent::Whole).await, Ok(false));
    timers.release(&slow).await.unwrap();
    assert_eq!(timers.renew(&slow, t(11), TERMS).await, Ok(vec![None]));
    assert_eq!(found(timers, 19).await, []);
    assert_eq!(found(timers, 20).await, [1]);
}

pub async fn an_emptied_index_is_noticed(bench: Bench) {
    let mut bench = bench.whole().await;
    set(&*bench.timers, 1, 0).await;
    let held = claim(&*bench.timers, 0).await.leases;
    bench.empty().await;
    let timers = &*bench.timers;
    assert!(claim(timers, 5).await.lost);
    set(timers, 2, 1).await;
    // What was claimed before is still fired; its acknowledgement finds nothing, and no harm.
    timers.acknowledge(&held[0], &[timer(1, 0)], Extent::Whole).await.unwrap();
    assert_eq!(timers.renew(&held, t(5), TERMS).await, Ok(vec![None]));
    assert!(claim(timers, 5).await.lost);
    timers.begin_rebuild().await.unwrap();
    timers.rebuild(&[timer(1, 0), timer(2, 1)], true).await.unwrap();
    assert_eq!(found(timers, 5).await, [1, 2]);
}

pub async fn an_index_emptied_during_its_rebuild_is_noticed(mut bench: Bench) {
    bench.timers.begin_rebuild().await.unwrap();
    bench.timers.rebuild(&[timer(1, 0)], false).await.unwrap();
    bench.empty().await;
    if bench.redis.is_none() {
        // In this process the rebuild dies with the index.
        return;
    }
    let timers = &*bench.timers;
    assert_eq!(timers.rebuild(&[timer(2, 1)], true).await, Err(TimersError::Lost));
    assert!(claim(timers, 1).await.lost);
    assert_eq!(timers.begin_rebuild().await, Ok(None), "from the first page");
    timers.rebuild(&[timer(1, 0)], false).await.unwrap();
    timers.rebuild(&[timer(2, 1)], true).await.unwrap();
    assert_eq!(found(timers, 1).await, [1, 2]);
}

pub async fn a_rebuild_goes_on_where_it_was_left(bench: Bench) {
    let timers = &*bench.timers;
    timers.begin_rebuild().await.unwrap();
    timers.rebuild(&[timer(1, 0), timer(2, 5)], false).await.unwrap();
    let Some(other) = bench.another() else { return };
    assert_eq!(other.begin_rebuild().await, Err(TimersError::Busy));
    bench.forget_rebuilder().await;
    assert_eq!(other.begin_rebuild().await, Ok(Some(timer(2, 5))));
    other.rebuild(&[timer(3, 6)], true).await.unwrap();
    assert_eq!(timers.rebuild(&[timer(9, 7)], true).await, Err(TimersError::Lost), "it is over");
    assert_eq!(found(timers, 6).await, [1, 2, 3]);
}

pub async fn a_rebuild_keeps_the_earlier_time(bench: Bench) {
    let timers = &*bench.timers;
    // Set after the page was read, in the same slot.
    set(timers, 1, 0).await;
    timers.begin_rebuild().await.unwrap();
    timers.rebuild(&[Timer { due: t(0) + MILLISECOND, parcel: parcel(1) }], true).await.unwrap();
    let held = claim(timers, 0).await.leases;
    assert_eq!(read_all(timers, &held).await.first(), Some(&timer(1, 0)));
}

pub async fn missing_timers_are_told(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &*bench.timers;
    set(timers, 1, 0).await;
    set(timers, 2, 30).await;
    let held = claim(timers, 0).await.leases;
    // One is there though it is leased, one lies elsewhere in its slot, one in another slot, one nowhere.
    let elsewhere = Timer { due: t(30) + MILLISECOND, parcel: parcel(2) };
    let asked = [timer(1, 0), timer(2, 30), elsewhere, timer(2, 90), timer(3, 0)];
    let missing = timers.missing(&asked).await.unwrap();
    assert_eq!(BTreeSet::from_iter(missing), BTreeSet::from([elsewhere, timer(2, 90), timer(3, 0)]));
    assert_eq!(timers.missing(&[]).await, Ok(vec![]));
    drop(held);
}

pub async fn scripts_may_be_forgotten(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &*bench.timers;
    bench.forget_scripts().await;
    set(timers, 1, 0).await;
    bench.forget_scripts().await;
    let held = claim(timers, 0).await.leases;
    assert_eq!(read_all(timers, &held).await, [timer(1, 0)]);
    bench.forget_scripts().await;
    let held: Vec<_> = timers.renew(&held, t(1), TERMS).await.unwrap().into_iter().flatten().collect();
    bench.forget_scripts().await;
    timers.release(&held).await.unwrap();
    let held = claim(timers, 1).await.leases;
    bench.forget_scripts().await;
    timers.acknowledge(&held[0], &[timer(1, 0)], Extent::Whole).await.unwrap();
    bench.forget_scripts().await;
    timers.begin_rebuild().await.unwrap();
    timers.rebuild(&[timer(2, 1)], true).await.unwrap();
    assert_eq!(found(timers, 9).await, [2]);
}

pub async fn a_burst_is_read_and_acknowledged_page_by_page(bench: Bench) {
    const BURST: u128 = 20_000;
    let bench = bench.whole().await;
    let timers = &*bench.timers;
    let moves: Vec<_> = (1..=BURST).map(|number| put(timer(number, 0))).collect();
    timers.schedule(&moves).await.unwrap();
    let leases = claim(timers, 0).await.leases;
    let mut fired = BTreeSet::new();
    for lease in &leases {
        loop {
            let page = timers.read(lease, 0).await.unwrap();
            let ended = page.len() < READ;
            let extent = if ended { Extent::Rest } else { Extent::Part };
            timers.acknowledge(lease, &page, extent).await.unwrap();
            assert!(page.into_iter().all(|timer| fired.insert(timer)), "read after it was acknowledged");
            if ended {
                break;
            }
        }
    }
    assert_eq!(fired.len() as u128, BURST);
    assert_eq!(found(timers, 100).await, []);
}

pub async fn a_due_time_between_two_milliseconds_is_the_later_one(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &*bench.timers;
    let between = t(5) - SignedDuration::from_nanos(1);
    timers.schedule(&[Move { parcel: parcel(1), was: None, due: Some(between) }]).await.unwrap();
    let claim = timers.claim(t(5), TERMS).await.unwrap();
    assert_eq!(read_all(timers, &claim.leases).await, [timer(1, 5)]);
    assert_eq!(timers.missing(&[Timer { due: between, parcel: parcel(1) }]).await, Ok(vec![]));
}
