//! A resident came in at a gate: all the domain knows of recognition.

use jiff::SignedDuration;

use crate::{
    Timestamp,
    id::{CommunityId, GateId, ResidentId},
};

/// Nobody walks faster: the mean of the fastest group that was measured, men in their twenties asked to walk as fast as
/// they could (R. Bohannon, "Comfortable and maximum walking speed of adults aged 20-79 years", Age and Ageing 26
/// (1997), 15-19: 2.53 m/s).
const WALKING_METRES_A_SECOND: f64 = 2.53;

/// Whether nobody walks so far in the time between two sightings, whichever was first.
pub fn too_soon(metres: f64, apart: SignedDuration) -> bool {
    apart.abs().as_secs_f64() < metres / WALKING_METRES_A_SECOND
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_walks_a_hundred_metres_in_half_a_minute() {
        for (seconds, expected) in [(0, true), (30, true), (-30, true), (39, true), (40, false), (-40, false)] {
            assert_eq!(too_soon(100.0, SignedDuration::from_secs(seconds)), expected, "{seconds} s");
        }
        assert!(!too_soon(0.0, SignedDuration::ZERO));
    }
}
