//! New identifiers. Their time comes from the caller's clock, so that ids sort by the time of the world they are
//! made in, be it a test's.

use jiff::Timestamp;
use uuid::{NoContext, Uuid};

/// A version 7 UUID: the milliseconds of `now`, then 74 random bits.
pub fn new_id(now: Timestamp) -> Uuid {
    let (seconds, nanoseconds) = match u64::try_from(now.as_second()) {
        Ok(seconds) => (seconds, now.subsec_nanosecond().unsigned_abs()),
        // Version 7 cannot say a time before 1970.
        Err(_) => (0, 0),
    };
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_the_given_time_and_differ() {
        let now: Timestamp = "2026-03-02T08:00:00.123Z".parse().unwrap();
        let (first, second) = (new_id(now), new_id(now));
        assert_ne!(first, second);
        assert_eq!(first.get_version_num(), 7);
        assert_eq!(first.get_timestamp().unwrap().to_unix(), (now.as_second() as u64, 123_000_000));
    }

    #[test]
    fn ids_sort_by_time() {
        let now: Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
        let later = now + jiff::SignedDuration::from_millis(1);
        assert!(new_id(now) < new_id(later));
        assert!(new_id(Timestamp::MIN) < new_id(now));
    }
}
