//! Everybody's faces of one community, while photographs are enrolled there: so that one person is not enrolled as two.

use std::collections::BTreeMap;

use gatepost_domain::{
    Timestamp,
    id::{CommunityId, ResidentId, TemplateId},
};
use gatepost_matching::{Embedding, ModelId};
use gatepost_storage::{SearchableFace, Tx};
use jiff::SignedDuration;

use super::{Searchable, Vault, VaultError};

/// How long the faces stay in memory after the last photograph.
const KEPT_FOR: SignedDuration = SignedDuration::from_secs(60);

/// The community whose photographs come in.
pub(super) struct Enrolled {
    community: CommunityId,
    model: ModelId,
    everybody: Searchable,
    used_at: Timestamp,
}

impl Enrolled {
    pub(super) fn model(&self) -> &ModelId {
        &self.model
    }
}

impl Vault {
    /// Everybody enrolled in the community whom the face resembles by at least what `least` says for so many faces,
    /// and how much. Under the community's lock this misses nobody.
    ///
    /// A roster's photographs come one after the other: what they add is read, and not everything each time.
    pub async fn resembling(
        &self,
        tx: &Tx,
        community: &CommunityId,
        face: &Embedding,
        now: Timestamp,
        least: impl Fn(usize) -> f32,
    ) -> Result<BTreeMap<ResidentId, f32>, VaultError> {
        let faces = tx.consenting_faces(community, face.model().as_str()).await?;
        let mut kept = self.enrolled.lock().await;
        // Of one community, and of each model that its photographs are enrolled under.
        kept.retain(|kept| kept.community == *community);
        let before = kept.iter().position(|kept| kept.model == *face.model()).map(|place| kept.swap_remove(place));
        let everybody = self.follow(tx, community, face.model(), before, faces).await?;
        let found = everybody.gallery().resembling(&everybody.turn(face.clone())?, least(everybody.gallery().len()))?;
        kept.push(Enrolled { community: community.clone(), model: face.model().clone(), everybody, used_at: now });
        Ok(found)
    }

    /// Forgets faces that no photograph was compared with for a while.
    pub async fn forget_enrolled(&self, now: Timestamp) {
        self.enrolled.lock().await.retain(|kept| now.duration_since(kept.used_at) <= KEPT_FOR);
    }

    /// Forgets a community's faces, and says how many of them `its` counts.
    pub(super) async fn clear_enrolled(&self, community: &CommunityId, its: impl Fn(&[SearchableFace]) -> u64) -> u64 {
        let mut kept = self.enrolled.lock().await;
        let cleared = kept.extract_if(.., |kept| kept.community == *community);
        cleared.map(|cleared| its(&cleared.everybody.faces)).sum()
    }

    async fn follow(
        &self,
        tx: &Tx,
        community: &CommunityId,
        model: &ModelId,
        before: Option<Enrolled>,
        faces: Vec<SearchableFace>,
    ) -> Result<Searchable, VaultError> {
        let Some(Enrolled { everybody: Searchable { faces: old, mut gallery, secrets: Some(secrets) }, .. }) = before
        else {
            return self.load(tx, community, model, faces).await;
        };
        let key = |face: &SearchableFace| (face.template, face.generation);
        let present: BTreeMap<TemplateId, i64> = faces.iter().map(key).collect();
        let newest = present.values().max().copied();
        // Who is gone, or sealed anew, cannot be taken out one by one.
        if newest != Some(secrets.generation) || old.iter().map(key).any(|(id, of)| present.get(&id) != Some(&of)) {
            return self.load(tx, community, model, faces).await;
        }
        let known: BTreeMap<TemplateId, i64> = old.iter().map(key).collect();
        let new: Vec<SearchableFace> =
            faces.iter().filter(|face| !known.contains_key(&face.template)).copied().collect();
        self.add_all(tx, &mut gallery, (&secrets, model), &new).await?;
        Ok(Searchable { faces, gallery, secrets: Some(secrets) })
    }
}
