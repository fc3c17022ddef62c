//! Communities as they were last read, with the walks from every home that a parcel went to. Neither is read or computed
//! again before the community changes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use gatepost_domain::{
    community::Community,
    id::{BuildingId, CommunityId, GateId},
    walks::{Walk, Walks},
};
use gatepost_storage::{StoreError, Tx};

use crate::{
    platform::Platform,
    problem::{Missing, Problem},
};

/// Communities kept; with more, all are forgotten and read again as they are needed.
const COMMUNITIES_MAX: usize = 1_000;
/// Walks kept of one community, 24 bytes each: those from 500 homes to 2,000 lockers.
const WALKS_MAX: usize = 1_000_000;

/// What is kept of every community.
#[derive(Default)]
pub struct Known(Mutex<HashMap<CommunityId, Arc<Premises>>>);

/// One version of a community.
pub struct Premises {
    /// As it was read.
    pub community: Arc<Community>,
    version: i64,
    walks: Walks,
    from_homes: Mutex<FromHomes>,
}

/// By home, and whether without steps.
type FromHomes = HashMap<(BuildingId, bool), Arc<[Walk]>>;

impl Premises {
    fn new(version: i64, community: Community) -> Self {
        let walks = Walks::new(&community.topology);
        Self { community: Arc::new(community), version, walks, from_homes: Mutex::default() }
    }

    /// The walks from a home to every locker, nearest first.
    pub fn walks(&self, home: &BuildingId, step_free: bool) -> Arc<[Walk]> {
        let key = (home.clone(), step_free);
        let known = self.from_homes.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        known.unwrap_or_else(|| {
            let walks: Arc<[Walk]> = self.walks.nearest_first(home, step_free).into();
            let mut from_homes = self.from_homes.lock().unwrap_or_else(PoisonError::into_inner);
            if (from_homes.len() + 1) * walks.len() > WALKS_MAX {
                from_homes.clear();
            }
            from_homes.insert(key, Arc::clone(&walks));
            walks
        })
    }

    /// Metres along the shortest way between two gates; none where no way joins them.
    pub fn between_gates(&self, from: &GateId, to: &GateId) -> Option<f64> {
        self.walks.between_gates(from, to)
    }
}

impl Platform {
    /// A community that must be there, as this transaction sees it. Not for a transaction that changed it: what it
    /// sees may be rolled back, and another change would then have its version.
    pub async fn premises(&self, tx: &Tx, id: &CommunityId) -> Result<Arc<Premises>, Problem> {
        let missing = || Problem::NotFound(Missing::Community);
        let version = tx.community_version(id).await?.ok_or_else(missing)?;
        let known = self.known.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(known) = known.filter(|known| known.version == version) {
            return Ok(known);
        }
        let (version, community) = tx.versioned_community(id).await?.ok_or_else(missing)?;
        let premises = Arc::new(Premises::new(version, community));
        let mut known = self.known.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= COMMUNITIES_MAX {
            known.clear();
        }
        known.insert(id.clone(), Arc::clone(&premises));
        Ok(premises)
    }

    /// A community as it stays until this transaction ends, so that a place in it can be given away.
    pub async fn lock_premises(&self, tx: &Tx, id: &CommunityId) -> Result<Arc<Premises>, Problem> {
        match tx.lock_community(id).await {
            Ok(()) | Err(StoreError::NotFound) => self.premises(tx, id).await,
            Err(error) => Err(error.into()),
        }
    }
}
