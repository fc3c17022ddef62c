//! Courier companies, and the keys of everybody.

use gatepost_domain::{
    Timestamp,
    id::{CourierId, KeyId},
};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect, sea_query::LockType,
};

use super::{
    entity::{access_key, courier},
    failure::failure,
    store::Tx,
    word::{corrupt, from_millis, from_millis_option, hash, id, to_millis},
};
use crate::{Courier, Key, StoreError};

impl Tx {
    /// Keeps a new courier; [`StoreError::Exists`] when there is one of that id.
    pub async fn insert_courier(&self, courier: &Courier) -> Result<(), StoreError> {
        let row = courier::Model {
            id: courier.id.to_string(),
            display_name: courier.display_name.clone(),
            newest_sequence: 0,
            acknowledged_sequence: 0,
        };
        courier::Entity::insert(row.into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// One courier.
    pub async fn courier(&self, courier: &CourierId) -> Result<Option<Courier>, StoreError> {
        let row = courier::Entity::find_by_id(courier.as_str()).one(&self.transaction).await.map_err(failure)?;
        row.map(courier_from).transpose()
    }

    /// Lets one transaction at a time decide what belongs to a courier. SQLite has one writer anyway.
    pub async fn lock_courier(&self, courier: &CourierId) -> Result<(), StoreError> {
        if !self.is_postgres() {
            return Ok(());
        }
        // Not FOR UPDATE, which would also hold up everybody who only refers to the courier.
        let locked: Option<String> = courier::Entity::find_by_id(courier.as_str())
            .select_only()
            .column(courier::Column::Id)
            .lock(LockType::NoKeyUpdate)
            .into_tuple()
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        locked.map(|_| ()).ok_or(StoreError::NotFound)
    }

    /// Couriers in the order of their ids.
    pub async fn couriers(&self, after: Option<&CourierId>, limit: u64) -> Result<Vec<Courier>, StoreError> {
        let mut query = courier::Entity::find().order_by(courier::Column::Id, Order::Asc).limit(limit);
        if let Some(after) = after {
            query = query.filter(courier::Column::Id.gt(after.as_str()));
        }
        let rows = query.all(&self.transaction).await.map_err(failure)?;
        rows.into_iter().map(courier_from).collect()
    }

    /// Keeps a new key.
    pub async fn insert_key(&self, key: &Key) -> Result<(), StoreError> {
        let principal = serde_json::to_string(&key.principal).map_err(|_| corrupt("access_key.principal"))?;
        let row = access_key::Model {
            id: key.id.0,
            principal,
            secret_hash: key.secret_hash.to_vec(),
            created_at: to_millis(key.created_at),
            revoked_at: key.revoked_at.map(to_millis),
        };
        access_key::Entity::insert(row.into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// The key of a secret, revoked or not.
    pub async fn key_by_hash(&self, secret_hash: &[u8; 32]) -> Result<Option<Key>, StoreError> {
        let row = access_key::Entity::find()
            .filter(access_key::Column::SecretHash.eq(secret_hash.to_vec()))
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        row.map(key_from).transpose()
    }

    /// Keys in the order of their ids, which is the order they were made in.
    pub async fn keys(&self, after: Option<KeyId>, limit: u64) -> Result<Vec<Key>, StoreError> {
        let mut query = access_key::Entity::find().order_by(access_key::Column::Id, Order::Asc).limit(limit);
        if let Some(after) = after {
            query = query.filter(access_key::Column::Id.gt(after.0));
        }
        let rows = query.all(&self.transaction).await.map_err(failure)?;
        rows.into_iter().map(key_from).collect()
    }

    /// Revokes a key and answers it. One that was revoked before keeps its time.
    pub async fn revoke_key(&self, key: KeyId, now: Timestamp) -> Result<Option<Key>, StoreError> {
        let sql = "UPDATE access_key SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL";
        self.execute(sql, vec![to_millis(now).into(), key.0.into()]).await?;
        let row = access_key::Entity::find_by_id(key.0).one(&self.transaction).await.map_err(failure)?;
        row.map(key_from).transpose()
    }
}

fn courier_from(row: courier::Model) -> Result<Courier, StoreError> {
    Ok(Courier { id: id(&row.id, "courier.id")?, display_name: row.display_name })
}

fn key_from(row: access_key::Model) -> Result<Key, StoreError> {
    Ok(Key {
        id: KeyId(row.id),
        principal: serde_json::from_str(&row.principal).map_err(|_| corrupt("access_key.principal"))?,
        secret_hash: hash(row.secret_hash, "access_key.secret_hash")?,
        created_at: from_millis(row.created_at)?,
        revoked_at: from_millis_option(row.revoked_at)?,
    })
}
