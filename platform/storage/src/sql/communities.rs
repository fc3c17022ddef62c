//! Communities, and the lock under which places in them are given away.

use gatepost_domain::{community::Community, id::CommunityId};
use jiff::tz::TimeZone;
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::NotSet,
    ColumnTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait as _, LockType},
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

    /// Replaces a community, as its next version; [`StoreError::NotFound`] when there is none of that id.
    pub async fn update_community(&self, community: &Community) -> Result<(), StoreError> {
        let mut row = to_row(community)?.into_active_model().reset_all();
        row.version = NotSet;
        let updated = Entity::update_many()
            .set(row)
            .col_expr(Column::Version, Expr::col(Column::Version).add(1_i64))
            .filter(Column::Id.eq(community.id.as_str()))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        if updated.rows_affected == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// One community.
    pub async fn community(&self, community: &CommunityId) -> Result<Option<Community>, StoreError> {
        Ok(self.versioned_community(community).await?.map(|(_, community)| community))
    }

    /// One community, and which version it is: from 1, and one more with every change.
    pub async fn versioned_community(&self, community: &CommunityId) -> Result<Option<(i64, Community)>, StoreError> {
        let row = Entity::find_by_id(community.as_str()).one(&self.transaction).await.map_err(failure)?;
        row.map(|row| Ok((row.version, from_row(row)?))).transpose()
    }

    /// The version of a community, without reading the rest of it.
    pub async fn community_version(&self, community: &CommunityId) -> Result<Option<i64>, StoreError> {
        Entity::find_by_id(community.as_str())
            .select_only()
            .column(Column::Version)
            .into_tuple()
            .one(&self.transaction)
            .await
            .map_err(failure)
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
        version: 1,
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
