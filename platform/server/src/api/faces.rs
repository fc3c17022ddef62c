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
    vision::{
        hub::{Analysis, Refusal},
        models::Models,
    },
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

/// What a face adds to those that are enrolled.
enum Novelty {
    New,
    /// Nothing: the resident has one like it.
    NearDuplicate,
    /// Nothing: the resident has as many as may be.
    Full,
    /// It is like those of others, by so much.
    Conflict(BTreeMap<ResidentId, f32>),
}

impl Residents {
    pub(super) async fn enrol(
        &self,
        caller: &Principal,
        request: v1::EnrolFaceRequest,
    ) -> Result<v1::EnrolFaceResponse, Problem> {
        {
            let tx = self.0.store.read().await?;
            let resident = check(&tx, caller, &request.resident_id).await?;
            if resident.faces >= FACES_MAX && Models::read(&tx).await?.other.is_none() {
                return Err(PhotographProblem::Full.into());
            }
        }
        if request.photograph.len() > PHOTOGRAPH_MAX_BYTES {
            return Err(PhotographProblem::TooLarge.into());
        }
        // Looked at before the transaction: networks take time, and the database has others to serve.
        let (found, other) = self.look(&request).await?;
        settle(|| self.enrol_found(caller, &request, &found, other.as_ref())).await
    }

    /// What the model in use finds in the photograph, and the other one of an upgrade, as far as it is fit for that one:
    /// what is not in use keeps nobody from being enrolled. Where only the other one has a worker, it stands alone.
    async fn look(&self, request: &v1::EnrolFaceRequest) -> Result<(Found, Option<Found>), Problem> {
        let (model, other) = self.0.models_at_work().await?;
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
        let Analysis { model, mut result, .. } = analysis.map_err(|refusal| match refusal {
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
        other: Option<&Found>,
    ) -> Result<v1::EnrolFaceResponse, Problem> {
        let mutation = match self.0.begin(caller, "EnrolFace", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return self.0.repeat_personal(caller, answer).await,
            ControlFlow::Continue(mutation) => mutation,
        };
        let Mutation { tx, now, .. } = &mutation;
        let whose = check(tx, caller, &request.resident_id).await?;
        tx.hold_models().await?;
        let models = Models::read(tx).await?;
        if !models.has(&found.model) {
            return Err(models.mismatch(&found.model));
        }
        // Of two photographs at once, the second one is compared with the first one's face too.
        tx.lock_community(&whose.community).await?;
        let novelty = self.novelty(tx, &whose, found).await?;
        let beside = match other.filter(|other| models.has(&other.model)) {
            Some(other) => matches!(self.novelty(tx, &whose, other).await?, Novelty::New).then_some(other),
            None => None,
        };
        let new = matches!(novelty, Novelty::New).then_some(found);
        let outcome = match novelty {
            Novelty::Conflict(resembled) => {
                drop(mutation);
                return self.raise(&whose, resembled).await;
            }
            Novelty::Full if beside.is_none() => return Err(PhotographProblem::Full.into()),
            Novelty::NearDuplicate if beside.is_none() => v1::EnrolmentOutcome::NearDuplicate,
            Novelty::New | Novelty::Full | Novelty::NearDuplicate => v1::EnrolmentOutcome::Enrolled,
        };
        for found in new.into_iter().chain(beside) {
            let id = TemplateId(self.0.new_id());
            let template = self.0.vault.seal(tx, &whose, id, &found.embedding, *now).await?;
            tx.insert_template(&template).await?;
        }
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

    /// What a face would add to those enrolled under its model.
    async fn novelty(&self, tx: &Tx, whose: &Resident, found: &Found) -> Result<Novelty, Problem> {
        let mut resembled = self.resembling(tx, whose, found).await?;
        let own = resembled.remove(&whose.id);
        let told_apart = tx.told_apart(whose.id).await?;
        resembled.retain(|other, _| !told_apart.contains(other));
        let faces = tx.templates_of(whose.id).await?;
        let full = faces.iter().filter(|face| face.model == found.model.as_str()).count() >= FACES_MAX as usize;
        Ok(match own {
            _ if !resembled.is_empty() => Novelty::Conflict(resembled),
            Some(similarity) if similarity >= NEAR_DUPLICATE => Novelty::NearDuplicate,
            _ if full => Novelty::Full,
            _ => Novelty::New,
        })
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
    Ok(resident)
}
