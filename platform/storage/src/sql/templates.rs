//! Enrolled faces: sealed vectors, and who of them may be searched.

use gatepost_domain::{
    Timestamp,
    consent::Purpose,
    id::{CommunityId, ResidentId, TemplateId},
    parcel::StateName,
};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect};

use super::{
    entity::template::{Column, Entity, Model},
    failure::failure,
    store::Tx,
    word::{Word, from_millis, to_millis},
};
use crate::{StoreError, Template};

impl Tx {
    /// Keeps an enrolled face.
    pub async fn insert_template(&self, template: &Template) -> Result<(), StoreError> {
        let row = Model {
            id: template.id.0,
            resident: template.resident.0,
            model: template.model.clone(),
            embedding: template.embedding.clone(),
            enrolled_at: to_millis(template.enrolled_at),
        };
        Entity::insert(row.into_active_model()).exec_without_returning(&self.transaction).await.map_err(failure)?;
        Ok(())
    }

    /// Deletes a resident's faces and says how many there were.
    pub async fn delete_templates(&self, resident: ResidentId) -> Result<u64, StoreError> {
        let deleted = Entity::delete_many()
            .filter(Column::Resident.eq(resident.0))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(deleted.rows_affected)
    }

    /// The model of the newest enrolled face: what a worker's model must be.
    pub async fn enrolled_model(&self) -> Result<Option<String>, StoreError> {
        Entity::find()
            .select_only()
            .column(Column::Model)
            .order_by(Column::EnrolledAt, Order::Desc)
            .order_by(Column::Id, Order::Desc)
            .into_tuple()
            .one(&self.transaction)
            .await
            .map_err(failure)
    }

    /// The faces that a gate of the community may be searched for at `now`: of residents who agree to it and have a
    /// parcel that has waited T1. Nobody else is ever compared.
    pub async fn searchable_templates(
        &self,
        community: &CommunityId,
        now: Timestamp,
    ) -> Result<Vec<Template>, StoreError> {
        let sql = "SELECT template.* FROM template
            JOIN resident ON resident.id = template.resident
            JOIN consent_in_force ON consent_in_force.resident = resident.id AND consent_in_force.purpose = $1
            WHERE resident.community = $2 AND EXISTS (
                SELECT 1 FROM parcel WHERE parcel.resident = resident.id AND parcel.community = $2
                AND parcel.state = $3 AND parcel.remind_from <= $4
            ) ORDER BY template.resident, template.id";
        let values = vec![
            Purpose::GateRecognition.word().into(),
            community.as_str().into(),
            StateName::Waiting.word().into(),
            to_millis(now).into(),
        ];
        let rows =
            Entity::find().from_raw_sql(self.statement(sql, values)).all(&self.transaction).await.map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }
}

fn from_row(row: Model) -> Result<Template, StoreError> {
    Ok(Template {
        id: TemplateId(row.id),
        resident: ResidentId(row.resident),
        model: row.model,
        embedding: row.embedding,
        enrolled_at: from_millis(row.enrolled_at)?,
    })
}
