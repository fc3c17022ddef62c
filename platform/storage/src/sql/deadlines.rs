//! Deadlines by the many: what the index is built from and checked against, and the parcels whose time has come, locked
//! and saved together.

use gatepost_domain::{
    CourierEvent, Parcel, Timestamp,
    id::{CommunityId, CourierId, ParcelId},
    parcel::StateName,
    ports::Timer,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect, Value,
    sea_query::{Expr, ExprTrait as _},
};
use uuid::Uuid;

use super::{
    entity::{
        courier_event,
        parcel::{Column, Entity, Model},
    },
    event_row,
    failure::failure,
    parcel_row::to_row,
    parcels::{all, later, with_version},
    store::Tx,
    word::{Word, from_millis, to_millis},
};
use crate::StoreError;

impl Tx {
    /// Parcels due at `at`, the longest due first: what the sweep fires when the index is away.
    pub async fn due_parcels(&self, at: Timestamp, limit: u64) -> Result<Vec<ParcelId>, StoreError> {
        let rows: Vec<Uuid> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::NextDue.lte(to_millis(at)))
            .order_by(Column::NextDue, Order::Asc)
            .order_by(Column::Id, Order::Asc)
            .limit(limit)
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(rows.into_iter().map(ParcelId).collect())
    }

    /// Every deadline up to `until`, or every one there is, earliest first, page by page: what the index is built from
    /// and checked against.
    pub async fn deadlines(
        &self,
        after: Option<Timer>,
        until: Option<Timestamp>,
        limit: u64,
    ) -> Result<Vec<Timer>, StoreError> {
        let mut query =
            Entity::find().select_only().columns([Column::Id, Column::NextDue]).filter(Column::NextDue.is_not_null());
        if let Some(after) = after {
            query = query.filter(later(Column::NextDue, (after.due, after.parcel)));
        }
        if let Some(until) = until {
            query = query.filter(Column::NextDue.lte(to_millis(until)));
        }
        let rows: Vec<(Uuid, i64)> = query
            .order_by(Column::NextDue, Order::Asc)
            .order_by(Column::Id, Order::Asc)
            .limit(limit)
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(|(parcel, due)| Ok(Timer { due: from_millis(due)?, parcel: ParcelId(parcel) })).collect()
    }

    /// What the rows say about these parcels' deadlines; those that have none are left out.
    pub async fn deadlines_of(&self, parcels: &[ParcelId]) -> Result<Vec<Timer>, StoreError> {
        let rows: Vec<(Uuid, i64)> = Entity::find()
            .select_only()
            .columns([Column::Id, Column::NextDue])
            .filter(Column::Id.is_in(parcels.iter().map(|parcel| parcel.0)))
            .filter(Column::NextDue.is_not_null())
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(|(parcel, due)| Ok(Timer { due: from_millis(due)?, parcel: ParcelId(parcel) })).collect()
    }

    /// Those of these parcels that are due at `at`, by id, locked until this transaction ends.
    ///
    /// The sum keeps the planner from the index over deadlines: in a burst it is full of entries that were just
    /// moved. Locking by id keeps two replicas that fire the same parcels from waiting for each other.
    pub async fn lock_due(&self, parcels: &[ParcelId], at: Timestamp) -> Result<Vec<Parcel>, StoreError> {
        let mut query = Entity::find()
            .filter(Column::Id.is_in(parcels.iter().map(|parcel| parcel.0)))
            .filter(Expr::col(Column::NextDue).add(0_i64).lte(to_millis(at)))
            .order_by(Column::Id, Order::Asc);
        if self.is_postgres() {
            query = query.lock_exclusive();
        }
        let due = all(query.all(&self.transaction).await.map_err(failure)?)?;
        self.read_parcels(&due);
        Ok(due)
    }

    /// Waiting parcels of a community or a courier or of all, by id, locked until this transaction ends.
    pub async fn lock_waiting(
        &self,
        community: Option<&CommunityId>,
        courier: Option<&CourierId>,
        after: Option<ParcelId>,
        limit: u64,
    ) -> Result<Vec<Parcel>, StoreError> {
        let mut query = Entity::find().filter(Column::State.eq(StateName::Waiting.word()));
        if let Some(community) = community {
            query = query.filter(Column::Community.eq(community.as_str()));
        }
        if let Some(courier) = courier {
            query = query.filter(Column::Courier.eq(courier.as_str()));
        }
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        query = query.order_by(Column::Id, Order::Asc).limit(limit);
        if self.is_postgres() {
            query = query.lock_exclusive();
        }
        let waiting = all(query.all(&self.transaction).await.map_err(failure)?)?;
        self.read_parcels(&waiting);
        Ok(waiting)
    }

    /// Keeps parcels after a step that changed no more than their state, reminders and deadlines, each as its next
    /// version. They were locked in this transaction; [`StoreError::Conflict`] when they were not and have changed.
    pub async fn save_locked(&self, parcels: &[Parcel], now: Timestamp) -> Result<Vec<Parcel>, StoreError> {
        if parcels.is_empty() {
            return Ok(Vec::new());
        }
        if !self.is_postgres() {
            // No round trips to save here.
            let mut saved = Vec::with_capacity(parcels.len());
            for parcel in parcels {
                saved.push(self.save_version(parcel, now).await?);
            }
            return Ok(saved);
        }
        let mut values = Vec::with_capacity(parcels.len() * 12);
        let mut tuples = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            let row = to_row(parcel, parcel.version() + 1, now);
            tuples.push(tuple(values.len()));
            values.extend(changing(row, parcel.version()));
        }
        let sql = format!(
            "UPDATE parcel SET state = v.state, state_since = v.state_since, remind_from = v.remind_from,
                recall_at = v.recall_at, recalls = v.recalls, reminders_sent = v.reminders_sent,
                last_reminded_at = v.last_reminded_at, plan = v.plan, planned_at = v.planned_at,
                next_due = v.next_due, version = v.version + 1
            FROM (VALUES {}) AS v (id, version, state, state_since, remind_from, recall_at, recalls, reminders_sent,
                last_reminded_at, plan, planned_at, next_due)
            WHERE parcel.id = v.id AND parcel.version = v.version",
            tuples.join(",")
        );
        if self.execute(&sql, values).await? != parcels.len() as u64 {
            return Err(StoreError::Conflict);
        }
        for parcel in parcels {
            self.saved_parcel(parcel);
        }
        Ok(parcels.iter().map(|parcel| with_version(parcel, parcel.version() + 1)).collect())
    }

    /// As [`Tx::append_event`], for many: in this order within each courier's log, and the couriers always in the same
    /// order, so that two transactions never wait for each other.
    pub async fn append_events(&self, events: &[(&Parcel, &CourierEvent)]) -> Result<(), StoreError> {
        let mut couriers: Vec<&CourierId> = events.iter().map(|(parcel, _)| &parcel.facts().courier).collect();
        couriers.sort_unstable();
        couriers.dedup();
        let mut rows = Vec::with_capacity(events.len());
        for courier in couriers {
            let its: Vec<_> = events.iter().filter(|(parcel, _)| parcel.facts().courier == *courier).collect();
            let count = i64::try_from(its.len()).unwrap_or(i64::MAX);
            let take = self.statement(
                "UPDATE courier SET newest_sequence = newest_sequence + $1 WHERE id = $2 RETURNING newest_sequence",
                vec![count.into(), courier.as_str().into()],
            );
            let taken = self.transaction.query_one_raw(take).await.map_err(failure)?.ok_or(StoreError::NotFound)?;
            let newest: i64 = taken.try_get_by_index(0).map_err(failure)?;
            for ((parcel, event), sequence) in its.into_iter().zip(newest - count + 1..) {
                rows.push(event_row::to_row(parcel, event, sequence).into_active_model());
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        courier_event::Entity::insert_many(rows).exec_without_returning(&self.transaction).await.map_err(failure)?;
        Ok(())
    }
}

/// What a step of a deadline can change, after the id and the version it was read with.
fn changing(row: Model, version: i64) -> [Value; 12] {
    [
        row.id.into(),
        version.into(),
        row.state.into(),
        row.state_since.into(),
        row.remind_from.into(),
        row.recall_at.into(),
        row.recalls.into(),
        row.reminders_sent.into(),
        row.last_reminded_at.into(),
        row.plan.into(),
        row.planned_at.into(),
        row.next_due.into(),
    ]
}

/// The places of one row's values, each with its type: PostgreSQL takes it from nowhere else.
fn tuple(before: usize) -> String {
    const TYPES: [&str; 12] = [
        "uuid", "bigint", "text", "bigint", "bigint", "bigint", "bigint", "bigint", "bigint", "text", "bigint",
        "bigint",
    ];
    let places: Vec<String> =
        TYPES.iter().enumerate().map(|(i, kind)| format!("${}::{kind}", before + i + 1)).collect();
    format!("({})", places.join(","))
}
