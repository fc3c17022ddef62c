//! What one track knows: where its face is, the mean of its embeddings, and how its frames voted.

use gatepost_domain::id::ResidentId;
use jiff::Timestamp;

use super::{ObservedFace, TrackId, TrackVerdict};
use crate::bounds::BoundingBox;
use crate::embedding::{Embedding, MeanEmbedding};
use crate::finding::{Ended, Evidence, Figures, Finding, Passing, Picture};
use crate::gallery::{Gallery, Ranking};
use crate::verdict::{LIVE_MIN, LivenessCheck, MatchPolicy, Verdict};

/// How far ahead a face's motion is believed.
const FORESIGHT_S: f32 = 1.0;

/// The most residents a track keeps votes for; the least supported go first.
const CANDIDATES_MAX: usize = 8;

/// One person in front of one camera, as far as is known.
#[derive(Debug)]
pub(super) struct Track {
    id: TrackId,
    first_seen: Timestamp,
    pub(super) last_seen: Timestamp,
    pub(super) bounds: BoundingBox,
    /// In pixels a second, right and down.
    velocity: (f32, f32),
    faces: u32,
    usable_faces: u32,
    mean: MeanEmbedding,
    votes: Vec<Votes>,
    ambiguous_frames: u32,
    /// Of the frames that were like anybody, the most similar one's.
    nearest: Option<Ranking>,
    liveness: Liveness,
    /// Whom it is like; said when it ends if its faces are not taken for living ones, also after it was named.
    shown: Option<Shown>,
    /// Who it is, once that is decided.
    pub(super) resident: Option<ResidentId>,
}

/// A resident it is like, living or not, and by what.
#[derive(Debug, Clone, Copy)]
struct Shown {
    resident: ResidentId,
    similarity: f32,
    evidence: Evidence,
    ranking: Ranking,
}

/// How alive its usable faces are, each by its quality.
#[derive(Debug, Default)]
struct Liveness {
    sum: f32,
    weight: f32,
}

impl Liveness {
    /// A worker's nonsense is no number and counts as none.
    fn add(&mut self, liveness: Option<f32>, weight: f32) {
        if let Some(liveness) = liveness.filter(|liveness| (0.0..=1.0).contains(liveness)) {
            self.sum += liveness * weight;
            self.weight += weight;
        }
    }

    /// What says that they are no living ones; nothing of those of which nothing is known.
    fn picture(&self, named: bool) -> Option<Picture> {
        let picture = Picture { liveness: self.sum / self.weight, liveness_min: LIVE_MIN, named };
        (self.weight > 0.0 && picture.holds()).then_some(picture)
    }
}

/// The frames that were for one resident.
#[derive(Debug)]
struct Votes {
    resident: ResidentId,
    frames: u32,
    /// The sum of the faces' qualities: a sharp face says more than a blurred one.
    weight: f32,
}

impl Track {
    pub(super) fn new(id: TrackId, first_seen: Timestamp, bounds: BoundingBox) -> Self {
        Track {
            id,
            first_seen,
            last_seen: first_seen,
            bounds,
            velocity: (0.0, 0.0),
            faces: 0,
            usable_faces: 0,
            mean: MeanEmbedding::default(),
            votes: Vec::new(),
            ambiguous_frames: 0,
            nearest: None,
            liveness: Liveness::default(),
            shown: None,
            resident: None,
        }
    }

    /// The mean of its usable faces.
    pub(super) fn mean(&self) -> Option<Embedding> {
        self.mean.embedding()
    }

    /// Where its face should be by now if it goes on as before.
    pub(super) fn expected_bounds(&self, now: Timestamp) -> BoundingBox {
        let ahead = seconds(self.last_seen, now).min(FORESIGHT_S);
        self.bounds.moved((self.velocity.0 * ahead, self.velocity.1 * ahead))
    }

    /// Whether it began before a resident last seen at `seen` was gone for the gap.
    pub(super) fn continues(&self, seen: Timestamp, policy: &MatchPolicy) -> bool {
        self.first_seen.duration_since(seen) < policy.track_gap
    }

