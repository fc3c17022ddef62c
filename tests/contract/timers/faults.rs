//! Redis at its worst: full, blocked, cutting connections, not there.

use std::time::Duration;

use gatepost_domain::ports::{Extent, Move, Timers, TimersError};
use gatepost_process::clock::{Clock as _, SystemClock};
use gatepost_storage::{RedisOptions, RedisTimers};
use jiff::SignedDuration;

use super::{
    Bench, command, options,
    promises::{TERMS, read_all, t, timer},
};

const LOOK_EVERY: Duration = Duration::from_millis(50);
const BOUND: Duration = Duration::from_secs(30);

async fn ask(bench: &Bench, words: &[&str]) {
    let Some((Some(server), _)) = &bench.redis else { panic!("a server of the test's own") };
    let client = redis::Client::open(server.url()).unwrap();
    command(&mut client.get_multiplexed_async_connection().await.unwrap(), words).await;
}

fn put(number: u128, seconds: i64) -> Move {
    Move { parcel: timer(number, seconds).parcel, was: None, due: Some(t(seconds)) }
}

/// Schedules again until it is taken, as the look ahead would.
async fn until_scheduled(timers: &dyn Timers, moves: &[Move]) {
    let taken = async {
        let mut look = tokio::time::interval(LOOK_EVERY);
        while timers.schedule(moves).await.is_err() {
            look.tick().await;
        }
    };
    tokio::time::timeout(BOUND, taken).await.expect("Redis answers again");
}

