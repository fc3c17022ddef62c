//! Between a parcel and its row. A row fills exactly the columns that its state knows.

use gatepost_domain::{
    Parcel, State, Timestamp,
    id::{ParcelId, ResidentId},
    parcel::{Facts, Hold, RecallBasis, ReminderPlan, StateName, Stay, Trip},
    placement::Placement,
    recipient::{Addressee, Label},
};

use super::{
    entity::parcel::Model,
    word::{Word, corrupt, count, filled, from_millis, from_millis_option, id, to_millis},
};
use crate::StoreError;

const LOCKER: &str = "locker";
const DOOR: &str = "door";
pub(super) const UNRESOLVED: &str = "unresolved";

const AT_T1: &str = "at_t1";
const AT: &str = "at";
const NEVER: &str = "never";

/// The row that a parcel is at `now`: a reservation that has run out holds nothing any more.
pub(super) fn to_row(parcel: &Parcel, version: i64, now: Timestamp) -> Model {
    let facts = parcel.facts();
    let held = parcel.holds().filter(|(_, _, until)| until.is_none_or(|until| until > now));
    let mut row = Model {
        id: facts.id.0,
        courier: facts.courier.to_string(),
        community: facts.community.to_string(),
        tracking_number: facts.tracking_number.clone(),
        size: facts.size.word().to_owned(),
        deposit_consent: facts.deposit_consent.word().to_owned(),
        announced_at: to_millis(facts.announced_at),
        traceparent: facts.traceparent.clone(),
        state: parcel.state().name().word().to_owned(),
        state_since: to_millis(parcel.state_since()),
        held_locker: held.map(|(locker, _, _)| locker.to_string()),
        held_compartment: held.map(|(_, compartment, _)| compartment.to_string()),
        next_due: parcel.next_due().map(to_millis),
        version,
        ..empty()
    };
    write_addressee(&mut row, parcel.addressee());
    write_state(&mut row, parcel.state());
    row
}

fn empty() -> Model {
    Model {
        id: uuid::Uuid::nil(),
        courier: String::new(),
        community: String::new(),
        tracking_number: String::new(),
        size: String::new(),
        deposit_consent: String::new(),
        announced_at: 0,
        traceparent: String::new(),
        resident: None,
        building: None,
        unit: None,
        label_name: None,
        label_phone: None,
        label_building: None,
        label_unit: None,
        label_address: None,
        state: String::new(),
        state_since: 0,
        placement: None,
        door_reason: None,
        walking_metres: None,
        reserved_until: None,
        locker: None,
        compartment: None,
        deposited_at: None,
        remind_from: None,
        recall_at: None,
        recall_basis: None,
        extended: None,
        hold_since: None,
        hold_until: None,
        recalls: None,
        door_attempts: None,
        reminders_sent: None,
        last_reminded_at: None,
        plan: None,
        planned_at: None,
        held_locker: None,
        held_compartment: None,
        next_due: None,
        version: 0,
    }
}

fn write_addressee(row: &mut Model, addressee: &Addressee) {
    match addressee {
        Addressee::Resident { resident, building, unit } => {
            row.resident = Some(resident.0);
            row.building = Some(building.to_string());
            row.unit = Some(unit.clone());
        }
        Addressee::Unresolved(label) => {
            row.label_name = Some(label.name.clone());
            row.label_phone = Some(label.phone.clone());
            row.label_building = Some(label.building.clone());
            row.label_unit = Some(label.unit.clone());
            row.label_address = Some(label.address.clone());
        }
    }
}

