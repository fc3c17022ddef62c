//! When an event is tried again: the ten steps that Standard Webhooks 1.0 gives as its example.

use jiff::SignedDuration;

/// Waits after the first attempt, the second, and so on to the ninth; 75 hours 35 minutes in all.
const WAITS: [SignedDuration; 9] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(5),
    SignedDuration::from_hours(10),
    SignedDuration::from_hours(14),
    SignedDuration::from_hours(20),
    SignedDuration::from_hours(24),
];
/// Each wait is longer by up to this part of it, so that what failed together does not come again together.
const JITTER: f64 = 0.1;

/// How long to wait after so many attempts, with `chance` from 0 to 1; `None` after the last.
pub fn wait_after(attempts: u32, chance: f64) -> Option<SignedDuration> {
    let wait = WAITS.get(usize::try_from(attempts).ok()?.checked_sub(1)?)?;
    Some(wait.mul_f64(1.0 + JITTER * chance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_ten_attempts_over_three_days() {
        let all: SignedDuration = (1..10).map(|attempts| wait_after(attempts, 0.0).unwrap()).sum();
        assert_eq!(all, SignedDuration::new(75 * 3600 + 35 * 60 + 5, 0));
        assert_eq!((wait_after(0, 0.0), wait_after(10, 0.0)), (None, None));
        assert_eq!(wait_after(2, 1.0), Some(SignedDuration::from_secs(330)));
    }
}
