//! The promises, each against an index that was just made.

use std::collections::BTreeSet;

use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Claim, Claimed, TimersError},
};
use jiff::SignedDuration;
use uuid::Uuid;

use super::Bench;

pub fn t(seconds: i64) -> Timestamp {
    "2026-03-02T08:00:00.123Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub fn parcel(number: u128) -> ParcelId {
    ParcelId(Uuid::from_u128(number))
}

const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);

fn numbers(claim: &Claim) -> Vec<u128> {
    claim.timers.iter().map(|claimed| claimed.parcel.0.as_u128()).collect()
}

pub async fn an_index_is_lost_until_it_is_rebuilt(bench: Bench) {
    let timers = &bench.timers;
    assert_eq!(timers.claim(t(0), t(5), 10).await, Err(TimersError::Lost));
    // What is set meanwhile counts, but does not make the index whole.
    timers.set(parcel(1), t(0)).await.unwrap();
    assert_eq!(timers.claim(t(0), t(5), 10).await, Err(TimersError::Lost));
    timers.rebuild(&[(parcel(2), t(1)), (parcel(3), t(9))], false).await.unwrap();
    assert_eq!(timers.claim(t(0), t(5), 10).await, Err(TimersError::Lost));
    timers.rebuild(&[(parcel(4), t(2))], true).await.unwrap();
    let claim = timers.claim(t(2), t(5), 10).await.unwrap();
    assert_eq!((numbers(&claim), claim.next_due), (vec![1, 2, 4], Some(t(5))));
}

pub async fn timers_are_claimed_when_due_and_in_order(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &bench.timers;
    assert_eq!(timers.claim(t(0), t(5), 10).await, Ok(Claim::default()));
    for (number, due) in [(1, 30), (2, 10), (3, 20), (4, 40)] {
        timers.set(parcel(number), t(due)).await.unwrap();
    }
    let early = timers.claim(t(10) - MILLISECOND, t(60), 10).await.unwrap();
    assert_eq!((numbers(&early), early.next_due), (vec![], Some(t(10))));
    let claim = timers.claim(t(30), t(60), 10).await.unwrap();
    assert_eq!((numbers(&claim), claim.next_due), (vec![2, 3, 1], Some(t(40))));
    assert!(claim.timers.iter().all(|claimed| claimed.lease == t(60)));
    // Leased: nobody else gets them.
    assert_eq!(numbers(&timers.claim(t(30), t(60), 10).await.unwrap()), []);
    timers.acknowledge(&claim.timers).await.unwrap();
    let rest = timers.claim(t(100), t(160), 10).await.unwrap();
    assert_eq!((numbers(&rest), rest.next_due), (vec![4], Some(t(160))));
}

pub async fn a_claim_keeps_to_its_limit(bench: Bench) {
    let bench = bench.whole().await;
    for number in 1..=10 {
        bench.timers.set(parcel(number), t(number as i64)).await.unwrap();
    }
    let none = bench.timers.claim(t(10), t(60), 0).await.unwrap();
    assert_eq!((numbers(&none), none.next_due), (vec![], Some(t(1))));
    let mut claimed = Vec::new();
    for expected in [4, 4, 2] {
        let claim = bench.timers.claim(t(10), t(60), 4).await.unwrap();
        assert_eq!(claim.timers.len(), expected);
        assert!(numbers(&claim).is_sorted());
        assert_eq!(claim.next_due.is_some_and(|next| next <= t(10)), claimed.len() + expected < 10);
        claimed.extend(numbers(&claim));
    }
    claimed.sort_unstable();
    assert_eq!(claimed, (1..=10).collect::<Vec<_>>());
}

pub async fn a_timer_moves_and_is_cleared(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &bench.timers;
    timers.set(parcel(1), t(10)).await.unwrap();
    timers.set(parcel(1), t(20)).await.unwrap();
    timers.set(parcel(2), t(20)).await.unwrap();
    timers.set(parcel(2), t(5)).await.unwrap();
    timers.set(parcel(3), t(1)).await.unwrap();
    timers.clear(parcel(3)).await.unwrap();
    timers.clear(parcel(9)).await.unwrap();
    let claim = timers.claim(t(10), t(60), 10).await.unwrap();
    assert_eq!((numbers(&claim), claim.next_due), (vec![2], Some(t(20))));
    // A leased timer can be cleared too; then nothing comes back.
    timers.clear(parcel(2)).await.unwrap();
    let claim = timers.claim(t(70), t(90), 10).await.unwrap();
    assert_eq!((numbers(&claim), claim.next_due), (vec![1], Some(t(90))));
}

pub async fn a_lease_comes_back_unless_acknowledged(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &bench.timers;
    timers.set(parcel(1), t(0)).await.unwrap();
    timers.set(parcel(2), t(0)).await.unwrap();
    let claim = timers.claim(t(0), t(10), 10).await.unwrap();
    assert_eq!(claim.next_due, Some(t(10)));
    let first: Vec<Claimed> = claim.timers.into_iter().filter(|claimed| claimed.parcel == parcel(1)).collect();
    timers.acknowledge(&first).await.unwrap();
    assert_eq!(numbers(&timers.claim(t(10) - MILLISECOND, t(20), 10).await.unwrap()), []);
    let again = timers.claim(t(10), t(20), 10).await.unwrap();
    assert_eq!(again.timers, [Claimed { parcel: parcel(2), lease: t(20) }]);
    timers.acknowledge(&again.timers).await.unwrap();
    timers.acknowledge(&again.timers).await.unwrap();
    assert_eq!(timers.claim(t(100), t(120), 10).await, Ok(Claim::default()));
}

