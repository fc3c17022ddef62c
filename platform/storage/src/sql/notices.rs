//! The outbox of reminders: claimed by one worker at a time, tried until delivered or given up.

use gatepost_domain::{
    ReminderCause, Timestamp,
    id::{NoticeId, ParcelId, ResidentId},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect,
};

use super::{
    entity::notice::{Column, Entity, Model},
    failure::failure,
    store::Tx,
    word::{Word, corrupt, count, filled, from_millis, from_millis_option, id, to_millis},
};
use crate::{Delivery, NoticeRecord, StoreError};

const SEEN_AT_GATE: &str = "seen_at_gate";
const USUAL_HOUR: &str = "usual_hour";

impl Tx {
    /// Keeps a new notice, in the transaction of the step that decided it.
    pub async fn insert_notice(&self, notice: &NoticeRecord) -> Result<(), StoreError> {
        Entity::insert(to_row(notice).into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// As [`Tx::insert_notice`], for many.
    pub async fn insert_notices(&self, notices: &[NoticeRecord]) -> Result<(), StoreError> {
        if notices.is_empty() {
            return Ok(());
        }
        Entity::insert_many(notices.iter().map(|notice| to_row(notice).into_active_model()))
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// Takes up to `limit` pending notices whose time has come, the longest due first. Each comes back at
    /// `leased_until` unless it is saved before; two workers never get the same one.
    pub async fn claim_notices(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u64,
    ) -> Result<Vec<NoticeRecord>, StoreError> {
        let sql = format!(
            "UPDATE notice SET next_attempt_at = $1 WHERE id IN (
                SELECT id FROM notice WHERE delivery = 'pending' AND next_attempt_at <= $2
                ORDER BY next_attempt_at, id LIMIT $3 {}
            ) RETURNING *",
            if self.is_postgres() { "FOR UPDATE SKIP LOCKED" } else { "" }
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = vec![to_millis(leased_until).into(), to_millis(now).into(), limit.into()];
        let rows =
            Entity::find().from_raw_sql(self.statement(&sql, values)).all(&self.transaction).await.map_err(failure)?;
        let mut claimed = rows.into_iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
        claimed.sort_by_key(|notice| (notice.decided_at, notice.id));
        Ok(claimed)
    }

    /// When the next pending notice is to be tried.
    pub async fn next_notice_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let next: Option<Option<i64>> = Entity::find()
            .select_only()
            .column(Column::NextAttemptAt)
            .filter(Column::Delivery.eq(Delivery::Pending.word()))
            .filter(Column::NextAttemptAt.is_not_null())
            .order_by(Column::NextAttemptAt, Order::Asc)
            .into_tuple()
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        from_millis_option(next.flatten())
    }

    /// Since when the longest pending notice is to be delivered.
    pub async fn oldest_notice(&self) -> Result<Option<Timestamp>, StoreError> {
        let oldest: Option<Option<i64>> = Entity::find()
            .select_only()
            .column_as(Column::DecidedAt.min(), "oldest")
            .filter(Column::Delivery.eq(Delivery::Pending.word()))
            .filter(Column::NextAttemptAt.is_not_null())
            .into_tuple()
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        from_millis_option(oldest.flatten())
    }

    /// Keeps how an attempt went. A notice whose resident was deleted meanwhile is gone, which is no error.
    pub async fn save_notice(&self, notice: &NoticeRecord) -> Result<(), StoreError> {
        Entity::update_many()
            .set(to_row(notice).into_active_model().reset_all())
            .filter(Column::Id.eq(notice.id.0))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// A resident's notices, newest first.
    pub async fn notices_of(&self, resident: ResidentId, limit: u64) -> Result<Vec<NoticeRecord>, StoreError> {
        let rows = Entity::find()
            .filter(Column::Resident.eq(resident.0))
            .order_by(Column::DecidedAt, Order::Desc)
            .order_by(Column::Id, Order::Desc)
            .limit(limit)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }
}

fn to_row(notice: &NoticeRecord) -> Model {
    let (cause, gate, similarity) = match &notice.cause {
        ReminderCause::SeenAtGate { gate, similarity } => (SEEN_AT_GATE, Some(gate.to_string()), *similarity),
        ReminderCause::UsualHour => (USUAL_HOUR, None, None),
    };
    Model {
        id: notice.id.0,
        parcel: notice.parcel.0,
        resident: notice.resident.0,
        channel: notice.channel.word().to_owned(),
        cause: cause.to_owned(),
        gate,
        similarity,
        decided_at: to_millis(notice.decided_at),
        delivery: notice.delivery.word().to_owned(),
        attempts: notice.attempts.into(),
        next_attempt_at: notice.next_attempt_at.map(to_millis),
        last_error: notice.last_error.clone(),
        traceparent: notice.traceparent.clone(),
    }
}

fn from_row(row: Model) -> Result<NoticeRecord, StoreError> {
    let cause = match row.cause.as_str() {
        SEEN_AT_GATE => ReminderCause::SeenAtGate {
            gate: id(&filled(row.gate, "notice.gate")?, "notice.gate")?,
            similarity: row.similarity,
        },
        USUAL_HOUR => ReminderCause::UsualHour,
        _ => return Err(corrupt("notice.cause")),
    };
    Ok(NoticeRecord {
        id: NoticeId(row.id),
        parcel: ParcelId(row.parcel),
        resident: ResidentId(row.resident),
        channel: Word::read(&row.channel)?,
        cause,
        decided_at: from_millis(row.decided_at)?,
        delivery: Word::read(&row.delivery)?,
        attempts: count(row.attempts, "notice.attempts")?,
        next_attempt_at: from_millis_option(row.next_attempt_at)?,
        last_error: row.last_error,
        traceparent: row.traceparent,
    })
}
