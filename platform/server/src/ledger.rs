//! The ledgers of consent and the records of looks, checked from beside the database: is every chain whole, and is in
//! force what the ledgers say?

use std::collections::BTreeSet;

use gatepost_domain::{
    consent::Purpose,
    id::{CommunityId, ResidentId},
};
use gatepost_storage::{ConsentEntry, LookChain, Store, StoreError};

/// Entries read at once.
const PAGE: u64 = 1_000;

/// A ledger that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whose.
    pub community: CommunityId,
    /// How many entries.
    pub entries: i64,
    /// The hash of the newest, in hexadecimal; note it elsewhere. Empty without an entry.
    pub head: String,
}

/// What is wrong with a ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry was changed, put in, moved, or one before it taken out.
    #[error("the ledger of {0} is broken at entry {1}: it does not follow the one before it")]
    Broken(CommunityId, i64),
    /// A look was changed, put in, moved, or one before it taken out.
    #[error("the looks of {0} are broken at {1}: it does not follow the one before it")]
    LooksBroken(String, i64),
    /// The ledger does not hold a hash that was noted before.
    #[error("the ledger of {0} holds no entry with the noted hash: it was written anew, or cut off")]
    HeadMissing(CommunityId),
    /// What is in force is not what the ledger says.
    #[error("{purpose} of {resident} in {community} is {in_force}, and the ledger says otherwise")]
    Disagrees {
        /// Whose ledger.
        community: CommunityId,
        /// Whose consent.
        resident: ResidentId,
        /// To what.
        purpose: &'static str,
        /// "in force" or "not in force".
        in_force: &'static str,
    },
}

/// Checks a community's ledger from its first entry to its last, and what is in force against it. With `noted`, a hash of
/// an earlier check in hexadecimal, also that the ledger still holds that entry.
pub async fn verify(store: &Store, community: &CommunityId, noted: Option<&str>) -> Result<Verified, LedgerError> {
    let tx = store.read().await?;
    let mut last: Option<ConsentEntry> = None;
    let mut given: BTreeSet<(ResidentId, Purpose)> = BTreeSet::new();
    let mut found = noted.is_none();
    loop {
        let page = tx.consent_entries(community, last.as_ref().map_or(0, |entry| entry.sequence), PAGE).await?;
        let full = page.len() as u64 == PAGE;
        for entry in page {
            if !entry.follows(last.as_ref()) {
                let due = last.as_ref().map_or(1, |last| last.sequence + 1);
                return Err(LedgerError::Broken(community.clone(), due.min(entry.sequence)));
            }
            let what = (entry.resident, entry.purpose);
            if entry.given {
                given.insert(what)
            } else {
                given.remove(&what)
            };
            found |= noted.is_some_and(|noted| noted.eq_ignore_ascii_case(&hex::encode(entry.hash)));
            last = Some(entry);
        }
        if !full {
            break;
        }
    }
    if !found {
        return Err(LedgerError::HeadMissing(community.clone()));
    }
    let in_force: BTreeSet<(ResidentId, Purpose)> = tx.consents_in_force(community).await?.into_iter().collect();
    if let Some((resident, purpose)) = in_force.symmetric_difference(&given).next() {
        let in_force = if in_force.contains(&(*resident, *purpose)) { "in force" } else { "not in force" };
        let (community, resident, purpose) = (community.clone(), *resident, purpose.name());
        return Err(LedgerError::Disagrees { community, resident, purpose, in_force });
    }
    Ok(Verified {
        community: community.clone(),
        entries: last.as_ref().map_or(0, |entry| entry.sequence),
        head: last.map_or_else(String::new, |entry| hex::encode(entry.hash)),
    })
}

/// Checks a chain of looks from the first that is kept to the last: how many there are, and the hash of the newest in
/// hexadecimal.
pub async fn verify_looks(store: &Store, chain: &LookChain) -> Result<(u64, String), LedgerError> {
    let tx = store.read().await?;
    let mut before = tx.forgotten_looks(chain).await?;
    let mut looks = 0;
    loop {
        let page = tx.looks_after(chain, before.map_or(0, |(sequence, _)| sequence), PAGE).await?;
        let full = page.len() as u64 == PAGE;
        for look in page {
            if !look.follows(before) {
                let due = before.map_or(1, |(sequence, _)| sequence + 1);
                return Err(LedgerError::LooksBroken(told(chain), due.min(look.sequence)));
            }
            before = Some((look.sequence, look.hash));
            looks += 1;
        }
        if !full {
            return Ok((looks, before.map_or_else(String::new, |(_, hash)| hex::encode(hash))));
        }
    }
}

/// Whose chain, for people.
pub fn told(chain: &LookChain) -> String {
    chain.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string)
}
