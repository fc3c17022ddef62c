//! Changes of the waiting policy whose parcels are being given their new deadlines: how far each came, so that whoever
//! goes on after a crash begins there. And the lock that keeps a deposit from missing a change.

use gatepost_domain::id::ParcelId;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder,
    QuerySelect, sea_query::OnConflict,
};

use super::{
    entity::rearm::{Column, Entity, Model},
    failure::failure,
    policies::{columns, key},
    store::Tx,
};
use crate::{PolicyKey, StoreError};

/// Any number will do, as long as every replica takes the same one.
const POLICY_LOCK: i64 = 0x706f_6c69_6379;

impl Tx {
    /// Waits until no layer of the policy is being changed, and keeps it so until this transaction ends: a step that
    /// sets deadlines by the policy must be there to be found when the policy changes. SQLite has one writer anyway.
    pub async fn keep_policies(&self) -> Result<(), StoreError> {
        self.share_lock(POLICY_LOCK).await
    }

    /// Waits until everybody who set deadlines by the policy has committed; nobody else does until this one has.
    pub async fn lock_policies(&self) -> Result<(), StoreError> {
        self.take_lock(POLICY_LOCK).await
    }

    /// Remembers that a layer was changed and none of its parcels has its new deadlines, whatever was remembered before.
    pub async fn begin_rearm(&self, layer: &PolicyKey) -> Result<(), StoreError> {
        let (scope, subject) = columns(layer);
        let row = Model { scope: scope.to_owned(), subject: subject.to_owned(), after: None };
        Entity::insert(row.into_active_model())
            .on_conflict(OnConflict::columns([Column::Scope, Column::Subject]).update_column(Column::After).to_owned())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// A layer whose parcels do not all have their new deadlines, and the last one that has, locked until this
    /// transaction ends.
    pub async fn next_rearm(&self) -> Result<Option<(PolicyKey, Option<ParcelId>)>, StoreError> {
        let mut query =
            Entity::find().order_by(Column::Scope, Order::Asc).order_by(Column::Subject, Order::Asc).limit(1);
        if self.is_postgres() {
            query = query.lock_exclusive();
        }
        let row = query.one(&self.transaction).await.map_err(failure)?;
        row.map(|row| Ok((key(&row.scope, &row.subject)?, row.after.map(ParcelId)))).transpose()
    }

    /// Remembers how far a layer came; `None` when it is done.
    pub async fn save_rearm(&self, layer: &PolicyKey, after: Option<ParcelId>) -> Result<(), StoreError> {
        let (scope, subject) = columns(layer);
        let its = Condition::all().add(Column::Scope.eq(scope)).add(Column::Subject.eq(subject));
        let Some(parcel) = after else {
            Entity::delete_many().filter(its).exec(&self.transaction).await.map_err(failure)?;
            return Ok(());
        };
        let row = Model { scope: scope.to_owned(), subject: subject.to_owned(), after: Some(parcel.0) };
        let update = Entity::update_many().set(row.into_active_model().reset_all()).filter(its);
        update.exec(&self.transaction).await.map_err(failure)?;
        Ok(())
    }
}
