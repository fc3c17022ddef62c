//! The journey, in the order it happens. Each step is a pure function.

/// A courier says a parcel will come, and whose it is gets resolved.
pub mod announce;

/// A compartment near home is suggested and reserved.
pub mod place;

/// The courier closes the door; T1 and T2 are set.
pub mod deposit;

/// It has waited T1, and its resident came home or it is their usual hour.
pub mod remind;

/// The reminder at a gate was for somebody else.
pub mod disown;

/// The waiting policy changed: T1 and T2 of what waits move with it.
pub mod rearm;

/// The resident takes it.
pub mod pickup;

/// T2: the courier is asked to take it back; never after a pickup.
pub mod recall;

/// The resident cannot come in time: T2 is put off, once.
pub mod extend;

/// The resident is away: the stay rests for a while, once.
pub mod hold;

/// The courier collects it and brings it to the door, again if need be, or returns it.
pub mod door_delivery;

/// The courier calls it off before the deposit.
pub mod cancel;

use jiff::{SignedDuration, tz::TimeZone};

use crate::{
    Refusal, Timestamp,
    effect::{CourierEvent, Effect, EventKind},
    parcel::{Parcel, State},
    policy::WaitingPolicy,
};

/// What a step may look at besides the parcel.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The present.
    pub now: Timestamp,
    /// The policy in effect for this parcel's community and courier.
    pub policy: &'a WaitingPolicy,
    /// The community's.
    pub time_zone: &'a TimeZone,
    /// The resident's past pickups, newest first.
    pub pickups: &'a [Timestamp],
    /// The name of the resident's building; empty when unknown.
    pub building_name: &'a str,
}

/// Clocks that differ by less are taken to agree.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// The time of a report: now when none was given or when it lies within the skew ahead.
pub fn reported_time(reported: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, Refusal> {
    let Some(reported) = reported else { return Ok(now) };
    if reported > now + CLOCK_SKEW {
        return Err(Refusal::TimeInFuture);
    }
    Ok(reported.min(now))
}

/// A report from inside a compartment: within the skew before the deposit it is read as the deposit's time.
fn after_deposit(reported: Timestamp, deposited_at: Timestamp) -> Result<Timestamp, Refusal> {
    if reported + CLOCK_SKEW < deposited_at {
        return Err(Refusal::TimeBeforeDeposit { deposited_at });
    }
    Ok(reported.max(deposited_at))
}

fn refuse<T>(parcel: &Parcel, step: &'static str) -> Result<T, Refusal> {
    Err(Refusal::IllegalStep { state: parcel.state.name(), step })
}

fn publish(at: Timestamp, kind: EventKind) -> Effect {
    Effect::Publish(CourierEvent { at, kind })
}

impl Parcel {
    fn moved(self, state: State, state_since: Timestamp) -> Self {
        Self { state, state_since, ..self }
    }
}
