//! Enrolled faces: sealed vectors, and who of them may be searched.

use std::collections::HashMap;

use gatepost_domain::{
    Timestamp,
    consent::Purpose,
    id::{CommunityId, ResidentId, TemplateId},
    parcel::StateName,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect,
};

use uuid::Uuid;

use super::{
    entity::{
        resident_key,
        template::{Column, Entity, Model},
    },
    failure::failure,
    store::Tx,
    template_keys::resident_key_from_row,
    word::{Word, from_millis, to_millis},
};
use crate::{MisidentificationReason, ResidentKey, SearchableFace, StoreError, Template};

/// Faces read at once: both databases take more values than that in a statement.
const SEALED_A_QUERY: usize = 500;

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

    /// Deletes a resident's faces with the key they are sealed with, which makes every copy of them unreadable, and
    /// says how many there were.
    pub async fn delete_templates(&self, resident: ResidentId) -> Result<u64, StoreError> {
        // What was mistaken was mistaken for these faces; others may differ.
        for table in ["resident_key", "misidentification", "last_sighting", "capture"] {
            self.execute(&format!("DELETE FROM {table} WHERE resident = $1"), vec![resident.0.into()]).await?;
        }
        let seen = "DELETE FROM decision WHERE resident = $1 AND rule LIKE 'gate.%'";
        self.execute(seen, vec![resident.0.into()]).await?;
        self.forget_open_conflicts(resident).await?;
        let deleted = Entity::delete_many()
            .filter(Column::Resident.eq(resident.0))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(deleted.rows_affected)
    }

    /// The model of the newest enrolled face. Ids grow with time, and are an index.
    pub async fn enrolled_model(&self) -> Result<Option<String>, StoreError> {
        Entity::find()
            .select_only()
            .column(Column::Model)
            .order_by(Column::Id, Order::Desc)
            .into_tuple()
            .one(&self.transaction)
            .await
            .map_err(failure)
    }

    /// A resident's faces, the oldest first.
    pub async fn templates_of(&self, resident: ResidentId) -> Result<Vec<Template>, StoreError> {
        let rows = Entity::find()
            .filter(Column::Resident.eq(resident.0))
            .order_by(Column::EnrolledAt, Order::Asc)
            .order_by(Column::Id, Order::Asc)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }

    /// Replaces the sealed vector of a face; [`StoreError::NotFound`] when it is gone.
    pub async fn reseal_template(&self, template: TemplateId, embedding: &[u8]) -> Result<(), StoreError> {
        let sql = "UPDATE template SET embedding = $1 WHERE id = $2";
        let touched = self.execute(sql, vec![embedding.to_vec().into(), template.0.into()]).await?;
        if touched == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// The faces under a model that a gate of the community may be searched for at `now`: of residents who agree to it
    /// and have a parcel that has waited T1. Nobody else is ever compared. Ordered by resident and template.
    pub async fn searchable_faces(
        &self,
        community: &CommunityId,
        model: &str,
        now: Timestamp,
    ) -> Result<Vec<SearchableFace>, StoreError> {
        let sql = "SELECT template.id, template.resident, resident_key.generation, mistaken.similarity FROM template
            JOIN resident ON resident.id = template.resident
            JOIN resident_key ON resident_key.resident = resident.id AND resident_key.community = $2
            JOIN consent_in_force ON consent_in_force.resident = resident.id AND consent_in_force.purpose = $1
            LEFT JOIN (SELECT resident, max(similarity) AS similarity FROM misidentification
                WHERE community = $2 AND reason = $5 GROUP BY resident) AS mistaken ON mistaken.resident = resident.id
            WHERE resident.community = $2 AND template.model = $6 AND EXISTS (
                SELECT 1 FROM parcel WHERE parcel.resident = resident.id AND parcel.community = $2
                AND parcel.state = $3 AND parcel.remind_from <= $4
            ) ORDER BY template.resident, template.id";
        let values = vec![
            Purpose::GateRecognition.word().into(),
            community.as_str().into(),
            StateName::Waiting.word().into(),
            to_millis(now).into(),
            MisidentificationReason::NotMe.word().into(),
            model.into(),
        ];
        self.faces(sql, values).await
    }

    /// Every face enrolled under a model of the community's residents who agree to gate recognition, ordered by resident
    /// and template.
    pub async fn consenting_faces(
        &self,
        community: &CommunityId,
        model: &str,
    ) -> Result<Vec<SearchableFace>, StoreError> {
        let sql = "SELECT template.id, template.resident, resident_key.generation, mistaken.similarity FROM template
            JOIN resident ON resident.id = template.resident
            JOIN resident_key ON resident_key.resident = resident.id AND resident_key.community = $2
            JOIN consent_in_force ON consent_in_force.resident = resident.id AND consent_in_force.purpose = $1
            LEFT JOIN (SELECT resident, max(similarity) AS similarity FROM misidentification
                WHERE community = $2 AND reason = $3 GROUP BY resident) AS mistaken ON mistaken.resident = resident.id
            WHERE resident.community = $2 AND template.model = $4 ORDER BY template.resident, template.id";
        let values = vec![
            Purpose::GateRecognition.word().into(),
            community.as_str().into(),
            MisidentificationReason::NotMe.word().into(),
            model.into(),
        ];
        self.faces(sql, values).await
    }

    async fn faces(&self, sql: &str, values: Vec<sea_orm::Value>) -> Result<Vec<SearchableFace>, StoreError> {
        let rows = self.transaction.query_all_raw(self.statement(sql, values)).await.map_err(failure)?;
        let face = |row: &sea_orm::QueryResult| -> Result<SearchableFace, sea_orm::DbErr> {
            Ok(SearchableFace {
                template: TemplateId(row.try_get_by_index(0)?),
                resident: ResidentId(row.try_get_by_index(1)?),
                generation: row.try_get_by_index(2)?,
                mistaken_at: row.try_get_by_index(3)?,
            })
        };
        rows.iter().map(|row| face(row).map_err(failure)).collect()
    }

    /// Faces with the keys they are sealed with, in the order of resident and template; those deleted since are
    /// missing.
    pub async fn sealed_faces(&self, faces: &[SearchableFace]) -> Result<Vec<(Template, ResidentKey)>, StoreError> {
        let mut sealed = Vec::with_capacity(faces.len());
        for page in faces.chunks(SEALED_A_QUERY) {
            let templates = Entity::find()
                .filter(Column::Id.is_in(page.iter().map(|face| face.template.0)))
                .order_by(Column::Resident, Order::Asc)
                .order_by(Column::Id, Order::Asc)
                .all(&self.transaction)
                .await
                .map_err(failure)?;
            let keys = resident_key::Entity::find()
                .filter(resident_key::Column::Resident.is_in(templates.iter().map(|row| row.resident)))
                .all(&self.transaction)
                .await
                .map_err(failure)?;
            let keys: HashMap<Uuid, resident_key::Model> = keys.into_iter().map(|key| (key.resident, key)).collect();
            for row in templates {
                if let Some(key) = keys.get(&row.resident) {
                    sealed.push((from_row(row)?, resident_key_from_row(key.clone())?));
                }
            }
        }
        Ok(sealed)
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
