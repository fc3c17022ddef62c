//! Residents with what they agreed to and when they come; and how all of it is deleted.

use std::collections::{BTreeMap, HashMap, HashSet};

use gatepost_domain::{
    Timestamp,
    consent::Purpose,
    id::{CommunityId, ResidentId},
    parcel::StateName,
    recipient::Label,
    resident::{Resident, phone_key, text_key},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, Order, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{
    arrays::column,
    entity::{consent_in_force, pickup, resident, template},
    failure::failure,
    parcel_row::UNRESOLVED,
    store::Tx,
    word::{Word, count, from_millis, id, to_millis},
};
use crate::{Delivery, Removed, StoreError};

impl Tx {
    /// Keeps a new resident; [`StoreError::Exists`] when another of the community has the person reference. Consents
    /// and faces come by their own ways.
    pub async fn insert_resident(&self, resident: &Resident) -> Result<(), StoreError> {
        resident::Entity::insert(to_row(resident).into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// Replaces a resident's particulars; [`StoreError::NotFound`] when there is none of that id.
    pub async fn update_resident(&self, resident: &Resident) -> Result<(), StoreError> {
        let updated = resident::Entity::update_many()
            .set(to_row(resident).into_active_model().reset_all())
            .filter(resident::Column::Id.eq(resident.id.0))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        if updated.rows_affected == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// One resident.
    pub async fn resident(&self, resident: ResidentId) -> Result<Option<Resident>, StoreError> {
        let row = resident::Entity::find_by_id(resident.0).one(&self.transaction).await.map_err(failure)?;
        Ok(self.complete(row.into_iter().collect()).await?.pop())
    }

    /// A community's residents in the order of their ids.
    pub async fn residents(
        &self,
        community: &CommunityId,
        after: Option<ResidentId>,
        limit: u64,
    ) -> Result<Vec<Resident>, StoreError> {
        let mut query = resident::Entity::find()
            .filter(resident::Column::Community.eq(community.as_str()))
            .order_by(resident::Column::Id, Order::Asc)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(resident::Column::Id.gt(after.0));
        }
        let rows = query.all(&self.transaction).await.map_err(failure)?;
        self.complete(rows).await
    }

    /// Everybody a label could mean: who bears its name or its phone. Not limited, because leaving one out could make
    /// the other seem the only one.
    pub async fn candidates(&self, community: &CommunityId, label: &Label) -> Result<Vec<Resident>, StoreError> {
        let name_key = text_key(&label.name);
        let mut alike = Condition::any();
        if !name_key.is_empty() {
            alike = alike.add(resident::Column::NameKey.eq(name_key));
        }
        if let Some(phone_key) = phone_key(&label.phone) {
            alike = alike.add(resident::Column::PhoneKey.eq(phone_key));
        }
        if alike.is_empty() {
            return Ok(Vec::new());
        }
        let rows = resident::Entity::find()
            .filter(resident::Column::Community.eq(community.as_str()))
            .filter(alike)
            .order_by(resident::Column::Id, Order::Asc)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        self.complete(rows).await
    }

    /// The resident whom a community's smart cameras know by this reference.
    pub async fn resident_by_person_reference(
        &self,
        community: &CommunityId,
        person_reference: &str,
    ) -> Result<Option<Resident>, StoreError> {
        if person_reference.is_empty() {
            return Ok(None);
        }
        let row = resident::Entity::find()
            .filter(resident::Column::Community.eq(community.as_str()))
            .filter(resident::Column::PersonReference.eq(person_reference))
            // Written out so that the partial index is used.
            .filter(resident::Column::PersonReference.ne(""))
            .one(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(self.complete(row.into_iter().collect()).await?.pop())
    }

    /// Deletes a resident with faces, consents, pickups and notices, and says what went. The parcels stay, each as one
    /// addressed to nobody: what was reserved for them is free again, and the log of their couriers forgets the door. The
    /// ledger of consent keeps that they agreed and no longer do, of a random id.
    pub async fn delete_resident(&self, resident: ResidentId, now: Timestamp) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        removed.deleted.insert("consent_in_force".to_owned(), self.end_consents(resident, now).await?);
        let its = || vec![resident.0.into()];
        self.count_notices(resident, &mut removed).await?;
        removed.timers = self.count_deadlines(resident).await?;
        let (announced, failed) = (StateName::Announced.word(), StateName::DoorDeliveryFailed.word());
        let placed = vec![UNRESOLVED.into(), announced.into(), failed.into(), resident.0.into()];
        self.execute(
            "UPDATE parcel SET placement = $1, door_reason = NULL, walking_metres = NULL, reserved_until = NULL,
                locker = NULL, compartment = NULL, held_locker = NULL, held_compartment = NULL
            WHERE state IN ($2, $3) AND placement IS NOT NULL AND resident = $4",
            placed,
        )
        .await?;
        let doors = "UPDATE courier_event SET building = NULL, unit = NULL
            WHERE (building IS NOT NULL OR unit IS NOT NULL) AND parcel IN (SELECT id FROM parcel WHERE resident = $1)";
        removed.cleared.insert("courier_event".to_owned(), self.execute(doors, its()).await?);
        // The version counts up: a step that was decided for the resident must not be saved any more.
        let addressees = "UPDATE parcel SET resident = NULL, building = NULL, unit = NULL, version = version + 1
            WHERE resident = $1";
        removed.cleared.insert("parcel".to_owned(), self.execute(addressees, its()).await?);
        let conflicts = "DELETE FROM enrolment_conflict WHERE resident = $1 OR other = $1";
        removed.deleted.insert("enrolment_conflict".to_owned(), self.execute(conflicts, its()).await?);
        for table in [
            "notice",
            "template",
            "resident_key",
            "misidentification",
            "last_sighting",
            "capture",
            "pickup",
            "decision",
        ] {
            let rows = self.execute(&format!("DELETE FROM {table} WHERE resident = $1"), its()).await?;
            removed.deleted.insert(table.to_owned(), rows);
        }
        match self.execute("DELETE FROM resident WHERE id = $1", its()).await? {
            0 => Err(StoreError::NotFound),
            rows => {
                removed.deleted.insert("resident".to_owned(), rows);
                Ok(removed)
            }
        }
    }

    async fn count_deadlines(&self, resident: ResidentId) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM parcel WHERE resident = $1 AND next_due IS NOT NULL";
        let statement = self.statement(sql, vec![resident.0.into()]);
        let row = self.transaction.query_one_raw(statement).await.map_err(failure)?.ok_or(StoreError::NotFound)?;
        Ok(row.try_get_by_index::<i64>(0).map_err(failure)?.unsigned_abs())
    }

    /// Which reminders had been told, and how many were still to be.
    async fn count_notices(&self, resident: ResidentId, removed: &mut Removed) -> Result<(), StoreError> {
        let sql = "SELECT channel, delivery, count(*) FROM notice WHERE resident = $1 GROUP BY channel, delivery";
        let statement = self.statement(sql, vec![resident.0.into()]);
        for row in self.transaction.query_all_raw(statement).await.map_err(failure)? {
            let channel: String = row.try_get_by_index(0).map_err(failure)?;
            let delivery: String = row.try_get_by_index(1).map_err(failure)?;
            let count: i64 = row.try_get_by_index(2).map_err(failure)?;
            match Delivery::read(&delivery)? {
                Delivery::Pending => removed.untold += count.unsigned_abs(),
                Delivery::Delivered => {
                    removed.told.insert(channel, count.unsigned_abs());
                }
                Delivery::Failed => {}
            }
        }
        Ok(())
    }

    /// Adds to a resident's record of pickups; `false` when it was there already.
    pub async fn record_pickup(&self, resident: ResidentId, picked_up_at: Timestamp) -> Result<bool, StoreError> {
        let sql = "INSERT INTO pickup (resident, picked_up_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let added = self.execute(sql, vec![resident.0.into(), to_millis(picked_up_at).into()]).await?;
        Ok(added > 0)
    }

    /// A resident's pickups, newest first.
    pub async fn pickups(&self, resident: ResidentId, limit: u64) -> Result<Vec<Timestamp>, StoreError> {
        let rows: Vec<i64> = pickup::Entity::find()
            .select_only()
            .column(pickup::Column::PickedUpAt)
            .filter(pickup::Column::Resident.eq(resident.0))
            .order_by(pickup::Column::PickedUpAt, Order::Desc)
            .limit(limit)
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(from_millis).collect()
    }

    /// The pickups of many residents, at most `limit` of each, newest first.
    pub async fn pickups_of(
        &self,
        residents: &[ResidentId],
        limit: u64,
    ) -> Result<HashMap<ResidentId, Vec<Timestamp>>, StoreError> {
        let mut pickups: HashMap<ResidentId, Vec<Timestamp>> = HashMap::new();
        if residents.is_empty() {
            return Ok(pickups);
        }
        let (among, values) = if self.is_postgres() {
            ("= ANY($1)".to_owned(), vec![column(residents, |resident| resident.0)])
        } else {
            let places: Vec<String> = (1..=residents.len()).map(|place| format!("${place}")).collect();
            (format!("IN ({})", places.join(",")), residents.iter().map(|resident| resident.0.into()).collect())
        };
        let sql = format!(
            "SELECT resident, picked_up_at FROM (
                SELECT resident, picked_up_at,
                    row_number() OVER (PARTITION BY resident ORDER BY picked_up_at DESC) AS place
                FROM pickup WHERE resident {among}
            ) AS ranked WHERE place <= {limit} ORDER BY resident, picked_up_at DESC"
        );
        for row in self.transaction.query_all_raw(self.statement(&sql, values)).await.map_err(failure)? {
            let resident: Uuid = row.try_get_by_index(0).map_err(failure)?;
            let picked_up_at = from_millis(row.try_get_by_index(1).map_err(failure)?)?;
            pickups.entry(ResidentId(resident)).or_default().push(picked_up_at);
        }
        Ok(pickups)
    }

    /// Those of these residents who have an e-mail address.
    pub async fn with_email(&self, residents: &[ResidentId]) -> Result<HashSet<ResidentId>, StoreError> {
        let rows: Vec<Uuid> = resident::Entity::find()
            .select_only()
            .column(resident::Column::Id)
            .filter(self.among(resident::Column::Id, residents.iter().map(|resident| resident.0)))
            .filter(resident::Column::Email.ne(""))
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(rows.into_iter().map(ResidentId).collect())
    }

    /// Adds the consents in force and what faces there are.
    async fn complete(&self, rows: Vec<resident::Model>) -> Result<Vec<Resident>, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let mut consents: BTreeMap<Uuid, Vec<Purpose>> = BTreeMap::new();
        let in_force = consent_in_force::Entity::find()
            .filter(consent_in_force::Column::Resident.is_in(ids.iter().copied()))
            .order_by(consent_in_force::Column::Purpose, Order::Asc)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        for row in in_force {
            consents.entry(row.resident).or_default().push(Purpose::read(&row.purpose)?);
        }
        let faces: Vec<(Uuid, String, i64)> = template::Entity::find()
            .select_only()
            .column(template::Column::Resident)
            .column(template::Column::Model)
            .column_as(template::Column::Id.count(), "faces")
            .filter(template::Column::Resident.is_in(ids))
            .group_by(template::Column::Resident)
            .group_by(template::Column::Model)
            .order_by(template::Column::Model, Order::Asc)
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        let mut enrolled: BTreeMap<Uuid, (i64, Vec<String>)> = BTreeMap::new();
        for (resident, model, faces) in faces {
            let (all, models) = enrolled.entry(resident).or_default();
            *all += faces;
            models.push(model);
        }
        rows.into_iter()
            .map(|row| {
                let (faces, models) = enrolled.remove(&row.id).unwrap_or_default();
                let consents = consents.remove(&row.id).unwrap_or_default();
                from_row(row, consents, count(faces, "template")?, models)
            })
            .collect()
    }
}

fn to_row(resident: &Resident) -> resident::Model {
    resident::Model {
        id: resident.id.0,
        community: resident.community.to_string(),
        name: resident.name.clone(),
        name_key: text_key(&resident.name),
        phone: resident.phone.clone(),
        phone_key: phone_key(&resident.phone),
        email: resident.email.clone(),
        building: resident.building.to_string(),
        unit: resident.unit.clone(),
        person_reference: resident.person_reference.clone(),
        needs_accessible: resident.needs_accessible,
        under_14: resident.under_14,
    }
}

fn from_row(
    row: resident::Model,
    consents: Vec<Purpose>,
    faces: u32,
    face_models: Vec<String>,
) -> Result<Resident, StoreError> {
    Ok(Resident {
        id: ResidentId(row.id),
        community: id(&row.community, "resident.community")?,
        name: row.name,
        phone: row.phone,
        email: row.email,
        building: id(&row.building, "resident.building")?,
        unit: row.unit,
        person_reference: row.person_reference,
        needs_accessible: row.needs_accessible,
        under_14: row.under_14,
        consents,
        faces,
        face_models,
    })
}
