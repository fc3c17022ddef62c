//! Each courier's event log: numbered from 1 without gaps, read from where the courier left off, cut at its old end.

use gatepost_domain::{CourierEvent, Parcel, Timestamp, id::CourierId};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect,
};

use super::{
    entity::{courier, courier_event},
    event_row::{from_row, to_row},
    failure::failure,
    store::Tx,
    word::to_millis,
};
use crate::{EventCursor, StoreError, StoredEvent};

impl Tx {
    /// Appends to the log of the parcel's courier and answers the event's number. The courier's row stays locked until
    /// this transaction ends, so no number is skipped and none becomes visible before a lower one.
    pub async fn append_event(&self, parcel: &Parcel, event: &CourierEvent) -> Result<i64, StoreError> {
        let take = self.statement(
            "UPDATE courier SET newest_sequence = newest_sequence + 1 WHERE id = $1 RETURNING newest_sequence",
            vec![parcel.facts().courier.as_str().into()],
        );
        let taken = self.transaction.query_one_raw(take).await.map_err(failure)?.ok_or(StoreError::NotFound)?;
        let sequence: i64 = taken.try_get_by_index(0).map_err(failure)?;
        courier_event::Entity::insert(to_row(parcel, event, sequence).into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(sequence)
    }

    /// The events numbered above `after`, in order.
    pub async fn events(&self, courier: &CourierId, after: i64, limit: u64) -> Result<Vec<StoredEvent>, StoreError> {
        let rows = courier_event::Entity::find()
            .filter(courier_event::Column::Courier.eq(courier.as_str()))
            .filter(courier_event::Column::Sequence.gt(after))
            .order_by(courier_event::Column::Sequence, Order::Asc)
            .limit(limit)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }

    /// One event, while it is kept.
    pub async fn event(&self, courier: &CourierId, sequence: i64) -> Result<Option<StoredEvent>, StoreError> {
        let key = (courier.to_string(), sequence);
        let row = courier_event::Entity::find_by_id(key).one(&self.transaction).await.map_err(failure)?;
        row.map(from_row).transpose()
    }

    /// The number of the oldest event that is kept, or of the next one while there is none.
    pub async fn oldest_event(&self, courier: &CourierId) -> Result<i64, StoreError> {
        let oldest: Option<i64> = courier_event::Entity::find()
            .select_only()
            .column(courier_event::Column::Sequence)
            .filter(courier_event::Column::Courier.eq(courier.as_str()))
            .order_by(courier_event::Column::Sequence, Order::Asc)
            .limit(1)
            .into_tuple()
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        match oldest {
            Some(oldest) => Ok(oldest),
            None => Ok(self.event_cursor(courier).await?.newest + 1),
        }
    }

    /// Deletes a courier's oldest events up to the first that happened at or after an instant, at most `limit` of them,
    /// so that what is left has no gap. Returns how many were deleted.
    pub async fn forget_events(&self, courier: &CourierId, before: Timestamp, limit: u64) -> Result<u64, StoreError> {
        let oldest: Vec<(i64, i64)> = courier_event::Entity::find()
            .select_only()
            .column(courier_event::Column::Sequence)
            .column(courier_event::Column::HappenedAt)
            .filter(courier_event::Column::Courier.eq(courier.as_str()))
            .order_by(courier_event::Column::Sequence, Order::Asc)
            .limit(limit)
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        let before = to_millis(before);
        let expired = oldest.into_iter().take_while(|(_, happened_at)| *happened_at < before).last();
        let Some((last, _)) = expired else { return Ok(0) };
        let deleted = courier_event::Entity::delete_many()
            .filter(courier_event::Column::Courier.eq(courier.as_str()))
            .filter(courier_event::Column::Sequence.lte(last))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(deleted.rows_affected)
    }

    /// How far the log goes and how far it was acknowledged.
    pub async fn event_cursor(&self, courier: &CourierId) -> Result<EventCursor, StoreError> {
        let row = courier::Entity::find_by_id(courier.as_str()).one(&self.transaction).await.map_err(failure)?;
        let row = row.ok_or(StoreError::NotFound)?;
        Ok(EventCursor { newest: row.newest_sequence, acknowledged: row.acknowledged_sequence })
    }

    /// Acknowledges every event up to `sequence`. Never moves backwards, and never past the newest.
    pub async fn acknowledge_events(&self, courier: &CourierId, sequence: i64) -> Result<(), StoreError> {
        let sql = "UPDATE courier
            SET acknowledged_sequence = CASE WHEN newest_sequence < $1 THEN newest_sequence ELSE $1 END
            WHERE id = $2 AND acknowledged_sequence < $1";
        let moved = self.execute(sql, vec![sequence.into(), courier.as_str().into()]).await?;
        if moved == 0 {
            // Either it stands there already or there is no such courier.
            self.event_cursor(courier).await?;
        }
        Ok(())
    }
}
