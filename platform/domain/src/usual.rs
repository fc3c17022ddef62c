//! When a resident usually picks up parcels.
//!
//! From the record of past pickups, in the community's time zone: a pickup votes for its minute of the day with a
//! weight that halves every 30 days, once for its own kind of day (weekday or weekend) and with a quarter of that for
//! the other kind. Votes are smoothed over the circle of the day by a triangle of half an hour to each side; around
//! the highest minute (the earlier one of equals) the weighted mean of the pickups is taken, to the second. Below
//! three pickups on record the policy's hour is used.

use jiff::{SignedDuration, ToSpan, Zoned, civil::Date, civil::Weekday, tz::TimeZone};

use crate::{Timestamp, policy::WaitingPolicy};

/// Fewer pickups than this say nothing.
const PICKUPS_MIN: usize = 3;
/// Older pickups than the newest this many are not looked at.
pub const PICKUPS_MAX: usize = 200;
const HALF_LIFE_DAYS: f64 = 30.0;
const OTHER_KIND_OF_DAY: f64 = 0.25;
const DAY_MINUTES: usize = 24 * 60;
const DAY_SECONDS: i32 = 24 * 60 * 60;
/// Minutes to each side that a pickup's vote reaches.
const REACH: i32 = 30;

/// The next usual pickup time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsualPickup {
    /// The instant.
    pub at: Timestamp,
    /// Pickups it was computed from; 0 when the policy's hour was used.
    pub pickups: usize,
}

/// The first usual pickup time after `after`. A usual time within quiet hours moves to their end.
pub fn next_usual_pickup(
    after: Timestamp,
    pickups: &[Timestamp],
    time_zone: &TimeZone,
    policy: &WaitingPolicy,
) -> UsualPickup {
    let history: Vec<Zoned> =
        pickups.iter().filter(|at| **at <= after).take(PICKUPS_MAX).map(|at| at.to_zoned(time_zone.clone())).collect();
    let known = history.len() >= PICKUPS_MIN;
    let today = after.to_zoned(time_zone.clone()).date();
    // Eight days cover every kind of day even where daylight saving removes an hour.
    for ahead in 0..8 {
        let Ok(date) = today.checked_add(ahead.days()) else { break };
        let usual = if known { usual_second(&history, date, after) } else { i32::from(policy.usual_minute) * 60 };
        let quiet = is_quiet_minute((usual / 60) as u16, policy);
        let second = if quiet { i32::from(policy.quiet_to_minute) * 60 } else { usual };
        if let Some(at) = instant(date, second, time_zone)
            && at > after
        {
            return UsualPickup { at, pickups: if known { history.len() } else { 0 } };
        }
    }
    UsualPickup { at: after + SignedDuration::from_hours(24), pickups: 0 }
}

/// Whether reminders must wait at this instant.
pub fn is_quiet(at: Timestamp, time_zone: &TimeZone, policy: &WaitingPolicy) -> bool {
    is_quiet_minute(minute_of_day(&at.to_zoned(time_zone.clone())), policy)
}

pub(crate) fn is_quiet_minute(minute: u16, policy: &WaitingPolicy) -> bool {
    let (from, to) = (policy.quiet_from_minute, policy.quiet_to_minute);
    if from <= to { (from..to).contains(&minute) } else { minute >= from || minute < to }
}

pub(crate) fn minute_of_day(at: &Zoned) -> u16 {
    u16::from(at.hour().unsigned_abs()) * 60 + u16::from(at.minute().unsigned_abs())
}

/// The first instant from `at` on that is not quiet.
pub fn out_of_quiet(at: Timestamp, time_zone: &TimeZone, policy: &WaitingPolicy) -> Timestamp {
    if !is_quiet(at, time_zone, policy) {
        return at;
    }
    let today = at.to_zoned(time_zone.clone()).date();
    (0..3)
        .filter_map(|ahead| {
            instant(today.checked_add(ahead.days()).ok()?, i32::from(policy.quiet_to_minute) * 60, time_zone)
        })
        .find(|end| *end > at)
        .unwrap_or(at)
}

