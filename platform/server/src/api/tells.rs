//! Whom the messages of rpcs that answer with what is personal ask for and tell of. An rpc of theirs whose messages are
//! missing here does not compile.

use gatepost_proto::v1;
use tonic::{Request, Response, Status};

use super::status::status;
use crate::{
    auth::looks::{Noted, Notes, Tells},
    problem::Problem,
};

/// What an rpc answers.
pub type Answer<T> = Result<Response<T>, Status>;

/// The request, with whom it asks for noted.
pub fn asked<T: Tells>(request: Request<T>) -> (Noted, T) {
    let noted = Noted::of(&request);
    let request = request.into_inner();
    noted.note(&request);
    (noted, request)
}

/// The answer, with whom it tells of noted.
pub fn told<T: Tells>(noted: &Noted, answer: Result<T, Problem>) -> Answer<T> {
    answer.inspect(|answer| noted.note(answer)).map(Response::new).map_err(status)
}

/// Requests: what of them names the request, the community and the subjects.
macro_rules! asks {
    ($($message:ident { $($what:ident: $field:ident),* })+) => {
        $(impl Tells for v1::$message {
            fn tell(&self, notes: &mut Notes) {
                $(notes.$what(&self.$field);)*
                let _ = notes;
            }
        })+
    };
}

asks! {
    DeleteResidentRequest { request: request_id, subject: resident_id }
    GrantConsentRequest { request: request_id, subject: resident_id }
    WithdrawConsentRequest { request: request_id, subject: resident_id }
    EnrolFaceRequest { request: request_id, subject: resident_id }
    OpenCaptureRequest { request: request_id, subject: resident_id }
    GetCaptureRequest { subject: resident_id }
    Capture { subject: resident_id }
    DeleteFacesRequest { request: request_id, subject: resident_id }
    ImportPickupsRequest { request: request_id, subject: resident_id }
    ResolveParcelRequest { request: request_id, subject: resident_id }
    ExtendStayRequest { request: request_id, subject: parcel_id }
    HoldStayRequest { request: request_id, subject: parcel_id }
    ReleaseStayRequest { request: request_id, subject: parcel_id }
    ReportMisidentificationRequest { request: request_id, subject: resident_id }
    SettleMisidentificationRequest { request: request_id, subject: resident_id }
    SettleEnrolmentConflictRequest { request: request_id, subject: resident_id, subject: other_resident_id }
    GetResidentRequest { subject: resident_id }
    GetUsualPickupRequest { subject: resident_id }
    ListRemindersRequest { subject: resident_id }
    ExportResidentRequest { subject: resident_id }
    ListResidentsRequest { community: community_id }
    ListUnresolvedParcelsRequest { community: community_id }
    ListMisidentificationsRequest { community: community_id }
    ListEnrolmentConflictsRequest { community: community_id }
    Resident { community: community_id, subject: id }
    UnresolvedParcel { subject: parcel_id }
    Misidentification { subject: resident_id }
    Decision { subject: resident_id, subject: parcel_id }
    EnrolmentConflict { subject: resident_id, subject: other_resident_id }
    DeleteResidentResponse {}
    ImportPickupsResponse {}
    ResolveParcelResponse {}
    ExtendStayResponse {}
    HoldStayResponse {}
    ReleaseStayResponse {}
    SettleMisidentificationResponse {}
    SettleEnrolmentConflictResponse {}
    GetUsualPickupResponse {}
    ListRemindersResponse {}
    ExportResidentResponse {}
}

impl Tells for v1::UpdateResidentRequest {
    fn tell(&self, notes: &mut Notes) {
        notes.request(&self.request_id);
        self.resident.iter().for_each(|resident| notes.subject(&resident.id));
    }
}

impl Tells for v1::ListDecisionsRequest {
    fn tell(&self, notes: &mut Notes) {
        use v1::list_decisions_request::About;
        match &self.about {
            Some(About::ParcelId(id) | About::ResidentId(id)) => notes.subject(id),
            // The answer tells of whom it is.
            Some(About::DecisionId(_)) | None => {}
        }
    }
}

impl Tells for v1::CreateResidentRequest {
    fn tell(&self, notes: &mut Notes) {
        notes.request(&self.request_id);
        // The id is the platform's to choose.
        self.resident.iter().for_each(|resident| notes.community(&resident.community_id));
    }
}

/// Answers with messages that tell of somebody.
macro_rules! answers {
    ($($message:ident: $field:ident),+ $(,)?) => {
        $(impl Tells for v1::$message {
            fn tell(&self, notes: &mut Notes) {
                self.$field.iter().for_each(|told| told.tell(notes));
            }
        })+
    };
}

answers! {
    CreateResidentResponse: resident,
    UpdateResidentResponse: resident,
    GetResidentResponse: resident,
    ListResidentsResponse: residents,
    GrantConsentResponse: resident,
    WithdrawConsentResponse: resident,
    EnrolFaceResponse: resident,
    OpenCaptureResponse: capture,
    GetCaptureResponse: capture,
    DeleteFacesResponse: resident,
    ListUnresolvedParcelsResponse: parcels,
    ReportMisidentificationResponse: misidentification,
    ListMisidentificationsResponse: misidentifications,
    ListDecisionsResponse: decisions,
    ListEnrolmentConflictsResponse: conflicts,
}
