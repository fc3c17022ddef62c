//! Enrolment: one photograph, one face, one template. The photograph is not kept.

use std::ops::ControlFlow;

use gatepost_domain::{consent::Purpose, id::TemplateId, principal::Principal, resident::Resident};
use gatepost_matching::{Embedding, ModelId};
use gatepost_proto::v1;
use gatepost_storage::Tx;

use super::{
    convert::residents as wire,
    residents::{Residents, resident},
};
use crate::{
    platform::Mutation,
    problem::{PhotographProblem, Problem, settle},
    vision::hub::{Analysis, Refusal},
};

/// Faces a resident may have enrolled.
const FACES_MAX: u32 = 8;
const PHOTOGRAPH_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Below, too little of the face is left at gate resolution to compare.
const FACE_MIN_WIDTH: f32 = 48.0;

/// What a photograph gave.
struct Found {
    model: ModelId,
    embedding: Embedding,
    score: f32,
    face_width: f32,
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
                Refusal::Failed => Problem::Bug("the vision worker failed on a photograph"),
            })?;
        let face = match &mut result.faces[..] {
            [] => return Err(PhotographProblem::NoFace.into()),
            [face] => face,
            [..] => return Err(PhotographProblem::SeveralFaces.into()),
        };
        let face_width = face.r#box.map_or(0.0, |bounds| bounds.width);
        if face_width < FACE_MIN_WIDTH {
            return Err(PhotographProblem::TooSmall.into());
        }
        // Taken and not copied: its memory is cleared with the embedding.
        let embedding = Embedding::new(&model, std::mem::take(&mut face.embedding))
            .map_err(|_| Problem::Bug("the vision worker sent an unusable embedding"))?;
        Ok(Found { model, embedding, score: face.score, face_width })
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
        let id = TemplateId(self.0.new_id());
        let template = self.0.vault.seal(tx, &whose, id, &found.embedding, *now).await?;
        tx.insert_template(&template).await?;
        let after = resident(tx, caller, &request.resident_id).await?;
        let answer = v1::EnrolFaceResponse {
            resident: Some(wire::resident_to_proto(&after)),
            score: found.score,
            face_width: found.face_width,
        };
        self.0.commit_personal(mutation, answer).await
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
