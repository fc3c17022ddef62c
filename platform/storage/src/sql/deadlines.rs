//! Deadlines by the many: what the index is built from and checked against, and the parcels whose time has come, locked
//! and saved together.

use gatepost_domain::{
    Parcel, Timestamp,
    id::{CommunityId, CourierId, ParcelId},
    parcel::StateName,
    ports::Timer,
};
use sea_orm::{
    ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, Value,
    sea_query::{Expr, ExprTrait as _},
};
use uuid::Uuid;

use super::{
    arrays::{column, number, numbers, text, texts},
    entity::parcel::{Column, Entity, Model},
    failure::failure,
    parcel_row::to_row,
    parcels::{all, later},
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
            .filter(self.among(Column::Id, parcels.iter().map(|parcel| parcel.0)))
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
            .filter(self.among(Column::Id, parcels.iter().map(|parcel| parcel.0)))
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
    pub async fn save_locked(&self, parcels: &[&Parcel], now: Timestamp) -> Result<(), StoreError> {
        if parcels.is_empty() {
            return Ok(());
        }
        if !self.is_postgres() {
            // No round trips to save here.
            for parcel in parcels {
                self.save_version(parcel, now).await?;
            }
            return Ok(());
        }
        let rows: Vec<Model> = parcels.iter().map(|parcel| to_row(parcel, parcel.version(), now)).collect();
        if self.execute(&update(), changing(&rows)).await? != parcels.len() as u64 {
            return Err(StoreError::Conflict);
        }
        for parcel in parcels {
            self.saved_parcel(parcel);
        }
        Ok(())
    }
}

/// What a step of a deadline can change, after the id and the version it was read with.
fn changing(rows: &[Model]) -> Vec<Value> {
    vec![
        column(rows, |row| row.id),
        column(rows, |row| row.version),
        column(rows, |row| row.state.clone()),
        column(rows, |row| row.state_since),
        numbers(rows, |row| row.remind_from),
        numbers(rows, |row| row.recall_at),
        numbers(rows, |row| row.recalls),
        numbers(rows, |row| row.reminders_sent),
        numbers(rows, |row| row.last_reminded_at),
        texts(rows, |row| row.plan.as_ref()),
        numbers(rows, |row| row.planned_at),
        numbers(rows, |row| row.next_due),
    ]
}

/// Takes [`changing`]. The ids are said twice: by the first condition alone, the planner reads a whole table of some ten
/// thousand rows for each batch rather than look up five hundred in its index.
fn update() -> String {
    let numbers =
        ["remind_from", "recall_at", "recalls", "reminders_sent", "last_reminded_at", "planned_at", "next_due"];
    let numbers = numbers.map(|name| format!("{name} = {}", number(&format!("v.{name}")))).join(", ");
    format!(
        "UPDATE parcel SET state = v.state, state_since = v.state_since, plan = {}, {numbers}, version = v.version + 1
        FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::bigint[])
            AS v (id, version, state, state_since, remind_from, recall_at, recalls, reminders_sent, last_reminded_at,
                plan, planned_at, next_due)
        WHERE parcel.id = v.id AND parcel.version = v.version AND parcel.id = ANY ($1::uuid[])",
        text("v.plan")
    )
}
