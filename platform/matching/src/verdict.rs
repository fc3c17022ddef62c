//! What is said about a face, and the figures that decide it.

use gatepost_domain::id::ResidentId;
use jiff::SignedDuration;

use crate::{
    finding::{Figures, Finding, Picture},
    gallery::{Gallery, Ranking},
};

/// What is said about a face. Only `Known` names anybody.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// One of the gallery's residents.
    Known {
        /// Who.
        resident: ResidentId,
        /// The cosine with the resident's most similar template.
        similarity: f32,
        /// How far that is ahead of the next resident; ahead of zero if there is no other.
        margin: f32,
    },
    /// Like one of the gallery's residents, and more like a picture than like a living face. Said when the track ends;
    /// where the policy only flags, after `Known`.
    NotLive {
        /// Whom the picture shows.
        resident: ResidentId,
        /// The cosine with the resident's most similar template.
        similarity: f32,
        /// What says that it is none.
        picture: Picture,
    },
    /// Like more than one resident: nobody is named.
    Ambiguous,
    /// Like nobody in the gallery, or not often enough.
    Unknown,
    /// Too small, blurred or dark to say.
    LowQuality,
}

/// What becomes of a track whose faces are more like pictures than like living ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LivenessCheck {
    /// Nothing: liveness is not looked at.
    Off,
    /// It is named all the same, and said of when it ends.
    Flag,
    /// It is not named while that is so, and said of when it ends.
    Suppress,
}

/// From this mean liveness over the usable faces of a track on, it is taken for a living person. Where the worker's
/// networks draw the line for a single face too.
pub const LIVE_MIN: f32 = 0.5;

/// The figures that decide. The defaults are for the SFace embedder with YuNet landmarks, measured on the labelled
/// photographs of LFW; another model needs other ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatchPolicy {
    /// The least cosine of a match in the gallery at hand; see [`crate::calibration`] for how it is chosen. The default
    /// is for [`MatchPolicy::GALLERY_BASE`] templates: 0.424 lets 1 in 10,000 pairs of different people pass and 96.6 %
    /// of the pairs of one person, and several frames have to agree. Where most faces are alike to the model (it passes
    /// 8 times as many pairs of East Asian people), 0.488 brings the rate back to that.
    pub threshold: f32,
    /// The least distance to the next resident: siblings and look-alikes are left unnamed. No measured optimum; it is
    /// about the difference between thresholds a tenfold apart in false accepts (0.06).
    pub margin: f32,
    /// The least quality of a face that may vote, 0 to 1. The worker's measure is the geometric mean of four shares
    /// (size, detection, sharpness, pose): at 0.25 they may all be a quarter, or one be nearly nothing.
    pub quality_min: f32,
    /// How many frames of a track must agree on a resident. One is for a camera that gives a single frame a passage.
    pub frames_agreeing: u32,
    /// What is done about pictures that are held before the camera.
    pub liveness: LivenessCheck,
    /// How long after its last face a track ends, and how long a resident must be gone to be seen anew.
    pub track_gap: SignedDuration,
}

impl Default for MatchPolicy {
    fn default() -> Self {
        MatchPolicy {
            threshold: 0.424,
            margin: 0.05,
            quality_min: 0.25,
            frames_agreeing: 2,
            liveness: LivenessCheck::Flag,
            track_gap: SignedDuration::from_secs(3),
        }
    }
}

impl MatchPolicy {
    /// How many templates the default's threshold is meant for.
    pub const GALLERY_BASE: usize = 100;

    /// What a single face says by itself.
    pub fn judge(&self, ranking: &Ranking, quality: f32, gallery: &Gallery) -> Verdict {
        if !self.is_usable(quality) {
            return Verdict::LowQuality;
        }
        let Some((resident, similarity)) = ranking.best else { return Verdict::Unknown };
        let second = ranking.second.map(|(_, similarity)| similarity);
        match Figures::from(self).judge(Some(similarity), second, gallery.mistaken_at(resident)) {
            Finding::Known { similarity, margin } => Verdict::Known { resident, similarity, margin },
            Finding::Ambiguous => Verdict::Ambiguous,
            Finding::Unknown | Finding::LowQuality | Finding::Undecided => Verdict::Unknown,
        }
    }

    /// Whether a face is good enough to vote; a quality that is not a number is not.
    pub fn is_usable(&self, quality: f32) -> bool {
        quality >= self.quality_min
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::ModelId;
    use uuid::Uuid;

    fn check(best: f32, second: Option<f32>, quality: f32) -> Verdict {
        let policy = MatchPolicy::default();
        let ranking = Ranking {
            best: Some((ResidentId(Uuid::from_u128(1)), best)),
            second: second.map(|similarity| (ResidentId(Uuid::from_u128(2)), similarity)),
        };
        policy.judge(&ranking, quality, &Gallery::new(ModelId::new("test")))
    }

    #[test]
    fn the_closest_is_not_named_unless_it_is_close_and_alone() {
        assert!(matches!(check(0.424, None, 0.9), Verdict::Known { margin: 0.424, .. }));
        assert!(matches!(check(0.60, Some(0.54), 0.9), Verdict::Known { .. }));
        assert_eq!(check(0.60, Some(0.56), 0.9), Verdict::Ambiguous);
        assert_eq!(check(0.4239, None, 0.9), Verdict::Unknown);
        assert_eq!(check(0.9, None, 0.2), Verdict::LowQuality);
        assert_eq!(check(0.9, None, f32::NAN), Verdict::LowQuality);
        let policy = MatchPolicy::default();
        let gallery = Gallery::new(ModelId::new("test"));
        assert_eq!(policy.judge(&Ranking::default(), 0.9, &gallery), Verdict::Unknown);
    }

    #[test]
    fn who_was_mistaken_is_named_only_by_a_clearly_more_similar_face() {
        let policy = MatchPolicy::default();
        let mut gallery = Gallery::new(ModelId::new("test"));
        let [ours, other] = [1, 2].map(|number| ResidentId(Uuid::from_u128(number)));
        gallery.set_mistaken_at(ours, 0.6);
        let judge = |resident, similarity| {
            policy.judge(&Ranking { best: Some((resident, similarity)), second: None }, 0.9, &gallery)
        };
        assert_eq!(judge(ours, 0.6), Verdict::Unknown, "the very face that was somebody else's");
        assert_eq!(judge(ours, 0.64), Verdict::Unknown);
        assert!(matches!(judge(ours, 0.66), Verdict::Known { .. }));
        assert!(matches!(judge(other, 0.5), Verdict::Known { .. }), "others are not concerned");
    }
}
