//! What residents agree to: what is in force, and the ledger of how it came about.
//!
//! The ledger of a community is a chain. An entry's hash is SHA-256 over a fixed beginning, the hash before it and every
//! field of the entry, each with its length; so an entry that is changed, taken out, put in or moved breaks the chain from
//! there on. Whoever can write the whole database can write a whole new chain: note the newest hash elsewhere now and then.

use std::collections::HashMap;

use gatepost_domain::{
    Timestamp,
    consent::Purpose,
    id::{CommunityId, ResidentId},
};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    entity::{
        consent_in_force,
        consent_ledger::{Column, Entity, Model},
        resident,
    },
    failure::failure,
    store::Tx,
    word::{Word, corrupt, from_millis, id, to_millis},
};
use crate::{ConsentEntry, ShownNotice, StoreError};

/// What the hash of the first entry covers in place of a hash before it.
const BEGINNING: [u8; 32] = [0; 32];
/// What every hash begins with, so that another way of hashing can follow this one.
const LABEL: &[u8] = b"gatepost consent ledger 1";

impl Tx {
    /// Records that a resident agreed to a purpose, under which notice.
    pub async fn grant_consent(
        &self,
        resident: ResidentId,
        purpose: Purpose,
        notice: impl Into<ShownNotice>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.enter(resident, purpose, Some(notice.into()), false, now).await?;
        let sql = "INSERT INTO consent_in_force (resident, purpose) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.execute(sql, vec![resident.0.into(), purpose.word().into()]).await?;
        Ok(())
    }

    /// Records that a resident took a consent back, by a guardian or not. False for one that was not in force, which leaves
    /// no entry; only a channel of reminders, which is used without a consent too, can be refused all the same, once.
    pub async fn withdraw_consent(
        &self,
        resident: ResidentId,
        purpose: Purpose,
        by_guardian: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.end_consent(resident, purpose, by_guardian, now).await? {
            return Ok(true);
        }
        if !Purpose::CHANNELS.contains(&purpose) {
            return Ok(false);
        }
        let said = self.said_of_channels(&[resident]).await?.remove(&resident).unwrap_or_default();
        let refused = said.iter().rev().find(|(channel, _)| *channel == purpose).is_some_and(|(_, agreed)| !agreed);
        if !refused {
            self.enter(resident, purpose, None, by_guardian, now).await?;
        }
        Ok(!refused)
    }

    /// Which guardian agreed to a purpose for a resident when that was last granted; empty if none was named.
    pub async fn guardian_of(&self, resident: ResidentId, purpose: Purpose) -> Result<String, StoreError> {
        let row = Entity::find()
            .filter(Column::Resident.eq(resident.0))
            .filter(Column::Purpose.eq(purpose.word()))
            .filter(Column::Given.eq(true))
            .order_by(Column::Sequence, Order::Desc)
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(row.map_or_else(String::new, |row| row.guardian))
    }

    async fn end_consent(
        &self,
        resident: ResidentId,
        purpose: Purpose,
        by_guardian: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM consent_in_force WHERE resident = $1 AND purpose = $2";
        let was_in_force = self.execute(sql, vec![resident.0.into(), purpose.word().into()]).await? > 0;
        if was_in_force {
            self.enter(resident, purpose, None, by_guardian, now).await?;
        }
        Ok(was_in_force)
    }

    /// What these residents last said about each channel of reminders, oldest first: agreed to or refused. Of agreement
    /// and refusal of a channel each the last is told.
    pub async fn said_of_channels(
        &self,
        residents: &[ResidentId],
    ) -> Result<HashMap<ResidentId, Vec<(Purpose, bool)>>, StoreError> {
        let mut said: HashMap<ResidentId, Vec<(Purpose, bool)>> = HashMap::new();
        let rows: Vec<(Uuid, String, bool, i64)> = Entity::find()
            .select_only()
            .column(Column::Resident)
            .column(Column::Purpose)
            .column(Column::Given)
            .column_as(Column::Sequence.max(), "newest")
            .filter(self.among(Column::Resident, residents.iter().map(|resident| resident.0)))
            .filter(Column::Purpose.is_in(Purpose::CHANNELS.map(Purpose::word)))
            .group_by(Column::Resident)
            .group_by(Column::Purpose)
            .group_by(Column::Given)
            .order_by(Column::Sequence.max(), Order::Asc)
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        for (whose, purpose, given, _) in rows {
            said.entry(ResidentId(whose)).or_default().push((Word::read(&purpose)?, given));
        }
        Ok(said)
    }

