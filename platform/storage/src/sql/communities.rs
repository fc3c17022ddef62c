//! Communities, and the lock under which places in them are given away.

use gatepost_domain::{community::Community, id::CommunityId};
use jiff::tz::TimeZone;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect,
    sea_query::LockType,
};

use super::{
    entity::community::{Column, Entity, Model},
    failure::failure,
    store::Tx,
    word::{Word, corrupt, id},
};
use crate::StoreError;

impl Tx {
    /// Keeps a new community; [`StoreError::Exists`] when there is one of that id.
    pub async fn insert_community(&self, community: &Community) -> Result<(), StoreError> {
        Entity::insert(to_row(community)?.into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// Replaces a community; [`StoreError::NotFound`] when there is none of that id.
    pub async fn update_community(&self, community: &Community) -> Result<(), StoreError> {
        let updated = Entity::update_many()
            .set(to_row(community)?.into_active_model().reset_all())
            .filter(Column::Id.eq(community.id.as_str()))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        if updated.rows_affected == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// One community.
    pub async fn community(&self, community: &CommunityId) -> Result<Option<Community>, StoreError> {
        let row = Entity::find_by_id(community.as_str()).one(&self.transaction).await.map_err(failure)?;
        row.map(from_row).transpose()
    }

    /// Communities in the order of their ids.
    pub async fn communities(&self, after: Option<&CommunityId>, limit: u64) -> Result<Vec<Community>, StoreError> {
        let mut query = Entity::find().order_by(Column::Id, Order::Asc).limit(limit);
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.as_str()));
        }
        let rows = query.all(&self.transaction).await.map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }

    /// Lets one transaction at a time decide about places in a community. SQLite has one writer anyway.
    pub async fn lock_community(&self, community: &CommunityId) -> Result<(), StoreError> {
        if !self.is_postgres() {
            return Ok(());
        }
        // Not FOR UPDATE, which would also hold up everybody who only refers to the community.
        let locked: Option<String> = Entity::find_by_id(community.as_str())
            .select_only()
            .column(Column::Id)
            .lock(LockType::NoKeyUpdate)
            .into_tuple()
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        locked.map(|_| ()).ok_or(StoreError::NotFound)
    }
}

fn to_row(community: &Community) -> Result<Model, StoreError> {
    let time_zone = community.time_zone.iana_name().ok_or_else(|| corrupt("a time zone without a name"))?;
    let topology = serde_json::to_string(&community.topology).map_err(|_| corrupt("community.topology"))?;
    Ok(Model {
        id: community.id.to_string(),
        display_name: community.display_name.clone(),
        time_zone: time_zone.to_owned(),
        topology,
        display: community.display.word().to_owned(),
    })
}

fn from_row(row: Model) -> Result<Community, StoreError> {
    Ok(Community {
        id: id(&row.id, "community.id")?,
        display_name: row.display_name,
        time_zone: TimeZone::get(&row.time_zone).map_err(|_| corrupt("community.time_zone"))?,
        topology: serde_json::from_str(&row.topology).map_err(|_| corrupt("community.topology"))?,
        display: Word::read(&row.display)?,
    })
}
