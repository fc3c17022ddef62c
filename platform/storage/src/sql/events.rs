//! Each courier's event log: numbered from 1 without gaps, read from where the courier left off.

use gatepost_domain::{CourierEvent, Parcel, id::CourierId};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect,
};

use super::{
    entity::{courier, courier_event},
    event_row::{from_row, to_row},
    failure::failure,
    store::Tx,
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
