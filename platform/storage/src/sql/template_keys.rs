//! The keys that templates are sealed with, each wrapped by another that lies elsewhere. Deleting a resident's key makes
//! every copy of the resident's templates unreadable.

use gatepost_domain::id::{CommunityId, ResidentId};
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect,
};

use super::{
    entity::{community_key, resident_key},
    failure::failure,
    store::Tx,
    word::{from_millis, id, to_millis},
};
use crate::{CommunityKey, ResidentKey, StoreError};

impl Tx {
    /// Keeps a community's new key; [`StoreError::Exists`] when there is one of that generation.
    pub async fn insert_community_key(&self, key: &CommunityKey) -> Result<(), StoreError> {
        let row = community_key::Model {
            community: key.community.to_string(),
            generation: key.generation,
            master: key.master.clone(),
            wrapped: key.wrapped.clone(),
            created_at: to_millis(key.created_at),
        };
        community_key::Entity::insert(row.into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// One generation of a community's key.
    pub async fn community_key(
        &self,
        community: &CommunityId,
        generation: i64,
    ) -> Result<Option<CommunityKey>, StoreError> {
        let row = community_key::Entity::find_by_id((community.to_string(), generation))
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        row.map(community_key_from_row).transpose()
    }

    /// A community's keys, the oldest first.
    pub async fn community_keys(&self, community: &CommunityId) -> Result<Vec<CommunityKey>, StoreError> {
        let rows = community_key::Entity::find()
            .filter(community_key::Column::Community.eq(community.as_str()))
            .order_by(community_key::Column::Generation, Order::Asc)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(community_key_from_row).collect()
    }

    /// The ids of the master keys that communities' and signing keys are wrapped by now.
    pub async fn master_keys_in_use(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT master FROM community_key UNION SELECT master FROM signing_key ORDER BY master";
        let rows = self.transaction.query_all_raw(self.statement(sql, Vec::new())).await.map_err(failure)?;
        rows.iter().map(|row| row.try_get_by_index(0).map_err(failure)).collect()
    }

    /// Puts another wrapping around a community's key; [`StoreError::NotFound`] when it is gone.
    pub async fn rewrap_community_key(&self, key: &CommunityKey) -> Result<(), StoreError> {
        let sql = "UPDATE community_key SET master = $1, wrapped = $2 WHERE community = $3 AND generation = $4";
        let values = vec![
            key.master.clone().into(),
            key.wrapped.clone().into(),
            key.community.as_str().into(),
            key.generation.into(),
        ];
        if self.execute(sql, values).await? == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// Deletes a community's keys that no resident's key is wrapped by, but for the newest; says how many.
    pub async fn delete_unused_community_keys(&self, community: &CommunityId) -> Result<u64, StoreError> {
        let sql = "DELETE FROM community_key WHERE community = $1
            AND generation < (SELECT max(generation) FROM community_key WHERE community = $1)
            AND NOT EXISTS (SELECT 1 FROM resident_key WHERE resident_key.community = community_key.community
                AND resident_key.generation = community_key.generation)";
        self.execute(sql, vec![community.as_str().into()]).await
    }

    /// Keeps a resident's first key; [`StoreError::Exists`] when there is one.
    pub async fn insert_resident_key(&self, key: &ResidentKey) -> Result<(), StoreError> {
        let row = resident_key::Model {
            resident: key.resident.0,
            community: key.community.to_string(),
            generation: key.generation,
            wrapped: key.wrapped.clone(),
        };
        resident_key::Entity::insert(row.into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// A resident's key; none when nothing is enrolled.
    pub async fn resident_key(&self, resident: ResidentId) -> Result<Option<ResidentKey>, StoreError> {
        let row = resident_key::Entity::find_by_id(resident.0).one(&self.transaction).await.map_err(failure)?;
        row.map(resident_key_from_row).transpose()
    }

    /// Keys of a community's residents that are wrapped by a key older than `generation`.
    pub async fn resident_keys_before(
        &self,
        community: &CommunityId,
        generation: i64,
        limit: u64,
    ) -> Result<Vec<ResidentKey>, StoreError> {
        let rows = resident_key::Entity::find()
            .filter(resident_key::Column::Community.eq(community.as_str()))
            .filter(resident_key::Column::Generation.lt(generation))
            .order_by(resident_key::Column::Resident, Order::Asc)
            .limit(limit)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(resident_key_from_row).collect()
    }

    /// Puts another wrapping around a resident's key; [`StoreError::NotFound`] when it is gone.
    pub async fn rewrap_resident_key(&self, key: &ResidentKey) -> Result<(), StoreError> {
        let sql = "UPDATE resident_key SET generation = $1, wrapped = $2 WHERE resident = $3";
        let values = vec![key.generation.into(), key.wrapped.clone().into(), key.resident.0.into()];
        if self.execute(sql, values).await? == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }
}

fn community_key_from_row(row: community_key::Model) -> Result<CommunityKey, StoreError> {
    Ok(CommunityKey {
        community: id(&row.community, "community_key.community")?,
        generation: row.generation,
        master: row.master,
        wrapped: row.wrapped,
        created_at: from_millis(row.created_at)?,
    })
}

pub(super) fn resident_key_from_row(row: resident_key::Model) -> Result<ResidentKey, StoreError> {
    Ok(ResidentKey {
        resident: ResidentId(row.resident),
        community: id(&row.community, "resident_key.community")?,
        generation: row.generation,
        wrapped: row.wrapped,
    })
}