    /// Takes in a face of a newer frame, and what the face says by itself if it was looked for.
    pub(super) fn add(
        &mut self,
        captured: Timestamp,
        face: &ObservedFace,
        said: Option<(Ranking, Verdict)>,
        policy: &MatchPolicy,
    ) {
        let passed = seconds(self.last_seen, captured);
        if passed > 0.0 {
            let ((from_x, from_y), (to_x, to_y)) = (self.bounds.centre(), face.bounds.centre());
            self.velocity = ((to_x - from_x) / passed, (to_y - from_y) / passed);
        }
        self.bounds = face.bounds;
        self.last_seen = captured;
        self.faces = self.faces.saturating_add(1);
        if !policy.is_usable(face.quality) {
            return;
        }
        self.usable_faces = self.usable_faces.saturating_add(1);
        let weight = face.quality.clamp(f32::MIN_POSITIVE, 1.0);
        self.mean.add(&face.embedding, weight);
        self.liveness.add(face.liveness, weight);
        let Some((ranking, verdict)) = said else { return };
        match verdict {
            Verdict::Known { resident, .. } => self.count(resident, weight),
            Verdict::Ambiguous => self.ambiguous_frames = self.ambiguous_frames.saturating_add(1),
            Verdict::NotLive { .. } | Verdict::Unknown | Verdict::LowQuality => return,
        }
        let highest = |of: &Ranking| of.best.map_or(-1.0, |(_, similarity)| similarity);
        if self.nearest.as_ref().is_none_or(|nearest| highest(&ranking) > highest(nearest)) {
            self.nearest = Some(ranking);
        }
    }

    fn count(&mut self, resident: ResidentId, weight: f32) {
        if let Some(votes) = self.votes.iter_mut().find(|votes| votes.resident == resident) {
            votes.frames = votes.frames.saturating_add(1);
            votes.weight += weight;
            return;
        }
        if self.votes.len() == CANDIDATES_MAX {
            self.votes.sort_by(|left, right| right.weight.total_cmp(&left.weight));
            self.votes.pop();
        }
        self.votes.push(Votes { resident, frames: 1, weight });
    }

    /// Names a resident if enough frames voted so, they outweigh all other votes, and the mean of the whole track
    /// says the same. Where the policy suppresses what is not living, it has to be living too: later frames may show that
    /// it is.
    pub(super) fn decide(&mut self, gallery: &Gallery, policy: &MatchPolicy) -> Option<(ResidentId, TrackVerdict)> {
        let leader = self.votes.iter().max_by(|left, right| left.weight.total_cmp(&right.weight))?;
        let (resident, figures) = (leader.resident, Figures::from(policy));
        let votes = Passing {
            frames: leader.frames,
            weight: leader.weight,
            cast: self.votes.iter().map(|votes| votes.weight).sum(),
            mean_agrees: false,
            best: None,
            second: None,
            mistaken_at: None,
        };
        // Before anything is searched for.
        if !votes.is_enough(&figures) {
            return None;
        }
        let ranking = gallery.search_checked(&self.mean()?);
        let (best, mean) = ranking.best?;
        let evidence = Evidence::Passing(Passing {
            mean_agrees: best == resident,
            best: Some(mean),
            second: ranking.second.map(|(_, similarity)| similarity),
            mistaken_at: gallery.mistaken_at(best),
            ..votes
        });
        let Finding::Known { similarity, margin } = evidence.finding(&figures) else { return None };
        self.shown = Some(Shown { resident, similarity, evidence, ranking });
        if policy.liveness == LivenessCheck::Suppress && self.liveness.picture(false).is_some() {
            return None;
        }
        self.resident = Some(resident);
        let verdict = Verdict::Known { resident, similarity, margin };
        Some((resident, self.verdict(verdict, evidence, &ranking)))
    }

    /// What is left to say when the track ends: nothing if it was named, unless it was a picture.
    pub(super) fn last_word(&self, policy: &MatchPolicy) -> Option<TrackVerdict> {
        if let Some(Shown { resident, similarity, evidence, ranking }) = self.shown
            && policy.liveness != LivenessCheck::Off
            && let Some(picture) = self.liveness.picture(self.resident.is_some())
        {
            return Some(self.verdict(Verdict::NotLive { resident, similarity, picture }, evidence, &ranking));
        }
        if self.resident.is_some() {
            return None;
        }
        let like_somebody =
            self.votes.iter().fold(self.ambiguous_frames, |sum, votes| sum.saturating_add(votes.frames));
        let nearest = self.nearest.unwrap_or_default();
        let evidence = Evidence::Ended(Ended {
            usable: self.usable_faces,
            like_somebody,
            best: nearest.best.map(|(_, similarity)| similarity),
            second: nearest.second.map(|(_, similarity)| similarity),
        });
        let verdict = match evidence.finding(&Figures::from(policy)) {
            Finding::LowQuality => Verdict::LowQuality,
            Finding::Ambiguous => Verdict::Ambiguous,
            Finding::Unknown | Finding::Known { .. } | Finding::Undecided => Verdict::Unknown,
        };
        Some(self.verdict(verdict, evidence, &nearest))
    }

    fn verdict(&self, verdict: Verdict, evidence: Evidence, ranking: &Ranking) -> TrackVerdict {
        TrackVerdict {
            track: self.id,
            verdict,
            first_seen: self.first_seen,
            seen_at: self.last_seen,
            faces: self.faces,
            evidence,
            like: [ranking.best, ranking.second].map(|one| one.map(|(resident, _)| resident)),
        }
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f32 {
    to.duration_since(from).as_secs_f32()
}
