//! What a step asks of the world. Saved with the parcel in one transaction; carried out afterwards, at least once.
//!
//! Timers are no effect: a parcel's [`crate::Parcel::next_due`] says when to look again, and the index follows it.

use crate::{
    Timestamp,
    decision::Decision,
    id::{CompartmentId, GateId, LockerId, ResidentId},
    parcel::Parcel,
};

/// A parcel after a step, and what the step asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The parcel as it is now.
    pub parcel: Parcel,
    /// In order. Empty with `changed == false` when the step had been taken before.
    pub effects: Vec<Effect>,
    /// Whether there is anything to save.
    pub changed: bool,
    /// Why, where that is recorded; also of a reminder that was withheld, which changes nothing.
    pub decision: Option<Decision>,
}

impl Step {
    /// A step that had been taken before.
    pub fn unchanged(parcel: Parcel) -> Self {
        Self { parcel, effects: Vec::new(), changed: false, decision: None }
    }

    /// A step that changed the parcel.
    pub fn changed(parcel: Parcel, effects: Vec<Effect>) -> Self {
        Self { parcel, effects, changed: true, decision: None }
    }

    /// The same, with the reason.
    pub fn because(self, decision: Decision) -> Self {
        Self { decision: Some(decision), ..self }
    }
}

/// One thing asked of the world.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Tell the resident.
    Tell(Notice),
    /// Append to the courier's event log.
    Publish(CourierEvent),
    /// Add to the resident's record of pickups.
    RecordPickup {
        /// Whose.
        resident: ResidentId,
        /// When.
        picked_up_at: Timestamp,
    },
}

/// A reminder that a parcel waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Who is reminded.
    pub resident: ResidentId,
    /// Why now.
    pub cause: ReminderCause,
}

/// Why a reminder was sent.
#[derive(Debug, Clone, PartialEq)]
pub enum ReminderCause {
    /// Seen at this gate.
    SeenAtGate {
        /// Which gate.
        gate: GateId,
        /// Cosine similarity, when our own recognition saw it.
        similarity: Option<f32>,
    },
    /// The usual pickup hour.
    UsualHour,
}

/// One thing that happened to a parcel, for its courier. Order and number are given by the log.
#[derive(Debug, Clone, PartialEq)]
pub struct CourierEvent {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum EventKind {
    /// Staff resolved the recipient.
    RecipientResolved,
    /// Put into a compartment.
    Deposited,
    /// A reminder was decided.
    ReminderSent {
        /// Whether at a gate; else at the usual hour.
        at_gate: bool,
    },
    /// Taken by the resident.
    PickedUp,
    /// Overdue: please collect it and bring it to the door.
    RecallRequested {
        /// Which recall of this parcel, from 1.
        recall: u32,
        /// Where it is.
        locker: LockerId,
        /// Where it is.
        compartment: CompartmentId,
        /// The building to bring it to, by name.
        building: String,
        /// The unit to bring it to.
        unit: String,
    },
    /// The recall no longer holds.
    RecallWithdrawn {
        /// Which recall.
        recall: u32,
    },
    /// The courier accepted.
    RecallAccepted,
    /// The courier refused.
    RecallRefused,
    /// Taken out by the courier.
    Collected,
    /// Handed over at the door.
    DeliveredToDoor,
    /// Nobody took it at the door.
    DoorDeliveryFailed,
    /// Cancelled before its deposit.
    Cancelled,
    /// The parcel waits longer than the policy says.
    StayExtended,
    /// The stay rests for a while: no reminder, no recall.
    StayHeld,
    /// The hold was ended before its time.
    StayReleased,
    /// The courier set out for another attempt at the door.
    RedeliveryStarted,
    /// The courier takes it back to its sender.
    ReturnedToSender,
}
