//! Three replicas whose clocks differ, on one database and one index, and everything at once: SIGKILL at any moment and at
//! named places, a Redis that is emptied, blocked, cut off and forgets its scripts, or a cluster that loses a primary and
//! moves a slot; writes to the index that are lost, and pickups of which it never hears. Afterwards the database tells
//! whether each deadline happened once, not before its time and not after a pickup, and how late.
//!
//! A seed decides every deadline, pickup and fault; the order in which processes and servers get to them is the
//! machine's. `GATEPOST_CHAOS_SEEDS` says how many seeds are played, from `GATEPOST_CHAOS_FIRST` on.

mod fates;
mod fleet;
mod index;
mod toll;

use gatepost_process::clock::{Clock as _, SystemClock};
use gatepost_tests::{
    clients::Label,
    crowd::{crowd, set_deadlines},
    live::{Live, now, quick_policy},
    services::fresh_database,
    world::until,
};
use jiff::SignedDuration;

use self::{
    fleet::Fleet,
    index::Index,
    toll::{Record, Toll},
};
use super::seeded::Seeded;

const REPLICAS: u64 = 3;
const PARCELS: u32 = 2_400;
const HOUR: i64 = 3_600_000;
/// Before the first deadline the index is made from the rows.
const LEAD: SignedDuration = SignedDuration::from_millis(2_500);
/// The most that a clock is wrong, in milliseconds.
const SKEW: u64 = 2_000;

/// `first` and how many, by the environment.
fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number("GATEPOST_CHAOS_FIRST").unwrap_or(1);
    first..first + number("GATEPOST_CHAOS_SEEDS").unwrap_or(1)
}

async fn play(seed: u64, start_index: fn() -> Index) -> Toll {
    let (database, index) = tokio::task::spawn_blocking(move || (fresh_database(), start_index())).await.unwrap();
    let mut seeded = Seeded(seed);
    let urls = index.urls();
    // A slot of the index is sometimes fired by one replica in one go, and sometimes each of its timers lies alone.
    let width = ["300ms", "1s", "5s", "20s"][seeded.below(4) as usize];
    let settings = [
        ("GATEPOST_DATABASE__URL", database.as_str()),
        ("GATEPOST_TIMERS__KIND", index.kind()),
        ("GATEPOST_TIMERS__REDIS_URLS", &urls),
        ("GATEPOST_TIMERS__SLOT_WIDTH", width),
        ("GATEPOST_TIMERS__LEASE", "2s"),
        ("GATEPOST_TIMERS__SWEEP_GRACE", "2s"),
        ("GATEPOST_TIMERS__SWEEP_EVERY", "500ms"),
    ];
    let skews = [0; REPLICAS as usize].map(|_| seeded.below(2 * SKEW) as i64 - SKEW as i64);
    let first_life = skews.map(|skew| fleet::points(skew, None));
    let [of_first, of_second, of_third] =
        [0, 1, 2].map(|replica| [&settings[..], &[("FAILPOINTS", first_life[replica].as_str())]].concat());
    let first = Live::serve(&of_first).await;
    first.community(quick_policy(HOUR, 2 * HOUR)).await;
    let wang = first.resident("王芳", "13800010001", "wang@example.org").await;
    let swift = first.courier("swift-express").await;
    swift.bring(&Label::to(&wang)).await;
    let (second, third) = tokio::join!(first.beside(&of_second), first.beside(&of_third));
    crowd(&database, PARCELS, SignedDuration::ZERO).await;

    let fates = fates::of(seed);
    let begin = now() + LEAD;
    let deadlines: Vec<_> = fates.iter().map(|fate| fate.deadlines(begin)).collect();
    let record = Record::open(&database).await;
    set_deadlines(&database, &deadlines).await;
    let fleet = Fleet::of([first, second, third], skews, seed);
    // So that the index is made from these rows, which it never heard of.
    index.empty().await;
    let script = index.script(&mut seeded);
    tokio::join!(fates::pick_up(&fates, begin, &swift, fleet.lines(), seed), async {
        for (at, fault) in script {
            SystemClock.sleep_until(begin + SignedDuration::from_millis(at)).await;
            match fault {
                index::Fault::Kill(replica) => fleet.kill(replica),
                fault => index.suffer(fault).await,
            }
        }
    });
    until("the last deadline", || record.have_ended(fates.len())).await;
    let lives = fleet.end().await;
    let toll = record.toll(&fates, begin, lives).await;
    println!("seed {seed}, slots of {width}: {toll}");
    toll
}

async fn play_all(start_index: fn() -> Index) {
    let mut all = Toll::default();
    for seed in seeds() {
        let toll = play(seed, start_index).await;
        toll.check(seed);
        all.add(toll);
    }
    println!("{} seeds: {all}", seeds().count());
    all.check_all();
}

#[tokio::test]
async fn chaos_on_one_redis_loses_doubles_and_hastens_nothing() {
    play_all(Index::single).await;
}

#[tokio::test]
async fn chaos_on_a_cluster_loses_doubles_and_hastens_nothing() {
    play_all(Index::cluster).await;
}
