//! Parcels, placements and recipients.

use gatepost_domain::{
    Parcel, State,
    consent::DepositConsent,
    id::CompartmentId,
    journey::door_delivery::Outcome,
    parcel::{ReminderPlan, StateName},
    placement::{Candidate, DoorReason, Placement, Reason, Unusable},
    recipient::Label,
    topology::{Size, Topology},
};
use gatepost_proto::v1;

use super::{id, instant_to_proto, text};
use crate::problem::{Missing, Problem};

/// Unusable places of one call.
const UNUSABLE_MAX: usize = 100;

/// A recipient with its limits.
pub fn label(recipient: v1::Recipient) -> Result<Label, Problem> {
    let label = Label {
        name: text(&recipient.name, "recipient.name", 200)?,
        phone: text(&recipient.phone, "recipient.phone", 32)?,
        building: text(&recipient.building, "recipient.building", 100)?,
        unit: text(&recipient.unit, "recipient.unit", 100)?,
        address: text(&recipient.address, "recipient.address", 500)?,
    };
    if label.name.is_empty() && label.phone.is_empty() {
        return Err(Problem::invalid("recipient", "needs a name or a phone"));
    }
    Ok(label)
}

/// A recipient for staff to read.
pub fn label_to_proto(label: &Label) -> v1::Recipient {
    v1::Recipient {
        name: label.name.clone(),
        phone: label.phone.clone(),
        building: label.building.clone(),
        unit: label.unit.clone(),
        address: label.address.clone(),
    }
}

/// A size that must be chosen.
pub fn size(value: i32, field: &str) -> Result<Size, Problem> {
    match v1::ParcelSize::try_from(value) {
        Ok(v1::ParcelSize::Small) => Ok(Size::Small),
        Ok(v1::ParcelSize::Medium) => Ok(Size::Medium),
        Ok(v1::ParcelSize::Large) => Ok(Size::Large),
        Ok(v1::ParcelSize::Unspecified) | Err(_) => Err(Problem::invalid(field, "SMALL, MEDIUM or LARGE")),
    }
}

/// A size for the wire.
pub fn size_to_proto(size: Size) -> v1::ParcelSize {
    match size {
        Size::Small => v1::ParcelSize::Small,
        Size::Medium => v1::ParcelSize::Medium,
        Size::Large => v1::ParcelSize::Large,
    }
}

/// What the recipient told the courier.
pub fn deposit_consent(value: i32) -> Result<DepositConsent, Problem> {
    match v1::DepositConsent::try_from(value) {
        Ok(v1::DepositConsent::Unspecified) => Ok(DepositConsent::Unspecified),
        Ok(v1::DepositConsent::Given) => Ok(DepositConsent::Given),
        Ok(v1::DepositConsent::Refused) => Ok(DepositConsent::Refused),
        Err(_) => Err(Problem::invalid("deposit_consent", "GIVEN, REFUSED or unset")),
    }
}

/// Which attempt at the door a report is about; `None` when unset.
pub fn attempt(value: i32) -> Result<Option<u32>, Problem> {
    let attempt = u32::try_from(value).map_err(|_| Problem::invalid("attempt", "from 1, or unset"))?;
    Ok((attempt > 0).then_some(attempt))
}

/// How a door delivery goes.
pub fn outcome(value: i32) -> Result<Outcome, Problem> {
    match v1::DoorDeliveryOutcome::try_from(value) {
        Ok(v1::DoorDeliveryOutcome::Collected) => Ok(Outcome::Collected),
        Ok(v1::DoorDeliveryOutcome::Delivered) => Ok(Outcome::Delivered),
        Ok(v1::DoorDeliveryOutcome::Failed) => Ok(Outcome::Failed),
        Ok(v1::DoorDeliveryOutcome::Redelivering) => Ok(Outcome::Redelivering),
        Ok(v1::DoorDeliveryOutcome::Returned) => Ok(Outcome::Returned),
        Ok(v1::DoorDeliveryOutcome::Unspecified) | Err(_) => {
            Err(Problem::invalid("outcome", "COLLECTED, DELIVERED, FAILED, REDELIVERING or RETURNED"))
        }
    }
}

/// A state's name for the wire.
pub fn state_to_proto(state: StateName) -> v1::ParcelState {
    match state {
        StateName::Announced => v1::ParcelState::Announced,
        StateName::Waiting => v1::ParcelState::Waiting,
        StateName::RecallRequested => v1::ParcelState::RecallRequested,
        StateName::RecallAccepted => v1::ParcelState::RecallAccepted,
        StateName::OutForDoorDelivery => v1::ParcelState::OutForDoorDelivery,
        StateName::DoorDeliveryFailed => v1::ParcelState::DoorDeliveryFailed,
        StateName::PickedUp => v1::ParcelState::PickedUp,
        StateName::DeliveredToDoor => v1::ParcelState::DeliveredToDoor,
        StateName::Cancelled => v1::ParcelState::Cancelled,
        StateName::ReturnedToSender => v1::ParcelState::ReturnedToSender,
    }
}

/// A state to filter by; `None` when unset.
pub fn state_filter(value: i32) -> Result<Option<StateName>, Problem> {
    if value == 0 {
        return Ok(None);
    }
    let found = StateName::ALL.into_iter().find(|state| state_to_proto(*state) as i32 == value);
    found.map(Some).ok_or_else(|| Problem::invalid("state", "a ParcelState, or unset for all"))
}