fn write_state(row: &mut Model, state: &State) {
    match state {
        State::Announced { placement } => write_placement(row, placement),
        State::Waiting { stay, plan } => {
            write_stay(row, stay);
            row.plan = Some(
                match plan {
                    ReminderPlan::AtT1 => AT_T1,
                    ReminderPlan::At(_) => AT,
                    ReminderPlan::Never => NEVER,
                }
                .to_owned(),
            );
            if let ReminderPlan::At(planned_at) = plan {
                row.planned_at = Some(to_millis(*planned_at));
            }
        }
        State::RecallRequested { stay } | State::RecallAccepted { stay } => write_stay(row, stay),
        State::OutForDoorDelivery { trip } => write_trip(row, trip),
        State::DoorDeliveryFailed { trip, placement } => {
            write_trip(row, trip);
            placement.iter().for_each(|placement| write_placement(row, placement));
        }
        State::PickedUp | State::DeliveredToDoor | State::Cancelled | State::ReturnedToSender => {}
    }
}

fn write_trip(row: &mut Model, trip: &Trip) {
    row.recalls = Some(trip.recalls.into());
    row.door_attempts = Some(trip.attempt.into());
}

fn write_placement(row: &mut Model, placement: &Placement) {
    let word = match placement {
        Placement::Locker { locker, compartment, walking_metres, reserved_until } => {
            row.locker = Some(locker.to_string());
            row.compartment = Some(compartment.to_string());
            row.walking_metres = Some(*walking_metres);
            row.reserved_until = Some(to_millis(*reserved_until));
            LOCKER
        }
        Placement::Door(reason) => {
            row.door_reason = Some(reason.word().to_owned());
            DOOR
        }
        Placement::Unresolved => UNRESOLVED,
    };
    row.placement = Some(word.to_owned());
}

fn write_stay(row: &mut Model, stay: &Stay) {
    row.locker = Some(stay.locker.to_string());
    row.compartment = Some(stay.compartment.to_string());
    row.deposited_at = Some(to_millis(stay.deposited_at));
    row.remind_from = Some(to_millis(stay.remind_from));
    row.recall_at = Some(to_millis(stay.recall_at));
    row.recall_basis = Some(stay.recall_basis.word().to_owned());
    row.extended = Some(stay.extended);
    row.hold_since = stay.hold.map(|hold| to_millis(hold.since));
    row.hold_until = stay.hold.map(|hold| to_millis(hold.until));
    row.recalls = Some(stay.recalls.into());
    row.door_attempts = Some(stay.door_attempts.into());
    row.reminders_sent = Some(stay.reminders_sent.into());
    row.last_reminded_at = stay.last_reminded_at.map(to_millis);
}

/// The parcel that a row keeps.
pub(super) fn from_row(row: Model) -> Result<Parcel, StoreError> {
    let state = read_state(&row)?;
    let state_since = from_millis(row.state_since)?;
    let version = row.version;
    let addressee = match row.resident {
        Some(resident) => Addressee::Resident {
            resident: ResidentId(resident),
            building: id(&filled(row.building, "parcel.building")?, "parcel.building")?,
            unit: filled(row.unit, "parcel.unit")?,
        },
        None => Addressee::Unresolved(Label {
            name: row.label_name.unwrap_or_default(),
            phone: row.label_phone.unwrap_or_default(),
            building: row.label_building.unwrap_or_default(),
            unit: row.label_unit.unwrap_or_default(),
            address: row.label_address.unwrap_or_default(),
        }),
    };
    let facts = Facts {
        id: ParcelId(row.id),
        courier: id(&row.courier, "parcel.courier")?,
        community: id(&row.community, "parcel.community")?,
        tracking_number: row.tracking_number,
        size: Word::read(&row.size)?,
        deposit_consent: Word::read(&row.deposit_consent)?,
        announced_at: from_millis(row.announced_at)?,
        traceparent: row.traceparent,
    };
    Ok(Parcel::restore(facts, addressee, state, state_since, version))
}

