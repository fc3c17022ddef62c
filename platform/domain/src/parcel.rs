//! A parcel and its state. Each state holds exactly what that state knows.
//!
//! Fields are readable everywhere but written only in this crate: a parcel changes through a step of
//! [`crate::journey`] and through nothing else. Storage reads it back through [`Parcel::restore`].

use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    consent::DepositConsent,
    id::{CommunityId, CompartmentId, CourierId, LockerId, ParcelId},
    placement::Placement,
    recipient::Addressee,
    topology::Size,
};

/// One parcel.
#[derive(Debug, Clone, PartialEq)]
pub struct Parcel {
    pub(crate) facts: Facts,
    pub(crate) addressee: Addressee,
    pub(crate) state: State,
    pub(crate) state_since: Timestamp,
    pub(crate) version: i64,
}

/// What never changes about a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The id.
    pub id: ParcelId,
    /// Whose parcel it is to carry.
    pub courier: CourierId,
    /// Where it goes.
    pub community: CommunityId,
    /// The courier's own number.
    pub tracking_number: String,
    /// What it needs.
    pub size: Size,
    /// What the recipient told the courier.
    pub deposit_consent: DepositConsent,
    /// When it was announced.
    pub announced_at: Timestamp,
    /// W3C trace context of the announcement, so that one trace tells the whole journey; may be empty.
    pub traceparent: String,
}

/// Where a parcel stands.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Announced, not deposited yet.
    Announced {
        /// Where it should go.
        placement: Placement,
    },
    /// In a compartment, waiting for its resident.
    Waiting {
        /// Where and since when.
        stay: Stay,
        /// The next reminder.
        plan: ReminderPlan,
    },
    /// Overdue; the courier was asked to take it back.
    RecallRequested {
        /// Where and since when.
        stay: Stay,
    },
    /// The courier will collect it.
    RecallAccepted {
        /// Where and since when.
        stay: Stay,
    },
    /// On its way to the door.
    OutForDoorDelivery {
        /// Which attempt.
        trip: Trip,
    },
    /// Nobody took it at the door; the courier has it.
    DoorDeliveryFailed {
        /// Which attempt failed.
        trip: Trip,
        /// Where it should go instead, once that was asked for.
        placement: Option<Placement>,
    },
    /// Taken from the compartment. Final.
    PickedUp,
    /// Handed over at the door. Final.
    DeliveredToDoor,
    /// Cancelled before its deposit. Final.
    Cancelled,
    /// On its way back to the sender. Final.
    ReturnedToSender,
}

/// An attempt at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trip {
    /// Which attempt with this parcel, from 1.
    pub attempt: u32,
    /// Recalls of this parcel requested before.
    pub recalls: u32,
}

/// A parcel's stay in a compartment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// Which locker.
    pub locker: LockerId,
    /// Which compartment.
    pub compartment: CompartmentId,
    /// When its door was closed.
    pub deposited_at: Timestamp,
    /// T1 as an instant.
    pub remind_from: Timestamp,
    /// T2 as an instant; moves when a recall is refused and when the stay is extended.
    pub recall_at: Timestamp,
    /// What T2 counts from.
    pub recall_basis: RecallBasis,
    /// Whether the stay was extended; it is once at most.
    pub extended: bool,
    /// When it rests or rested; it does once at most.
    pub hold: Option<Hold>,
    /// Recalls requested so far, earlier stays included.
    pub recalls: u32,
    /// Attempts at the door before this stay.
    pub door_attempts: u32,
    /// Reminders sent so far.
    pub reminders_sent: u32,
    /// When the last one was sent.
    pub last_reminded_at: Option<Timestamp>,
}

/// A span of time that does not count: no reminder, no recall, and T1 and T2 are as much later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// From then on.
    pub since: Timestamp,
    /// Until then.
    pub until: Timestamp,
}

impl Hold {
    /// The instant that lies `after` behind `start` when the hold does not count.
    pub(crate) fn deadline(hold: Option<Hold>, start: Timestamp, after: SignedDuration) -> Timestamp {
        let deadline = start + after;
        match hold {
            Some(Hold { since, until }) if start <= since && deadline > since => deadline + until.duration_since(since),
            _ => deadline,
        }
    }
}

/// What T2 of a stay counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecallBasis {
    /// The deposit.
    Deposit,
    /// The refusal of a recall.
    Refusal,
    /// An extension, or a hold that withdrew a recall: it was promised as an instant.
    Extension,
}

/// The next reminder of a waiting parcel, apart from gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReminderPlan {
    /// To be planned when T1 passes.
    AtT1,
    /// Planned for the resident's usual pickup time.
    At(Timestamp),
    /// No more reminders.
    Never,
}

/// A state's name, as in the proto, rows, logs and refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of State")]
pub enum StateName {
    Announced,
    Waiting,
    RecallRequested,
    RecallAccepted,
    OutForDoorDelivery,
    DoorDeliveryFailed,
    PickedUp,
    DeliveredToDoor,
    Cancelled,
    ReturnedToSender,
}