/// A wall-clock time that daylight saving skips moves forward with the clock; one that comes twice is its first.
fn instant(date: Date, second: i32, time_zone: &TimeZone) -> Option<Timestamp> {
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let at = date.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, i8::try_from(second).ok()?, 0);
    Some(at.to_zoned(time_zone.clone()).ok()?.timestamp())
}

fn is_weekend(date: Date) -> bool {
    matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// One pickup's say about a date: how much, and at which second of the day.
struct Vote {
    weight: f64,
    second: i32,
}

fn usual_second(history: &[Zoned], date: Date, now: Timestamp) -> i32 {
    let votes: Vec<Vote> = history.iter().map(|pickup| vote(pickup, date, now)).collect();
    let peak = peak_minute(&votes) * 60;
    // The mean around the peak, on the circle of the day.
    let (mut sum, mut weights) = (0.0, 0.0);
    for vote in &votes {
        let offset = (vote.second - peak + DAY_SECONDS / 2).rem_euclid(DAY_SECONDS) - DAY_SECONDS / 2;
        let nearness = 1.0 - f64::from(offset.abs()) / f64::from((REACH + 1) * 60);
        if nearness > 0.0 {
            sum += vote.weight * nearness * f64::from(offset);
            weights += vote.weight * nearness;
        }
    }
    (peak + (sum / weights).round() as i32).rem_euclid(DAY_SECONDS)
}

fn vote(pickup: &Zoned, date: Date, now: Timestamp) -> Vote {
    let age_days = now.duration_since(pickup.timestamp()).as_secs_f64() / 86_400.0;
    let kind = if is_weekend(pickup.date()) == is_weekend(date) { 1.0 } else { OTHER_KIND_OF_DAY };
    let second = i32::from(minute_of_day(pickup)) * 60 + i32::from(pickup.second());
    Vote { weight: (-age_days / HALF_LIFE_DAYS).exp2() * kind, second }
}

fn peak_minute(votes: &[Vote]) -> i32 {
    let mut smoothed = [0.0f64; DAY_MINUTES];
    for vote in votes {
        for offset in -REACH..=REACH {
            let nearness = 1.0 - f64::from(offset.abs()) / f64::from(REACH + 1);
            let minute = (vote.second / 60 + offset).rem_euclid(DAY_MINUTES as i32);
            smoothed[minute as usize] += vote.weight * nearness;
        }
    }
    let highest = smoothed.iter().copied().fold(0.0, f64::max);
    // Sums in another order differ in the last digits: equals are told with a margin.
    smoothed.iter().position(|sum| *sum >= highest * (1.0 - 1e-12)).unwrap_or(0) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("a zone of the bundled database")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    fn evenings(zone_name: &str, dates: &[&str], hour: i8) -> Vec<Timestamp> {
        dates
            .iter()
            .map(|date| date.parse::<Date>().unwrap().at(hour, 0, 0, 0).to_zoned(zone(zone_name)).unwrap().timestamp())
            .collect()
    }

    #[test]
    fn too_little_history_uses_the_policy_hour() {
        let usual =
            next_usual_pickup(at("2026-06-01T00:00:00Z"), &[], &zone("Asia/Shanghai"), &WaitingPolicy::default());
        assert_eq!(usual, UsualPickup { at: at("2026-06-01T10:30:00Z"), pickups: 0 });
    }

    #[test]
    fn weekdays_and_weekends_differ() {
        let mut pickups = evenings("Asia/Shanghai", &["2026-06-01", "2026-06-02", "2026-06-03"], 19);
        pickups.extend(evenings("Asia/Shanghai", &["2026-05-30", "2026-05-31", "2026-05-24"], 11));
        let policy = WaitingPolicy::default();
        let thursday = next_usual_pickup(at("2026-06-04T00:00:00Z"), &pickups, &zone("Asia/Shanghai"), &policy);
        assert_eq!(thursday.at, at("2026-06-04T11:00:00Z"));
        let saturday = next_usual_pickup(at("2026-06-05T16:00:00Z"), &pickups, &zone("Asia/Shanghai"), &policy);
        assert_eq!(saturday.at, at("2026-06-06T03:00:00Z"));
    }

    #[test]
    fn recent_habits_count_more() {
        let mut pickups = evenings("UTC", &["2026-01-05", "2026-01-06", "2026-01-07", "2026-01-08"], 9);
        pickups.extend(evenings("UTC", &["2026-06-02", "2026-06-03"], 20));
        let usual = next_usual_pickup(at("2026-06-04T00:00:00Z"), &pickups, &zone("UTC"), &WaitingPolicy::default());
        assert_eq!(usual.at, at("2026-06-04T20:00:00Z"));
    }

    #[test]
    fn the_hour_on_the_wall_stays_through_daylight_saving() {
        let pickups = evenings("Europe/Berlin", &["2026-10-20", "2026-10-21", "2026-10-22", "2026-10-23"], 19);
        let policy = WaitingPolicy::default();
        let summer = next_usual_pickup(at("2026-10-23T20:00:00Z"), &pickups, &zone("Europe/Berlin"), &policy);
        let winter = next_usual_pickup(at("2026-10-26T00:00:00Z"), &pickups, &zone("Europe/Berlin"), &policy);
        assert_eq!(summer.at, at("2026-10-24T17:00:00Z"));
        assert_eq!(winter.at, at("2026-10-26T18:00:00Z"));
    }

    #[test]
    fn a_skipped_hour_still_has_a_time() {
        let pickups = evenings("Europe/Berlin", &["2026-03-26", "2026-03-27", "2026-03-28", "2026-03-25"], 2);
        let policy = WaitingPolicy { quiet_from_minute: 0, quiet_to_minute: 0, ..WaitingPolicy::default() };
        let usual = next_usual_pickup(at("2026-03-28T12:00:00Z"), &pickups, &zone("Europe/Berlin"), &policy);
        assert_eq!(usual.at, at("2026-03-29T01:00:00Z"), "02:00 on the wall does not exist that night");
    }

    #[test]
    fn the_mean_of_a_cluster_is_taken_to_the_second() {
        let pickups = ["2026-06-01T19:00:10Z", "2026-06-02T19:00:20Z", "2026-06-03T19:00:30Z"].map(at);
        let usual = next_usual_pickup(at("2026-06-04T00:00:00Z"), &pickups, &zone("UTC"), &WaitingPolicy::default());
        assert!(usual.at > at("2026-06-04T19:00:18Z") && usual.at < at("2026-06-04T19:00:22Z"), "{}", usual.at);
    }

    #[test]
    fn quiet_hours_end_in_the_morning() {
        let end = |text| out_of_quiet(at(text), &zone("UTC"), &WaitingPolicy::default());
        assert_eq!(end("2026-06-04T23:00:00Z"), at("2026-06-05T08:00:00Z"));
        assert_eq!(end("2026-06-05T03:00:00Z"), at("2026-06-05T08:00:00Z"));
        assert_eq!(end("2026-06-05T12:00:00Z"), at("2026-06-05T12:00:00Z"));
    }

    #[test]
    fn a_usual_time_in_quiet_hours_moves_to_their_end() {
        let pickups = evenings("UTC", &["2026-06-01", "2026-06-02", "2026-06-03"], 23);
        let usual = next_usual_pickup(at("2026-06-03T23:30:00Z"), &pickups, &zone("UTC"), &WaitingPolicy::default());
        assert_eq!(usual.at, at("2026-06-04T08:00:00Z"));
    }
}
