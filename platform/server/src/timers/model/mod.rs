//! The loops of the timers, unchanged, over rows and an index in memory and a clock that jumps from one sleeper's time
//! to the next. All is on one thread and every choice comes from a seed, so a seed that fails fails again.
//!
//! What is not shown here: that a parcel decides rightly (the domain's tests), and that the real index and the real rows
//! keep their promises (the contract suite).

mod clock;
mod index;
mod play;
mod replica;

use jiff::SignedDuration;

use self::play::{Fault, Outcome, Play, play};

/// What a calm world needs from the deadline to the effect: a few calls, each of at most `LATENCY_MAX`.
const PROMPT: SignedDuration = SignedDuration::from_millis(500);
/// The sweep's grace, its period, and what the sweep itself takes.
const SWEPT: SignedDuration = SignedDuration::from_secs(61);
/// How many seeds are played, unless `GATEPOST_MODEL_SEEDS` says how many.
const SEEDS: u64 = 12;

fn seeds() -> u64 {
    match std::env::var("GATEPOST_MODEL_SEEDS") {
        Ok(count) => count.parse().expect("GATEPOST_MODEL_SEEDS is a number"),
        Err(_) => SEEDS,
    }
}

/// Plays every seed; what holds for each whatever happens was checked while it was played.
fn outcomes(game: &Play) -> impl Iterator<Item = (u64, Outcome)> {
    (0..seeds()).map(move |seed| (seed, play(seed, game)))
}

#[test]
fn in_a_calm_world_everything_happens_once_and_at_its_time() {
    for (seed, outcome) in outcomes(&Play::default()) {
        assert!(outcome.latest <= PROMPT, "seed {seed}: {}", outcome.latest);
        assert_eq!(outcome.swept, 0, "seed {seed}");
    }
}

#[test]
fn clocks_that_are_minutes_wrong_make_nothing_early_or_late() {
    let skews = vec![0, 300_000, -300_000];
    for (seed, outcome) in outcomes(&Play { skews, ..Play::default() }) {
        assert!(outcome.latest <= PROMPT, "seed {seed}: {}", outcome.latest);
    }
}

#[test]
fn every_fault_at_once_loses_nothing_and_makes_nothing_late_beyond_the_sweep() {
    let game = Play { skews: vec![0, 400, -400], faults: 30, lost_writes: 5, lost_cancels: 100, ..Play::default() };
    for (seed, outcome) in outcomes(&game) {
        // A replica may be away for a while itself, and with it the only one that sweeps.
        assert!(outcome.latest <= SWEPT * 2, "seed {seed}: {}", outcome.latest);
    }
}

#[test]
fn lost_writes_make_nothing_late_that_is_more_than_ten_minutes_ahead() {
    let game = Play { lost_writes: 30, at_least_ahead: 660_000, ..Play::default() };
    for (seed, outcome) in outcomes(&game) {
        assert!(outcome.lost > 0 && outcome.latest <= PROMPT, "seed {seed}: {}", outcome.latest);
        assert_eq!(outcome.swept, 0, "seed {seed}");
    }
}

#[test]
fn without_the_look_ahead_the_sweep_finds_lost_writes() {
    let game = Play { lost_writes: 30, at_least_ahead: 660_000, look_ahead: false, ..Play::default() };
    let late = outcomes(&game).filter(|(seed, outcome)| {
        assert!(outcome.latest <= SWEPT, "seed {seed}: {}", outcome.latest);
        outcome.swept > 0 && outcome.latest > SignedDuration::from_secs(30)
    });
    assert!(late.count() as u64 > seeds() / 2);
}

#[test]
fn without_any_index_deadlines_are_at_most_half_a_minute_and_one_sweep_late() {
    // Where nobody tells the time but the rows, it is theirs.
    let skews = vec![0, 300_000, -300_000];
    for (seed, outcome) in outcomes(&Play { away: true, skews, ..Play::default() }).take(5) {
        assert!(outcome.latest > SignedDuration::from_secs(30), "seed {seed}: {}", outcome.latest);
        assert!(outcome.latest <= SWEPT, "seed {seed}: {}", outcome.latest);
    }
}

#[test]
fn a_replica_that_dies_makes_nothing_later_than_its_lease_and_the_next_look() {
    let lease = SignedDuration::from_secs(5) + SignedDuration::from_secs(1);
    let game = Play { faults: 20, kinds: &[Fault::Kill], steady: true, at_least_ahead: 660_000, ..Play::default() };
    for (seed, outcome) in outcomes(&game) {
        assert!(outcome.latest <= lease + SignedDuration::from_secs(5) + PROMPT, "seed {seed}: {}", outcome.latest);
    }
}

#[test]
fn an_index_that_is_emptied_makes_nothing_late() {
    for (seed, outcome) in outcomes(&Play { faults: 20, kinds: &[Fault::Empty], steady: true, ..Play::default() }) {
        // It is noticed with the next look, at the latest after five seconds; a rebuild that is lost begins again.
        assert!(outcome.latest <= SignedDuration::from_secs(7), "seed {seed}: {}", outcome.latest);
        assert_eq!(outcome.swept, 0, "seed {seed}");
    }
}

#[test]
fn a_failover_that_lost_writes_is_repaired_at_once() {
    // Nothing is moved into the past, which is the sweep's.
    let game = Play { failovers: 20, at_least_ahead: 90_000, ..Play::default() };
    for (seed, outcome) in outcomes(&game) {
        // It is noticed with the next look, at the latest after five seconds.
        assert!(outcome.latest <= SignedDuration::from_secs(6), "seed {seed}: {}", outcome.latest);
        assert_eq!(outcome.swept, 0, "seed {seed}");
    }
}

#[test]
fn what_the_rows_say_is_not_due_yet_is_held_and_not_asked_over_and_over() {
    for (seed, outcome) in outcomes(&Play { untold_shifts: true, look_ahead: false, ..Play::default() }) {
        assert!(outcome.latest <= PROMPT, "seed {seed}: {}", outcome.latest);
        // Once at the old time and once at the new one.
        assert!(outcome.asked <= 2 * outcome.effects, "seed {seed}: {} for {}", outcome.asked, outcome.effects);
    }
}

#[test]
fn a_step_that_panics_is_tried_again_and_does_not_wait_for_the_sweep() {
    let (mut effects, mut swept) = (0, 0);
    for (seed, outcome) in outcomes(&Play { panics: 20, ..Play::default() }) {
        assert!(outcome.latest <= SWEPT, "seed {seed}: {}", outcome.latest);
        effects += outcome.effects;
        swept += outcome.swept;
    }
    // What panics three times over may be found by the sweep first.
    assert!(swept * 50 <= effects, "{swept} of {effects}");
}

#[test]
fn a_seed_plays_the_same_every_time() {
    let game = Play { skews: vec![0, 400, -400], faults: 30, lost_writes: 5, failovers: 5, ..Play::default() };
    for seed in [1, 2] {
        assert_eq!(play(seed, &game), play(seed, &game));
    }
}
