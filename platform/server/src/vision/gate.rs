//! What one camera's faces mean: tracks, verdicts, sightings, and the words for the gate's display.

use std::sync::Arc;

use gatepost_domain::{
    Parcel, ReminderCause, Timestamp,
    community::DisplayPolicy,
    id::{CommunityId, GateId, ResidentId},
    sighting::Sighting,
};
use gatepost_matching::{
    BoundingBox, Chosen, Embedding, Figures, MatchPolicy, ModelId, ObservedFace, TrackVerdict, Tracker, Verdict,
};
use gatepost_proto::vision as wire;
use gatepost_storage::{Channel, Delivery, Tx};
use opentelemetry::KeyValue;

use super::{
    agreement::{self, Said},
    hub::{Analysis, Passage},
    models::Models,
};
use crate::{
    decision::Recognition,
    notification::{reach::Reach, wording},
    platform::Platform,
    problem::Problem,
    recognition::RecognitionPolicy,
    vault::Searchable,
};

/// One camera's passers-by. Dropped with the camera's stream, and with it every unmatched face.
pub struct Gate {
    community: CommunityId,
    gate: GateId,
    tracker: Tracker,
    /// The figures that the last faces were compared by.
    policy: MatchPolicy,
    basis: Option<Basis>,
}

/// What the last faces were compared with, and by which figures.
pub struct Basis {
    model: String,
    gallery: usize,
    chosen: Chosen,
    policy_version: i64,
}

/// What the display should say, and the notices that are delivered by its saying so.
pub struct Showing {
    /// Never a name, and a locker only where the community's policy says so.
    pub text: String,
    sighting: Sighting,
}

impl Gate {
    /// A gate without anybody in front of it.
    pub fn new(platform: &Platform, community: CommunityId, gate: GateId) -> Self {
        Self { community, gate, tracker: Tracker::new(), policy: figures(platform), basis: None }
    }

    /// Takes in the faces of one frame, and says of each what it is by itself where that is `asked`.
    pub async fn look(
        &mut self,
        platform: &Platform,
        analysis: Analysis,
        captured_at: Timestamp,
        asked: bool,
    ) -> Result<(Vec<Showing>, Vec<Said>), Problem> {
        let Analysis { model, result, passage } = analysis;
        let (searchable, capture) = {
            let tx = platform.store.read().await?;
            if Models::read(&tx).await?.in_use.is_some_and(|in_use| in_use != model) {
                // Another one is in use since the frame was sent.
                return Ok(Default::default());
            }
            let capture = tx.open_capture(&self.community, &self.gate, platform.now()).await?;
            let (searchable, basis, policy) = compared_with(platform, &tx, &self.community, &model).await?;
            (self.policy, self.basis) = (policy, Some(basis));
            (searchable, capture)
        };
        if capture.is_some() {
            let here = (&self.community, &self.gate);
            if let Err(problem) = platform.capture_frame(here, &model, &result.faces, captured_at).await {
                tracing::error!(gate.id = %self.gate, error = %problem, "a frame was not enrolled from");
            }
        }
        let faces = observed(&model, result.faces, &searchable);
        let said = if asked { agreement::said(&faces, searchable.gallery(), &self.policy) } else { Vec::new() };
        let verdicts = match self.tracker.observe(captured_at, faces, searchable.gallery(), &self.policy) {
            Ok(verdicts) => verdicts,
            Err(error) => {
                tracing::error!(gate.id = %self.gate, %error, "faces cannot be compared with the gallery");
                return Ok(Default::default());
            }
        };
        let mut showings = Vec::new();
        for track in verdicts {
            if let Some(showing) = self.conclude(platform, &track, Some(&passage)).await? {
                showings.push(showing);
            }
        }
        Ok((showings, said))
    }

    /// Ends the tracks of those who are gone by then, of a frame without faces.
    pub async fn nobody(&mut self, platform: &Platform, captured_at: Timestamp) -> Result<(), Problem> {
        for track in self.tracker.expire(captured_at, &self.policy) {
            self.conclude(platform, &track, None).await?;
        }
        Ok(())
    }

