//! Erasures, the replicas that have to confirm them, and the keys that sign what came of it.

use std::collections::BTreeMap;

use gatepost_domain::{
    Timestamp,
    id::{CommunityId, ErasureId, ResidentId},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{
    entity::{
        erasure::{Column, Entity, Model},
        erasure_confirmation, signing_key,
    },
    failure::failure,
    store::Tx,
    word::{corrupt, from_millis, id, to_millis},
};
use crate::{Confirmation, Erasure, SigningKey, StoreError};

impl Tx {
    /// Keeps a new erasure, in the transaction that removed the rows.
    pub async fn insert_erasure(&self, erasure: &Erasure) -> Result<(), StoreError> {
        let row = Model {
            id: erasure.id.0,
            community: erasure.community.to_string(),
            resident: erasure.resident.0,
            requested_at: to_millis(erasure.requested_at),
            principal: erasure.principal.clone(),
            removed: serde_json::to_string(&erasure.removed).map_err(|_| corrupt("erasure.removed"))?,
            completed_at: None,
            certificate: None,
        };
        Entity::insert(row.into_active_model()).exec_without_returning(&self.transaction).await.map_err(failure)?;
        Ok(())
    }

    /// One erasure.
    pub async fn erasure(&self, erasure: ErasureId) -> Result<Option<Erasure>, StoreError> {
        let row = Entity::find_by_id(erasure.0).one(&self.transaction).await.map_err(failure)?;
        row.map(from_row).transpose()
    }

    /// A community's erasures before one, the newest first.
    pub async fn erasures(
        &self,
        community: &CommunityId,
        before: Option<ErasureId>,
        limit: u64,
    ) -> Result<Vec<Erasure>, StoreError> {
        let mut query = Entity::find()
            .filter(Column::Community.eq(community.as_str()))
            .order_by(Column::Id, Order::Desc)
            .limit(limit);
        if let Some(before) = before {
            query = query.filter(Column::Id.lt(before.0));
        }
        let rows = query.all(&self.transaction).await.map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }

    /// Erasures that some replica has not confirmed yet, the oldest first.
    pub async fn running_erasures(&self, limit: u64) -> Result<Vec<Erasure>, StoreError> {
        let rows = Entity::find()
            .filter(Column::CompletedAt.is_null())
            .order_by(Column::RequestedAt, Order::Asc)
            .order_by(Column::Id, Order::Asc)
            .limit(limit)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }

    /// Records that a replica's memory holds nothing of who was erased. What it said first stays.
    pub async fn confirm_erasure(&self, erasure: ErasureId, by: Confirmation) -> Result<(), StoreError> {
        let sql = "INSERT INTO erasure_confirmation (erasure, replica, confirmed_at, faces) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING";
        let faces = i64::try_from(by.faces).unwrap_or(i64::MAX);
        let values = vec![erasure.0.into(), by.replica.into(), to_millis(by.confirmed_at).into(), faces.into()];
        self.execute(sql, values).await?;
        Ok(())
    }

    /// What replicas said of an erasure.
    pub async fn erasure_confirmations(&self, erasure: ErasureId) -> Result<Vec<Confirmation>, StoreError> {
        use erasure_confirmation::{Column, Entity};
        let rows = Entity::find()
            .filter(Column::Erasure.eq(erasure.0))
            .order_by(Column::Replica, Order::Asc)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        let confirmation = |row: erasure_confirmation::Model| {
            let faces = u64::try_from(row.faces).map_err(|_| corrupt("erasure_confirmation.faces"))?;
            Ok(Confirmation { replica: row.replica, confirmed_at: from_millis(row.confirmed_at)?, faces })
        };
        rows.into_iter().map(confirmation).collect()
    }

    /// Completes an erasure; false when another replica did.
    pub async fn complete_erasure(
        &self,
        erasure: ErasureId,
        at: Timestamp,
        certificate: &str,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE erasure SET completed_at = $1, certificate = $2 WHERE id = $3 AND completed_at IS NULL";
        let values = vec![to_millis(at).into(), certificate.into(), erasure.0.into()];
        Ok(self.execute(sql, values).await? > 0)
    }

    /// Rows that stay of who was erased, by table: of a random id.
    pub async fn rows_kept(&self, resident: ResidentId) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut kept = BTreeMap::new();
        // Also where they agreed as somebody's guardian.
        let agreed = "SELECT count(*) FROM consent_ledger WHERE resident = $1 OR guardian = $2";
        let looked = "SELECT count(*) FROM look_subject WHERE subject = $1";
        for (table, sql, subject) in [
            ("consent_ledger", agreed, vec![resident.0.into(), resident.to_string().into()]),
            ("look", looked, vec![resident.to_string().into()]),
        ] {
            let row = self.transaction.query_one_raw(self.statement(sql, subject)).await.map_err(failure)?;
            let count: i64 = row.ok_or(StoreError::NotFound)?.try_get_by_index(0).map_err(failure)?;
            kept.insert(table.to_owned(), count.unsigned_abs());
        }
        Ok(kept)
    }

    /// Records that a replica runs.
    pub async fn beat(&self, replica: Uuid, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO replica (id, seen_at) VALUES ($1, $2)
            ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";
        self.execute(sql, vec![replica.into(), to_millis(now).into()]).await?;
        Ok(())
    }

    /// Forgets a replica that ends, and those that were not seen since `before`.
    pub async fn forget_replicas(&self, ended: Uuid, before: Timestamp) -> Result<u64, StoreError> {
        let sql = "DELETE FROM replica WHERE id = $1 OR seen_at < $2";
        self.execute(sql, vec![ended.into(), to_millis(before).into()]).await
    }

    /// Replicas that were seen since.
    pub async fn replicas(&self, since: Timestamp) -> Result<Vec<Uuid>, StoreError> {
        let statement =
            self.statement("SELECT id FROM replica WHERE seen_at >= $1 ORDER BY id", vec![to_millis(since).into()]);
        let rows = self.transaction.query_all_raw(statement).await.map_err(failure)?;
        rows.iter().map(|row| row.try_get_by_index(0).map_err(failure)).collect()
    }

    /// Every key that certificates were signed with, the oldest first.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        let rows = signing_key::Entity::find()
            .order_by(signing_key::Column::Generation, Order::Asc)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        let key = |row: signing_key::Model| {
            Ok(SigningKey {
                generation: row.generation,
                public_key: row.public_key,
                master: row.master,
                wrapped: row.wrapped,
                created_at: from_millis(row.created_at)?,
            })
        };
        rows.into_iter().map(key).collect()
    }

    /// Keeps a new signing key; [`StoreError::Conflict`] when another replica made one of that generation.
    pub async fn insert_signing_key(&self, key: &SigningKey) -> Result<(), StoreError> {
        let row = signing_key::Model {
            generation: key.generation,
            public_key: key.public_key.clone(),
            master: key.master.clone(),
            wrapped: key.wrapped.clone(),
            created_at: to_millis(key.created_at),
        };
        signing_key::Entity::insert(row.into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// Puts another wrapping around a signing key; [`StoreError::NotFound`] when it is gone.
    pub async fn rewrap_signing_key(&self, key: &SigningKey) -> Result<(), StoreError> {
        let sql = "UPDATE signing_key SET master = $1, wrapped = $2 WHERE generation = $3";
        let values = vec![key.master.clone().into(), key.wrapped.clone().into(), key.generation.into()];
        if self.execute(sql, values).await? == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }
}

fn from_row(row: Model) -> Result<Erasure, StoreError> {
    let completed = match (row.completed_at, row.certificate) {
        (Some(at), Some(certificate)) => Some((from_millis(at)?, certificate)),
        (None, _) | (_, None) => None,
    };
    Ok(Erasure {
        id: ErasureId(row.id),
        community: id(&row.community, "erasure.community")?,
        resident: ResidentId(row.resident),
        requested_at: from_millis(row.requested_at)?,
        principal: row.principal,
        removed: serde_json::from_str(&row.removed).map_err(|_| corrupt("erasure.removed"))?,
        completed,
    })
}
