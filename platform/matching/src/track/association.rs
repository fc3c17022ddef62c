//! Which face of a frame belongs to which track: by where it is and by what it looks like.

use jiff::Timestamp;

use super::ObservedFace;
use super::evidence::Track;
use crate::verdict::MatchPolicy;

/// From this cosine on a face is the track's wherever it stands: one pair of different people in a thousand is more
/// alike, and a slow camera shows a walker at quite another place in its next frame.
const SAME_FACE: f32 = 0.363;

/// Below this cosine a usable face is not the track's even if it stands in the same place: people cross.
const COULD_BE_SAME: f32 = 0.2;

/// From this overlap on a face stands where the track's face was, or was going to be.
const SAME_PLACE: f32 = 0.3;

/// For each face the index of its track. A track gets at most one face: the pairs that fit best are joined first.
pub(super) fn assign(
    tracks: &[Track],
    faces: &[ObservedFace],
    captured: Timestamp,
    policy: &MatchPolicy,
) -> Vec<Option<usize>> {
    let mut pairs = Vec::new();
    for (track_index, track) in tracks.iter().enumerate() {
        let mean = track.mean();
        let expected = track.expected_bounds(captured);
        for (face_index, face) in faces.iter().enumerate() {
            let overlap = expected.overlap(&face.bounds).max(track.bounds.overlap(&face.bounds));
            let similarity = mean
                .as_ref()
                .filter(|_| policy.is_usable(face.quality))
                .map(|mean| mean.cosine_unchecked(&face.embedding));
            if let Some(fit) = fit(overlap, similarity) {
                pairs.push((fit, track_index, face_index));
            }
        }
    }
    // Ties go to the older track and the surer face, so that the same frames always give the same tracks.
    pairs.sort_by(|left, right| right.0.total_cmp(&left.0).then_with(|| (left.1, left.2).cmp(&(right.1, right.2))));

    let mut assigned = vec![None; faces.len()];
    let mut taken = vec![false; tracks.len()];
    for (_, track, face) in pairs {
        if !taken[track] && assigned[face].is_none() {
            taken[track] = true;
            assigned[face] = Some(track);
        }
    }
    assigned
}

/// How well a face fits a track; none if it does not. Looks come before place.
fn fit(overlap: f32, similarity: Option<f32>) -> Option<f32> {
    match similarity {
        Some(similarity) => {
            let same = similarity >= SAME_FACE || (overlap >= SAME_PLACE && similarity >= COULD_BE_SAME);
            same.then_some(1.0 + similarity + overlap)
        }
        None => (overlap >= SAME_PLACE).then_some(overlap),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_before_place_and_place_before_nothing() {
        assert!(fit(0.0, Some(0.5)) > fit(1.0, None));
        assert!(fit(0.0, Some(0.37)).is_some());
        assert!(fit(0.4, Some(0.25)).is_some());
        assert_eq!(fit(0.0, Some(0.3)), None);
        assert_eq!(fit(1.0, Some(0.1)), None);
        assert_eq!(fit(0.2, None), None);
    }
}
