//! The index of deadlines in this process, for the embedded default. It is empty at every start, and says so until
//! it was built from the rows.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Claim, Claimed, Timers, TimersError},
};

/// Deadlines in order, in memory.
#[derive(Debug, Default)]
pub struct EmbeddedTimers {
    index: Mutex<Index>,
}

/// When an entry is due, in milliseconds, and whether that is the end of a lease. At the same instant leases come
/// last.
type Due = (i64, bool);

#[derive(Debug, Default)]
struct Index {
    /// In the order they are due; the parcel's id breaks ties, so that no two entries are equal.
    by_due: BTreeSet<(Due, ParcelId)>,
    by_parcel: HashMap<ParcelId, Due>,
    whole: bool,
}

impl Index {
    fn put(&mut self, parcel: ParcelId, due: Due) {
        if let Some(old) = self.by_parcel.insert(parcel, due) {
            self.by_due.remove(&(old, parcel));
        }
        self.by_due.insert((due, parcel));
    }

    fn remove(&mut self, parcel: ParcelId) {
        if let Some(old) = self.by_parcel.remove(&parcel) {
            self.by_due.remove(&(old, parcel));
        }
    }
}

impl EmbeddedTimers {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Every change leaves the index whole or throws nothing, so a panic elsewhere spoils nothing here.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Timers for EmbeddedTimers {
    async fn set(&self, parcel: ParcelId, due: Timestamp) -> Result<(), TimersError> {
        self.index().put(parcel, (due.as_millisecond(), false));
        Ok(())
    }

    async fn clear(&self, parcel: ParcelId) -> Result<(), TimersError> {
        self.index().remove(parcel);
        Ok(())
    }

    async fn claim(&self, now: Timestamp, leased_until: Timestamp, limit: usize) -> Result<Claim, TimersError> {
        let mut index = self.index();
        if !index.whole {
            return Err(TimersError::Lost);
        }
        let now = now.as_millisecond();
        let due: Vec<ParcelId> = index
            .by_due
            .iter()
            .take_while(|((due, _), _)| *due <= now)
            .take(limit)
            .map(|(_, parcel)| *parcel)
            .collect();
        for parcel in &due {
            index.put(*parcel, (leased_until.as_millisecond(), true));
        }
        let timers = due.into_iter().map(|parcel| Claimed { parcel, lease: leased_until }).collect();
        let head = index.by_due.first().map(|((due, _), _)| *due);
        Ok(Claim { timers, next_due: head.and_then(|due| Timestamp::from_millisecond(due).ok()) })
    }

    async fn acknowledge(&self, claimed: &[Claimed]) -> Result<(), TimersError> {
        let mut index = self.index();
        for Claimed { parcel, lease } in claimed {
            if index.by_parcel.get(parcel) == Some(&(lease.as_millisecond(), true)) {
                index.remove(*parcel);
            }
        }
        Ok(())
    }

    async fn rebuild(&self, page: &[(ParcelId, Timestamp)], last: bool) -> Result<(), TimersError> {
        let mut index = self.index();
        for (parcel, due) in page {
            let due = (due.as_millisecond(), false);
            // A timer set since the page was read may be earlier; one that fires too early does no harm.
            if index.by_parcel.get(parcel).is_none_or(|known| due < *known) {
                index.put(*parcel, due);
            }
        }
        index.whole |= last;
        Ok(())
    }
}
