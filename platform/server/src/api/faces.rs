//! The rpcs of enrolment: what a photograph gives, and what staff find about those that resemble somebody else.

use std::ops::ControlFlow;

use gatepost_domain::{Timestamp, principal::Principal, resident::Resident};
use gatepost_matching::ModelId;
use gatepost_proto::v1;
use gatepost_storage::{StoreError, Tx};

use super::{
    communities::administered,
    convert::{id, recognition, residents as wire},
    residents::{Residents, resident},
};
use crate::{
    enrolment::{Enrolment, Found, check_resident, only_face},
    platform::Mutation,
    problem::{Missing, PhotographProblem, Problem, settle},
    vision::{
        hub::{Analysis, Refusal},
        models::Models,
    },
};

/// Conflicts in an answer.
const LISTED_MAX: u64 = 500;
const PHOTOGRAPH_MAX_BYTES: usize = 8 * 1024 * 1024;

impl Residents {
    pub(super) async fn enrol(
        &self,
        caller: &Principal,
        request: v1::EnrolFaceRequest,
    ) -> Result<v1::EnrolFaceResponse, Problem> {
        let models = {
            let tx = self.0.store.read().await?;
            check(&tx, caller, &request.resident_id).await?;
            Models::read(&tx).await?
        };
        if request.photograph.len() > PHOTOGRAPH_MAX_BYTES {
            return Err(PhotographProblem::TooLarge.into());
        }
        // Looked at before the transaction: networks take time, and the database has others to serve.
        let (found, other) = self.look(&models, &request).await?;
        settle(|| self.enrol_found(caller, &request, &found, other.as_ref())).await
    }

    /// What the model in use finds in the photograph, and the other one of an upgrade, as far as it is fit for that one:
    /// what is not in use keeps nobody from being enrolled. Where only the other one has a worker, it stands alone.
    async fn look(&self, models: &Models, request: &v1::EnrolFaceRequest) -> Result<(Found, Option<Found>), Problem> {
        let (model, other) = self.0.at_work(models);
        let look = async |model| match model {
            Some(model) => self.look_by(&model, request).await,
            None => Err(Problem::NoVisionWorker),
        };
        match tokio::join!(look(model), look(other)) {
            (Ok(found), other) => Ok((found, other.ok())),
            (Err(Problem::NoVisionWorker), other) => Ok((other?, None)),
            (Err(problem), _) => Err(problem),
        }
    }

    async fn look_by(&self, model: &ModelId, request: &v1::EnrolFaceRequest) -> Result<Found, Problem> {
        let analysis = self.0.hub.analyse(model, request.photograph.clone(), self.0.now()).await;
        let Analysis { model, result, .. } = analysis.map_err(|refusal| match refusal {
            Refusal::NotAJpeg => PhotographProblem::NotAJpeg.into(),
            Refusal::TooLarge => PhotographProblem::TooLarge.into(),
            Refusal::NoVisionWorker | Refusal::Overload => Problem::NoVisionWorker,
            Refusal::Failed => Problem::VisionWorkerFailed,
        })?;
        Found::new(&model, only_face(&result.faces)?)
    }

