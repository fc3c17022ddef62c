//! Whom a face resembles most so far, in double precision.

use gatepost_domain::id::ResidentId;

use super::Ranking;

/// The nearest template, and the nearest one of any other resident.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Nearest {
    best: Option<(ResidentId, f64)>,
    second: Option<(ResidentId, f64)>,
}

impl Nearest {
    /// A template with no higher cosine than this changes nothing.
    pub(super) fn floor(&self) -> f64 {
        self.second.map_or(f64::NEG_INFINITY, |(_, similarity)| similarity)
    }

    /// Of equals the first stays.
    pub(super) fn take_in(&mut self, resident: ResidentId, similarity: f64) {
        match self.best {
            Some((best, highest)) if best == resident => self.best = Some((resident, highest.max(similarity))),
            Some((_, highest)) if similarity <= highest => {
                if self.second.is_none_or(|(_, second)| similarity > second) {
                    self.second = Some((resident, similarity));
                }
            }
            best => {
                self.second = best;
                self.best = Some((resident, similarity));
            }
        }
    }

    /// Takes in what was found among other templates.
    pub(super) fn join(&mut self, other: &Nearest) {
        for (resident, similarity) in [other.best, other.second].into_iter().flatten() {
            self.take_in(resident, similarity);
        }
    }

    pub(super) fn ranking(&self) -> Ranking {
        let single = |(resident, similarity): (ResidentId, f64)| (resident, similarity.clamp(-1.0, 1.0) as f32);
        Ranking { best: self.best.map(single), second: self.second.map(single) }
    }
}
