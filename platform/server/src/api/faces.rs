//! Enrolment: one photograph, one face, one template. The photograph is not kept.

use std::{collections::BTreeMap, ops::ControlFlow};

use gatepost_domain::{
    consent::Purpose,
    id::{ResidentId, TemplateId},
    principal::Principal,
    resident::Resident,
};
use gatepost_matching::{Embedding, ModelId};
use gatepost_proto::v1;
use gatepost_storage::{EnrolmentConflict, StoreError, Tx};

use super::{
    communities::administered,
    convert::{id, recognition, residents as wire},
    residents::{Residents, resident},
};
use crate::{
    photograph::unfit,
    platform::Mutation,
    problem::{Missing, PhotographProblem, Problem, settle},
    recognition::RecognitionPolicy,
    vision::hub::{Analysis, Refusal},
};

/// Faces a resident may have enrolled.
const FACES_MAX: u32 = 8;
/// Conflicts in an answer.
const LISTED_MAX: u64 = 500;
const PHOTOGRAPH_MAX_BYTES: usize = 8 * 1024 * 1024;
/// From this cosine on, a face tells nothing that another one of the same resident does not tell. A choice: the same
/// photograph blurred keeps 0.91 with itself (see `photograph.rs`); other photographs of one person were not measured.
const NEAR_DUPLICATE: f32 = 0.95;

/// What a photograph gave.
struct Found {
    model: ModelId,
    embedding: Embedding,
    score: f32,
    face_width: f32,
    quality: f32,
}

impl Residents {
    pub(super) async fn enrol(
        &self,
        caller: &Principal,
        request: v1::EnrolFaceRequest,
    ) -> Result<v1::EnrolFaceResponse, Problem> {
        {
            let tx = self.0.store.read().await?;
            check(&tx, caller, &request.resident_id).await?;
        }
        if request.photograph.len() > PHOTOGRAPH_MAX_BYTES {
            return Err(PhotographProblem::TooLarge.into());
        }
        // Looked at before the transaction: networks take time, and the database has others to serve.
        let found = self.look(&request).await?;
        settle(|| self.enrol_found(caller, &request, &found)).await
    }

    async fn look(&self, request: &v1::EnrolFaceRequest) -> Result<Found, Problem> {
        let Analysis { model, mut result, .. } =
            self.0.hub.analyse(request.photograph.clone(), self.0.now()).await.map_err(|refusal| match refusal {
                Refusal::NotAJpeg => PhotographProblem::NotAJpeg.into(),
                Refusal::TooLarge => PhotographProblem::TooLarge.into(),
                Refusal::NoVisionWorker | Refusal::Overload => Problem::NoVisionWorker,
                Refusal::Failed => Problem::VisionWorkerFailed,
            })?;
        let face = match &mut result.faces[..] {
            [] => return Err(PhotographProblem::NoFace.into()),
            [face] => face,
            [..] => return Err(PhotographProblem::SeveralFaces.into()),
        };
        let unfit = unfit(face);
        if !unfit.is_empty() {
            return Err(PhotographProblem::Unfit(unfit).into());
        }
        let face_width = face.r#box.map_or(0.0, |bounds| bounds.width);
        // Taken and not copied: its memory is cleared with the embedding.
        let embedding =
            Embedding::new(&model, std::mem::take(&mut face.embedding)).map_err(|_| Problem::VisionWorkerFailed)?;
        Ok(Found { model, embedding, score: face.score, face_width, quality: face.quality })
    }

    async fn enrol_found(
        &self,
        caller: &Principal,
        request: &v1::EnrolFaceRequest,
        found: &Found,
    ) -> Result<v1::EnrolFaceResponse, Problem> {
        let mutation = match self.0.begin(caller, "EnrolFace", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return self.0.repeat_personal(caller, answer).await,
            ControlFlow::Continue(mutation) => mutation,
        };
        let Mutation { tx, now, .. } = &mutation;
        let whose = check(tx, caller, &request.resident_id).await?;
        if let Some(enrolled) = tx.enrolled_model().await?
            && enrolled != found.model.as_str()
        {
            return Err(Problem::ModelMismatch { enrolled, offered: found.model.as_str().to_owned() });
        }
        // Of two photographs at once, the second one is compared with the first one's face too.
        tx.lock_community(&whose.community).await?;
        let mut resembled = self.resembling(tx, &whose, found).await?;
        let own = resembled.remove(&whose.id);
        let told_apart = tx.told_apart(whose.id).await?;
        resembled.retain(|other, _| !told_apart.contains(other));
        if !resembled.is_empty() {
            drop(mutation);
            return self.raise(&whose, resembled).await;
        }
        let outcome = if own.is_some_and(|similarity| similarity >= NEAR_DUPLICATE) {
            v1::EnrolmentOutcome::NearDuplicate
        } else {
            let id = TemplateId(self.0.new_id());
            let template = self.0.vault.seal(tx, &whose, id, &found.embedding, *now).await?;
            tx.insert_template(&template).await?;
            v1::EnrolmentOutcome::Enrolled
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

    /// Everybody of the community whom the face resembles more than its gates allow a stranger to.
    async fn resembling(&self, tx: &Tx, whose: &Resident, found: &Found) -> Result<BTreeMap<ResidentId, f32>, Problem> {
        let policy = RecognitionPolicy::read(tx.recognition_policy(&whose.community).await?)?;
        let setting = self.0.config.vision.similarity_min;
        let least = |faces| policy.chosen(Some(&found.model), faces, setting).similarity();
        Ok(self.0.vault.resembling(tx, &whose.community, &found.embedding, self.0.now(), least).await?)
    }

    /// Keeps who was mistaken for whom, and refuses the photograph.
    async fn raise<T>(&self, whose: &Resident, resembled: BTreeMap<ResidentId, f32>) -> Result<T, Problem> {
        let tx = self.0.store.write().await?;
        for (other, similarity) in resembled {
            let conflict = EnrolmentConflict {
                resident: whose.id,
                other,
                community: whose.community.clone(),
                similarity,
                found_at: self.0.now(),
                settled: None,
            };
            tx.raise_conflict(&conflict).await?;
        }
        tx.commit().await?;
        Err(PhotographProblem::Conflict.into())
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
    if !resident.agrees_to(Purpose::GateRecognition) {
        return Err(PhotographProblem::NoConsent.into());
    }
    if resident.faces >= FACES_MAX {
        return Err(PhotographProblem::Full.into());
    }
    Ok(resident)
}
