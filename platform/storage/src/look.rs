//! A look of staff at what is personal, and the chain that looks stand in.

use gatepost_domain::{Timestamp, id::CommunityId};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What the hash of the first look covers in place of a hash before it.
const BEGINNING: [u8; 32] = [0; 32];
/// What every hash begins with, so that another way of hashing can follow this one.
const LABEL: &[u8] = b"gatepost looks 1";

/// Whose chain a look stands in: a community's, or the one of looks that found nobody.
pub type LookChain = Option<CommunityId>;

/// One look at what is personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Of which community are those who were looked at.
    pub chain: LookChain,
    /// From 1, without gaps.
    pub sequence: i64,
    /// When.
    pub looked_at: Timestamp,
    /// Who looked, by principal.
    pub principal: String,
    /// Whose key or token it was.
    pub bearer: String,
    /// How.
    pub rpc: String,
    /// `OK`, or the reason why nothing was told.
    pub outcome: String,
    /// The request, where it had an id.
    pub request_id: Option<Uuid>,
    /// Who was looked at: ids of residents and parcels, each once, in order.
    pub subjects: Vec<String>,
    /// Covers this look and, through the hash before it, all before.
    pub hash: [u8; 32],
}

impl Look {
    /// Whether this look follows the one of that sequence and hash; the first one follows nothing.
    pub fn follows(&self, before: Option<(i64, [u8; 32])>) -> bool {
        let (sequence, hash) = before.map_or((1, BEGINNING), |(sequence, hash)| (sequence + 1, hash));
        self.sequence == sequence && self.hash == self.hash_after(&hash)
    }

    /// Puts the look at the end of a chain.
    pub(crate) fn after(mut self, before: Option<(i64, [u8; 32])>) -> Self {
        let (sequence, hash) = before.map_or((1, BEGINNING), |(sequence, hash)| (sequence + 1, hash));
        self.sequence = sequence;
        self.hash = self.hash_after(&hash);
        self
    }

    /// The hash that it must have after the hash before it.
    fn hash_after(&self, before: &[u8; 32]) -> [u8; 32] {
        let mut digest = Sha256::new().chain_update(LABEL).chain_update(before);
        let mut cover = |field: &[u8]| {
            digest.update((field.len() as u64).to_le_bytes());
            digest.update(field);
        };
        cover(self.chain.as_ref().map_or("", CommunityId::as_str).as_bytes());
        cover(&self.sequence.to_le_bytes());
        cover(&self.looked_at.as_millisecond().to_le_bytes());
        for text in [&self.principal, &self.bearer, &self.rpc, &self.outcome] {
            cover(text.as_bytes());
        }
        cover(self.request_id.as_ref().map_or(&[], |id| &id.as_bytes()[..]));
        for subject in &self.subjects {
            cover(subject.as_bytes());
        }
        digest.finalize().into()
    }
}
