//! Enrolment: one picture, one face, one template. No picture is kept.

use std::collections::BTreeMap;

use gatepost_domain::{
    Timestamp,
    consent::Purpose,
    id::{ResidentId, TemplateId},
    resident::Resident,
};
use gatepost_matching::{Embedding, ModelId};
use gatepost_proto::vision as wire;
use gatepost_storage::{EnrolmentConflict, Tx};

use crate::{
    photograph::unfit,
    platform::Platform,
    problem::{PhotographProblem, Problem},
    recognition::RecognitionPolicy,
    vision::models::Models,
};

/// Faces a resident may have enrolled under a model.
pub const FACES_MAX: u32 = 8;
/// From this cosine on, a face tells nothing that another one of the same resident does not tell. A choice: the same
/// photograph blurred keeps 0.91 with itself (see `photograph.rs`); other photographs of one person were not measured.
const NEAR_DUPLICATE: f32 = 0.95;

/// What a picture gave.
pub struct Found {
    /// The networks.
    pub model: ModelId,
    /// The face.
    pub embedding: Embedding,
    /// Detection score, 0 to 1.
    pub score: f32,
    /// In pixels.
    pub face_width: f32,
    /// How usable the face is, 0 to 1.
    pub quality: f32,
}

impl Found {
    /// A picture's only face. Its vector is copied: memory that is given back is cleared, this one's and that one's.
    pub fn new(model: &ModelId, face: &wire::Face) -> Result<Self, Problem> {
        let face_width = face.r#box.map_or(0.0, |bounds| bounds.width);
        let embedding = Embedding::new(model, face.embedding.clone()).map_err(|_| Problem::VisionWorkerFailed)?;
        Ok(Found { model: model.clone(), embedding, score: face.score, face_width, quality: face.quality })
    }
}

/// What became of a face.
pub enum Enrolment {
    /// It was added.
    Added,
    /// It tells nothing new.
    NearDuplicate,
    /// The resident has as many as may be.
    Full,
    /// It is not like the faces of the resident, where that was asked for.
    Unlike,
    /// It resembles others more than the gates allow a stranger to.
    Resembles(BTreeMap<ResidentId, f32>),
}

/// The only face of a picture, if it is fit to be enrolled.
pub fn only_face(faces: &[wire::Face]) -> Result<&wire::Face, PhotographProblem> {
    let face = match faces {
        [] => return Err(PhotographProblem::NoFace),
        [face] => face,
        [..] => return Err(PhotographProblem::SeveralFaces),
    };
    let unfit = unfit(face);
    if unfit.is_empty() { Ok(face) } else { Err(PhotographProblem::Unfit(unfit)) }
}

/// Whether this resident may have faces enrolled.
pub fn check_consent(resident: &Resident) -> Result<(), PhotographProblem> {
    if resident.agrees_to(Purpose::GateRecognition) { Ok(()) } else { Err(PhotographProblem::NoConsent) }
}

/// Whether this resident may have another face enrolled. While a model is upgraded, the faces themselves tell.
pub async fn check_resident(tx: &Tx, resident: &Resident) -> Result<(), Problem> {
    check_consent(resident)?;
    if resident.faces >= FACES_MAX && Models::read(tx).await?.other.is_none() {
        return Err(PhotographProblem::Full.into());
    }
    Ok(())
}

impl Platform {
    /// Enrols a face under its model and the community's lock. With `alike`, only one that is like those the resident has
    /// already.
    pub async fn enrol_face(
        &self,
        tx: &Tx,
        whose: &Resident,
        found: &Found,
        alike: bool,
        now: Timestamp,
    ) -> Result<Enrolment, Problem> {
        tx.keep_models().await?;
        let models = Models::read(tx).await?;
        if !models.has(&found.model) {
            return Err(models.mismatch(&found.model));
        }
        // Of two pictures at once, the second one is compared with the first one's face too.
        tx.lock_community(&whose.community).await?;
        let mut resembled = self.resembling(tx, whose, found).await?;
        let own = resembled.remove(&whose.id);
        let told_apart = tx.told_apart(whose.id).await?;
        resembled.retain(|other, _| !told_apart.contains(other));
        if !resembled.is_empty() {
            return Ok(Enrolment::Resembles(resembled));
        }
        if own.is_some_and(|similarity| similarity >= NEAR_DUPLICATE) {
            return Ok(Enrolment::NearDuplicate);
        }
        let model = found.model.as_str();
        let present = tx.templates_of(whose.id).await?.iter().filter(|face| face.model == model).count();
        if alike && own.is_none() && present > 0 {
            return Ok(Enrolment::Unlike);
        }
        if present >= FACES_MAX as usize {
            return Ok(Enrolment::Full);
        }
        let id = TemplateId(self.new_id());
        let template = self.vault.seal(tx, whose, id, &found.embedding, now).await?;
        tx.insert_template(&template).await?;
        Ok(Enrolment::Added)
    }

    /// Everybody of the community whom the face resembles more than its gates allow a stranger to.
    async fn resembling(&self, tx: &Tx, whose: &Resident, found: &Found) -> Result<BTreeMap<ResidentId, f32>, Problem> {
        let policy = RecognitionPolicy::read(tx.recognition_policy(&whose.community).await?)?;
        let setting = self.config.vision.similarity_min;
        let least = |faces| policy.chosen(Some(&found.model), faces, setting).similarity();
        Ok(self.vault.resembling(tx, &whose.community, &found.embedding, self.now(), least).await?)
    }

    /// Keeps who was mistaken for whom.
    pub async fn raise_conflicts(
        &self,
        tx: &Tx,
        whose: &Resident,
        resembled: BTreeMap<ResidentId, f32>,
    ) -> Result<(), Problem> {
        for (other, similarity) in resembled {
            let conflict = EnrolmentConflict {
                resident: whose.id,
                other,
                community: whose.community.clone(),
                similarity,
                found_at: self.now(),
                settled: None,
            };
            tx.raise_conflict(&conflict).await?;
        }
        Ok(())
    }
}
