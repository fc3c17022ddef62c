//! A courier's events.

use gatepost_domain::EventKind;
use gatepost_proto::v1;
use gatepost_storage::StoredEvent;

use super::{instant_to_proto, parcels::state_to_proto};

/// One event as its courier reads it.
pub fn event_to_proto(stored: &StoredEvent) -> v1::Event {
    let mut event = v1::Event {
        sequence: stored.sequence,
        event_time: Some(instant_to_proto(stored.event.at)),
        kind: kind_to_proto(&stored.event.kind).into(),
        parcel_id: stored.parcel.to_string(),
        tracking_number: stored.tracking_number.clone(),
        parcel_state: state_to_proto(stored.state).into(),
        ..v1::Event::default()
    };
    match &stored.event.kind {
        EventKind::RecallRequested { recall, locker, compartment, building, unit } => {
            event.recall_number = *recall as i32;
            event.locker_id = locker.to_string();
            event.compartment_id = compartment.to_string();
            event.building = building.clone();
            event.unit = unit.clone();
        }
        EventKind::RecallWithdrawn { recall } => event.recall_number = *recall as i32,
        EventKind::ReminderSent { at_gate } => {
            let cause = if *at_gate { v1::ReminderCause::SeenAtGate } else { v1::ReminderCause::UsualHour };
            event.reminder_cause = cause.into();
        }
        _ => {}
    }
    event
}

/// What happened, for the wire.
pub fn kind_to_proto(kind: &EventKind) -> v1::EventKind {
    match kind {
        EventKind::RecipientResolved => v1::EventKind::RecipientResolved,
        EventKind::Deposited => v1::EventKind::Deposited,
        EventKind::ReminderSent { .. } => v1::EventKind::ReminderSent,
        EventKind::PickedUp => v1::EventKind::PickedUp,
        EventKind::RecallRequested { .. } => v1::EventKind::RecallRequested,
        EventKind::RecallWithdrawn { .. } => v1::EventKind::RecallWithdrawn,
        EventKind::RecallAccepted => v1::EventKind::RecallAccepted,
        EventKind::RecallRefused => v1::EventKind::RecallRefused,
        EventKind::Collected => v1::EventKind::Collected,
        EventKind::DeliveredToDoor => v1::EventKind::DeliveredToDoor,
        EventKind::DoorDeliveryFailed => v1::EventKind::DoorDeliveryFailed,
        EventKind::Cancelled => v1::EventKind::Cancelled,
        EventKind::StayExtended => v1::EventKind::StayExtended,
        EventKind::StayHeld => v1::EventKind::StayHeld,
        EventKind::StayReleased => v1::EventKind::StayReleased,
        EventKind::RedeliveryStarted => v1::EventKind::RedeliveryStarted,
        EventKind::ReturnedToSender => v1::EventKind::ReturnedToSender,
    }
}
