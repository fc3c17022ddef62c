//! A resident, as far as the property's staff act for them.

use bytes::Bytes;
use gatepost_proto::v1::{self, ConsentPurpose};
use jiff::Timestamp;

use crate::world::until;

use super::{Administrator, Answer, answer, from_wire, new_request_id, to_wire};

/// Somebody on the roster.
#[derive(Clone)]
pub struct Resident {
    pub(crate) administrator: Administrator,
    /// `res_..`.
    pub id: String,
    /// As on labels.
    pub name: String,
    /// As on labels.
    pub phone: String,
    /// As on labels, for example "3号楼".
    pub building: String,
    /// As on labels.
    pub unit: String,
    /// As smart cameras know them.
    pub person_reference: String,
}

impl Resident {
    /// Agrees to a purpose.
    pub async fn consent(&self, purpose: ConsentPurpose) {
        let request = v1::GrantConsentRequest {
            request_id: new_request_id(),
            resident_id: self.id.clone(),
            purpose: purpose.into(),
            notice: "notice-2026-01".to_owned(),
            ..Default::default()
        };
        answer(self.administrator.residents().grant_consent(request).await).expect("the consent is recorded");
    }

    /// Agrees no longer.
    pub async fn withdraw(&self, purpose: ConsentPurpose) -> v1::Resident {
        let request = v1::WithdrawConsentRequest {
            request_id: new_request_id(),
            resident_id: self.id.clone(),
            purpose: purpose.into(),
            ..Default::default()
        };
        let answer = answer(self.administrator.residents().withdraw_consent(request).await);
        answer.expect("the withdrawal is recorded").resident.expect("a resident")
    }

    /// Has a face enrolled from a photograph.
    pub async fn enrol(&self, photograph: impl Into<Bytes>) -> Answer<v1::EnrolFaceResponse> {
        let request = v1::EnrolFaceRequest {
            request_id: new_request_id(),
            resident_id: self.id.clone(),
            photograph: photograph.into(),
        };
        answer(self.administrator.residents().enrol_face(request).await)
    }

    /// Staff settle that the two are different people, however similar.
    pub async fn told_apart_from(&self, other: &Resident) {
        let request = v1::SettleEnrolmentConflictRequest {
            request_id: new_request_id(),
            resident_id: self.id.clone(),
            other_resident_id: other.id.clone(),
            resolution: v1::ConflictResolution::DifferentPeople.into(),
        };
        answer(self.administrator.residents().settle_enrolment_conflict(request).await).expect("it is settled");
    }

    /// Agrees to recognition and has a face enrolled.
    pub async fn agree_and_enrol(&self, photograph: impl Into<Bytes>) {
        self.consent(ConsentPurpose::GateRecognition).await;
        self.enrol(photograph).await.expect("the face is enrolled");
    }

    /// Every reminder, newest first.
    pub async fn reminders(&self) -> Vec<v1::ReminderRecord> {
        let request = v1::ListRemindersRequest { resident_id: self.id.clone() };
        answer(self.administrator.residents().list_reminders(request).await).expect("the list").reminders
    }

    /// Every reminder, as soon as their record is as the test wants it.
    pub async fn reminders_when(
        &self,
        what: &str,
        wanted: impl Fn(&[v1::ReminderRecord]) -> bool,
    ) -> Vec<v1::ReminderRecord> {
        until(what, || async { wanted(&self.reminders().await) }).await;
        self.reminders().await
    }

    /// Past pickups from another system.
    pub async fn import_pickups(&self, times: &[Timestamp]) -> Answer<i32> {
        let request = v1::ImportPickupsRequest {
            request_id: new_request_id(),
            resident_id: self.id.clone(),
            pickup_times: times.iter().map(|at| to_wire(*at)).collect(),
        };
        answer(self.administrator.residents().import_pickups(request).await).map(|answer| answer.added)
    }

    /// The next usual pickup, and from how many pickups that is known.
    pub async fn usual_pickup(&self) -> (Timestamp, i32) {
        let request = v1::GetUsualPickupRequest { resident_id: self.id.clone() };
        let usual = answer(self.administrator.residents().get_usual_pickup(request).await).expect("an answer");
        (from_wire(usual.next_time.expect("a time")), usual.pickups)
    }

    /// As on record.
    pub async fn on_record(&self) -> Answer<v1::Resident> {
        let request = v1::GetResidentRequest { resident_id: self.id.clone() };
        answer(self.administrator.residents().get_resident(request).await)
            .map(|answer| answer.resident.expect("a resident"))
    }

    /// Moves away.
    pub async fn delete(&self) {
        let request = v1::DeleteResidentRequest { request_id: new_request_id(), resident_id: self.id.clone() };
        answer(self.administrator.residents().delete_resident(request).await).expect("the deletion");
    }
}
