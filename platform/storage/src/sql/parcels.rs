//! Parcels: kept whole under a version, found by whose they are, where they are and when they are due.

use gatepost_domain::{
    Parcel, Timestamp,
    id::{CommunityId, CourierId, ParcelId, ResidentId},
    parcel::StateName,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use super::{
    entity::parcel::{Column, Entity, Model},
    failure::failure,
    parcel_row::{from_row, to_row},
    store::Tx,
    word::{Word, filled, from_millis_option, id, to_millis},
};
use crate::{Hold, StoreError};

impl Tx {
    /// Keeps a new parcel, as version 1.
    ///
    /// [`StoreError::TrackingNumberTaken`] when the courier has one of that number, [`StoreError::CompartmentTaken`]
    /// when its compartment is not free at `now`.
    pub async fn insert_parcel(&self, parcel: &Parcel, now: Timestamp) -> Result<Parcel, StoreError> {
        self.free_expired_reservations(&parcel.facts().community, now).await?;
        let row = to_row(parcel, 1, now);
        Entity::insert(row.into_active_model()).exec_without_returning(&self.transaction).await.map_err(failure)?;
        self.saved_parcel(parcel);
        Ok(with_version(parcel, 1))
    }

    /// Keeps a parcel after a step, as the next version.
    ///
    /// [`StoreError::Conflict`] when another step was saved since it was loaded, [`StoreError::CompartmentTaken`] when
    /// its compartment is not free at `now`.
    pub async fn save_parcel(&self, parcel: &Parcel, now: Timestamp) -> Result<Parcel, StoreError> {
        self.free_expired_reservations(&parcel.facts().community, now).await?;
        self.save_version(parcel, now).await
    }

    pub(super) async fn save_version(&self, parcel: &Parcel, now: Timestamp) -> Result<Parcel, StoreError> {
        let version = parcel.version() + 1;
        let row = to_row(parcel, version, now).into_active_model().reset_all();
        let saved = Entity::update_many()
            .set(row)
            .filter(Column::Id.eq(parcel.id().0))
            .filter(Column::Version.eq(parcel.version()))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict);
        }
        self.saved_parcel(parcel);
        Ok(with_version(parcel, version))
    }

    /// So that the unique index over held compartments is the truth at `now`. The parcels themselves stay as they are:
    /// their placement says by itself when it ended, so no version is counted up.
    async fn free_expired_reservations(&self, community: &CommunityId, now: Timestamp) -> Result<(), StoreError> {
        let nothing = || Expr::value(Option::<String>::None);
        Entity::update_many()
            .col_expr(Column::HeldLocker, nothing())
            .col_expr(Column::HeldCompartment, nothing())
            .filter(Column::Community.eq(community.as_str()))
            .filter(Column::HeldCompartment.is_not_null())
            .filter(Column::ReservedUntil.lte(to_millis(now)))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// One parcel.
    pub async fn parcel(&self, parcel: ParcelId) -> Result<Option<Parcel>, StoreError> {
        let row = Entity::find_by_id(parcel.0).one(&self.transaction).await.map_err(failure)?;
        let parcel = row.map(from_row).transpose()?;
        self.read_parcels(parcel.as_slice());
        Ok(parcel)
    }

    /// A courier's parcel by the courier's own number.
    pub async fn parcel_by_tracking_number(
        &self,
        courier: &CourierId,
        tracking_number: &str,
    ) -> Result<Option<Parcel>, StoreError> {
        let row = Entity::find()
            .filter(Column::Courier.eq(courier.as_str()))
            .filter(Column::TrackingNumber.eq(tracking_number))
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        let parcel = row.map(from_row).transpose()?;
        self.read_parcels(parcel.as_slice());
        Ok(parcel)
    }

    /// A courier's parcels, newest announcement first, those announced before `before` only.
    pub async fn parcels_of(
        &self,
        courier: &CourierId,
        state: Option<StateName>,
        before: Option<(Timestamp, ParcelId)>,
        limit: u64,
    ) -> Result<Vec<Parcel>, StoreError> {
        let mut query = Entity::find().filter(Column::Courier.eq(courier.as_str()));
        if let Some(state) = state {
            query = query.filter(Column::State.eq(state.word()));
        }
        if let Some((announced_at, parcel)) = before {
            query = query.filter(Condition::any().add(Column::AnnouncedAt.lt(to_millis(announced_at))).add(
                Condition::all().add(Column::AnnouncedAt.eq(to_millis(announced_at))).add(Column::Id.lt(parcel.0)),
            ));
        }
        let rows = query
            .order_by(Column::AnnouncedAt, Order::Desc)
            .order_by(Column::Id, Order::Desc)
            .limit(limit)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        all(rows)
    }

    /// A community's announced parcels that staff must resolve, oldest first.
    pub async fn unresolved_parcels(
        &self,
        community: &CommunityId,
        after: Option<(Timestamp, ParcelId)>,
        limit: u64,
    ) -> Result<Vec<Parcel>, StoreError> {
        let mut query = Entity::find()
            .filter(Column::Community.eq(community.as_str()))
            .filter(Column::Resident.is_null())
            .filter(Column::State.eq(StateName::Announced.word()));
        if let Some(after) = after {
            query = query.filter(later(Column::AnnouncedAt, after));
        }
        let rows = query
            .order_by(Column::AnnouncedAt, Order::Asc)
            .order_by(Column::Id, Order::Asc)
            .limit(limit)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        all(rows)
    }

    /// The parcels of a resident that wait in a compartment, oldest announcement first.
    pub async fn waiting_parcels(&self, resident: ResidentId) -> Result<Vec<Parcel>, StoreError> {
        let rows = Entity::find()
            .filter(Column::Resident.eq(resident.0))
            .filter(Column::State.eq(StateName::Waiting.word()))
            .order_by(Column::AnnouncedAt, Order::Asc)
            .order_by(Column::Id, Order::Asc)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        let parcels = all(rows)?;
        self.read_parcels(&parcels);
        Ok(parcels)
    }

    /// Every compartment of a community that is not free at `now`.
    pub async fn holds(&self, community: &CommunityId, now: Timestamp) -> Result<Vec<Hold>, StoreError> {
        type Row = (Option<String>, Option<String>, Uuid, Option<i64>);
        let rows: Vec<Row> = Entity::find()
            .select_only()
            .columns([Column::HeldLocker, Column::HeldCompartment, Column::Id, Column::ReservedUntil])
            .filter(Column::Community.eq(community.as_str()))
            .filter(Column::HeldCompartment.is_not_null())
            .filter(Condition::any().add(Column::ReservedUntil.is_null()).add(Column::ReservedUntil.gt(to_millis(now))))
            .order_by(Column::HeldLocker, Order::Asc)
            .order_by(Column::HeldCompartment, Order::Asc)
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter()
            .map(|(locker, compartment, parcel, reserved_until)| {
                Ok(Hold {
                    locker: id(&filled(locker, "parcel.held_locker")?, "parcel.held_locker")?,
                    compartment: id(&filled(compartment, "parcel.held_compartment")?, "parcel.held_compartment")?,
                    parcel: ParcelId(parcel),
                    reserved_until: from_millis_option(reserved_until)?,
                })
            })
            .collect()
    }
}

/// Rows after this instant, or at it with a higher id.
pub(super) fn later(column: Column, (at, parcel): (Timestamp, ParcelId)) -> Condition {
    Condition::all()
        .add(column.gte(to_millis(at)))
        .add(Condition::any().add(column.gt(to_millis(at))).add(Column::Id.gt(parcel.0)))
}

pub(super) fn all(rows: Vec<Model>) -> Result<Vec<Parcel>, StoreError> {
    rows.into_iter().map(from_row).collect()
}

fn with_version(parcel: &Parcel, version: i64) -> Parcel {
    Parcel::restore(
        parcel.facts().clone(),
        parcel.addressee().clone(),
        parcel.state().clone(),
        parcel.state_since(),
        version,
    )
}