impl StateName {
    /// Every state there is.
    pub const ALL: [StateName; 10] = [
        StateName::Announced,
        StateName::Waiting,
        StateName::RecallRequested,
        StateName::RecallAccepted,
        StateName::OutForDoorDelivery,
        StateName::DoorDeliveryFailed,
        StateName::PickedUp,
        StateName::DeliveredToDoor,
        StateName::Cancelled,
        StateName::ReturnedToSender,
    ];

    /// In capitals, as in the proto.
    pub fn name(self) -> &'static str {
        match self {
            StateName::Announced => "ANNOUNCED",
            StateName::Waiting => "WAITING",
            StateName::RecallRequested => "RECALL_REQUESTED",
            StateName::RecallAccepted => "RECALL_ACCEPTED",
            StateName::OutForDoorDelivery => "OUT_FOR_DOOR_DELIVERY",
            StateName::DoorDeliveryFailed => "DOOR_DELIVERY_FAILED",
            StateName::PickedUp => "PICKED_UP",
            StateName::DeliveredToDoor => "DELIVERED_TO_DOOR",
            StateName::Cancelled => "CANCELLED",
            StateName::ReturnedToSender => "RETURNED_TO_SENDER",
        }
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl State {
    /// The state's name.
    pub fn name(&self) -> StateName {
        match self {
            State::Announced { .. } => StateName::Announced,
            State::Waiting { .. } => StateName::Waiting,
            State::RecallRequested { .. } => StateName::RecallRequested,
            State::RecallAccepted { .. } => StateName::RecallAccepted,
            State::OutForDoorDelivery { .. } => StateName::OutForDoorDelivery,
            State::DoorDeliveryFailed { .. } => StateName::DoorDeliveryFailed,
            State::PickedUp => StateName::PickedUp,
            State::DeliveredToDoor => StateName::DeliveredToDoor,
            State::Cancelled => StateName::Cancelled,
            State::ReturnedToSender => StateName::ReturnedToSender,
        }
    }
}

impl Stay {
    /// Whether it rests at this instant.
    pub fn is_held(&self, at: Timestamp) -> bool {
        self.hold.is_some_and(|hold| at < hold.until)
    }
}

impl Parcel {
    /// Puts together what storage kept. Only for storage: everybody else takes a step.
    pub fn restore(facts: Facts, addressee: Addressee, state: State, state_since: Timestamp, version: i64) -> Self {
        Self { facts, addressee, state, state_since, version }
    }

    /// What never changes.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The id.
    pub fn id(&self) -> ParcelId {
        self.facts.id
    }

    /// Whose it is.
    pub fn addressee(&self) -> &Addressee {
        &self.addressee
    }

    /// Where it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// When the present state began.
    pub fn state_since(&self) -> Timestamp {
        self.state_since
    }

    /// How often it was saved; 0 before the first time.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The stay in a compartment, while there is one.
    pub fn stay(&self) -> Option<&Stay> {
        match &self.state {
            State::Waiting { stay, .. } | State::RecallRequested { stay } | State::RecallAccepted { stay } => {
                Some(stay)
            }
            State::Announced { .. }
            | State::OutForDoorDelivery { .. }
            | State::DoorDeliveryFailed { .. }
            | State::PickedUp
            | State::DeliveredToDoor
            | State::Cancelled
            | State::ReturnedToSender => None,
        }
    }

    /// Where it should go, while that is decided and it is not there.
    pub fn placement(&self) -> Option<&Placement> {
        match &self.state {
            State::Announced { placement } => Some(placement),
            State::DoorDeliveryFailed { placement, .. } => placement.as_ref(),
            State::Waiting { .. }
            | State::RecallRequested { .. }
            | State::RecallAccepted { .. }
            | State::OutForDoorDelivery { .. }
            | State::PickedUp
            | State::DeliveredToDoor
            | State::Cancelled
            | State::ReturnedToSender => None,
        }
    }

    /// Attempts at the door so far, while the parcel is under way.
    pub fn door_attempts(&self) -> u32 {
        match &self.state {
            State::OutForDoorDelivery { trip } | State::DoorDeliveryFailed { trip, .. } => trip.attempt,
            _ => self.stay().map_or(0, |stay| stay.door_attempts),
        }
    }

    /// When the platform must look at this parcel next, if ever. This is the truth that every timer is an index of.
    pub fn next_due(&self) -> Option<Timestamp> {
        let State::Waiting { stay, plan } = &self.state else {
            return None;
        };
        let due = match plan {
            ReminderPlan::AtT1 => stay.remind_from.min(stay.recall_at),
            ReminderPlan::At(planned) => (*planned).min(stay.recall_at),
            ReminderPlan::Never => stay.recall_at,
        };
        Some(stay.hold.map_or(due, |hold| due.max(hold.until)))
    }

    /// The compartment it is in or has reserved, and until when a reservation holds (`None` for a deposit).
    pub fn holds(&self) -> Option<(&LockerId, &CompartmentId, Option<Timestamp>)> {
        if let Some(Placement::Locker { locker, compartment, reserved_until, .. }) = self.placement() {
            return Some((locker, compartment, Some(*reserved_until)));
        }
        self.stay().map(|stay| (&stay.locker, &stay.compartment, None))
    }
}
