//! Residents, consents and reminders.

use gatepost_domain::{ReminderCause, consent::Purpose, id::ResidentId, resident::Resident};
use gatepost_proto::v1;
use gatepost_storage::{Channel, Delivery, NoticeRecord, ShownNotice};

use super::{id, instant_to_proto, required, text};
use crate::problem::Problem;

/// The longest reference of a guardian.
const GUARDIAN_MAX: usize = 64;

/// A resident with its limits. Consents and faces are output only and ignored.
pub fn resident(id_: ResidentId, resident: v1::Resident) -> Result<Resident, Problem> {
    let phone = text(&resident.phone, "resident.phone", 32)?;
    if !phone.is_empty() && gatepost_domain::resident::phone_key(&phone).is_none() {
        return Err(Problem::invalid("resident.phone", "at least 8 digits, or empty"));
    }
    let email = text(&resident.email, "resident.email", 254)?;
    if !email.is_empty() && email.parse::<lettre::Address>().is_err() {
        return Err(Problem::invalid("resident.email", "an address such as name@example.org, or empty"));
    }
    Ok(Resident {
        id: id_,
        community: id(&resident.community_id, "resident.community_id")?,
        name: required(&resident.name, "resident.name", 200)?,
        phone,
        email,
        building: id(&resident.building_id, "resident.building_id")?,
        unit: text(&resident.unit, "resident.unit", 100)?,
        person_reference: text(&resident.person_reference, "resident.person_reference", 100)?,
        needs_accessible: resident.needs_accessible,
        under_14: resident.under_14,
        consents: Vec::new(),
        faces: 0,
        face_models: Vec::new(),
    })
}

/// A resident for the wire.
pub fn resident_to_proto(resident: &Resident) -> v1::Resident {
    v1::Resident {
        id: resident.id.to_string(),
        community_id: resident.community.to_string(),
        name: resident.name.clone(),
        phone: resident.phone.clone(),
        email: resident.email.clone(),
        building_id: resident.building.to_string(),
        unit: resident.unit.clone(),
        person_reference: resident.person_reference.clone(),
        needs_accessible: resident.needs_accessible,
        under_14: resident.under_14,
        consents: resident.consents.iter().map(|purpose| purpose_to_proto(*purpose).into()).collect(),
        faces: resident.faces as i32,
        face_models: resident.face_models.clone(),
    }
}

/// The notice that was shown.
pub fn notice(request: &v1::GrantConsentRequest) -> Result<ShownNotice, Problem> {
    let sha256 = match &request.notice_sha256[..] {
        [] => None,
        bytes => Some(bytes.try_into().map_err(|_| Problem::invalid("notice_sha256", "32 bytes, or empty"))?),
    };
    let version = required(&request.notice, "notice", 200)?;
    let guardian = guardian(&request.guardian)?;
    Ok(ShownNotice { version, sha256, by_guardian: request.by_guardian || !guardian.is_empty(), guardian })
}

/// Who agreed for the resident. What could hold a name is refused: the ledger outlives the resident.
fn guardian(guardian: &str) -> Result<String, Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if guardian.len() > GUARDIAN_MAX || !guardian.chars().all(plain) {
        let wanted = "a resident's id, or a reference of at most 64 ASCII letters, digits, '.', '_' and '-': no name";
        return Err(Problem::invalid("guardian", wanted));
    }
    Ok(guardian.to_owned())
}

/// A purpose that must be chosen.
pub fn purpose(value: i32) -> Result<Purpose, Problem> {
    match v1::ConsentPurpose::try_from(value) {
        Ok(v1::ConsentPurpose::GateRecognition) => Ok(Purpose::GateRecognition),
        Ok(v1::ConsentPurpose::LockerDeposit) => Ok(Purpose::LockerDeposit),
        Ok(v1::ConsentPurpose::ReminderGateDisplay) => Ok(Purpose::ReminderGateDisplay),
        Ok(v1::ConsentPurpose::ReminderWebhook) => Ok(Purpose::ReminderWebhook),
        Ok(v1::ConsentPurpose::ReminderEmail) => Ok(Purpose::ReminderEmail),
        Ok(v1::ConsentPurpose::Unspecified) | Err(_) => Err(Problem::invalid(
            "purpose",
            "GATE_RECOGNITION, LOCKER_DEPOSIT, REMINDER_GATE_DISPLAY, REMINDER_WEBHOOK or REMINDER_EMAIL",
        )),
    }
}

fn purpose_to_proto(purpose: Purpose) -> v1::ConsentPurpose {
    match purpose {
        Purpose::GateRecognition => v1::ConsentPurpose::GateRecognition,
        Purpose::LockerDeposit => v1::ConsentPurpose::LockerDeposit,
        Purpose::ReminderGateDisplay => v1::ConsentPurpose::ReminderGateDisplay,
        Purpose::ReminderWebhook => v1::ConsentPurpose::ReminderWebhook,
        Purpose::ReminderEmail => v1::ConsentPurpose::ReminderEmail,
    }
}

/// A reminder's record for the wire.
pub fn reminder_to_proto(notice: &NoticeRecord) -> v1::ReminderRecord {
    let (gate_id, similarity) = match &notice.cause {
        ReminderCause::SeenAtGate { gate, similarity } => (gate.to_string(), similarity.unwrap_or_default()),
        ReminderCause::UsualHour => (String::new(), 0.0),
    };
    let delivery = match notice.delivery {
        Delivery::Pending => v1::DeliveryState::Pending,
        Delivery::Delivered => v1::DeliveryState::Delivered,
        Delivery::Failed => v1::DeliveryState::Failed,
    };
    let channel = match notice.channel {
        Channel::GateDisplay => "gate_display",
        Channel::Webhook => "webhook",
        Channel::Email => "email",
    };
    v1::ReminderRecord {
        parcel_id: notice.parcel.to_string(),
        decide_time: Some(instant_to_proto(notice.decided_at)),
        channel: channel.to_owned(),
        delivery: delivery.into(),
        attempts: notice.attempts as i32,
        last_error: notice.last_error.clone(),
        gate_id,
        similarity,
    }
}
