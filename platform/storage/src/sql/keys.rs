//! The keys of everybody who calls.

use gatepost_domain::{Timestamp, id::KeyId};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, Order, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::LockType,
};

use super::{
    entity::{access_key, former_secret},
    failure::failure,
    store::Tx,
    word::{corrupt, from_millis, from_millis_option, hash, to_millis},
};
use crate::{Key, StoreError};

impl Tx {
    /// Keeps a new key.
    pub async fn insert_key(&self, key: &Key) -> Result<(), StoreError> {
        let row = access_key::Model {
            id: key.id.0,
            principal: serde_json::to_string(&key.principal).map_err(|_| corrupt("access_key.principal"))?,
            secret_hash: key.secret_hash.to_vec(),
            created_at: to_millis(key.created_at),
            revoked_at: key.revoked_at.map(to_millis),
            scopes: serde_json::to_string(&key.scopes).map_err(|_| corrupt("access_key.scopes"))?,
            expires_at: key.expires_at.map(to_millis),
            last_used_at: key.last_used_at.map(to_millis),
        };
        access_key::Entity::insert(row.into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// The key of a secret, whether or not it still opens anything. Of a secret that was replaced, also until when it
    /// is taken.
    pub async fn key_by_hash(&self, secret_hash: &[u8; 32]) -> Result<Option<(Key, Option<Timestamp>)>, StoreError> {
        let row = access_key::Entity::find()
            .filter(access_key::Column::SecretHash.eq(secret_hash.to_vec()))
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        if let Some(row) = row {
            return Ok(Some((key_from(row)?, None)));
        }
        let former =
            former_secret::Entity::find_by_id(secret_hash.to_vec()).one(&self.transaction).await.map_err(failure)?;
        let Some(former) = former else { return Ok(None) };
        let key = self.key(KeyId(former.access_key)).await?;
        let key = key.ok_or_else(|| corrupt("former_secret.access_key"))?;
        Ok(Some((key, Some(from_millis(former.valid_until)?))))
    }

    /// One key.
    pub async fn key(&self, key: KeyId) -> Result<Option<Key>, StoreError> {
        let row = access_key::Entity::find_by_id(key.0).one(&self.transaction).await.map_err(failure)?;
        row.map(key_from).transpose()
    }

    /// One key, which nobody else changes before this transaction ends.
    pub async fn lock_key(&self, key: KeyId) -> Result<Option<Key>, StoreError> {
        let mut query = access_key::Entity::find_by_id(key.0);
        if self.is_postgres() {
            query = query.lock(LockType::NoKeyUpdate);
        }
        query.one(&self.transaction).await.map_err(failure)?.map(key_from).transpose()
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
        self.key(key).await
    }

    /// Gives a key another secret and another end. Its present secret, and those before, are taken until `until` at
    /// the latest; then they are still known, so that no file that holds one makes it a new key. Lock the key first.
    pub async fn rotate_key(&self, key: &Key, until: Timestamp) -> Result<(), StoreError> {
        let (id, until) = (key.id.0, to_millis(until));
        let sql = "INSERT INTO former_secret (secret_hash, access_key, valid_until) \
                   SELECT secret_hash, id, $1 FROM access_key WHERE id = $2";
        self.execute(sql, vec![until.into(), id.into()]).await?;
        let sql = "UPDATE access_key SET secret_hash = $1, expires_at = $2 WHERE id = $3";
        let expires_at = key.expires_at.map(to_millis);
        self.execute(sql, vec![key.secret_hash.to_vec().into(), expires_at.into(), id.into()]).await?;
        let sql = "UPDATE former_secret SET valid_until = $1 WHERE access_key = $2 AND valid_until > $1";
        self.execute(sql, vec![until.into(), id.into()]).await?;
        Ok(())
    }

    /// How many secrets of a key were replaced and are still taken.
    pub async fn former_secrets(&self, key: KeyId, now: Timestamp) -> Result<u64, StoreError> {
        former_secret::Entity::find()
            .filter(former_secret::Column::AccessKey.eq(key.0))
            .filter(former_secret::Column::ValidUntil.gt(to_millis(now)))
            .count(&self.transaction)
            .await
            .map_err(failure)
    }

    /// Notes that a key was used, unless it was noted later than `before` already.
    pub async fn key_used(&self, key: KeyId, now: Timestamp, before: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE access_key SET last_used_at = $1 \
                   WHERE id = $2 AND (last_used_at IS NULL OR last_used_at <= $3)";
        self.execute(sql, vec![to_millis(now).into(), key.0.into(), to_millis(before).into()]).await?;
        Ok(())
    }
}

fn key_from(row: access_key::Model) -> Result<Key, StoreError> {
    Ok(Key {
        id: KeyId(row.id),
        principal: serde_json::from_str(&row.principal).map_err(|_| corrupt("access_key.principal"))?,
        secret_hash: hash(row.secret_hash, "access_key.secret_hash")?,
        created_at: from_millis(row.created_at)?,
        revoked_at: from_millis_option(row.revoked_at)?,
        scopes: serde_json::from_str(&row.scopes).map_err(|_| corrupt("access_key.scopes"))?,
        expires_at: from_millis_option(row.expires_at)?,
        last_used_at: from_millis_option(row.last_used_at)?,
    })
}
