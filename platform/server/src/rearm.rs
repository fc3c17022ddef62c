//! What waits follows the waiting policy: page by page, each in a transaction of its own, so that a change for a hundred
//! thousand parcels holds nobody up. How far it came is in the rows, so whoever goes on after a crash begins there.

use std::collections::{HashMap, hash_map::Entry};

use gatepost_domain::{
    Parcel,
    id::{CommunityId, CourierId},
    journey::rearm,
    policy::WaitingPolicy,
};
use gatepost_storage::PolicyKey;

use crate::{
    failpoint,
    platform::Platform,
    problem::{Problem, settle},
};

/// Waiting parcels read and saved at once.
const PAGE: u64 = 500;

impl Platform {
    /// Gives everything that waits under a changed layer its new deadlines. Returns when nothing is left to do, whoever
    /// did it.
    pub async fn rearm(&self) -> Result<(), Problem> {
        while settle(|| self.rearm_page()).await? {
            failpoint::die_at("policy.rearming");
        }
        Ok(())
    }

    /// One page; whether there was one.
    async fn rearm_page(&self) -> Result<bool, Problem> {
        let tx = self.store.write().await?;
        let Some((layer, after)) = tx.next_rearm().await? else { return Ok(false) };
        let (community, courier) = match &layer {
            PolicyKey::Tenant => (None, None),
            PolicyKey::Community(id) => (Some(id), None),
            PolicyKey::Courier(id) => (None, Some(id)),
        };
        let waiting = tx.lock_waiting(community, courier, after, PAGE).await?;
        let reached = waiting.last().map(Parcel::id).filter(|_| waiting.len() as u64 == PAGE);
        let mut policies: HashMap<(CommunityId, CourierId), WaitingPolicy> = HashMap::new();
        let mut moved = Vec::with_capacity(waiting.len());
        for parcel in waiting {
            let key = (parcel.facts().community.clone(), parcel.facts().courier.clone());
            let policy = match policies.entry(key) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let found = self.policy(&tx, &new.key().0, Some(&new.key().1)).await?;
                    new.insert(found)
                }
            };
            let step = rearm::rearm(parcel, policy);
            if step.changed {
                moved.push(step.parcel);
            }
        }
        tx.save_locked(&moved.iter().collect::<Vec<_>>(), self.now()).await?;
        tx.save_rearm(&layer, reached).await?;
        self.commit_steps(tx, &[]).await?;
        Ok(true)
    }
}