    /// Appends to the ledger of the resident's community, one entry at a time.
    async fn enter(
        &self,
        whose: ResidentId,
        purpose: Purpose,
        notice: Option<ShownNotice>,
        by_guardian: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let community: Option<String> = resident::Entity::find_by_id(whose.0)
            .select_only()
            .column(resident::Column::Community)
            .into_tuple()
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        let community: CommunityId = id(&community.ok_or(StoreError::NotFound)?, "resident.community")?;
        self.lock_community(&community).await?;
        let newest = self.newest_consent_entry(&community).await?;
        let (sequence, before) = newest.map_or((1, BEGINNING), |entry| (entry.sequence + 1, entry.hash));
        let given = notice.is_some();
        let notice = notice.unwrap_or_else(|| ShownNotice { by_guardian, ..ShownNotice::from("") });
        let mut entry = ConsentEntry {
            community,
            sequence,
            resident: whose,
            purpose,
            given,
            notice: notice.version,
            notice_sha256: notice.sha256,
            by_guardian: notice.by_guardian,
            guardian: notice.guardian,
            // As it is read back.
            recorded_at: from_millis(to_millis(now))?,
            hash: BEGINNING,
        };
        entry.hash = hash(&before, &entry);
        Entity::insert(to_row(&entry).into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// The end of a community's ledger.
    pub async fn newest_consent_entry(&self, community: &CommunityId) -> Result<Option<ConsentEntry>, StoreError> {
        let row = Entity::find()
            .filter(Column::Community.eq(community.as_str()))
            .order_by(Column::Sequence, Order::Desc)
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        row.map(from_row).transpose()
    }

    /// A community's ledger after an entry, oldest first.
    pub async fn consent_entries(
        &self,
        community: &CommunityId,
        after: i64,
        limit: u64,
    ) -> Result<Vec<ConsentEntry>, StoreError> {
        let rows = Entity::find()
            .filter(Column::Community.eq(community.as_str()))
            .filter(Column::Sequence.gt(after))
            .order_by(Column::Sequence, Order::Asc)
            .limit(limit)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }

    /// What is in force in a community, by resident and purpose.
    pub async fn consents_in_force(&self, community: &CommunityId) -> Result<Vec<(ResidentId, Purpose)>, StoreError> {
        let rows: Vec<(Uuid, String)> = consent_in_force::Entity::find()
            .select_only()
            .column(consent_in_force::Column::Resident)
            .column(consent_in_force::Column::Purpose)
            .filter(
                consent_in_force::Column::Resident.in_subquery(
                    sea_orm::sea_query::Query::select()
                        .column(resident::Column::Id)
                        .from(resident::Entity)
                        .and_where(resident::Column::Community.eq(community.as_str()))
                        .to_owned(),
                ),
            )
            .order_by(consent_in_force::Column::Resident, Order::Asc)
            .order_by(consent_in_force::Column::Purpose, Order::Asc)
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(|(whose, purpose)| Ok((ResidentId(whose), Word::read(&purpose)?))).collect()
    }

    /// Ends what is in force for a resident who is about to be deleted; says how many consents that were.
    pub(super) async fn end_consents(&self, whose: ResidentId, now: Timestamp) -> Result<u64, StoreError> {
        let mut ended = 0;
        for purpose in Purpose::ALL {
            ended += u64::from(self.end_consent(whose, purpose, false, now).await?);
        }
        Ok(ended)
    }
}

/// The hash that an entry must have after the hash before it.
pub fn hash(before: &[u8; 32], entry: &ConsentEntry) -> [u8; 32] {
    let mut digest = Sha256::new().chain_update(LABEL).chain_update(before);
    let fields: [&[u8]; 10] = [
        entry.community.as_str().as_bytes(),
        &entry.sequence.to_le_bytes(),
        entry.resident.0.as_bytes(),
        entry.purpose.word().as_bytes(),
        &[u8::from(entry.given)],
        entry.notice.as_bytes(),
        entry.notice_sha256.as_ref().map_or(&[], |sha256| &sha256[..]),
        &[u8::from(entry.by_guardian)],
        &to_millis(entry.recorded_at).to_le_bytes(),
        entry.guardian.as_bytes(),
    ];
    // Entries of before guardians were named keep their hash.
    let told = if entry.guardian.is_empty() { 9 } else { 10 };
    for field in &fields[..told] {
        digest.update((field.len() as u64).to_le_bytes());
        digest.update(field);
    }
    digest.finalize().into()
}

impl ConsentEntry {
    /// Whether this entry follows `before`; for the first one, nothing.
    pub fn follows(&self, before: Option<&ConsentEntry>) -> bool {
        let (sequence, before) = before.map_or((1, BEGINNING), |entry| (entry.sequence + 1, entry.hash));
        self.sequence == sequence && self.hash == hash(&before, self)
    }
}

fn to_row(entry: &ConsentEntry) -> Model {
    Model {
        community: entry.community.to_string(),
        sequence: entry.sequence,
        resident: entry.resident.0,
        purpose: entry.purpose.word().to_owned(),
        given: entry.given,
        notice: entry.notice.clone(),
        notice_sha256: entry.notice_sha256.map(|sha256| sha256.to_vec()),
        by_guardian: entry.by_guardian,
        guardian: entry.guardian.clone(),
        recorded_at: to_millis(entry.recorded_at),
        hash: entry.hash.to_vec(),
    }
}

fn from_row(row: Model) -> Result<ConsentEntry, StoreError> {
    let sha256 = |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).map_err(|_| corrupt("consent_ledger"));
    Ok(ConsentEntry {
        community: id(&row.community, "consent_ledger.community")?,
        sequence: row.sequence,
        resident: ResidentId(row.resident),
        purpose: Word::read(&row.purpose)?,
        given: row.given,
        notice: row.notice,
        notice_sha256: row.notice_sha256.map(sha256).transpose()?,
        by_guardian: row.by_guardian,
        guardian: row.guardian,
        recorded_at: from_millis(row.recorded_at)?,
        hash: sha256(row.hash)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed apart from this program, by what was hashed before guardians were named.
    #[test]
    fn an_entry_without_a_guardian_has_the_hash_it_always_had() {
        let bytes = "f98dd825391d1e9472fe41caec71456d6f4b73688faa47bf85d3554e62aac28a";
        let entry = ConsentEntry {
            community: "lotus".parse().unwrap(),
            sequence: 1,
            resident: ResidentId(Uuid::from_u128(1)),
            purpose: Purpose::LockerDeposit,
            given: true,
            notice: "v1".to_owned(),
            notice_sha256: None,
            by_guardian: false,
            guardian: String::new(),
            recorded_at: Timestamp::UNIX_EPOCH,
            hash: BEGINNING,
        };
        let hex = |entry: &ConsentEntry| hash(&BEGINNING, entry).iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(&entry), bytes);
        assert_ne!(hex(&ConsentEntry { guardian: "file-7".to_owned(), ..entry }), bytes);
    }
}
