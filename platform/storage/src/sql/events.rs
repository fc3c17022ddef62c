//! Each courier's event log: numbered from 1 without gaps, read from where the courier left off, cut at its old end.

use std::collections::{BTreeMap, HashMap};

use gatepost_domain::{CourierEvent, Parcel, Timestamp, id::CourierId};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect,
};

use super::{
    arrays::{column, number, numbers, text, texts},
    entity::{
        courier,
        courier_event::{self, Model},
    },
    event_row::{from_row, to_row},
    failure::failure,
    store::Tx,
    word::{self, to_millis},
};
use crate::{EventCursor, StoreError, StoredEvent};

impl Tx {
    /// Appends to the log of the parcel's courier and answers the event's number.
    pub async fn append_event(&self, parcel: &Parcel, event: &CourierEvent) -> Result<i64, StoreError> {
        let sequence = self.take_numbers(parcel.facts().courier.as_str(), 1).await?;
        courier_event::Entity::insert(to_row(parcel, event, sequence).into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(sequence)
    }

    /// As [`Tx::append_event`], for many: in this order within each courier's log. Couriers are locked in the same order
    /// by everybody, so that two transactions never wait for each other.
    pub async fn append_events(&self, events: &[(&Parcel, &CourierEvent)]) -> Result<(), StoreError> {
        // By courier, as many events as there are of it.
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        let rows = events.iter().map(|(parcel, event)| {
            let count = counts.entry(parcel.facts().courier.as_str()).or_default();
            *count += 1;
            // Its place among them, for now.
            to_row(parcel, event, *count)
        });
        let mut rows: Vec<Model> = rows.collect();
        if rows.is_empty() {
            return Ok(());
        }
        if self.is_postgres() {
            return self.append_rows(&counts, &rows).await;
        }
        let mut before: HashMap<String, i64> = HashMap::with_capacity(counts.len());
        for (courier, count) in counts {
            before.insert(courier.to_owned(), self.take_numbers(courier, count).await? - count);
        }
        for row in &mut rows {
            row.sequence += before.get(&row.courier).copied().unwrap_or_default();
        }
        courier_event::Entity::insert_many(rows.into_iter().map(IntoActiveModel::into_active_model))
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// The newest number after so many more were taken. The courier's row stays locked until this transaction ends, so no
    /// number is skipped and none becomes visible before a lower one.
    async fn take_numbers(&self, courier: &str, count: i64) -> Result<i64, StoreError> {
        let take = self.statement(
            "UPDATE courier SET newest_sequence = newest_sequence + $1 WHERE id = $2 RETURNING newest_sequence",
            vec![count.into(), courier.into()],
        );
        let taken = self.transaction.query_one_raw(take).await.map_err(failure)?.ok_or(StoreError::NotFound)?;
        taken.try_get_by_index(0).map_err(failure)
    }

    /// Takes the numbers and writes the rows in one statement, so that a courier is locked no longer than it must be.
    async fn append_rows(&self, counts: &BTreeMap<&str, i64>, rows: &[Model]) -> Result<(), StoreError> {
        let counts: Vec<(&str, i64)> = counts.iter().map(|(courier, count)| (*courier, *count)).collect();
        let couriers = column(&counts, |(courier, _)| (*courier).to_owned());
        if counts.len() > 1 {
            // That statement takes them in any order.
            let lock = r#"SELECT 1 FROM courier WHERE id = ANY($1) ORDER BY id COLLATE "C" FOR NO KEY UPDATE"#;
            self.execute(lock, vec![couriers.clone()]).await?;
        }
        let sql = format!(
            "WITH taken AS (
                UPDATE courier SET newest_sequence = newest_sequence + its.count
                FROM unnest($1::text[], $2::bigint[]) AS its (courier, count)
                WHERE id = its.courier RETURNING id, newest_sequence - its.count AS before
            )
            INSERT INTO courier_event (courier, sequence, parcel, tracking_number, state, happened_at, kind, recall, locker,
                compartment, building, unit)
            SELECT v.courier, taken.before + v.place, v.parcel, v.tracking_number, v.state, v.happened_at, v.kind,
                {}, {}, {}, {}, {}
            FROM unnest($3::text[], $4::bigint[], $5::uuid[], $6::text[], $7::text[], $8::bigint[], $9::text[],
                $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[])
                AS v (courier, place, parcel, tracking_number, state, happened_at, kind, recall, locker, compartment,
                    building, unit)
            JOIN taken ON taken.id = v.courier",
            number("v.recall"),
            text("v.locker"),
            text("v.compartment"),
            text("v.building"),
            text("v.unit"),
        );
        let values = vec![
            couriers,
            column(&counts, |(_, count)| *count),
            column(rows, |row| row.courier.clone()),
            column(rows, |row| row.sequence),
            column(rows, |row| row.parcel),
            column(rows, |row| row.tracking_number.clone()),
            column(rows, |row| row.state.clone()),
            column(rows, |row| row.happened_at),
            column(rows, |row| row.kind.clone()),
            numbers(rows, |row| row.recall),
            texts(rows, |row| row.locker.as_ref()),
            texts(rows, |row| row.compartment.as_ref()),
            texts(rows, |row| row.building.as_ref()),
            texts(rows, |row| row.unit.as_ref()),
        ];
        match self.execute(&sql, values).await? == rows.len() as u64 {
            true => Ok(()),
            // There is no such courier.
            false => Err(StoreError::NotFound),
        }
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

    /// How far the logs of these couriers go, as far as there are such couriers.
    pub async fn newest_events(&self, couriers: &[CourierId]) -> Result<Vec<(CourierId, i64)>, StoreError> {
        let rows: Vec<(String, i64)> = courier::Entity::find()
            .select_only()
            .column(courier::Column::Id)
            .column(courier::Column::NewestSequence)
            .filter(courier::Column::Id.is_in(couriers.iter().map(CourierId::as_str)))
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(|(id, newest)| Ok((word::id(&id, "courier.id")?, newest))).collect()
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
