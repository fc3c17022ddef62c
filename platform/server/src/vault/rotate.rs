//! New keys while everything goes on: each step leaves every face readable, by the old key or by the new one.

use gatepost_domain::{Timestamp, id::CommunityId};
use gatepost_storage::{CommunityKey, Store};

use super::{Key, Vault, VaultError, place_of_community};

/// Residents a transaction: others are enrolled in between.
const RESIDENTS_A_STEP: u64 = 50;
/// Communities read at once.
const COMMUNITIES_A_PAGE: u64 = 500;

/// What a rotation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Keys that were wrapped or made anew.
    pub keys: u64,
    /// Faces that were turned and sealed anew.
    pub templates: u64,
}

impl Vault {
    /// Wraps every community's key, and those that sign, with the master key in use. Where the master key is the default's own, a new one is
    /// made first, and the old one forgotten at the end.
    pub async fn rotate_master(&self, store: &Store) -> Result<Rotated, VaultError> {
        self.masters.make_next()?;
        let in_use = self.masters.in_use()?;
        let mut rotated = Rotated::default();
        for community in communities(store).await? {
            let tx = store.write().await?;
            tx.lock_community(&community).await?;
            for key in tx.community_keys(&community).await? {
                if in_use.as_ref() == Some(&key.master) {
                    continue;
                }
                let place = place_of_community(&community, key.generation);
                let bytes = self.masters.unwrap(&key.master, &key.wrapped, &place).await?;
                let (master, wrapped) = self.masters.wrap(&bytes, &place).await?;
                tx.rewrap_community_key(&CommunityKey { master, wrapped, ..key }).await?;
                rotated.keys += 1;
            }
            tx.commit().await?;
        }
        rotated.keys += self.rewrap_signing_keys(store, in_use.as_deref()).await?;
        self.masters.forget_older()?;
        Ok(rotated)
    }

    /// Gives a community a new key and a new rotation, and every resident of it a new key: what anybody knew of the old
    /// ones opens nothing that is kept from now on. Goes on where a rotation that died left off.
    pub async fn rotate_community(
        &self,
        store: &Store,
        community: &CommunityId,
        now: Timestamp,
    ) -> Result<Rotated, VaultError> {
        let tx = store.write().await?;
        tx.lock_community(community).await?;
        let keys = tx.community_keys(community).await?;
        let Some(newest) = keys.last() else { return Ok(Rotated::default()) };
        let unfinished = !tx.resident_keys_before(community, newest.generation, 1).await?.is_empty();
        let generation = if unfinished { newest.generation } else { newest.generation + 1 };
        if !unfinished {
            self.make(&tx, community, generation, now).await?;
        }
        tx.commit().await?;
        let mut rotated = Rotated { keys: u64::from(!unfinished), templates: 0 };
        while self.rotate_some(store, community, generation, &mut rotated).await? {}
        Ok(rotated)
    }

    /// Moves some residents to the newest generation; false when there is nobody left and the old keys are gone.
    async fn rotate_some(
        &self,
        store: &Store,
        community: &CommunityId,
        generation: i64,
        rotated: &mut Rotated,
    ) -> Result<bool, VaultError> {
        let tx = store.write().await?;
        tx.lock_community(community).await?;
        let newest = self.secrets(&tx, community, generation).await?;
        let residents = tx.resident_keys_before(community, generation, RESIDENTS_A_STEP).await?;
        for wrapped in &residents {
            let older = self.secrets(&tx, community, wrapped.generation).await?;
            let key = Key::random();
            for template in tx.templates_of(wrapped.resident).await? {
                let face = older.open(&template, wrapped)?;
                let sealed = newest.seal(&key, wrapped.resident, template.id, &face)?;
                tx.reseal_template(template.id, &sealed).await?;
                rotated.templates += 1;
            }
            tx.rewrap_resident_key(&newest.wrap(wrapped.resident, &key)).await?;
            rotated.keys += 1;
        }
        if residents.is_empty() {
            tx.delete_unused_community_keys(community).await?;
        }
        tx.commit().await?;
        Ok(!residents.is_empty())
    }
}

/// Every community there is.
pub async fn communities(store: &Store) -> Result<Vec<CommunityId>, VaultError> {
    let tx = store.read().await?;
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = tx.communities(after.as_ref(), COMMUNITIES_A_PAGE).await?;
        let full = page.len() as u64 == COMMUNITIES_A_PAGE;
        all.extend(page.into_iter().map(|community| community.id));
        match all.last() {
            Some(last) if full => after = Some(last.clone()),
            _ => return Ok(all),
        }
    }
}
