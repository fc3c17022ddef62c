//! Whether two models say the same of a passer-by, while one is to follow the other. What they said is counted; who it
//! was is not kept, and nobody is reminded by it.

use gatepost_domain::id::{CommunityId, ResidentId};
use gatepost_matching::{BoundingBox, Gallery, MatchPolicy, ModelId, ObservedFace, Verdict};
use gatepost_storage::Agreement;
use opentelemetry::KeyValue;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    gate::{compared_with, observed},
    hub::Outcome,
};
use crate::{platform::Platform, problem::Problem};

/// From this overlap on, two faces of a frame are one.
const ONE_FACE: f32 = 0.5;

/// Whom a face in a frame was like, by itself.
pub struct Said {
    bounds: BoundingBox,
    resident: Option<ResidentId>,
}

/// A frame on its way to the other model.
pub struct Beside {
    /// What will be found.
    pub outcome: oneshot::Receiver<Outcome>,
    /// So many of a camera's frames are compared at once, and no more.
    pub place: OwnedSemaphorePermit,
}

/// What is said of the faces that are good enough.
pub fn said(faces: &[ObservedFace], gallery: &Gallery, policy: &MatchPolicy) -> Vec<Said> {
    let usable = faces.iter().filter(|face| policy.is_usable(face.quality));
    let said = usable.filter_map(|face| {
        let ranking = gallery.search(&face.embedding).ok()?;
        let resident = match policy.judge(&ranking, face.quality, gallery) {
            Verdict::Known { resident, .. } => Some(resident),
            _ => None,
        };
        Some(Said { bounds: face.bounds, resident })
    });
    said.collect()
}

/// Waits for what the other model found in the frame, and counts in how far it is what was `said` by `model`.
pub async fn compare(platform: Platform, community: CommunityId, model: ModelId, said: Vec<Said>, beside: Beside) {
    if let Err(problem) = try_compare(&platform, &community, &model, said, beside).await {
        tracing::warn!(error = %problem, "what two models said was not counted");
    }
}

async fn try_compare(
    platform: &Platform,
    community: &CommunityId,
    model: &ModelId,
    said: Vec<Said>,
    Beside { outcome, place: _place }: Beside,
) -> Result<(), Problem> {
    let Ok(Ok(analysis)) = outcome.await else { return Ok(()) };
    if said.is_empty() && analysis.result.faces.is_empty() {
        return Ok(());
    }
    let other = {
        let tx = platform.store.read().await?;
        let (searchable, _, policy) = compared_with(platform, &tx, community, &analysis.model).await?;
        let faces = observed(&analysis.model, analysis.result.faces, &searchable);
        self::said(&faces, searchable.gallery(), &policy)
    };
    let more = agreement(said, other);
    if more == Agreement::default() {
        return Ok(());
    }
    let tx = platform.store.write().await?;
    let Some(upgrade) = tx.model_upgrade().await? else { return Ok(()) };
    let more = match (model.as_str(), analysis.model.as_str()) {
        models if models == (&upgrade.old, &upgrade.new) => more,
        models if models == (&upgrade.new, &upgrade.old) => {
            Agreement { only_old: more.only_new, only_new: more.only_old, ..more }
        }
        _ => return Ok(()),
    };
    tx.count_agreement(&more).await?;
    tx.commit().await?;
    let counts = [
        ("same", more.same),
        ("neither", more.neither),
        ("only_old", more.only_old),
        ("only_new", more.only_new),
        ("different", more.different),
    ];
    for (said, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        platform.metrics.model_agreement.add(count, &[KeyValue::new("said", said)]);
    }
    Ok(())
}

/// What an old model and a new one said of one frame. A stranger's face that only one of them saw counts for nothing.
fn agreement(old: Vec<Said>, mut new: Vec<Said>) -> Agreement {
    let mut counts = Agreement::default();
    for face in old {
        let overlaps = new.iter().map(|other| other.bounds.overlap(&face.bounds)).enumerate();
        let nearest = overlaps.filter(|(_, overlap)| *overlap >= ONE_FACE).max_by(|(_, a), (_, b)| a.total_cmp(b));
        let other = nearest.map(|(place, _)| new.swap_remove(place));
        match (face.resident, other.map(|other| other.resident)) {
            (Some(one), Some(Some(other))) if one == other => counts.same += 1,
            (Some(_), Some(Some(_))) => counts.different += 1,
            (Some(_), Some(None) | None) => counts.only_old += 1,
            (None, Some(Some(_))) => counts.only_new += 1,
            (None, Some(None)) => counts.neither += 1,
            (None, None) => {}
        }
    }
    counts.only_new += new.iter().filter(|face| face.resident.is_some()).count() as u64;
    counts
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn face(x: f32, resident: u128) -> Said {
        let bounds = BoundingBox { x, y: 0.0, width: 100.0, height: 100.0 };
        Said { bounds, resident: (resident > 0).then(|| ResidentId(Uuid::from_u128(resident))) }
    }

    #[test]
    fn faces_are_paired_by_where_they_are() {
        let old = vec![face(0.0, 1), face(200.0, 2), face(400.0, 0), face(600.0, 3), face(800.0, 0), face(1000.0, 0)];
        let new = vec![face(1010.0, 4), face(610.0, 0), face(395.0, 0), face(205.0, 3), face(10.0, 1)];
        let counts = agreement(old, new);
        assert_eq!(counts, Agreement { same: 1, neither: 1, only_old: 1, only_new: 1, different: 1 });
    }

    #[test]
    fn a_face_that_one_did_not_see_counts_where_the_other_found_somebody() {
        let apart = agreement(vec![face(0.0, 1), face(300.0, 0)], vec![face(60.0, 1), face(600.0, 0)]);
        assert_eq!(apart, Agreement { only_old: 1, only_new: 1, ..Agreement::default() });
    }
}
