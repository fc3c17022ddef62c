//! Between an event of a courier's log and its row.

use gatepost_domain::{CourierEvent, EventKind, Parcel, id::ParcelId};

use super::{
    entity::courier_event::Model,
    word::{Word, corrupt, count, filled, from_millis, id, to_millis},
};
use crate::{StoreError, StoredEvent};

const REMINDED_AT_GATE: &str = "reminded_at_gate";
const REMINDED_AT_USUAL_HOUR: &str = "reminded_at_usual_hour";
const RECALL_REQUESTED: &str = "recall_requested";
const RECALL_WITHDRAWN: &str = "recall_withdrawn";

pub(super) fn to_row(parcel: &Parcel, event: &CourierEvent, sequence: i64) -> Model {
    let facts = parcel.facts();
    let mut row = Model {
        courier: facts.courier.to_string(),
        sequence,
        parcel: facts.id.0,
        tracking_number: facts.tracking_number.clone(),
        state: parcel.state().name().word().to_owned(),
        happened_at: to_millis(event.at),
        kind: word(&event.kind).to_owned(),
        recall: None,
        locker: None,
        compartment: None,
        building: None,
        unit: None,
    };
    match &event.kind {
        EventKind::RecallRequested { recall, locker, compartment, building, unit } => {
            row.recall = Some((*recall).into());
            row.locker = Some(locker.to_string());
            row.compartment = Some(compartment.to_string());
            row.building = Some(building.clone());
            row.unit = Some(unit.clone());
        }
        EventKind::RecallWithdrawn { recall } => row.recall = Some((*recall).into()),
        _ => {}
    }
    row
}

/// The kinds that carry nothing else, each with its word.
const BARE: [(EventKind, &str); 14] = [
    (EventKind::RecipientResolved, "recipient_resolved"),
    (EventKind::Deposited, "deposited"),
    (EventKind::PickedUp, "picked_up"),
    (EventKind::RecallAccepted, "recall_accepted"),
    (EventKind::RecallRefused, "recall_refused"),
    (EventKind::Collected, "collected"),
    (EventKind::DeliveredToDoor, "delivered_to_door"),
    (EventKind::DoorDeliveryFailed, "door_delivery_failed"),
    (EventKind::Cancelled, "cancelled"),
    (EventKind::StayExtended, "stay_extended"),
    (EventKind::StayHeld, "stay_held"),
    (EventKind::StayReleased, "stay_released"),
    (EventKind::RedeliveryStarted, "redelivery_started"),
    (EventKind::ReturnedToSender, "returned_to_sender"),
];

fn word(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::ReminderSent { at_gate: true } => REMINDED_AT_GATE,
        EventKind::ReminderSent { at_gate: false } => REMINDED_AT_USUAL_HOUR,
        EventKind::RecallRequested { .. } => RECALL_REQUESTED,
        EventKind::RecallWithdrawn { .. } => RECALL_WITHDRAWN,
        bare => BARE
            .iter()
            .find(|(kind, _)| kind == bare)
            .map(|(_, word)| *word)
            .expect("this is a bug: a kind of event has no word"),
    }
}

pub(super) fn from_row(row: Model) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        sequence: row.sequence,
        parcel: ParcelId(row.parcel),
        state: Word::read(&row.state)?,
        event: CourierEvent { at: from_millis(row.happened_at)?, kind: kind(&row)? },
        tracking_number: row.tracking_number,
    })
}

fn kind(row: &Model) -> Result<EventKind, StoreError> {
    let recall = || count(filled(row.recall, "courier_event.recall")?, "courier_event.recall");
    Ok(match row.kind.as_str() {
        REMINDED_AT_GATE => EventKind::ReminderSent { at_gate: true },
        REMINDED_AT_USUAL_HOUR => EventKind::ReminderSent { at_gate: false },
        RECALL_REQUESTED => EventKind::RecallRequested {
            recall: recall()?,
            locker: id(filled(row.locker.as_deref(), "courier_event.locker")?, "courier_event.locker")?,
            compartment: id(
                filled(row.compartment.as_deref(), "courier_event.compartment")?,
                "courier_event.compartment",
            )?,
            building: row.building.clone().unwrap_or_default(),
            unit: row.unit.clone().unwrap_or_default(),
        },
        RECALL_WITHDRAWN => EventKind::RecallWithdrawn { recall: recall()? },
        word => {
            let bare = BARE.into_iter().find(|(_, bare)| *bare == word);
            bare.map(|(kind, _)| kind).ok_or_else(|| corrupt("courier_event.kind"))?
        }
    })
}
