//! Who is this face? Vectors in, verdicts out: no input or output, no storage, no clock.
//!
//! A gate camera's frames give faces; a [`Tracker`] joins the faces of one person walking past and asks the
//! [`Gallery`] about them; enough agreeing frames make one [`Verdict`]. What is known of a face is dropped, and its
//! memory cleared, when its track ends. The photographs and the networks are the vision worker's.

pub mod bounds;
pub mod calibration;
pub mod embedding;
pub mod finding;
pub mod gallery;
pub mod track;
pub mod transform;
pub mod verdict;

pub use bounds::BoundingBox;
pub use embedding::{Embedding, EmbeddingError, ModelId};
pub use finding::{Chosen, Evidence, Figures, Finding, Picture};
pub use gallery::{Gallery, Ranking};
pub use track::{ObservedFace, TrackId, TrackVerdict, Tracker};
pub use transform::Transform;
pub use verdict::{LIVE_MIN, LivenessCheck, MatchPolicy, Verdict};
