//! Enrolment from the frames of a gate: for whom, until when, and what became of them.

use gatepost_domain::{
    Timestamp,
    id::{CommunityId, GateId, ResidentId},
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::{
    entity::capture::{Column, Entity, Model},
    failure::failure,
    store::Tx,
    word::{corrupt, count, from_millis, id, to_millis},
};
use crate::{Capture, StoreError};

impl Tx {
    /// Keeps a capture in the place of the resident's last one.
    pub async fn save_capture(&self, capture: &Capture) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO capture (resident, community, gate, opened_at, ends_at, wanted, enrolled, frames, refused)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (resident) DO UPDATE SET
            community = excluded.community, gate = excluded.gate, opened_at = excluded.opened_at,
            ends_at = excluded.ends_at, wanted = excluded.wanted, enrolled = excluded.enrolled,
            frames = excluded.frames, refused = excluded.refused";
        let refused = serde_json::to_string(&capture.refused).map_err(|_| corrupt("capture.refused"))?;
        let values = vec![
            capture.resident.0.into(),
            capture.community.as_str().into(),
            capture.gate.as_str().into(),
            to_millis(capture.opened_at).into(),
            to_millis(capture.ends_at).into(),
            i64::from(capture.wanted).into(),
            i64::from(capture.enrolled).into(),
            i64::from(capture.frames).into(),
            refused.into(),
        ];
        self.execute(sql, values).await?;
        Ok(())
    }

    /// A resident's last capture, while it is kept.
    pub async fn capture(&self, resident: ResidentId) -> Result<Option<Capture>, StoreError> {
        let row = Entity::find_by_id(resident.0).one(&self.transaction).await.map_err(failure)?;
        row.map(from_row).transpose()
    }

    /// The capture under way at a gate.
    pub async fn open_capture(
        &self,
        community: &CommunityId,
        gate: &GateId,
        now: Timestamp,
    ) -> Result<Option<Capture>, StoreError> {
        let row = Entity::find()
            .filter(Column::Community.eq(community.as_str()))
            .filter(Column::Gate.eq(gate.as_str()))
            .filter(Column::EndsAt.gt(to_millis(now)))
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        row.map(from_row).transpose()
    }

    /// Forgets captures that ended before `before`.
    pub async fn forget_captures(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM capture WHERE ends_at < $1", vec![to_millis(before).into()]).await
    }
}

fn from_row(row: Model) -> Result<Capture, StoreError> {
    Ok(Capture {
        resident: ResidentId(row.resident),
        community: id(&row.community, "capture.community")?,
        gate: id(&row.gate, "capture.gate")?,
        opened_at: from_millis(row.opened_at)?,
        ends_at: from_millis(row.ends_at)?,
        wanted: count(row.wanted, "capture.wanted")?,
        enrolled: count(row.enrolled, "capture.enrolled")?,
        frames: count(row.frames, "capture.frames")?,
        refused: serde_json::from_str(&row.refused).map_err(|_| corrupt("capture.refused"))?,
    })
}