fn read_state(row: &Model) -> Result<State, StoreError> {
    Ok(match StateName::read(&row.state)? {
        StateName::Announced => State::Announced { placement: read_placement(row)? },
        StateName::Waiting => {
            let plan = match row.plan.as_deref() {
                Some(AT_T1) => ReminderPlan::AtT1,
                Some(AT) => ReminderPlan::At(from_millis(filled(row.planned_at, "parcel.planned_at")?)?),
                Some(NEVER) => ReminderPlan::Never,
                _ => return Err(corrupt("parcel.plan")),
            };
            State::Waiting { stay: read_stay(row)?, plan }
        }
        StateName::RecallRequested => State::RecallRequested { stay: read_stay(row)? },
        StateName::RecallAccepted => State::RecallAccepted { stay: read_stay(row)? },
        StateName::OutForDoorDelivery => State::OutForDoorDelivery { trip: read_trip(row)? },
        StateName::DoorDeliveryFailed => {
            let placement = row.placement.as_ref().map(|_| read_placement(row)).transpose()?;
            State::DoorDeliveryFailed { trip: read_trip(row)?, placement }
        }
        StateName::PickedUp => State::PickedUp,
        StateName::DeliveredToDoor => State::DeliveredToDoor,
        StateName::Cancelled => State::Cancelled,
        StateName::ReturnedToSender => State::ReturnedToSender,
    })
}

/// The release before wrote no counts for a parcel on its way: there was one recall at least, and one attempt.
fn read_trip(row: &Model) -> Result<Trip, StoreError> {
    Ok(Trip {
        attempt: count(row.door_attempts.unwrap_or(1), "parcel.door_attempts")?,
        recalls: count(row.recalls.unwrap_or(1), "parcel.recalls")?,
    })
}

fn read_placement(row: &Model) -> Result<Placement, StoreError> {
    Ok(match row.placement.as_deref() {
        Some(LOCKER) => Placement::Locker {
            locker: id(filled(row.locker.as_deref(), "parcel.locker")?, "parcel.locker")?,
            compartment: id(filled(row.compartment.as_deref(), "parcel.compartment")?, "parcel.compartment")?,
            walking_metres: filled(row.walking_metres, "parcel.walking_metres")?,
            reserved_until: from_millis(filled(row.reserved_until, "parcel.reserved_until")?)?,
        },
        Some(DOOR) => Placement::Door(Word::read(filled(row.door_reason.as_deref(), "parcel.door_reason")?)?),
        Some(UNRESOLVED) => Placement::Unresolved,
        _ => return Err(corrupt("parcel.placement")),
    })
}

fn read_stay(row: &Model) -> Result<Stay, StoreError> {
    let recalls = count(filled(row.recalls, "parcel.recalls")?, "parcel.recalls")?;
    let recall_basis = match &row.recall_basis {
        Some(word) => Word::read(word)?,
        // As the release before told it.
        None if recalls > 0 => RecallBasis::Refusal,
        None => RecallBasis::Deposit,
    };
    Ok(Stay {
        recall_basis,
        extended: row.extended.unwrap_or(false),
        hold: match (from_millis_option(row.hold_since)?, from_millis_option(row.hold_until)?) {
            (Some(since), Some(until)) => Some(Hold { since, until }),
            _ => None,
        },
        door_attempts: count(row.door_attempts.unwrap_or(0), "parcel.door_attempts")?,
        locker: id(filled(row.locker.as_deref(), "parcel.locker")?, "parcel.locker")?,
        compartment: id(filled(row.compartment.as_deref(), "parcel.compartment")?, "parcel.compartment")?,
        deposited_at: from_millis(filled(row.deposited_at, "parcel.deposited_at")?)?,
        remind_from: from_millis(filled(row.remind_from, "parcel.remind_from")?)?,
        recall_at: from_millis(filled(row.recall_at, "parcel.recall_at")?)?,
        recalls,
        reminders_sent: count(filled(row.reminders_sent, "parcel.reminders_sent")?, "parcel.reminders_sent")?,
        last_reminded_at: from_millis_option(row.last_reminded_at)?,
    })
}
