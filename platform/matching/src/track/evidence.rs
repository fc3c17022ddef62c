//! What one track knows: where its face is, the mean of its embeddings, and how its frames voted.

use gatepost_domain::id::ResidentId;
use jiff::Timestamp;

use super::{ObservedFace, TrackId, TrackVerdict};
use crate::bounds::BoundingBox;
use crate::embedding::{Embedding, MeanEmbedding};
use crate::gallery::Gallery;
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
    liveness: Liveness,
    /// Whom it shows, while its faces are not taken for living ones; also after it was named.
    shown: Option<(ResidentId, f32)>,
    /// Who it is, once that is decided.
    pub(super) resident: Option<ResidentId>,
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

    /// Whether they are taken for living ones, as all are of which nothing is known.
    fn is_live(&self) -> bool {
        self.weight == 0.0 || self.sum / self.weight >= LIVE_MIN
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
        verdict: Option<Verdict>,
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
        match verdict {
            Some(Verdict::Known { resident, .. }) => self.count(resident, weight),
            Some(Verdict::Ambiguous) => self.ambiguous_frames = self.ambiguous_frames.saturating_add(1),
            Some(Verdict::NotLive { .. } | Verdict::Unknown | Verdict::LowQuality) | None => {}
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
    /// says the same. The mean alone could be one sharp outlier; the votes alone could be a face between two. Where the
    /// policy suppresses what is not living, it has to be living too: later frames may show that it is.
    pub(super) fn decide(&mut self, gallery: &Gallery, policy: &MatchPolicy) -> Option<(ResidentId, Verdict)> {
        let leader = self.votes.iter().max_by(|left, right| left.weight.total_cmp(&right.weight))?;
        let cast: f32 = self.votes.iter().map(|votes| votes.weight).sum();
        if leader.frames < policy.frames_agreeing.max(1) || leader.weight <= cast - leader.weight {
            return None;
        }
        let ranking = gallery.search_checked(&self.mean()?);
        let verdict = policy.judge(&ranking, 1.0, gallery);
        match verdict {
            Verdict::Known { resident, similarity, .. } if resident == leader.resident => {
                self.shown = Some((resident, similarity));
                if policy.liveness == LivenessCheck::Suppress && !self.liveness.is_live() {
                    return None;
                }
                self.resident = Some(resident);
                Some((resident, verdict))
            }
            Verdict::Known { .. }
            | Verdict::NotLive { .. }
            | Verdict::Ambiguous
            | Verdict::Unknown
            | Verdict::LowQuality => None,
        }
    }

    /// What is left to say when the track ends: nothing if it was named, unless it was a picture.
    pub(super) fn last_word(&self, policy: &MatchPolicy) -> Option<TrackVerdict> {
        if let Some((resident, similarity)) = self.shown
            && policy.liveness != LivenessCheck::Off
            && !self.liveness.is_live()
        {
            return Some(self.verdict(Verdict::NotLive { resident, similarity }));
        }
        if self.resident.is_some() {
            return None;
        }
        let like_somebody =
            self.votes.iter().fold(self.ambiguous_frames, |sum, votes| sum.saturating_add(votes.frames));
        let verdict = if self.usable_faces == 0 {
            Verdict::LowQuality
        } else if like_somebody >= policy.frames_agreeing.max(1) {
            // Often enough like a resident, and yet not clearly like one: frames or candidates disagree.
            Verdict::Ambiguous
        } else {
            Verdict::Unknown
        };
        Some(self.verdict(verdict))
    }

    pub(super) fn verdict(&self, verdict: Verdict) -> TrackVerdict {
        TrackVerdict {
            track: self.id,
            verdict,
            first_seen: self.first_seen,
            seen_at: self.last_seen,
            faces: self.faces,
        }
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f32 {
    to.duration_since(from).as_secs_f32()
}
