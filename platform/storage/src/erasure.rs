//! Erasures of residents, and what is signed about them.

use std::{collections::BTreeMap, fmt};

use gatepost_domain::{
    Timestamp,
    id::{CommunityId, ErasureId, ResidentId},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a deletion took away: how many rows of which tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Rows that are gone.
    pub deleted: BTreeMap<String, u64>,
    /// Rows that stay, without what they said of the resident.
    pub cleared: BTreeMap<String, u64>,
    /// Reminders among the deleted ones that had been told before, by channel: they cannot be taken back.
    pub told: BTreeMap<String, u64>,
    /// Reminders among the deleted ones that were still to be told.
    pub untold: u64,
    /// Deadlines of parcels that go on: the index holds a parcel and an instant, and nobody knows any more whose.
    pub timers: u64,
}

/// One erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The id.
    pub id: ErasureId,
    /// Of which community.
    pub community: CommunityId,
    /// Who is no more.
    pub resident: ResidentId,
    /// When it was asked for; the rows went in that moment.
    pub requested_at: Timestamp,
    /// Who asked.
    pub principal: String,
    /// What went.
    pub removed: Removed,
    /// When the last replica had confirmed, and the certificate of it.
    pub completed: Option<(Timestamp, String)>,
}

/// What a replica said of its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmation {
    /// Which one.
    pub replica: Uuid,
    /// When.
    pub confirmed_at: Timestamp,
    /// Faces of the resident that it held until then.
    pub faces: u64,
}

/// A key that certificates are signed with, wrapped by the master key. Prints no key.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// From 1; the highest is in use.
    pub generation: i64,
    /// For everybody to know.
    pub public_key: Vec<u8>,
    /// Which master key wrapped it.
    pub master: String,
    /// The wrapped key. The store never looks inside.
    pub wrapped: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.generation)
    }
}
