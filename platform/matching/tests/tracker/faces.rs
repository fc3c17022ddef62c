//! Made-up people: a random direction is a person, the same direction with noise is a photograph of them.

use gatepost_domain::id::ResidentId;
use gatepost_matching::{BoundingBox, Embedding, Gallery, MatchPolicy, ModelId, ObservedFace, TrackVerdict, Tracker};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// As the default embedder: strangers' cosines then spread about 0.09 around zero.
const DIMENSION: usize = 128;

pub fn model() -> ModelId {
    ModelId::new("made-up@000000000000")
}

pub fn resident(person: u64) -> ResidentId {
    ResidentId(Uuid::from_u128(u128::from(person)))
}

/// A photograph of `person`. The cosine of two photographs is about `1 / (1 + noise * noise)`.
pub fn photograph(person: u64, noise: f32, shot: u64) -> Embedding {
    let (face, change) = (direction(person), direction(person.rotate_left(32) ^ shot.wrapping_add(1) << 8));
    unit(face.iter().zip(&change).map(|(face, change)| face + noise * change).collect())
}

/// A face as like `one` as `other`.
pub fn between(one: u64, other: u64) -> Embedding {
    unit(direction(one).iter().zip(&direction(other)).map(|(one, other)| one + other).collect())
}

fn unit(values: Vec<f32>) -> Embedding {
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    Embedding::new(&model(), values.into_iter().map(|value| value / length).collect()).expect("a unit vector")
}

/// Of length one, the same for the same seed.
fn direction(seed: u64) -> Vec<f32> {
    let mut state = seed;
    let values: Vec<f32> = (0..DIMENSION)
        .map(|_| {
            // A sum of uniform numbers is near enough to a normal one.
            (0..6).map(|_| uniform(&mut state)).sum::<f32>() - 3.0
        })
        .collect();
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.into_iter().map(|value| value / length).collect()
}

/// The next number of a splitmix64 sequence, 0 to 1.
fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1u64 << 24) as f32
}

/// One template of each of `people`.
pub fn gallery(people: impl IntoIterator<Item = u64>) -> Gallery {
    let mut gallery = Gallery::new(model());
    for person in people {
        gallery.add(resident(person), &photograph(person, 0.0, 0)).expect("a comparable template");
    }
    gallery
}

pub fn face(embedding: Embedding, x: f32, quality: f32) -> ObservedFace {
    let bounds = BoundingBox { x, y: 100.0, width: 60.0, height: 80.0 };
    ObservedFace { bounds, quality, score: 0.9, liveness: None, embedding }
}

/// A camera, its tracker and everything the tracker ever said.
pub struct Camera {
    pub gallery: Gallery,
    pub policy: MatchPolicy,
    pub tracker: Tracker,
    pub said: Vec<TrackVerdict>,
}

impl Camera {
    pub fn looking_for(people: impl IntoIterator<Item = u64>) -> Self {
        Camera { gallery: gallery(people), policy: MatchPolicy::default(), tracker: Tracker::new(), said: Vec::new() }
    }

    pub fn frame(&mut self, milliseconds: i64, faces: Vec<ObservedFace>) {
        let verdicts = self.tracker.observe(at(milliseconds), faces, &self.gallery, &self.policy);
        self.said.extend(verdicts.expect("comparable faces"));
    }

    /// Lets everybody go and returns all that was said.
    pub fn leave(&mut self, milliseconds: i64) -> Vec<TrackVerdict> {
        self.said.extend(self.tracker.expire(at(milliseconds), &self.policy));
        self.said.clone()
    }
}

pub fn at(milliseconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(500_000) + SignedDuration::from_millis(milliseconds)
}