    /// Ends every track: the camera is gone.
    pub async fn finish(&mut self, platform: &Platform) -> Result<(), Problem> {
        for track in self.tracker.finish(&self.policy) {
            self.conclude(platform, &track, None).await?;
        }
        Ok(())
    }

    async fn conclude(
        &self,
        platform: &Platform,
        track: &TrackVerdict,
        passage: Option<&Passage>,
    ) -> Result<Option<Showing>, Problem> {
        count(platform, &track.verdict);
        let Some(basis) = &self.basis else { return Ok(None) };
        match (track.verdict, passage) {
            (Verdict::Known { resident, similarity, .. }, Some(passage)) => {
                let sighting = self.sighting(resident, track.seen_at, Some(similarity));
                see(platform, sighting, passage, &self.recognition(basis, track, true)).await
            }
            (Verdict::Ambiguous, _) => {
                for (resident, nearest) in track.like.into_iter().zip([true, false]) {
                    let Some(resident) = resident else { continue };
                    let sighting = self.sighting(resident, track.seen_at, None);
                    platform.not_clear(&sighting, &self.recognition(basis, track, nearest)).await?;
                }
                Ok(None)
            }
            (Verdict::NotLive { resident, similarity, .. }, _) => {
                let sighting = self.sighting(resident, track.seen_at, Some(similarity));
                platform.not_live(&sighting, &self.recognition(basis, track, true)).await?;
                Ok(None)
            }
            (Verdict::Known { .. } | Verdict::Unknown | Verdict::LowQuality, _) => Ok(None),
        }
    }

    fn recognition(&self, basis: &Basis, track: &TrackVerdict, nearest: bool) -> Recognition {
        let figures = Figures::from(&self.policy);
        Recognition {
            gate: self.gate.clone(),
            nearest,
            seen_at: track.seen_at,
            model: basis.model.clone(),
            gallery: basis.gallery,
            chosen: basis.chosen.clone(),
            policy_version: basis.policy_version,
            figures,
            evidence: track.evidence,
            finding: track.evidence.finding(&figures),
            picture: match track.verdict {
                Verdict::NotLive { picture, .. } => Some(picture),
                Verdict::Known { .. } | Verdict::Ambiguous | Verdict::Unknown | Verdict::LowQuality => None,
            },
        }
    }

    /// Which gate.
    pub fn id(&self) -> &GateId {
        &self.gate
    }

    /// Whose gate.
    pub fn community(&self) -> &CommunityId {
        &self.community
    }

    fn sighting(&self, resident: ResidentId, seen_at: Timestamp, similarity: Option<f32>) -> Sighting {
        Sighting { community: self.community.clone(), gate: self.gate.clone(), resident, seen_at, similarity }
    }
}

/// The figures of the installation's settings.
fn figures(platform: &Platform) -> MatchPolicy {
    let defaults = MatchPolicy::default();
    let frames_agreeing = platform.config.vision.frames_agreeing.unwrap_or(defaults.frames_agreeing);
    MatchPolicy { frames_agreeing, ..defaults }
}

/// What a model's faces at a gate of the community are compared with now, and by which figures.
pub async fn compared_with(
    platform: &Platform,
    tx: &Tx,
    community: &CommunityId,
    model: &ModelId,
) -> Result<(Arc<Searchable>, Basis, MatchPolicy), Problem> {
    let policy = RecognitionPolicy::read(tx.recognition_policy(community).await?)?;
    let faces = policy.faces(tx, community, model, platform.now()).await?;
    let searchable = platform.vault.searchable(tx, community, model, faces).await?;
    let gallery = searchable.gallery().len();
    let chosen = policy.chosen(Some(model), gallery, platform.config.vision.similarity_min);
    let figures = MatchPolicy { liveness: policy.liveness.into(), threshold: chosen.similarity(), ..figures(platform) };
    let basis = Basis { model: model.as_str().to_owned(), gallery, chosen, policy_version: policy.version };
    Ok((searchable, basis, figures))
}