/// A parcel as its courier sees it.
pub fn parcel_to_proto(parcel: &Parcel) -> v1::Parcel {
    let facts = parcel.facts();
    let stay = parcel.stay();
    let next_reminder_at = match parcel.state() {
        State::Waiting { plan: ReminderPlan::At(at), .. } => Some(*at),
        _ => None,
    };
    v1::Parcel {
        id: facts.id.to_string(),
        tracking_number: facts.tracking_number.clone(),
        community_id: facts.community.to_string(),
        size: size_to_proto(facts.size).into(),
        state: state_to_proto(parcel.state().name()).into(),
        recipient_resolved: parcel.addressee().resident_id().is_some(),
        placement: parcel.placement().map(placement_to_proto),
        deposit: stay.map(|stay| v1::Deposit {
            locker_id: stay.locker.to_string(),
            compartment_id: stay.compartment.to_string(),
            deposit_time: Some(instant_to_proto(stay.deposited_at)),
        }),
        remind_from: stay.map(|stay| instant_to_proto(stay.remind_from)),
        recall_at: stay.map(|stay| instant_to_proto(stay.recall_at)),
        reminders_sent: stay.map_or(0, |stay| stay.reminders_sent as i32),
        last_reminded_at: stay.and_then(|stay| stay.last_reminded_at).map(instant_to_proto),
        next_reminder_at: next_reminder_at.map(instant_to_proto),
        announce_time: Some(instant_to_proto(facts.announced_at)),
        state_time: Some(instant_to_proto(parcel.state_since())),
        version: parcel.version(),
        held_until: stay.and_then(|stay| stay.hold).map(|hold| instant_to_proto(hold.until)),
        stay_extended: stay.is_some_and(|stay| stay.extended),
        door_attempts: i32::try_from(parcel.door_attempts()).unwrap_or(i32::MAX),
    }
}

fn placement_to_proto(placement: &Placement) -> v1::Placement {
    use v1::{PlacementKind, PlacementReason};
    let bare = |kind: PlacementKind, reason: PlacementReason| v1::Placement {
        kind: kind.into(),
        reason: reason.into(),
        ..v1::Placement::default()
    };
    match placement {
        Placement::Locker { locker, compartment, walking_metres, reserved_until } => v1::Placement {
            locker_id: locker.to_string(),
            compartment_id: compartment.to_string(),
            walking_metres: *walking_metres,
            reserved_until: Some(instant_to_proto(*reserved_until)),
            ..bare(PlacementKind::Locker, PlacementReason::Nearest)
        },
        Placement::Door(DoorReason::NoDepositConsent) => bare(PlacementKind::Door, PlacementReason::NoDepositConsent),
        Placement::Door(DoorReason::NoLockerFits) => bare(PlacementKind::Door, PlacementReason::NoLockerFits),
        Placement::Door(DoorReason::NoAccessibleLocker) => {
            bare(PlacementKind::Door, PlacementReason::NoAccessibleLocker)
        }
        Placement::Unresolved => bare(PlacementKind::Unresolved, PlacementReason::RecipientUnresolved),
    }
}

/// The places of a community that a courier found unusable.
pub fn unusable(places: &[v1::UnusablePlace], topology: &Topology) -> Result<Vec<Unusable>, Problem> {
    if places.len() > UNUSABLE_MAX {
        return Err(Problem::invalid("unusable", format!("at most {UNUSABLE_MAX}")));
    }
    let place = |(n, place): (usize, &v1::UnusablePlace)| {
        let locker = id(&place.locker_id, &format!("unusable[{n}].locker_id"))?;
        let compartment: Option<CompartmentId> = match place.compartment_id.as_str() {
            "" => None,
            text => Some(id(text, &format!("unusable[{n}].compartment_id"))?),
        };
        let known = match &compartment {
            Some(compartment) => topology.compartment(&locker, compartment).is_some(),
            None => topology.locker(&locker).is_some(),
        };
        if !known {
            return Err(Problem::NotFound(Missing::Compartment));
        }
        Ok(Unusable { locker, compartment })
    };
    places.iter().enumerate().map(place).collect()
}

/// A ranking for the wire.
pub fn ranking_to_proto(ranking: &[Candidate]) -> Vec<v1::RankedLocker> {
    let candidate = |candidate: &Candidate| v1::RankedLocker {
        locker_id: candidate.locker.to_string(),
        walking_metres: candidate.walking_metres,
        reason: reason_to_proto(candidate.reason).into(),
    };
    ranking.iter().map(candidate).collect()
}

fn reason_to_proto(reason: Reason) -> v1::PlacementReason {
    match reason {
        Reason::Nearest => v1::PlacementReason::Nearest,
        Reason::Farther => v1::PlacementReason::Farther,
        Reason::Full => v1::PlacementReason::Full,
        Reason::TooSmall => v1::PlacementReason::TooSmall,
        Reason::NotAccessible => v1::PlacementReason::NotAccessible,
        Reason::Offline => v1::PlacementReason::Offline,
        Reason::Closed => v1::PlacementReason::Closed,
        Reason::Unusable => v1::PlacementReason::Unusable,
        Reason::TooFar => v1::PlacementReason::TooFar,
        Reason::Steps => v1::PlacementReason::Steps,
        Reason::Unreachable => v1::PlacementReason::Unreachable,
    }
}

/// Which recall is answered; `None` for whichever is in effect.
pub fn recall_number(number: i32) -> Result<Option<u32>, Problem> {
    let number = u32::try_from(number).map_err(|_| Problem::invalid("recall_number", "1 or more, or 0 for any"))?;
    Ok(Some(number).filter(|number| *number != 0))
}
