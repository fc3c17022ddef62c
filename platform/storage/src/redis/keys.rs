//! The names of keys and members, and numbers as Redis keeps them. What each key holds is told in `timers`.

use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Slot, Timer, TimersError, millis_up},
};
use uuid::Uuid;

/// A token is a lease's score in these parts of a millisecond, so that it stays a whole number here. Instants of any
/// year to come in this century stay below 2^53 of them, so Redis keeps each exactly.
const PARTS: f64 = 1024.0;

/// Names the keys of every shard. The braces keep a shard's keys in one slot of a cluster; the number of shards in
/// the name makes an index of another number of shards another, empty one.
pub(super) struct Keys {
    tags: Vec<String>,
    width: u32,
}

impl Keys {
    pub(super) fn new(prefix: &str, shards: u16, width: u32) -> Self {
        Self { tags: (0..shards).map(|shard| format!("{{{prefix}:{shard}/{shards}}}")).collect(), width }
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = u16> {
        (0..u16::MAX).take(self.tags.len())
    }

    fn key(&self, shard: u16, what: &str) -> String {
        format!("{}:{what}", self.tags[usize::from(shard)])
    }

    pub(super) fn index(&self, shard: u16) -> String {
        self.key(shard, "i")
    }

    pub(super) fn loaded(&self, shard: u16) -> String {
        self.key(shard, "g")
    }

    pub(super) fn count(&self, shard: u16) -> String {
        self.key(shard, "n")
    }

    pub(super) fn rebuild(&self, shard: u16) -> String {
        self.key(shard, "r")
    }

    pub(super) fn rebuilder(&self) -> String {
        self.key(0, "b")
    }

    pub(super) fn watermark(&self) -> String {
        self.key(0, "m")
    }

    pub(super) fn bucket(&self, slot: Slot) -> String {
        self.key(slot.shard, &member(slot))
    }

    /// The last bytes of our ids are random, so the shards fill evenly.
    pub(super) fn slot(&self, timer: Timer) -> Slot {
        let (_, tail) = timer.parcel.0.as_u64_pair();
        let shard = tail % self.tags.len() as u64;
        let shard = u16::try_from(shard).expect("this is a bug: there are more shards than a u16 counts");
        Slot { shard, width: self.width, number: millis_up(timer.due).div_euclid(self.width.into()) }
    }
}

/// A slot as the index names it.
pub(super) fn member(slot: Slot) -> String {
    format!("{}:{}", slot.width, slot.number)
}

pub(super) fn slot(shard: u16, member: &str) -> Result<Slot, TimersError> {
    let read = || {
        let (width, number) = member.split_once(':')?;
        Some(Slot { shard, width: width.parse().ok()?, number: number.parse().ok()? })
    };
    read().ok_or_else(unreadable)
}

/// Where in its slot a timer is.
pub(super) fn offset(slot: Slot, due: Timestamp) -> i64 {
    millis_up(due) - slot.start()
}

pub(super) fn timer(slot: Slot, id: &[u8], offset: f64) -> Result<Timer, TimersError> {
    let parcel = Uuid::from_slice(id).map(ParcelId).map_err(|_| unreadable())?;
    let due = Timestamp::from_millisecond(slot.start() + offset as i64).map_err(|_| unreadable())?;
    Ok(Timer { due, parcel })
}

pub(super) fn token_to_score(token: i64) -> String {
    (token as f64 / PARTS).to_string()
}

pub(super) fn score_to_token(score: &str) -> Result<i64, TimersError> {
    Ok((number(score)? * PARTS) as i64)
}

pub(super) fn number(text: &str) -> Result<f64, TimersError> {
    text.parse().map_err(|_| unreadable())
}

pub(super) fn unreadable() -> TimersError {
    TimersError::Unavailable("something in Redis that we did not write".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_to_its_last_part() {
        for millis in [1_772_438_400_123_i64, 4_102_444_800_000, 1] {
            for part in [0, 1, 511, 1023] {
                let token = millis * 1024 + part;
                assert_eq!(score_to_token(&token_to_score(token)), Ok(token));
            }
        }
    }

    #[test]
    fn a_timer_lies_in_its_slot_before_and_after_1970() {
        let keys = Keys::new("gatepost", 4, 20_000);
        for millis in [-20_001, -20_000, -1, 0, 1, 19_999, 20_000, 1_772_438_400_123] {
            let due = Timestamp::from_millisecond(millis).unwrap();
            let parcel = ParcelId(Uuid::from_u128(7));
            let slot = keys.slot(Timer { due, parcel });
            let offset = offset(slot, due);
            assert!((0..20_000).contains(&offset), "{millis}");
            assert_eq!(timer(slot, parcel.0.as_bytes(), offset as f64), Ok(Timer { due, parcel }));
            assert_eq!(super::slot(slot.shard, &member(slot)), Ok(slot));
        }
    }

    #[test]
    fn due_times_are_rounded_up_to_the_millisecond() {
        let due = Timestamp::from_nanosecond(1_000_001).unwrap();
        assert_eq!(millis_up(due), 2);
        assert_eq!(millis_up(Timestamp::from_millisecond(5).unwrap()), 5);
    }
}
