//! The model in use, and an upgrade of it while one is under way.

use sea_orm::ConnectionTrait as _;

use super::{failure::failure, store::Tx, word::corrupt};
use crate::{Agreement, EnrolledUnder, ModelUpgrade, Models, StoreError};

/// Any number will do that no other lock has.
const MODELS_LOCK: i64 = 0x6d6f_6465_6c73;

impl Tx {
    /// No upgrade begins, switches or ends before this transaction does.
    pub async fn keep_models(&self) -> Result<(), StoreError> {
        self.share_lock(MODELS_LOCK).await
    }

    /// Waits for everybody who keeps the models as they are, and keeps others waiting.
    pub async fn lock_models(&self) -> Result<(), StoreError> {
        self.take_lock(MODELS_LOCK).await
    }

    /// The models whose workers are welcome.
    pub async fn models(&self) -> Result<Models, StoreError> {
        Ok(match self.model_upgrade().await? {
            Some(upgrade) => {
                Models { in_use: Some(upgrade.in_use().to_owned()), other: Some(upgrade.other().to_owned()) }
            }
            None => Models { in_use: self.enrolled_model().await?, other: None },
        })
    }

    /// The upgrade under way.
    pub async fn model_upgrade(&self) -> Result<Option<ModelUpgrade>, StoreError> {
        let sql = "SELECT old_model, new_model, switched, same, neither, only_old, only_new, different
            FROM model_upgrade WHERE id = 1";
        let row = self.transaction.query_one_raw(self.statement(sql, Vec::new())).await.map_err(failure)?;
        let Some(row) = row else { return Ok(None) };
        let count = |place: usize| -> Result<u64, StoreError> {
            let count: i64 = row.try_get_by_index(place).map_err(failure)?;
            u64::try_from(count).map_err(|_| corrupt("model_upgrade"))
        };
        Ok(Some(ModelUpgrade {
            old: row.try_get_by_index(0).map_err(failure)?,
            new: row.try_get_by_index(1).map_err(failure)?,
            switched: row.try_get_by_index(2).map_err(failure)?,
            agreement: Agreement {
                same: count(3)?,
                neither: count(4)?,
                only_old: count(5)?,
                only_new: count(6)?,
                different: count(7)?,
            },
        }))
    }

    /// Begins an upgrade; [`StoreError::Exists`] when one is under way.
    pub async fn start_model_upgrade(&self, old: &str, new: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO model_upgrade
            (id, old_model, new_model, switched, same, neither, only_old, only_new, different)
            VALUES (1, $1, $2, $3, 0, 0, 0, 0, 0)";
        self.execute(sql, vec![old.into(), new.into(), false.into()]).await.map(|_| ())
    }

    /// Has the new model in use, or the old one again.
    pub async fn switch_model(&self, to_new: bool) -> Result<(), StoreError> {
        let sql = "UPDATE model_upgrade SET switched = $1 WHERE id = 1";
        if self.execute(sql, vec![to_new.into()]).await? == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// Counts what the two models said.
    pub async fn count_agreement(&self, more: &Agreement) -> Result<(), StoreError> {
        let sql = "UPDATE model_upgrade SET same = same + $1, neither = neither + $2, only_old = only_old + $3,
                only_new = only_new + $4, different = different + $5
            WHERE id = 1";
        let counts = [more.same, more.neither, more.only_old, more.only_new, more.different];
        let counts = counts.map(|count| i64::try_from(count).unwrap_or(i64::MAX).into());
        self.execute(sql, counts.into()).await.map(|_| ())
    }

    /// How many residents are enrolled under each model.
    pub async fn enrolled_under(&self, upgrade: &ModelUpgrade) -> Result<EnrolledUnder, StoreError> {
        let sql = "SELECT count(CASE WHEN under_old > 0 THEN 1 END), count(CASE WHEN under_new > 0 THEN 1 END),
                count(CASE WHEN under_new = 0 THEN 1 END)
            FROM (SELECT count(CASE WHEN model = $1 THEN 1 END) AS under_old, count(CASE WHEN model = $2 THEN 1 END) AS under_new
                FROM template WHERE model IN ($1, $2) GROUP BY resident) AS enrolled";
        let values = vec![upgrade.old.as_str().into(), upgrade.new.as_str().into()];
        let row = self.transaction.query_one_raw(self.statement(sql, values)).await.map_err(failure)?;
        let row = row.ok_or_else(|| corrupt("template"))?;
        let count = |place: usize| -> Result<u64, StoreError> {
            let count: i64 = row.try_get_by_index(place).map_err(failure)?;
            u64::try_from(count).map_err(|_| corrupt("template"))
        };
        Ok(EnrolledUnder { old: count(0)?, new: count(1)?, old_only: count(2)? })
    }

    /// Ends the upgrade: faces of models other than the one in use are deleted, with the keys of residents who are left
    /// without any. Says how many faces there were.
    pub async fn finish_model_upgrade(&self, upgrade: &ModelUpgrade) -> Result<u64, StoreError> {
        self.execute("DELETE FROM model_upgrade WHERE id = 1", Vec::new()).await?;
        let deleted = self.execute("DELETE FROM template WHERE model <> $1", vec![upgrade.in_use().into()]).await?;
        let keys = "DELETE FROM resident_key
            WHERE NOT EXISTS (SELECT 1 FROM template WHERE template.resident = resident_key.resident)";
        self.execute(keys, Vec::new()).await?;
        Ok(deleted)
    }
}
