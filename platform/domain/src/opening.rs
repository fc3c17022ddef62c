//! When lockers are open, by the clock on the community's wall.

use jiff::{ToSpan, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Minutes of a day; also how its end is written.
pub const DAY_MINUTES: u16 = 24 * 60;
/// Eight days hold every weekday whole, wherever in one they begin.
const DAYS_MAX: i32 = 8;

/// Open on some weekdays from one minute of the day until another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpeningHours {
    /// The days on which it opens; every day when empty.
    #[serde(default)]
    pub weekdays: Vec<Weekday>,
    /// The minute after local midnight at which it opens.
    pub from_minute: u16,
    /// The minute at which it closes; not above `from_minute` means on the next day.
    pub to_minute: u16,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names of the days")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl From<civil::Weekday> for Weekday {
    fn from(weekday: civil::Weekday) -> Self {
        match weekday {
            civil::Weekday::Monday => Weekday::Monday,
            civil::Weekday::Tuesday => Weekday::Tuesday,
            civil::Weekday::Wednesday => Weekday::Wednesday,
            civil::Weekday::Thursday => Weekday::Thursday,
            civil::Weekday::Friday => Weekday::Friday,
            civil::Weekday::Saturday => Weekday::Saturday,
            civil::Weekday::Sunday => Weekday::Sunday,
        }
    }
}

impl OpeningHours {
    /// Whether it says a span of time that there is.
    pub fn is_valid(&self) -> bool {
        self.from_minute < DAY_MINUTES
            && (1..=DAY_MINUTES).contains(&self.to_minute)
            && self.from_minute != self.to_minute
            && self.weekdays.len() <= 7
    }

    /// From when until when it is open, if it opens on `date`.
    fn on(&self, date: civil::Date, time_zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        if !self.weekdays.is_empty() && !self.weekdays.contains(&date.weekday().into()) {
            return None;
        }
        let closes_on = if self.to_minute <= self.from_minute { date.tomorrow().ok()? } else { date };
        Some((instant(date, self.from_minute, time_zone)?, instant(closes_on, self.to_minute, time_zone)?))
    }
}

/// Whether a locker of these hours is open at any time from `from` on and before `until`; without hours it always is.
pub fn opens_within(hours: &[OpeningHours], from: Timestamp, until: Timestamp, time_zone: &TimeZone) -> bool {
    if hours.is_empty() {
        return true;
    }
    // The day before too: what opened then may close after midnight.
    let Ok(yesterday) = from.to_zoned(time_zone.clone()).date().yesterday() else { return false };
    let dates = (0..=DAYS_MAX).map_while(|ahead| yesterday.checked_add(ahead.days()).ok());
    dates
        .flat_map(|date| hours.iter().filter_map(move |hours| hours.on(date, time_zone)))
        .any(|(opens, closes)| closes > from && (opens <= from || opens < until))
}

/// A time on the wall that daylight saving skips moves forward with the clock; one that comes twice is its first.
fn instant(date: civil::Date, minute: u16, time_zone: &TimeZone) -> Option<Timestamp> {
    let date = if minute == DAY_MINUTES { date.tomorrow().ok()? } else { date };
    let minute = minute % DAY_MINUTES;
    let at = date.at(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0);
    Some(at.to_zoned(time_zone.clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(weekdays: &[Weekday], from_minute: u16, to_minute: u16) -> OpeningHours {
        OpeningHours { weekdays: weekdays.to_vec(), from_minute, to_minute }
    }

    /// Asks at local times; 2026-06-01 is a Monday.
    fn open(hours: &[OpeningHours], zone: &str, from: &str, until: &str) -> bool {
        let zone = TimeZone::get(zone).unwrap();
        let at = |text: &str| text.parse::<civil::DateTime>().unwrap().to_zoned(zone.clone()).unwrap().timestamp();
        opens_within(hours, at(from), at(until), &zone)
    }

    #[test]
    fn the_hours_by_example() {
        let daily = [hours(&[], 7 * 60, 22 * 60)];
        let night = [hours(&[Weekday::Sunday], 22 * 60, 2 * 60)];
        let midnight = [hours(&[Weekday::Monday], 12 * 60, DAY_MINUTES)];
        let cases = [
            (&daily[..], "2026-06-01T07:00", "2026-06-01T07:00", true),
            (&daily[..], "2026-06-01T05:00", "2026-06-01T07:00", false),
            (&daily[..], "2026-06-01T05:00", "2026-06-01T07:01", true),
            (&daily[..], "2026-06-01T21:59", "2026-06-01T23:00", true),
            (&daily[..], "2026-06-01T22:00", "2026-06-02T00:00", false),
            (&night[..], "2026-06-01T01:59", "2026-06-01T03:00", true),
            (&night[..], "2026-06-01T02:00", "2026-06-07T22:00", false),
            (&night[..], "2026-06-01T02:00", "2026-06-07T22:01", true),
            (&night[..], "2026-06-01T02:00", "2026-12-01T00:00", true),
            (&midnight[..], "2026-06-01T23:59", "2026-06-01T23:59", true),
            (&midnight[..], "2026-06-02T00:00", "2026-06-02T12:00", false),
            (&[][..], "2026-06-01T03:00", "2026-06-01T03:00", true),
        ];
        for (hours, from, until, expected) in cases {
            assert_eq!(open(hours, "Asia/Shanghai", from, until), expected, "{hours:?} {from} {until}");
        }
    }

    #[test]
    fn the_wall_clock_counts_when_daylight_saving_moves_it() {
        // On 2026-03-29 Berlin's clocks go from 02:00 to 03:00: what opens at 02:30 opens at 03:30.
        let hours = [hours(&[], 150, 300)];
        assert!(!open(&hours, "Europe/Berlin", "2026-03-29T03:00", "2026-03-29T03:30"));
        assert!(open(&hours, "Europe/Berlin", "2026-03-29T03:30", "2026-03-29T03:30"));
    }
}
