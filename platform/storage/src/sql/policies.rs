//! The layers of the waiting policy.

use gatepost_domain::{
    id::{CommunityId, CourierId},
    policy::{Layer, PolicyLayer},
};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter,
    sea_query::{Expr, ExprTrait as _, OnConflict},
};

use super::{
    entity::policy_layer::{Column, Entity, Model},
    failure::failure,
    store::Tx,
    word::{corrupt, id},
};
use crate::{PolicyKey, StoreError};

const TENANT: &str = "tenant";
const COMMUNITY: &str = "community";
const COURIER: &str = "courier";

impl Tx {
    /// Sets or replaces a layer, which counts its version up.
    pub async fn set_policy_layer(&self, key: &PolicyKey, layer: &PolicyLayer) -> Result<(), StoreError> {
        let (scope, subject) = columns(key);
        let layer = serde_json::to_string(layer).map_err(|_| corrupt("policy_layer.layer"))?;
        let row = Model { scope: scope.to_owned(), subject: subject.to_owned(), layer, version: 1 };
        let conflict = OnConflict::columns([Column::Scope, Column::Subject])
            .update_column(Column::Layer)
            .value(Column::Version, Expr::col((Entity, Column::Version)).add(1))
            .to_owned();
        Entity::insert(row.into_active_model())
            .on_conflict(conflict)
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// Every layer there is.
    pub async fn policy_layers(&self) -> Result<Vec<(PolicyKey, PolicyLayer)>, StoreError> {
        let rows = Entity::find().all(&self.transaction).await.map_err(failure)?;
        let layer = |row| from_row(row).map(|(key, layer, _)| (key, layer));
        let mut layers = rows.into_iter().map(layer).collect::<Result<Vec<_>, _>>()?;
        layers.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(layers)
    }

    /// The layers that decide about a parcel, each with its version, lowest first, as
    /// [`gatepost_domain::policy::merge_versions`] wants them.
    pub async fn layers_for(
        &self,
        community: &CommunityId,
        courier: Option<&CourierId>,
    ) -> Result<Vec<(Layer, PolicyLayer, i64)>, StoreError> {
        let mut wanted = vec![PolicyKey::Tenant, PolicyKey::Community(community.clone())];
        wanted.extend(courier.cloned().map(PolicyKey::Courier));
        let condition = wanted.iter().map(columns).fold(Condition::any(), |any, (scope, subject)| {
            any.add(Condition::all().add(Column::Scope.eq(scope)).add(Column::Subject.eq(subject)))
        });
        let rows = Entity::find().filter(condition).all(&self.transaction).await.map_err(failure)?;
        let mut layers = Vec::with_capacity(rows.len());
        for row in rows {
            let (key, layer, version) = from_row(row)?;
            let place = match key {
                PolicyKey::Tenant => Layer::Tenant,
                PolicyKey::Community(_) => Layer::Community,
                PolicyKey::Courier(_) => Layer::Courier,
            };
            layers.push((place, layer, version));
        }
        layers.sort_by_key(|(place, ..)| *place);
        Ok(layers)
    }
}

pub(super) fn columns(key: &PolicyKey) -> (&'static str, &str) {
    match key {
        PolicyKey::Tenant => (TENANT, ""),
        PolicyKey::Community(community) => (COMMUNITY, community.as_str()),
        PolicyKey::Courier(courier) => (COURIER, courier.as_str()),
    }
}

pub(super) fn key(scope: &str, subject: &str) -> Result<PolicyKey, StoreError> {
    Ok(match scope {
        TENANT => PolicyKey::Tenant,
        COMMUNITY => PolicyKey::Community(id(subject, "policy_layer.subject")?),
        COURIER => PolicyKey::Courier(id(subject, "policy_layer.subject")?),
        _ => return Err(corrupt("policy_layer.scope")),
    })
}

fn from_row(row: Model) -> Result<(PolicyKey, PolicyLayer, i64), StoreError> {
    let key = key(&row.scope, &row.subject)?;
    let layer = serde_json::from_str(&row.layer).map_err(|_| corrupt("policy_layer.layer"))?;
    Ok((key, layer, row.version))
}