#[tokio::test]
async fn a_full_redis_takes_nothing_new_and_gives_what_it_has() {
    let bench = Bench::redis().await.whole().await;
    let timers = &*bench.timers;
    timers.schedule(&[put(1, 0), put(2, 1)]).await.unwrap();
    ask(&bench, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = timers.schedule(&[put(3, 2)]).await.unwrap_err();
    assert!(matches!(&refused, TimersError::Unavailable(why) if why.contains("OOM")), "{refused}");
    let claim = timers.claim(t(2), TERMS).await.unwrap();
    assert!(!claim.lost);
    assert_eq!(read_all(timers, &claim.leases).await, [timer(1, 0), timer(2, 1)]);
    let renewed = timers.renew(&claim.leases, t(3), TERMS).await.unwrap();
    let leases: Vec<_> = renewed.into_iter().flatten().collect();
    assert_eq!(leases.len(), 2);
    timers.release(&leases[1..]).await.unwrap();
    timers.acknowledge(&leases[0], &[], Extent::Whole).await.unwrap();
    ask(&bench, &["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(timers.missing(&[timer(3, 2)]).await, Ok(vec![timer(3, 2)]), "what the look ahead puts back");
    timers.schedule(&[put(3, 2)]).await.unwrap();
    let rest = timers.claim(t(3), TERMS).await.unwrap();
    assert_eq!(read_all(timers, &rest.leases).await.len(), 2);
}

#[tokio::test]
async fn a_cut_connection_is_made_again() {
    let bench = Bench::redis().await.whole().await;
    bench.timers.schedule(&[put(1, 0)]).await.unwrap();
    ask(&bench, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    until_scheduled(&*bench.timers, &[put(2, 0)]).await;
    let claim = bench.timers.claim(t(0), TERMS).await.unwrap();
    assert_eq!(read_all(&*bench.timers, &claim.leases).await, [timer(1, 0), timer(2, 0)]);
}

#[tokio::test]
async fn a_blocked_redis_holds_nobody_up_for_long() {
    let bench = Bench::redis().await.whole().await;
    let Some((Some(server), _)) = &bench.redis else { panic!("a server of the test's own") };
    let client = redis::Client::open(server.url()).unwrap();
    let mut other = client.get_multiplexed_async_connection().await.unwrap();
    // This connection gives up long before Redis wakes.
    let gave_up = redis::cmd("DEBUG").arg("SLEEP").arg(5).query_async::<redis::Value>(&mut other).await.unwrap_err();
    assert!(gave_up.is_timeout(), "{gave_up}");
    let refused = tokio::time::timeout(Duration::from_secs(4), bench.timers.schedule(&[put(1, 0)])).await;
    assert!(matches!(refused, Ok(Err(TimersError::Unavailable(_)))), "{refused:?}");
    // Whoever comes next is told at once instead of waiting as well.
    let at_once = tokio::time::timeout(Duration::from_millis(500), bench.timers.schedule(&[put(2, 0)])).await;
    assert!(matches!(at_once, Ok(Err(TimersError::Unavailable(_)))), "{at_once:?}");
    until_scheduled(&*bench.timers, &[put(1, 0), put(2, 0)]).await;
    let claim = bench.timers.claim(t(0), TERMS).await.unwrap();
    assert_eq!(read_all(&*bench.timers, &claim.leases).await, [timer(1, 0), timer(2, 0)]);
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_no_reason_not_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("redis+unix://{}", folder.path().join("nobody.sock").display());
    let timers = RedisTimers::new(options(vec![url], "gatepost".to_owned())).unwrap();
    assert!(matches!(timers.schedule(&[put(1, 0)]).await, Err(TimersError::Unavailable(_))));
    assert!(matches!(timers.claim(t(0), TERMS).await, Err(TimersError::Unavailable(_))));
    assert!(matches!(timers.begin_rebuild().await, Err(TimersError::Unavailable(_))));
}

#[tokio::test]
async fn the_servers_own_time_decides_when_it_is_asked_to() {
    let bench = Bench::redis().await.whole().await;
    let Some((_, options)) = &bench.redis else { panic!("a server of the test's own") };
    let timers = RedisTimers::new(RedisOptions { server_time: true, ..options.clone() }).unwrap();
    // By the caller's clock, which is far behind, both lie ahead.
    timers.schedule(&[put(1, 3600), put(2, 100 * 365 * 24 * 3600)]).await.unwrap();
    let claim = timers.claim(t(0), TERMS).await.unwrap();
    assert_eq!(read_all(&timers, &claim.leases).await, [timer(1, 3600)]);
    assert!(claim.offset.unwrap() > SignedDuration::from_hours(1));
}

#[tokio::test]
async fn slots_of_two_widths_live_side_by_side() {
    let bench = Bench::redis().await.whole().await;
    let Some((_, options)) = &bench.redis else { panic!("a server of the test's own") };
    let wide = RedisTimers::new(RedisOptions { slot_width: Duration::from_secs(60), ..options.clone() }).unwrap();
    bench.timers.schedule(&[put(1, 10)]).await.unwrap();
    wide.schedule(&[put(2, 10)]).await.unwrap();
    let claim = bench.timers.claim(t(10), TERMS).await.unwrap();
    assert_eq!(read_all(&*bench.timers, &claim.leases).await, [timer(1, 10), timer(2, 10)]);
}

#[tokio::test]
async fn an_answer_that_came_late_says_nothing_of_the_time_of_a_later_one() {
    let bench = Bench::redis().await.whole().await;
    let Some((_, options)) = &bench.redis else { panic!("a server of the test's own") };
    let look_every = Duration::from_secs(3600);
    let timers = RedisTimers::new(RedisOptions { server_time: true, look_every, ..options.clone() }).unwrap();
    let now = || SystemClock.now();
    // Every shard is asked, and answers by its clock when the pause is over.
    ask(&bench, &["CLIENT", "PAUSE", "400", "ALL"]).await;
    let slow = timers.claim(now(), TERMS).await.unwrap();
    assert!(slow.offset.unwrap() >= SignedDuration::from_millis(300), "{:?}", slow.offset);
    // Only the shard of this timer is asked, and it is not the first one.
    let due = Move { parcel: timer(1, 0).parcel, was: None, due: Some(now()) };
    timers.schedule(&[due]).await.unwrap();
    let began = now();
    let prompt = timers.claim(began, TERMS).await.unwrap();
    let took = now().duration_since(began);
    assert_eq!(prompt.leases.len(), 1);
    assert!(prompt.offset.unwrap() <= took, "{:?} {took:?}: what is fired by this would be early", prompt.offset);
}
