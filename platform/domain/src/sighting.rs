//! A resident came in at a gate: all the domain knows of recognition.

use crate::{
    Timestamp,
    id::{CommunityId, GateId, ResidentId},
};

/// A recognised resident at a gate. It reminds; it never opens a door.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// The gate's community.
    pub community: CommunityId,
    /// Which gate.
    pub gate: GateId,
    /// Who.
    pub resident: ResidentId,
    /// When the deciding frame was taken.
    pub seen_at: Timestamp,
    /// Cosine similarity of the deciding track; `None` when a smart camera said who it was.
    pub similarity: Option<f32>,
}
