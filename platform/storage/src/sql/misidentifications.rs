//! Whether a recognition is to be trusted: a community's recognition policy, sightings that were of somebody else, and
//! where residents were seen last.

use gatepost_domain::{
    Timestamp,
    id::{CommunityId, GateId, ResidentId},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect,
};

use super::{
    entity::misidentification::{Column, Entity, Model},
    failure::failure,
    store::Tx,
    word::{Word, from_millis, from_millis_option, id, to_millis},
};
use crate::{Delivery, Misidentification, MisidentificationReason, StoreError};

impl Tx {
    /// A community's recognition policy, as it was set; none when it never was.
    pub async fn recognition_policy(&self, community: &CommunityId) -> Result<Option<(String, i64)>, StoreError> {
        let sql = "SELECT policy, version FROM recognition_policy WHERE community = $1";
        let statement = self.statement(sql, vec![community.as_str().into()]);
        let row = self.transaction.query_one_raw(statement).await.map_err(failure)?;
        let read = |row: sea_orm::QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        row.map(read).transpose().map_err(failure)
    }

    /// Sets or replaces a community's recognition policy. The store never looks inside.
    pub async fn set_recognition_policy(&self, community: &CommunityId, policy: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO recognition_policy (community, policy) VALUES ($1, $2)
            ON CONFLICT (community) DO UPDATE SET policy = excluded.policy, version = recognition_policy.version + 1";
        self.execute(sql, vec![community.as_str().into(), policy.into()]).await?;
        Ok(())
    }

    /// Keeps a mistaken sighting; false when it was known before.
    pub async fn insert_misidentification(&self, mistaken: &Misidentification) -> Result<bool, StoreError> {
        let known = Entity::find_by_id((mistaken.resident.0, to_millis(mistaken.seen_at)))
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        if known.is_some() {
            return Ok(false);
        }
        let row = Model {
            resident: mistaken.resident.0,
            seen_at: to_millis(mistaken.seen_at),
            community: mistaken.community.to_string(),
            reason: mistaken.reason.word().to_owned(),
            gate: mistaken.gate.to_string(),
            similarity: mistaken.similarity,
            other_gate: mistaken.other.as_ref().map(|(gate, _)| gate.to_string()),
            other_seen_at: mistaken.other.as_ref().map(|(_, at)| to_millis(*at)),
            reported_at: to_millis(mistaken.reported_at),
            settled_at: mistaken.settled_at.map(to_millis),
        };
        Entity::insert(row.into_active_model()).exec_without_returning(&self.transaction).await.map_err(failure)?;
        Ok(true)
    }

    /// Marks a mistaken sighting as looked into; [`StoreError::NotFound`] when there is none.
    pub async fn settle_misidentification(
        &self,
        resident: ResidentId,
        seen_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE misidentification SET settled_at = coalesce(settled_at, $1)
            WHERE resident = $2 AND seen_at = $3";
        let values = vec![to_millis(now).into(), resident.0.into(), to_millis(seen_at).into()];
        if self.execute(sql, values).await? == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// A community's mistaken sightings, newest first.
    pub async fn misidentifications(
        &self,
        community: &CommunityId,
        limit: u64,
    ) -> Result<Vec<Misidentification>, StoreError> {
        let rows = Entity::find()
            .filter(Column::Community.eq(community.as_str()))
            .order_by(Column::ReportedAt, Order::Desc)
            .order_by(Column::Resident, Order::Asc)
            .limit(limit)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }

    /// Whether somebody said "not me" in this community and nobody has looked into it yet.
    pub async fn misidentification_stands(&self, community: &CommunityId) -> Result<bool, StoreError> {
        let row = Entity::find()
            .filter(Column::Community.eq(community.as_str()))
            .filter(Column::Reason.eq(MisidentificationReason::NotMe.word()))
            .filter(Column::SettledAt.is_null())
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(row.is_some())
    }

    /// Whether a sighting of this resident for that reason waits for staff already.
    pub async fn is_flagged(&self, resident: ResidentId, reason: MisidentificationReason) -> Result<bool, StoreError> {
        let row = Entity::find()
            .filter(Column::Resident.eq(resident.0))
            .filter(Column::Reason.eq(reason.word()))
            .filter(Column::SettledAt.is_null())
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(row.is_some())
    }

    /// Takes back the notices of one reminder that are still to be delivered; says how many.
    pub async fn withdraw_notices(
        &self,
        resident: ResidentId,
        decided_at: Timestamp,
        why: &str,
    ) -> Result<u64, StoreError> {
        let sql = "UPDATE notice SET delivery = $1, next_attempt_at = NULL, last_error = $2
            WHERE resident = $3 AND decided_at = $4 AND delivery = $5";
        let values = vec![
            Delivery::Failed.word().into(),
            why.into(),
            resident.0.into(),
            to_millis(decided_at).into(),
            Delivery::Pending.word().into(),
        ];
        self.execute(sql, values).await
    }

    /// Where a resident was seen last, if that is kept still. Locked, so that of two gates one is the later.
    pub async fn last_sighting(&self, resident: ResidentId) -> Result<Option<(GateId, Timestamp)>, StoreError> {
        let lock = if self.is_postgres() { " FOR UPDATE" } else { "" };
        let sql = format!("SELECT gate, seen_at FROM last_sighting WHERE resident = $1{lock}");
        let statement = self.statement(&sql, vec![resident.0.into()]);
        let Some(row) = self.transaction.query_one_raw(statement).await.map_err(failure)? else { return Ok(None) };
        let gate: String = row.try_get_by_index(0).map_err(failure)?;
        let seen_at: i64 = row.try_get_by_index(1).map_err(failure)?;
        Ok(Some((id(&gate, "last_sighting.gate")?, from_millis(seen_at)?)))
    }

    /// Records where a resident was seen last.
    pub async fn set_last_sighting(
        &self,
        resident: ResidentId,
        gate: &GateId,
        seen_at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO last_sighting (resident, gate, seen_at) VALUES ($1, $2, $3)
            ON CONFLICT (resident) DO UPDATE SET gate = excluded.gate, seen_at = excluded.seen_at";
        self.execute(sql, vec![resident.0.into(), gate.as_str().into(), to_millis(seen_at).into()]).await?;
        Ok(())
    }

    /// Forgets where anybody was seen before `before`.
    pub async fn forget_sightings(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM last_sighting WHERE seen_at < $1", vec![to_millis(before).into()]).await
    }
}

fn from_row(row: Model) -> Result<Misidentification, StoreError> {
    let other = match (row.other_gate, row.other_seen_at) {
        (Some(gate), Some(at)) => Some((id(&gate, "misidentification.other_gate")?, from_millis(at)?)),
        (None, _) | (_, None) => None,
    };
    Ok(Misidentification {
        resident: ResidentId(row.resident),
        community: id(&row.community, "misidentification.community")?,
        reason: Word::read(&row.reason)?,
        gate: id(&row.gate, "misidentification.gate")?,
        seen_at: from_millis(row.seen_at)?,
        similarity: row.similarity,
        other,
        reported_at: from_millis(row.reported_at)?,
        settled_at: from_millis_option(row.settled_at)?,
    })
}
