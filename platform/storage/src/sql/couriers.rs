//! Courier companies.

use gatepost_domain::id::CourierId;
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect, sea_query::LockType,
};

use super::{entity::courier, failure::failure, store::Tx, word::id};
use crate::{Courier, StoreError};

impl Tx {
    /// Keeps a new courier; [`StoreError::Exists`] when there is one of that id.
    pub async fn insert_courier(&self, courier: &Courier) -> Result<(), StoreError> {
        let row = courier::Model {
            id: courier.id.to_string(),
            display_name: courier.display_name.clone(),
            newest_sequence: 0,
            acknowledged_sequence: 0,
        };
        courier::Entity::insert(row.into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// One courier.
    pub async fn courier(&self, courier: &CourierId) -> Result<Option<Courier>, StoreError> {
        let row = courier::Entity::find_by_id(courier.as_str()).one(&self.transaction).await.map_err(failure)?;
        row.map(courier_from).transpose()
    }

    /// Lets one transaction at a time decide what belongs to a courier. SQLite has one writer anyway.
    pub async fn lock_courier(&self, courier: &CourierId) -> Result<(), StoreError> {
        if !self.is_postgres() {
            return Ok(());
        }
        // Not FOR UPDATE, which would also hold up everybody who only refers to the courier.
        let locked: Option<String> = courier::Entity::find_by_id(courier.as_str())
            .select_only()
            .column(courier::Column::Id)
            .lock(LockType::NoKeyUpdate)
            .into_tuple()
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        locked.map(|_| ()).ok_or(StoreError::NotFound)
    }

    /// Couriers in the order of their ids.
    pub async fn couriers(&self, after: Option<&CourierId>, limit: u64) -> Result<Vec<Courier>, StoreError> {
        let mut query = courier::Entity::find().order_by(courier::Column::Id, Order::Asc).limit(limit);
        if let Some(after) = after {
            query = query.filter(courier::Column::Id.gt(after.as_str()));
        }
        let rows = query.all(&self.transaction).await.map_err(failure)?;
        rows.into_iter().map(courier_from).collect()
    }
}

fn courier_from(row: courier::Model) -> Result<Courier, StoreError> {
    Ok(Courier { id: id(&row.id, "courier.id")?, display_name: row.display_name })
}
