//! What is said about a face, and the figures that decide it.

use gatepost_domain::id::ResidentId;
use jiff::SignedDuration;

use crate::gallery::{Gallery, Ranking};

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
    /// Like more than one resident: nobody is named.
    Ambiguous,
    /// Like nobody in the gallery, or not often enough.
    Unknown,
    /// Too small, blurred or dark to say.
    LowQuality,
}

/// The figures that decide. The defaults are for the SFace embedder with YuNet landmarks, measured on the labelled
/// photographs of LFW; another model needs other ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatchPolicy {
    /// The least cosine of a match, for galleries of up to [`MatchPolicy::GALLERY_BASE`] templates.
    ///
    /// 0.424 lets 1 in 10,000 pairs of different people pass and 96.6 % of the pairs of one person. A gallery of 100
    /// then alarms on one stranger's frame in 100, and several frames have to agree. Where most faces are alike to
    /// the model (it passes 8 times as many pairs of East Asian people), 0.488 brings the rate back to that.
    pub threshold: f32,
    /// The least distance to the next resident: siblings and look-alikes are left unnamed. No measured optimum; it is
    /// about the difference between thresholds a tenfold apart in false accepts (0.06).
    pub margin: f32,
    /// The least quality of a face that may vote, 0 to 1. The worker's measure is the geometric mean of four shares
    /// (size, detection, sharpness, pose): at 0.25 they may all be a quarter, or one be nearly nothing.
    pub quality_min: f32,
    /// How many frames of a track must agree on a resident. One is for a camera that gives a single frame a passage.
    pub frames_agreeing: u32,
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
            track_gap: SignedDuration::from_secs(3),
        }
    }
}

impl MatchPolicy {
    /// Up to how many templates `threshold` is meant for.
    pub const GALLERY_BASE: usize = 100;

    /// By how much the threshold rises when the gallery grows tenfold, so that a stranger is taken for somebody as
    /// rarely as before: the measured thresholds for one false accept in 1e4, 1e5 and 1e6 are 0.424, 0.488, 0.555.
    const STEP_PER_TENFOLD: f32 = 0.064;

    /// The least cosine of a match in this gallery.
    pub fn threshold_in(&self, gallery: &Gallery) -> f32 {
        let growth = gallery.len().max(Self::GALLERY_BASE) as f32 / Self::GALLERY_BASE as f32;
        self.threshold + Self::STEP_PER_TENFOLD * growth.log10()
    }

    /// What a single face says by itself.
    pub fn judge(&self, ranking: &Ranking, quality: f32, threshold: f32) -> Verdict {
        if !self.is_usable(quality) {
            return Verdict::LowQuality;
        }
        match ranking.best {
            Some((resident, similarity)) if similarity >= threshold => {
                let margin = ranking.margin();
                if margin < self.margin { Verdict::Ambiguous } else { Verdict::Known { resident, similarity, margin } }
            }
            Some(_) | None => Verdict::Unknown,
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
    use crate::embedding::{Embedding, ModelId};
    use uuid::Uuid;

    fn check(best: f32, second: Option<f32>, quality: f32) -> Verdict {
        let policy = MatchPolicy::default();
        let ranking = Ranking {
            best: Some((ResidentId(Uuid::from_u128(1)), best)),
            second: second.map(|similarity| (ResidentId(Uuid::from_u128(2)), similarity)),
        };
        policy.judge(&ranking, quality, policy.threshold)
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
        assert_eq!(policy.judge(&Ranking::default(), 0.9, policy.threshold), Verdict::Unknown);
    }

    #[test]
    fn a_larger_gallery_asks_for_more() {
        let model = ModelId::new("test");
        let mut gallery = Gallery::new(model.clone());
        let policy = MatchPolicy::default();
        assert_eq!(policy.threshold_in(&gallery), policy.threshold);
        for number in 0..1_000 {
            let template = Embedding::new(&model, vec![1.0]).unwrap();
            gallery.add(ResidentId(Uuid::from_u128(number)), &template).unwrap();
        }
        assert!((policy.threshold_in(&gallery) - 0.488).abs() < 1e-4);
    }
}
