//! Proto to domain and back, by noun: the only files that name both.

pub mod communities;
pub mod couriers;
pub mod decisions;
pub mod events;
pub mod parcels;
pub mod recognition;
pub mod residents;
pub mod webhooks;

use std::str::FromStr;

use gatepost_domain::{Timestamp, id::InvalidId};
use jiff::SignedDuration;

use crate::problem::Problem;

/// An id field.
pub fn id<T: FromStr<Err = InvalidId>>(text: &str, field: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: InvalidId| Problem::invalid(field, error.expected))
}

/// A text field with a limit in characters. Control characters would forge log lines and labels.
pub fn text(text: &str, field: &str, most: usize) -> Result<String, Problem> {
    if text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(Problem::invalid(field, format!("at most {most} characters, no control characters")));
    }
    Ok(text.trim().to_owned())
}

/// A text field that must say something.
pub fn required(value: &str, field: &str, most: usize) -> Result<String, Problem> {
    let value = text(value, field, most)?;
    if value.is_empty() {
        return Err(Problem::invalid(field, format!("1 to {most} characters")));
    }
    Ok(value)
}

/// A message field that must be there.
pub fn present<T>(value: Option<T>, field: &str) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::invalid(field, "must be set"))
}

/// An instant, cut to the millisecond. Years 1970 to 9999.
pub fn instant(value: prost_types::Timestamp, field: &str) -> Result<Timestamp, Problem> {
    let millisecond = i64::from(value.nanos) / 1_000_000;
    let whole = value.seconds.checked_mul(1_000).and_then(|ms| ms.checked_add(millisecond)).filter(|ms| *ms >= 0);
    whole
        .filter(|_| (0..1_000_000_000).contains(&value.nanos))
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .ok_or_else(|| Problem::invalid(field, "a time between 1970 and 9999"))
}

/// An instant that may be unset.
pub fn instant_or_none(value: Option<prost_types::Timestamp>, field: &str) -> Result<Option<Timestamp>, Problem> {
    value.map(|value| instant(value, field)).transpose()
}

/// An instant for the wire.
pub fn instant_to_proto(at: Timestamp) -> prost_types::Timestamp {
    let ms = at.as_millisecond();
    prost_types::Timestamp { seconds: ms.div_euclid(1_000), nanos: (ms.rem_euclid(1_000) * 1_000_000) as i32 }
}

/// A duration of 0 to 366 days.
pub fn duration(value: prost_types::Duration, field: &str) -> Result<SignedDuration, Problem> {
    const MOST: i64 = 366 * 24 * 3600;
    if !(0..=MOST).contains(&value.seconds) || !(0..1_000_000_000).contains(&value.nanos) {
        return Err(Problem::invalid(field, "0 seconds to 366 days"));
    }
    Ok(SignedDuration::new(value.seconds, value.nanos))
}

/// A duration for the wire.
pub fn duration_to_proto(value: SignedDuration) -> prost_types::Duration {
    prost_types::Duration { seconds: value.as_secs(), nanos: value.subsec_nanos() }
}