pub async fn an_acknowledgement_leaves_alone_what_was_set_anew(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &bench.timers;
    for number in 1..=3 {
        timers.set(parcel(number), t(0)).await.unwrap();
    }
    let claim = timers.claim(t(0), t(10), 10).await.unwrap();
    timers.set(parcel(1), t(30)).await.unwrap();
    // Even at the very instant at which the lease ends.
    timers.set(parcel(2), t(10)).await.unwrap();
    timers.acknowledge(&claim.timers).await.unwrap();
    let later = timers.claim(t(10), t(20), 10).await.unwrap();
    assert_eq!((numbers(&later), later.next_due), (vec![2], Some(t(20))));
    timers.acknowledge(&later.timers).await.unwrap();
    assert_eq!(numbers(&timers.claim(t(30), t(40), 10).await.unwrap()), [1]);
}

pub async fn an_old_lease_acknowledges_nothing(bench: Bench) {
    let bench = bench.whole().await;
    bench.timers.set(parcel(1), t(0)).await.unwrap();
    let slow = bench.timers.claim(t(0), t(10), 10).await.unwrap();
    let other = bench.timers.claim(t(10), t(20), 10).await.unwrap();
    assert_eq!(numbers(&other), [1]);
    bench.timers.acknowledge(&slow.timers).await.unwrap();
    assert_eq!(numbers(&bench.timers.claim(t(20), t(30), 10).await.unwrap()), [1]);
}

pub async fn an_emptied_index_is_noticed(bench: Bench) {
    let mut bench = bench.whole().await;
    bench.timers.set(parcel(1), t(0)).await.unwrap();
    bench.empty().await;
    assert_eq!(bench.timers.claim(t(0), t(5), 10).await, Err(TimersError::Lost));
    bench.timers.set(parcel(2), t(1)).await.unwrap();
    bench.timers.acknowledge(&[Claimed { parcel: parcel(1), lease: t(5) }]).await.unwrap();
    assert_eq!(bench.timers.claim(t(1), t(5), 10).await, Err(TimersError::Lost));
    bench.timers.rebuild(&[(parcel(1), t(0)), (parcel(2), t(1))], true).await.unwrap();
    assert_eq!(numbers(&bench.timers.claim(t(1), t(5), 10).await.unwrap()), [1, 2]);
}

pub async fn an_index_emptied_during_its_rebuild_is_noticed(mut bench: Bench) {
    bench.timers.rebuild(&[(parcel(1), t(0))], false).await.unwrap();
    bench.empty().await;
    if bench.redis.is_none() {
        // In this process the rebuild dies with the index.
        return;
    }
    assert_eq!(bench.timers.rebuild(&[(parcel(2), t(1))], true).await, Err(TimersError::Lost));
    assert_eq!(bench.timers.claim(t(1), t(5), 10).await, Err(TimersError::Lost));
    bench.timers.rebuild(&[(parcel(1), t(0))], false).await.unwrap();
    bench.timers.rebuild(&[(parcel(2), t(1))], true).await.unwrap();
    assert_eq!(numbers(&bench.timers.claim(t(1), t(5), 10).await.unwrap()), [1, 2]);
}

pub async fn a_rebuild_keeps_the_earlier_time(bench: Bench) {
    let timers = &bench.timers;
    // Both were set after the page was read.
    timers.set(parcel(1), t(1)).await.unwrap();
    timers.set(parcel(2), t(9)).await.unwrap();
    timers.rebuild(&[(parcel(1), t(9)), (parcel(2), t(1))], true).await.unwrap();
    assert_eq!(numbers(&timers.claim(t(1), t(5), 10).await.unwrap()), [1, 2]);
}

pub async fn scripts_may_be_forgotten(bench: Bench) {
    let bench = bench.whole().await;
    let timers = &bench.timers;
    timers.set(parcel(1), t(0)).await.unwrap();
    bench.forget_scripts().await;
    let claim = timers.claim(t(0), t(5), 10).await.unwrap();
    assert_eq!(numbers(&claim), [1]);
    bench.forget_scripts().await;
    timers.acknowledge(&claim.timers).await.unwrap();
    bench.forget_scripts().await;
    timers.rebuild(&[(parcel(2), t(1))], true).await.unwrap();
    bench.forget_scripts().await;
    assert_eq!(numbers(&timers.claim(t(9), t(15), 10).await.unwrap()), [2]);
}

pub async fn a_burst_is_claimed_page_by_page(bench: Bench) {
    const BURST: u128 = 3000;
    let page: Vec<_> = (1..=BURST).map(|number| (parcel(number), t(0))).collect();
    bench.timers.rebuild(&page, true).await.unwrap();
    let mut claimed = BTreeSet::new();
    loop {
        let claim = bench.timers.claim(t(0), t(60), 1300).await.unwrap();
        if claim.timers.is_empty() {
            assert_eq!(claim.next_due, Some(t(60)));
            break;
        }
        assert!(claim.timers.len() <= 1300);
        assert!(numbers(&claim).into_iter().all(|number| claimed.insert(number)), "claimed twice");
        bench.timers.acknowledge(&claim.timers[..claim.timers.len() / 2]).await.unwrap();
    }
    assert_eq!(claimed.len() as u128, BURST);
}