    async fn enrol_found(
        &self,
        caller: &Principal,
        request: &v1::EnrolFaceRequest,
        found: &Found,
        other: Option<&Found>,
    ) -> Result<v1::EnrolFaceResponse, Problem> {
        let mutation = match self.0.begin(caller, "EnrolFace", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return self.0.repeat_personal(caller, answer).await,
            ControlFlow::Continue(mutation) => mutation,
        };
        let Mutation { tx, now, .. } = &mutation;
        let whose = check(tx, caller, &request.resident_id).await?;
        let outcome = self.0.enrol_face(tx, &whose, found, false, *now).await?;
        if let Enrolment::Resembles(resembled) = outcome {
            drop(mutation);
            let tx = self.0.store.write().await?;
            self.0.raise_conflicts(&tx, &whose, resembled).await?;
            tx.commit().await?;
            return Err(PhotographProblem::Conflict.into());
        }
        let outcome = match outcome {
            _ if self.enrol_beside(tx, &whose, other, *now).await? => v1::EnrolmentOutcome::Enrolled,
            Enrolment::Added => v1::EnrolmentOutcome::Enrolled,
            Enrolment::NearDuplicate => v1::EnrolmentOutcome::NearDuplicate,
            Enrolment::Full => return Err(PhotographProblem::Full.into()),
            Enrolment::Unlike | Enrolment::Resembles(_) => {
                return Err(Problem::Bug("a photograph need not be like the others"));
            }
        };
        let after = resident(tx, caller, &request.resident_id).await?;
        let answer = v1::EnrolFaceResponse {
            resident: Some(wire::resident_to_proto(&after)),
            score: found.score,
            face_width: found.face_width,
            quality: found.quality,
            outcome: outcome.into(),
        };
        self.0.commit_personal(mutation, answer).await
    }

    /// Whether the photograph adds a face under the other model of an upgrade.
    async fn enrol_beside(
        &self,
        tx: &Tx,
        whose: &Resident,
        other: Option<&Found>,
        now: Timestamp,
    ) -> Result<bool, Problem> {
        let Some(other) = other else { return Ok(false) };
        match self.0.enrol_face(tx, whose, other, false, now).await {
            Ok(outcome) => Ok(matches!(outcome, Enrolment::Added)),
            // The upgrade ended while it was looked at.
            Err(Problem::ModelMismatch { .. }) => Ok(false),
            Err(problem) => Err(problem),
        }
    }

    pub(super) async fn conflicts(
        &self,
        caller: &Principal,
        request: &v1::ListEnrolmentConflictsRequest,
    ) -> Result<v1::ListEnrolmentConflictsResponse, Problem> {
        let tx = self.0.store.read().await?;
        let community = administered(&tx, caller, &id(&request.community_id, "community_id")?).await?;
        let conflicts = tx.conflicts(&community.id, LISTED_MAX).await?;
        Ok(v1::ListEnrolmentConflictsResponse {
            conflicts: conflicts.iter().map(recognition::conflict_to_proto).collect(),
        })
    }

    pub(super) async fn settle_conflict(
        &self,
        caller: &Principal,
        request: &v1::SettleEnrolmentConflictRequest,
    ) -> Result<v1::SettleEnrolmentConflictResponse, Problem> {
        let found = recognition::resolution(request.resolution)?;
        let mutation = match self.0.begin(caller, "SettleEnrolmentConflict", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let whose = resident(&mutation.tx, caller, &request.resident_id).await?;
        let other = resident(&mutation.tx, caller, &request.other_resident_id).await?;
        let settled = mutation.tx.settle_conflict((whose.id, other.id), found, mutation.now).await;
        settled.map_err(|error| match error {
            StoreError::NotFound => Problem::NotFound(Missing::Conflict),
            other => other.into(),
        })?;
        self.0.commit(mutation, v1::SettleEnrolmentConflictResponse {}, &[]).await
    }

    pub(super) async fn delete_faces(
        &self,
        caller: &Principal,
        request: &v1::DeleteFacesRequest,
    ) -> Result<v1::DeleteFacesResponse, Problem> {
        let mutation = match self.0.begin(caller, "DeleteFaces", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return self.0.repeat_personal(caller, answer).await,
            ControlFlow::Continue(mutation) => mutation,
        };
        let before = resident(&mutation.tx, caller, &request.resident_id).await?;
        mutation.tx.delete_templates(before.id).await?;
        let after = resident(&mutation.tx, caller, &request.resident_id).await?;
        let answer = v1::DeleteFacesResponse { resident: Some(wire::resident_to_proto(&after)) };
        self.0.commit_personal(mutation, answer).await
    }
}

/// Whether this resident may have another face enrolled.
async fn check(tx: &Tx, caller: &Principal, id: &str) -> Result<Resident, Problem> {
    let resident = resident(tx, caller, id).await?;
    check_resident(tx, &resident).await?;
    Ok(resident)
}
