//! Enrolment at a gate: for a minute, the frames of its camera that show one good face are enrolled as photographs are,
//! for one resident who agreed and whom staff have put there. No frame is kept, only how many gave what.

use gatepost_domain::{
    Timestamp,
    id::{CommunityId, GateId},
};
use gatepost_matching::ModelId;
use gatepost_proto::vision as wire;
use gatepost_storage::{Capture, Tx};
use jiff::SignedDuration;

use crate::{
    api::status::reasons,
    enrolment::{Enrolment, Found, check_consent, only_face},
    platform::Platform,
    problem::{PhotographProblem, Problem, settle},
};

/// How long a capture is open: to walk up and look into the camera, and not for who comes next.
pub const OPEN_FOR: SignedDuration = SignedDuration::from_secs(60);
/// How long it can be asked for.
pub const KEPT_FOR: SignedDuration = SignedDuration::from_hours(1);

impl Platform {
    /// Takes in a frame with faces at a gate where a capture is under way.
    pub async fn capture_frame(
        &self,
        (community, gate): (&CommunityId, &GateId),
        model: &ModelId,
        faces: &[wire::Face],
        captured_at: Timestamp,
    ) -> Result<(), Problem> {
        let found = match only_face(faces) {
            Ok(face) => Ok(Found::new(model, face)?),
            Err(problem) => Err(problem),
        };
        settle(|| self.try_capture_frame((community, gate), &found, captured_at)).await
    }

    async fn try_capture_frame(
        &self,
        (community, gate): (&CommunityId, &GateId),
        found: &Result<Found, PhotographProblem>,
        captured_at: Timestamp,
    ) -> Result<(), Problem> {
        let tx = self.store.write().await?;
        tx.lock_community(community).await?;
        let now = self.now();
        // Looked for again: it may have had enough, or the consent may be gone.
        let Some(mut capture) = tx.open_capture(community, gate, now).await? else { return Ok(()) };
        // Who passed before it was opened is somebody else.
        if captured_at < capture.opened_at {
            return Ok(());
        }
        capture.frames = capture.frames.saturating_add(1);
        let refused = match found {
            Ok(found) => self.enrol_captured(&tx, &mut capture, found, now).await?,
            Err(problem) => reasons(problem),
        };
        for reason in refused {
            *capture.refused.entry(reason.to_owned()).or_default() += 1;
        }
        tx.save_capture(&capture).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Enrols the face, or says why not. Ends the capture that has enough, or can have no more.
    async fn enrol_captured(
        &self,
        tx: &Tx,
        capture: &mut Capture,
        found: &Found,
        now: Timestamp,
    ) -> Result<Vec<&'static str>, Problem> {
        let Some(whose) = tx.resident(capture.resident).await? else { return Ok(Vec::new()) };
        if let Err(problem) = check_consent(&whose) {
            capture.ends_at = now;
            return Ok(reasons(&problem));
        }
        // Anybody can step in front of a gate's camera: after the first face only such as are like it.
        match self.enrol_face(tx, &whose, found, true, now).await {
            Ok(Enrolment::Added) => {
                capture.enrolled += 1;
                if capture.enrolled >= capture.wanted {
                    capture.ends_at = now;
                }
                Ok(Vec::new())
            }
            Ok(Enrolment::NearDuplicate) => Ok(vec!["NEAR_DUPLICATE"]),
            Ok(Enrolment::Full) => {
                capture.ends_at = now;
                Ok(reasons(&PhotographProblem::Full))
            }
            Ok(Enrolment::Unlike) => Ok(vec!["ANOTHER_PERSON"]),
            Ok(Enrolment::Resembles(resembled)) => {
                self.raise_conflicts(tx, &whose, resembled).await?;
                Ok(reasons(&PhotographProblem::Conflict))
            }
            Err(Problem::ModelMismatch { .. }) => Ok(vec!["MODEL_MISMATCH"]),
            Err(other) => Err(other),
        }
    }
}
