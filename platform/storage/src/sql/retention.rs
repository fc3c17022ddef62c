//! Deletes what is personal and old, a few rows at a time.

use gatepost_domain::Timestamp;
use sea_orm::{ConnectionTrait as _, Value};
use uuid::Uuid;

use super::{failure::failure, store::Tx, word::to_millis};
use crate::StoreError;

/// As the partial index has it.
const ENDED: &str = "state IN ('PICKED_UP', 'DELIVERED_TO_DOOR', 'CANCELLED', 'RETURNED_TO_SENDER')
    AND (resident IS NOT NULL OR label_name IS NOT NULL)";
/// Announced to somebody who was never found, and never brought.
const UNRESOLVED: &str = "state = 'ANNOUNCED' AND resident IS NULL AND label_name IS NOT NULL";

impl Tx {
    /// Deletes reminders that were decided before an instant and are not to be delivered any more.
    pub async fn forget_notices(&self, before: Timestamp, limit: u64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM notice WHERE id IN (
            SELECT id FROM notice WHERE delivery <> 'pending' AND decided_at < $1 ORDER BY decided_at LIMIT $2)";
        self.execute(sql, oldest(before, limit)).await
    }

    /// Deletes pickups from before an instant.
    pub async fn forget_pickups(&self, before: Timestamp, limit: u64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM pickup WHERE (resident, picked_up_at) IN (
            SELECT resident, picked_up_at FROM pickup WHERE picked_up_at < $1 ORDER BY picked_up_at LIMIT $2)";
        self.execute(sql, oldest(before, limit)).await
    }

    /// Forgets whose parcels were that ended before an instant, or that nobody was found for until then and that were never
    /// brought: the parcel stays, of nobody, and the log of its courier without the door. Says how many parcels.
    pub async fn forget_addressees(&self, before: Timestamp, limit: u64) -> Result<u64, StoreError> {
        let mut parcels = self.parcels_before(ENDED, before, limit).await?;
        if parcels.is_empty() {
            parcels = self.parcels_before(UNRESOLVED, before, limit).await?;
        }
        for parcel in &parcels {
            let doors = "UPDATE courier_event SET building = NULL, unit = NULL
                WHERE parcel = $1 AND (building IS NOT NULL OR unit IS NOT NULL)";
            self.execute(doors, vec![(*parcel).into()]).await?;
            // The version counts up: what was decided for the addressee must not be saved any more.
            let addressee = "UPDATE parcel SET resident = NULL, building = NULL, unit = NULL, label_name = NULL,
                label_phone = NULL, label_building = NULL, label_unit = NULL, label_address = NULL,
                version = version + 1 WHERE id = $1";
            self.execute(addressee, vec![(*parcel).into()]).await?;
        }
        Ok(parcels.len() as u64)
    }

    async fn parcels_before(&self, which: &str, before: Timestamp, limit: u64) -> Result<Vec<Uuid>, StoreError> {
        let lock = if self.is_postgres() { " FOR UPDATE SKIP LOCKED" } else { "" };
        let sql =
            format!("SELECT id FROM parcel WHERE {which} AND state_since < $1 ORDER BY state_since LIMIT $2{lock}");
        let statement = self.statement(&sql, oldest(before, limit));
        let rows = self.transaction.query_all_raw(statement).await.map_err(failure)?;
        rows.iter().map(|row| row.try_get_by_index(0).map_err(failure)).collect()
    }
}

fn oldest(before: Timestamp, limit: u64) -> Vec<Value> {
    vec![to_millis(before).into(), i64::try_from(limit).unwrap_or(i64::MAX).into()]
}
