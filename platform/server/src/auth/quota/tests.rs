//! Quotas by a clock of the test's own.

use futures::FutureExt as _;
use gatepost_domain::principal::Scopes;
use gatepost_process::clock::ManualClock;
use jiff::SignedDuration;

use super::*;

const SHOWN: Fingerprint = [7; 32];

fn courier(id: &str) -> Grant {
    Grant {
        principal: Principal::Courier { courier: id.parse().unwrap() },
        scopes: Scopes::unlimited(),
        bearer: String::new(),
    }
}

fn quotas() -> (ManualClock, Quotas) {
    let clock = ManualClock::new("2026-06-01T04:00:00Z".parse().unwrap());
    let count = |count| NonZeroU32::new(count).unwrap();
    let settings =
        config::Quotas { calls_per_second: count(10), burst: count(5), calls_at_once: 2, calls_waiting: 1, streams: 2 };
    let quotas = Quotas::new(settings, clock.shared());
    (clock, quotas)
}

#[test]
fn a_bucket_is_spent_and_fills_again() {
    let (clock, quotas) = quotas();
    let (greedy, other) = (courier("greedy"), courier("other"));
    for _ in 0..5 {
        quotas.spend(&SHOWN, &greedy).unwrap();
    }
    let refused = quotas.spend(&SHOWN, &greedy).unwrap_err();
    let retry_in = Duration::from_millis(100);
    assert_eq!(refused, Exceeded { limit: Limit::Rate, most: 10, retry_in });
    assert_eq!(quotas.spend(&[8; 32], &other), Ok(()), "everybody has a bucket");
    clock.advance(SignedDuration::from_millis(60));
    let (grant, again) = quotas.turned_away(&SHOWN).unwrap();
    assert_eq!((grant, again.retry_in), (greedy.clone(), Duration::from_millis(40)));
    clock.advance(SignedDuration::from_millis(40));
    assert!(quotas.turned_away(&SHOWN).is_none());
    quotas.spend(&SHOWN, &greedy).unwrap();
    quotas.spend(&SHOWN, &greedy).unwrap_err();
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_waiting() {
    let (clock, quotas) = quotas();
    let greedy = courier("greedy");
    while quotas.spend(&SHOWN, &greedy).is_ok() {}
    clock.set("2026-06-01T03:00:00Z".parse().unwrap());
    quotas.spend(&SHOWN, &greedy).unwrap_err();
    clock.advance(SignedDuration::from_millis(100));
    quotas.spend(&SHOWN, &greedy).unwrap();
}

#[test]
fn calls_take_turns_in_a_line_of_bounded_length() {
    let (_, quotas) = quotas();
    let greedy = courier("greedy").principal;
    let first = quotas.turn(&greedy).now_or_never().unwrap().unwrap();
    let _second = quotas.turn(&greedy).now_or_never().unwrap().unwrap();
    let mut third = Box::pin(quotas.turn(&greedy));
    assert!((&mut third).now_or_never().is_none(), "two at once");
    let fourth = quotas.turn(&greedy).now_or_never().unwrap().err().unwrap();
    assert_eq!(fourth, Exceeded { limit: Limit::Waiting, most: 3, retry_in: LATER });
    assert!(quotas.turn(&courier("other").principal).now_or_never().unwrap().is_ok(), "others have their own line");
    drop(first);
    assert!(third.now_or_never().unwrap().is_ok());
}

#[test]
fn one_call_of_each_principal_waits_to_write() {
    let (_, quotas) = quotas();
    let (greedy, other) = (courier("greedy").principal, courier("other").principal);
    let enter = |principal: &Principal| quotas.turn(principal).now_or_never().unwrap().unwrap();
    let _under_way = [enter(&greedy), enter(&greedy), enter(&other)];
    let first = quotas.write(&greedy).now_or_never().unwrap();
    let mut second = Box::pin(quotas.write(&greedy));
    assert!((&mut second).now_or_never().is_none());
    assert!(quotas.write(&other).now_or_never().is_some(), "others have their own line");
    drop(first);
    assert!(second.now_or_never().is_some());
}

#[test]
fn streams_are_counted_while_they_are_open() {
    let (_, quotas) = quotas();
    let greedy = courier("greedy").principal;
    let first = quotas.stream(&greedy).unwrap();
    let _second = quotas.stream(&greedy).unwrap();
    assert_eq!(quotas.stream(&greedy).err().unwrap().limit, Limit::Streams);
    assert!(quotas.turn(&greedy).now_or_never().unwrap().is_ok(), "streams are no calls");
    drop(first);
    quotas.stream(&greedy).unwrap();
}

#[test]
fn nothing_is_kept_of_who_is_idle() {
    let (clock, quotas) = quotas();
    for number in 0..100 {
        let one = courier(&format!("courier-{number}"));
        quotas.spend(&[number; 32], &one).unwrap();
        quotas.turn(&one.principal).now_or_never().unwrap().unwrap();
        quotas.stream(&one.principal).unwrap();
    }
    assert_eq!(quotas.kept(), (100, 0));
    clock.advance(SignedDuration::from_secs(1));
    quotas.forget_idle();
    assert_eq!(quotas.kept().0, 0);
}

#[tokio::test]
async fn what_comes_many_at_once_is_slowed_down() {
    let (clock, quotas) = quotas();
    let courier = courier("many").principal;
    quotas.pace(&courier, 5).await;
    let mut more = Box::pin(quotas.pace(&courier, 1_000));
    assert!((&mut more).now_or_never().is_none());
    clock.advance(SignedDuration::from_millis(499));
    assert!((&mut more).now_or_never().is_none());
    clock.advance(SignedDuration::from_millis(1));
    more.await;
}
