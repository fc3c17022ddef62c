//! Many frames, one person, one verdict. A [`Tracker`] belongs to one camera: it joins the faces of successive frames
//! into tracks and says what is known of a track once: `Known` as soon as enough frames agree, anything else when the
//! track ends. Whether it is a living face is a matter of the whole track, as long as it lasts. It keeps one mean vector a track, nothing of a frame, and clears that when the track ends.

use std::collections::BTreeMap;
use std::fmt;

use gatepost_domain::id::ResidentId;
use jiff::{SignedDuration, Timestamp};

use crate::bounds::BoundingBox;
use crate::embedding::{Embedding, EmbeddingError, ModelId};
use crate::finding::Evidence;
use crate::gallery::{Gallery, Ranking};
use crate::verdict::{MatchPolicy, Verdict};

mod association;
mod evidence;

use evidence::Track;

/// A face in one frame.
#[derive(Debug)]
pub struct ObservedFace {
    /// Where in the frame.
    pub bounds: BoundingBox,
    /// How usable for recognition, 0 to 1.
    pub quality: f32,
    /// How sure the detector was, 0 to 1.
    pub score: f32,
    /// How probably it is a living face and no picture, 0 to 1; none where that was not looked at.
    pub liveness: Option<f32>,
    /// The face as a vector.
    pub embedding: Embedding,
}

/// A track's number, unique within its tracker; it says nothing of the person and is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u64);

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What is said about a track, once; a second time only of one that was named and is not living.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackVerdict {
    /// Which track.
    pub track: TrackId,
    /// What is said.
    pub verdict: Verdict,
    /// Capture time of the track's first face.
    pub first_seen: Timestamp,
    /// Capture time of the face that decided, or of the last one.
    pub seen_at: Timestamp,
    /// How many faces the track had by then.
    pub faces: u32,
    /// What it was decided by.
    pub evidence: Evidence,
    /// Who resembles it most, and who next. Of a track that nobody resembles, nobody.
    pub like: [Option<ResidentId>; 2],
}

/// The tracks of one camera.
#[derive(Debug, Default)]
pub struct Tracker {
    tracks: Vec<Track>,
    made: u64,
    latest: Option<Timestamp>,
    /// What the tracks' vectors can be compared with.
    kind: Option<(ModelId, usize)>,
    /// When each resident who was named was last seen by this camera.
    named: BTreeMap<ResidentId, Timestamp>,
}

impl Tracker {
    /// The most tracks at once. One more ends the track that was unseen for longest.
    pub const TRACKS_MAX: usize = 64;

    /// The most faces of a frame that are looked at, the surest first.
    pub const FACES_MAX: usize = 64;

    /// A frame this much older than the last one is no straggler: the camera's clock was set back.
    const CLOCK_SET_BACK: SignedDuration = SignedDuration::from_secs(60);

    /// A camera that has seen nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the faces of one frame and returns what they decided or ended. A frame that is not newer than the
    /// last one is ignored. Faces that cannot be compared with the gallery are refused, and nothing changes.
    pub fn observe(
        &mut self,
        captured: Timestamp,
        faces: Vec<ObservedFace>,
        gallery: &Gallery,
        policy: &MatchPolicy,
    ) -> Result<Vec<TrackVerdict>, EmbeddingError> {
        let kind = kind_of(&faces, gallery)?;
        let mut verdicts = Vec::new();
        if let Some(latest) = self.latest.filter(|latest| captured <= *latest) {
            if latest.duration_since(captured) < Self::CLOCK_SET_BACK {
                return Ok(verdicts);
            }
            verdicts.extend(self.set_back(captured, policy));
        }
        self.latest = Some(captured);
        verdicts.extend(self.expire(captured, policy));
        self.forget_names(captured, policy);
        if kind.is_some() && kind != self.kind {
            // Another model from now on: the old vectors cannot be continued.
            verdicts.extend(self.finish(policy));
            self.kind = kind;
        }
        verdicts.extend(self.take_in(captured, faces, gallery, policy));
        Ok(verdicts)
    }

    /// Ends the tracks that have had no face for the policy's gap: for the time in which no frames come, `observe` does
    /// it too. `now` is the camera's time; while its frames wait for a worker, the capture time of the oldest of them.
    pub fn expire(&mut self, now: Timestamp, policy: &MatchPolicy) -> Vec<TrackVerdict> {
        let ended = self.tracks.extract_if(.., |track| now.duration_since(track.last_seen) >= policy.track_gap);
        ended.filter_map(|track| track.last_word(policy)).collect()
    }

    /// When `expire` next has something to do, if no frame comes before.
    pub fn next_expiry(&self, policy: &MatchPolicy) -> Option<Timestamp> {
        let first = self.tracks.iter().map(|track| track.last_seen).min()?;
        first.saturating_add(policy.track_gap).ok()
    }

    /// Ends every track: the camera is gone.
    pub fn finish(&mut self, policy: &MatchPolicy) -> Vec<TrackVerdict> {
        self.tracks.drain(..).filter_map(|track| track.last_word(policy)).collect()
    }

