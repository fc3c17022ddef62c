//! The rpcs of ResidentService: who, what, do, answer.

use gatepost_proto::v1::{self, resident_service_server::ResidentService};
use tonic::Request;

use super::{
    residents::Residents,
    status::status,
    tells::{Answer, asked, told},
};
use crate::{auth::caller, problem::settle};

/// A mutation that is taken again when it lost a race.
macro_rules! mutate {
    ($self:ident, $request:ident, $work:ident) => {{
        let caller = caller(&$request).map_err(status)?;
        let (noted, request) = asked($request);
        told(&noted, settle(|| $self.$work(&caller, &request)).await)
    }};
}

#[tonic::async_trait]
impl ResidentService for Residents {
    async fn create_resident(&self, request: Request<v1::CreateResidentRequest>) -> Answer<v1::CreateResidentResponse> {
        mutate!(self, request, create)
    }

    async fn update_resident(&self, request: Request<v1::UpdateResidentRequest>) -> Answer<v1::UpdateResidentResponse> {
        mutate!(self, request, update)
    }

    async fn get_resident(&self, request: Request<v1::GetResidentRequest>) -> Answer<v1::GetResidentResponse> {
        let caller = caller(&request).map_err(status)?;
        let (noted, request) = asked(request);
        let resident = self.get(&caller, &request.resident_id).await;
        told(&noted, resident.map(|resident| v1::GetResidentResponse { resident: Some(resident) }))
    }

    async fn list_residents(&self, request: Request<v1::ListResidentsRequest>) -> Answer<v1::ListResidentsResponse> {
        let caller = caller(&request).map_err(status)?;
        let (noted, request) = asked(request);
        told(&noted, self.list(&caller, request).await)
    }

    async fn delete_resident(&self, request: Request<v1::DeleteResidentRequest>) -> Answer<v1::DeleteResidentResponse> {
        mutate!(self, request, delete)
    }

    async fn grant_consent(&self, request: Request<v1::GrantConsentRequest>) -> Answer<v1::GrantConsentResponse> {
        mutate!(self, request, grant)
    }

    async fn withdraw_consent(
        &self,
        request: Request<v1::WithdrawConsentRequest>,
    ) -> Answer<v1::WithdrawConsentResponse> {
        mutate!(self, request, withdraw)
    }

    async fn enrol_face(&self, request: Request<v1::EnrolFaceRequest>) -> Answer<v1::EnrolFaceResponse> {
        let caller = caller(&request).map_err(status)?;
        let (noted, request) = asked(request);
        told(&noted, self.enrol(&caller, request).await)
    }

    async fn open_capture(&self, request: Request<v1::OpenCaptureRequest>) -> Answer<v1::OpenCaptureResponse> {
        mutate!(self, request, open_capture)
    }

    async fn get_capture(&self, request: Request<v1::GetCaptureRequest>) -> Answer<v1::GetCaptureResponse> {
        let caller = caller(&request).map_err(status)?;
        let (noted, request) = asked(request);
        told(&noted, self.get_capture(&caller, &request).await)
    }

    async fn delete_faces(&self, request: Request<v1::DeleteFacesRequest>) -> Answer<v1::DeleteFacesResponse> {
        mutate!(self, request, delete_faces)
    }

    async fn import_pickups(&self, request: Request<v1::ImportPickupsRequest>) -> Answer<v1::ImportPickupsResponse> {
        mutate!(self, request, import_pickups)
    }

    async fn get_usual_pickup(
        &self,
        request: Request<v1::GetUsualPickupRequest>,
    ) -> Answer<v1::GetUsualPickupResponse> {
        let caller = caller(&request).map_err(status)?;
        let (noted, request) = asked(request);
        told(&noted, self.usual(&caller, &request.resident_id).await)
    }

    async fn list_unresolved_parcels(
        &self,
        request: Request<v1::ListUnresolvedParcelsRequest>,
    ) -> Answer<v1::ListUnresolvedParcelsResponse> {
        let caller = caller(&request).map_err(status)?;
        let (noted, request) = asked(request);
        told(&noted, self.unresolved(&caller, request).await)
    }

    async fn resolve_parcel(&self, request: Request<v1::ResolveParcelRequest>) -> Answer<v1::ResolveParcelResponse> {
        mutate!(self, request, resolve)
    }

    async fn extend_stay(&self, request: Request<v1::ExtendStayRequest>) -> Answer<v1::ExtendStayResponse> {
        mutate!(self, request, extend)
    }

    async fn report_misidentification(
        &self,
        request: Request<v1::ReportMisidentificationRequest>,
    ) -> Answer<v1::ReportMisidentificationResponse> {
        mutate!(self, request, report_misidentification)
    }

    async fn settle_misidentification(
        &self,
        request: Request<v1::SettleMisidentificationRequest>,
    ) -> Answer<v1::SettleMisidentificationResponse> {
        mutate!(self, request, settle_misidentification)
    }

    async fn list_misidentifications(
        &self,
        request: Request<v1::ListMisidentificationsRequest>,
    ) -> Answer<v1::ListMisidentificationsResponse> {
        let caller = caller(&request).map_err(status)?;
        let (noted, request) = asked(request);
        told(&noted, self.misidentifications(&caller, &request).await)
    }

    async fn list_enrolment_conflicts(
        &self,
        request: Request<v1::ListEnrolmentConflictsRequest>,
    ) -> Answer<v1::ListEnrolmentConflictsResponse> {
        let caller = caller(&request).map_err(status)?;
        let (noted, request) = asked(request);
        told(&noted, self.conflicts(&caller, &request).await)
    }

    async fn settle_enrolment_conflict(
        &self,
        request: Request<v1::SettleEnrolmentConflictRequest>,
    ) -> Answer<v1::SettleEnrolmentConflictResponse> {
        mutate!(self, request, settle_conflict)
    }

    async fn hold_stay(&self, request: Request<v1::HoldStayRequest>) -> Answer<v1::HoldStayResponse> {
        mutate!(self, request, hold)
    }

    async fn release_stay(&self, request: Request<v1::ReleaseStayRequest>) -> Answer<v1::ReleaseStayResponse> {
        mutate!(self, request, release)
    }

    async fn list_reminders(&self, request: Request<v1::ListRemindersRequest>) -> Answer<v1::ListRemindersResponse> {
        let caller = caller(&request).map_err(status)?;
        let (noted, request) = asked(request);
        told(&noted, self.reminders(&caller, &request.resident_id).await)
    }

    async fn list_decisions(&self, request: Request<v1::ListDecisionsRequest>) -> Answer<v1::ListDecisionsResponse> {
        let caller = caller(&request).map_err(status)?;
        let (noted, request) = asked(request);
        told(&noted, self.decisions(&caller, request).await)
    }
}
