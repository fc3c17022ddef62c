//! Photographs that were not enrolled because they resemble somebody else.

use gatepost_domain::{
    Timestamp,
    id::{CommunityId, ResidentId},
};
use sea_orm::{ColumnTrait, ConnectionTrait as _, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};

use super::{
    entity::enrolment_conflict::{Column, Entity, Model},
    failure::failure,
    store::Tx,
    word::{Word, from_millis, id, to_millis},
};
use crate::{EnrolmentConflict, Resolution, StoreError};

impl Tx {
    /// Keeps a conflict for staff to look into. One that was settled otherwise than by [`Resolution::DifferentPeople`]
    /// is open again.
    pub async fn raise_conflict(&self, conflict: &EnrolmentConflict) -> Result<(), StoreError> {
        let sql = "INSERT INTO enrolment_conflict (resident, other, community, similarity, found_at)
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT (resident, other) DO UPDATE SET similarity = excluded.similarity,
            found_at = excluded.found_at, resolution = NULL, settled_at = NULL";
        let values = vec![
            conflict.resident.0.into(),
            conflict.other.0.into(),
            conflict.community.as_str().into(),
            conflict.similarity.into(),
            to_millis(conflict.found_at).into(),
        ];
        self.execute(sql, values).await?;
        Ok(())
    }

    /// Whom staff found to be somebody else than the resident, however similar.
    pub async fn told_apart(&self, resident: ResidentId) -> Result<Vec<ResidentId>, StoreError> {
        let sql = "SELECT other FROM enrolment_conflict WHERE resident = $1 AND resolution = $2
            UNION SELECT resident FROM enrolment_conflict WHERE other = $1 AND resolution = $2";
        let values = vec![resident.0.into(), Resolution::DifferentPeople.word().into()];
        let rows = self.transaction.query_all_raw(self.statement(sql, values)).await.map_err(failure)?;
        rows.iter().map(|row| row.try_get_by_index(0).map(ResidentId).map_err(failure)).collect()
    }

    /// Records what staff found; [`StoreError::NotFound`] when there is no such conflict.
    pub async fn settle_conflict(
        &self,
        (resident, other): (ResidentId, ResidentId),
        resolution: Resolution,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE enrolment_conflict SET resolution = $1, settled_at = $2 WHERE resident = $3 AND other = $4";
        let values = vec![resolution.word().into(), to_millis(now).into(), resident.0.into(), other.0.into()];
        if self.execute(sql, values).await? == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// A community's conflicts, newest first.
    pub async fn conflicts(&self, community: &CommunityId, limit: u64) -> Result<Vec<EnrolmentConflict>, StoreError> {
        let rows = Entity::find()
            .filter(Column::Community.eq(community.as_str()))
            .order_by(Column::FoundAt, Order::Desc)
            .order_by(Column::Resident, Order::Asc)
            .order_by(Column::Other, Order::Asc)
            .limit(limit)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }

    /// Without the faces that a conflict was about, there is nothing to look into. Who was told apart stays so.
    pub(super) async fn forget_open_conflicts(&self, resident: ResidentId) -> Result<(), StoreError> {
        let sql = "DELETE FROM enrolment_conflict WHERE settled_at IS NULL AND (other = $1 OR resident = $1)";
        self.execute(sql, vec![resident.0.into()]).await?;
        Ok(())
    }
}

fn from_row(row: Model) -> Result<EnrolmentConflict, StoreError> {
    let settled = match (row.resolution, row.settled_at) {
        (Some(resolution), Some(at)) => Some((Word::read(&resolution)?, from_millis(at)?)),
        (None, _) | (_, None) => None,
    };
    Ok(EnrolmentConflict {
        resident: ResidentId(row.resident),
        other: ResidentId(row.other),
        community: id(&row.community, "enrolment_conflict.community")?,
        similarity: row.similarity,
        found_at: from_millis(row.found_at)?,
        settled,
    })
}