    /// How many tracks are being followed.
    pub fn len(&self) -> usize {
        self.tracks.len()
    }

    /// Whether nobody is being followed.
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    fn set_back(&mut self, captured: Timestamp, policy: &MatchPolicy) -> Vec<TrackVerdict> {
        for seen in self.named.values_mut() {
            *seen = captured.min(*seen);
        }
        self.finish(policy)
    }

    /// A name is kept for the gap, and longer while a track that began within it may turn out to be that resident.
    /// By capture times only, so that waiting frames do not make one passage two.
    fn forget_names(&mut self, captured: Timestamp, policy: &MatchPolicy) {
        let tracks = &self.tracks;
        self.named.retain(|_, seen| {
            captured.duration_since(*seen) < policy.track_gap
                || tracks.iter().any(|track| track.continues(*seen, policy))
        });
    }

    fn take_in(
        &mut self,
        captured: Timestamp,
        mut faces: Vec<ObservedFace>,
        gallery: &Gallery,
        policy: &MatchPolicy,
    ) -> Vec<TrackVerdict> {
        faces.sort_by(|left, right| right.score.total_cmp(&left.score));
        faces.truncate(Self::FACES_MAX);
        let assigned = association::assign(&self.tracks, &faces, captured, policy);
        let said = self.look_for(&faces, &assigned, gallery, policy);
        for ((face, track), said) in faces.iter().zip(&assigned).zip(&said) {
            if let Some(track) = *track {
                self.tracks[track].add(captured, face, *said, policy);
            }
        }
        let mut verdicts = Vec::new();
        for ((face, _), said) in faces.iter().zip(&assigned).zip(&said).filter(|((_, track), _)| track.is_none()) {
            verdicts.extend(self.make_room(captured, policy));
            if self.tracks.len() < Self::TRACKS_MAX {
                self.made += 1;
                let mut track = Track::new(TrackId(self.made), captured, face.bounds);
                track.add(captured, face, *said, policy);
                self.tracks.push(track);
            }
        }
        verdicts.extend(self.name(captured, gallery, policy));
        verdicts
    }

    /// What each face says by itself, of those good enough whose track has no name yet: one search for all of them.
    fn look_for(
        &self,
        faces: &[ObservedFace],
        assigned: &[Option<usize>],
        gallery: &Gallery,
        policy: &MatchPolicy,
    ) -> Vec<Option<(Ranking, Verdict)>> {
        let nameless = |track: &Option<usize>| track.is_none_or(|track| self.tracks[track].resident.is_none());
        let asking: Vec<usize> = (0..faces.len())
            .filter(|face| policy.is_usable(faces[*face].quality) && nameless(&assigned[*face]))
            .collect();
        let embeddings: Vec<&Embedding> = asking.iter().map(|face| &faces[*face].embedding).collect();
        let mut said = vec![None; faces.len()];
        for (face, ranking) in asking.into_iter().zip(gallery.search_all_checked(&embeddings)) {
            said[face] = Some((ranking, policy.judge(&ranking, faces[face].quality, gallery)));
        }
        said
    }

    /// Ends the track that was unseen for longest, if there is no room for another; a track of this very frame stays.
    fn make_room(&mut self, captured: Timestamp, policy: &MatchPolicy) -> Option<TrackVerdict> {
        if self.tracks.len() < Self::TRACKS_MAX {
            return None;
        }
        let (oldest, _) = self.tracks.iter().enumerate().min_by_key(|(_, track)| track.last_seen)?;
        if self.tracks[oldest].last_seen >= captured {
            return None;
        }
        self.tracks.remove(oldest).last_word(policy)
    }

    /// Names the tracks of this frame whose evidence suffices, except those that go on with a passage already named.
    fn name(&mut self, captured: Timestamp, gallery: &Gallery, policy: &MatchPolicy) -> Vec<TrackVerdict> {
        let mut verdicts = Vec::new();
        for track in self.tracks.iter_mut().filter(|track| track.last_seen == captured) {
            if let Some(resident) = track.resident {
                self.named.insert(resident, captured);
                continue;
            }
            let Some((resident, verdict)) = track.decide(gallery, policy) else {
                continue;
            };
            let known_passage = self.named.get(&resident).is_some_and(|seen| track.continues(*seen, policy));
            self.named.insert(resident, captured);
            if !known_passage {
                verdicts.push(verdict);
            }
        }
        verdicts
    }
}

/// Checks that the faces can be compared with the gallery and with each other; none if there are none.
fn kind_of(faces: &[ObservedFace], gallery: &Gallery) -> Result<Option<(ModelId, usize)>, EmbeddingError> {
    let Some(first) = faces.first() else {
        return Ok(None);
    };
    let dimension = first.embedding.dimension();
    for face in faces {
        gallery.check(&face.embedding)?;
        face.embedding.check_comparable(gallery.model(), dimension)?;
    }
    Ok(Some((gallery.model().clone(), dimension)))
}
