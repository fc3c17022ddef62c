//! Why something was decided, kept with the step that decided it.

use gatepost_domain::{
    Timestamp,
    id::{DecisionId, ParcelId, ResidentId},
};
use sea_orm::{ColumnTrait, Condition, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect};

use uuid::Uuid;

use super::{
    arrays::column,
    entity::{
        decision::{Column, Entity, Model},
        parcel,
    },
    failure::failure,
    store::Tx,
    word::{from_millis, id, to_millis},
};
use crate::{DecisionRecord, StoreError};

/// Rows written at once: both databases take more values than that in a statement.
const WRITTEN_A_QUERY: usize = 500;

impl Tx {
    /// Keeps decisions, in the transaction of the steps they are about.
    pub async fn insert_decisions(&self, decisions: &[DecisionRecord]) -> Result<(), StoreError> {
        if self.is_postgres() && !decisions.is_empty() {
            return self.insert_decision_rows(&decisions.iter().map(to_row).collect::<Vec<_>>()).await;
        }
        for page in decisions.chunks(WRITTEN_A_QUERY) {
            Entity::insert_many(page.iter().map(|decision| to_row(decision).into_active_model()))
                .exec_without_returning(&self.transaction)
                .await
                .map_err(failure)?;
        }
        Ok(())
    }

    async fn insert_decision_rows(&self, rows: &[Model]) -> Result<(), StoreError> {
        let sql = "INSERT INTO decision (id, resident, parcel, community, rule, decided_at, record)
            SELECT v.id, NULLIF(v.resident, $8), NULLIF(v.parcel, $8), v.community, v.rule, v.decided_at, v.record
            FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[])
                AS v (id, resident, parcel, community, rule, decided_at, record)";
        let values = vec![
            column(rows, |row| row.id),
            column(rows, |row| row.resident.unwrap_or_default()),
            column(rows, |row| row.parcel.unwrap_or_default()),
            column(rows, |row| row.community.clone()),
            column(rows, |row| row.rule.clone()),
            column(rows, |row| row.decided_at),
            column(rows, |row| row.record.clone()),
            Uuid::nil().into(),
        ];
        self.execute(sql, values).await?;
        Ok(())
    }

    /// As [`Tx::insert_decisions`] for one, which takes the place of those before it of the same resident, parcel and
    /// rule.
    pub async fn replace_decision(&self, decision: &DecisionRecord) -> Result<(), StoreError> {
        let same_parcel = match decision.parcel {
            Some(parcel) => Column::Parcel.eq(parcel.0),
            None => Column::Parcel.is_null(),
        };
        Entity::delete_many()
            .filter(Column::Resident.eq(decision.resident.map(|resident| resident.0)))
            .filter(same_parcel)
            .filter(Column::Rule.eq(&*decision.rule))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        self.insert_decisions(std::slice::from_ref(decision)).await
    }

    /// One decision, while it is kept.
    pub async fn decision(&self, decision: DecisionId) -> Result<Option<DecisionRecord>, StoreError> {
        let row = Entity::find_by_id(decision.0).one(&self.transaction).await.map_err(failure)?;
        row.map(from_row).transpose()
    }

    /// Decisions about a resident or a parcel of theirs, newest first.
    pub async fn decisions_about(&self, resident: ResidentId, limit: u64) -> Result<Vec<DecisionRecord>, StoreError> {
        // Two questions, as PostgreSQL answers an OR with a subquery by reading the whole table.
        let parcels: Vec<Uuid> = parcel::Entity::find()
            .select_only()
            .column(parcel::Column::Id)
            .filter(parcel::Column::Resident.eq(resident.0))
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        // What was decided about a neighbour is not told, though the parcel be theirs now.
        let of_parcels = Condition::all().add(Column::Resident.is_null()).add(self.among(Column::Parcel, parcels));
        let about = Condition::any().add(Column::Resident.eq(resident.0)).add(of_parcels);
        self.decisions(about, limit).await
    }

    /// Decisions about a parcel, and those about its resident that no parcel was looked at for, newest first.
    pub async fn decisions_of(
        &self,
        parcel: ParcelId,
        resident: Option<ResidentId>,
        limit: u64,
    ) -> Result<Vec<DecisionRecord>, StoreError> {
        let mut about = Condition::any().add(Column::Parcel.eq(parcel.0));
        if let Some(resident) = resident {
            about = about.add(Condition::all().add(Column::Resident.eq(resident.0)).add(Column::Parcel.is_null()));
        }
        self.decisions(about, limit).await
    }

    async fn decisions(&self, about: Condition, limit: u64) -> Result<Vec<DecisionRecord>, StoreError> {
        let rows = Entity::find()
            .filter(about)
            .order_by(Column::DecidedAt, Order::Desc)
            .order_by(Column::Id, Order::Desc)
            .limit(limit)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }

    /// Forgets what was decided before an instant, at most so many, and says how many there were. The ids begin with the
    /// time, so no index by age has to be kept up in a burst.
    pub async fn forget_decisions(&self, before: Timestamp, limit: u64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM decision WHERE id IN (
            SELECT id FROM decision WHERE id < $1 AND decided_at < $2 ORDER BY id LIMIT $3)";
        let (before, limit) = (to_millis(before), i64::try_from(limit).unwrap_or(i64::MAX));
        // As RFC 9562 has them, version 7: milliseconds since 1970 in the first 48 bits.
        let first = Uuid::from_u128(u128::from(u64::try_from(before).unwrap_or(0)) << 80);
        self.execute(sql, vec![first.into(), before.into(), limit.into()]).await
    }
}

fn to_row(decision: &DecisionRecord) -> Model {
    Model {
        id: decision.id.0,
        resident: decision.resident.map(|resident| resident.0),
        parcel: decision.parcel.map(|parcel| parcel.0),
        community: decision.community.to_string(),
        rule: decision.rule.to_string(),
        decided_at: to_millis(decision.decided_at),
        record: decision.record.clone(),
    }
}

fn from_row(row: Model) -> Result<DecisionRecord, StoreError> {
    Ok(DecisionRecord {
        id: DecisionId(row.id),
        resident: row.resident.map(ResidentId),
        parcel: row.parcel.map(ParcelId),
        community: id(&row.community, "decision.community")?,
        rule: row.rule.into(),
        decided_at: from_millis(row.decided_at)?,
        record: row.record,
    })
}