/// A resident was recognised: reminds, and tells what the display should say.
async fn see(
    platform: &Platform,
    sighting: Sighting,
    passage: &Passage,
    recognition: &Recognition,
) -> Result<Option<Showing>, Problem> {
    let reminded = platform.seen(&sighting, passage, recognition).await?;
    showing(&platform.store.read().await?, sighting, &reminded).await
}

/// What the display should say after these parcels were reminded of.
pub async fn showing(tx: &Tx, sighting: Sighting, reminded: &[Parcel]) -> Result<Option<Showing>, Problem> {
    let Some(parcel) = reminded.first() else { return Ok(None) };
    tracing::info!(parcel.id = %parcel.id(), gate.id = %sighting.gate, "resident reminded at a gate");
    if !Reach::of_one(tx, sighting.resident).await?.allows(Channel::GateDisplay) {
        return Ok(None);
    }
    let text = display_text(tx, &sighting.community, parcel).await?;
    Ok(text.map(|text| Showing { text, sighting }))
}

async fn display_text(tx: &Tx, community: &CommunityId, parcel: &Parcel) -> Result<Option<String>, Problem> {
    let Some(community) = tx.community(community).await? else { return Ok(None) };
    let locker = parcel.stay().and_then(|stay| community.topology.locker(&stay.locker));
    Ok(match (community.display, locker) {
        (DisplayPolicy::Silent, _) => None,
        (DisplayPolicy::Locker, Some(locker)) => Some(wording::parcel_waits_in(&locker.name)),
        (DisplayPolicy::Locker, None) | (DisplayPolicy::ParcelWaits, _) => Some(wording::parcel_waits()),
    })
}

impl Showing {
    /// Records whether the words reached the camera's stream.
    pub async fn shown(&self, platform: &Platform, reached: bool) -> Result<(), Problem> {
        let tx = platform.store.write().await?;
        for mut notice in tx.notices_of(self.sighting.resident, 50).await? {
            let here = matches!(&notice.cause, ReminderCause::SeenAtGate { gate, .. } if *gate == self.sighting.gate);
            if here && notice.channel == Channel::GateDisplay && notice.delivery == Delivery::Pending {
                notice.delivery = if reached { Delivery::Delivered } else { Delivery::Failed };
                notice.attempts += 1;
                if !reached {
                    notice.last_error = "the camera's stream had ended".to_owned();
                }
                tx.save_notice(&notice).await?;
            }
        }
        tx.commit().await?;
        let outcome = if reached { "delivered" } else { "failed" };
        platform.metrics.notices.add(1, &[KeyValue::new("channel", "gate_display"), KeyValue::new("outcome", outcome)]);
        Ok(())
    }
}

/// Faces whose vectors or bounds are unusable are left out: a broken worker must not make anybody known.
pub fn observed(model: &ModelId, faces: Vec<wire::Face>, searchable: &Searchable) -> Vec<ObservedFace> {
    faces
        .into_iter()
        .filter_map(|face| {
            let bounds = face.r#box?;
            let bounds = BoundingBox { x: bounds.x, y: bounds.y, width: bounds.width, height: bounds.height };
            let embedding = searchable.turn(Embedding::new(model, face.embedding).ok()?).ok()?;
            Some(ObservedFace { bounds, quality: face.quality, score: face.score, liveness: face.liveness, embedding })
        })
        .collect()
}

fn count(platform: &Platform, verdict: &Verdict) {
    platform.metrics.verdicts.add(1, &[KeyValue::new("verdict", name(verdict))]);
}

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Known { .. } => "known",
        Verdict::NotLive { .. } => "not_live",
        Verdict::Ambiguous => "ambiguous",
        Verdict::Unknown => "unknown",
        Verdict::LowQuality => "low_quality",
    }
}
