//! The record of who looked at what is personal: written once, never changed, deleted from its beginning by age.

use gatepost_domain::{Timestamp, id::CommunityId};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{OnConflict, Query},
};

use super::{
    entity::{
        look::{Column, Entity, Model},
        look_forgotten, look_subject,
    },
    failure::failure,
    store::Tx,
    word::{corrupt, from_millis, hash, id, to_millis},
};
use crate::{Look, LookChain, StoreError};

/// The chain without a community.
const NOBODYS: &str = "";

fn name(chain: &LookChain) -> &str {
    chain.as_ref().map_or(NOBODYS, CommunityId::as_str)
}

impl Tx {
    /// Appends a look to its chain, one at a time. Its sequence and hash are set here.
    pub async fn append_look(&self, mut look: Look) -> Result<Look, StoreError> {
        if self.is_postgres() {
            // Not the community's row: who looks is in nobody's way.
            let sql = "SELECT pg_advisory_xact_lock(1819242347, hashtext($1))";
            self.execute(sql, vec![name(&look.chain).into()]).await?;
        }
        let newest = self.looks(&look.chain, None, None, 1).await?.pop().map(|look| (look.sequence, look.hash));
        let before = match newest {
            Some(before) => Some(before),
            None => self.forgotten_looks(&look.chain).await?,
        };
        // As it is read back.
        look.looked_at = from_millis(to_millis(look.looked_at))?;
        look.subjects.sort_unstable();
        look.subjects.dedup();
        let look = look.after(before);
        let subjects = look.subjects.iter().map(|subject| look_subject::Model {
            subject: subject.clone(),
            community: name(&look.chain).to_owned(),
            sequence: look.sequence,
        });
        let subjects: Vec<_> = subjects.map(IntoActiveModel::into_active_model).collect();
        Entity::insert(to_row(&look)?.into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        if !subjects.is_empty() {
            look_subject::Entity::insert_many(subjects)
                .exec_without_returning(&self.transaction)
                .await
                .map_err(failure)?;
        }
        Ok(look)
    }

    /// Looks of a chain before a sequence, newest first; with a subject, only those at that one.
    pub async fn looks(
        &self,
        chain: &LookChain,
        subject: Option<&str>,
        before: Option<i64>,
        limit: u64,
    ) -> Result<Vec<Look>, StoreError> {
        let mut query = Entity::find()
            .filter(Column::Community.eq(name(chain)))
            .order_by(Column::Sequence, Order::Desc)
            .limit(limit);
        if let Some(before) = before {
            query = query.filter(Column::Sequence.lt(before));
        }
        if let Some(subject) = subject {
            let at_it = Query::select()
                .column(look_subject::Column::Sequence)
                .from(look_subject::Entity)
                .and_where(look_subject::Column::Subject.eq(subject))
                .and_where(look_subject::Column::Community.eq(name(chain)))
                .to_owned();
            query = query.filter(Column::Sequence.in_subquery(at_it));
        }
        query.all(&self.transaction).await.map_err(failure)?.into_iter().map(from_row).collect()
    }

    /// Looks of a chain after a sequence, oldest first.
    pub async fn looks_after(&self, chain: &LookChain, after: i64, limit: u64) -> Result<Vec<Look>, StoreError> {
        let rows = Entity::find()
            .filter(Column::Community.eq(name(chain)))
            .filter(Column::Sequence.gt(after))
            .order_by(Column::Sequence, Order::Asc)
            .limit(limit)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }

    /// Sequence and hash of the last look that was deleted of a chain.
    pub async fn forgotten_looks(&self, chain: &LookChain) -> Result<Option<(i64, [u8; 32])>, StoreError> {
        let row = look_forgotten::Entity::find_by_id(name(chain)).one(&self.transaction).await.map_err(failure)?;
        row.map(|row| Ok((row.sequence, hash(row.hash, "look_forgotten.hash")?))).transpose()
    }

    /// Deletes up to `limit` of a chain's looks from before an instant, the oldest first, and says how many.
    pub async fn forget_looks(&self, chain: &LookChain, before: Timestamp, limit: u64) -> Result<u64, StoreError> {
        let first = self.forgotten_looks(chain).await?.map_or(0, |(sequence, _)| sequence);
        let oldest = self.looks_after(chain, first, limit).await?;
        // Clocks of replicas differ a little: the first that is young enough keeps what is behind it.
        let old: Vec<&Look> = oldest.iter().take_while(|look| look.looked_at < before).collect();
        let Some(last) = old.last() else { return Ok(0) };
        let row = look_forgotten::Model {
            community: name(chain).to_owned(),
            sequence: last.sequence,
            hash: last.hash.to_vec(),
        };
        look_forgotten::Entity::insert(row.into_active_model())
            .on_conflict(
                OnConflict::column(look_forgotten::Column::Community)
                    .update_columns([look_forgotten::Column::Sequence, look_forgotten::Column::Hash])
                    .to_owned(),
            )
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        let sql = "DELETE FROM look WHERE community = $1 AND sequence <= $2";
        self.execute(sql, vec![name(chain).into(), last.sequence.into()]).await
    }
}

fn to_row(look: &Look) -> Result<Model, StoreError> {
    Ok(Model {
        community: name(&look.chain).to_owned(),
        sequence: look.sequence,
        looked_at: to_millis(look.looked_at),
        principal: look.principal.clone(),
        bearer: look.bearer.clone(),
        rpc: look.rpc.clone(),
        outcome: look.outcome.clone(),
        request_id: look.request_id,
        subjects: serde_json::to_string(&look.subjects).map_err(|_| corrupt("look.subjects"))?,
        hash: look.hash.to_vec(),
    })
}

fn from_row(row: Model) -> Result<Look, StoreError> {
    let chain = match row.community.as_str() {
        NOBODYS => None,
        community => Some(id(community, "look.community")?),
    };
    Ok(Look {
        chain,
        sequence: row.sequence,
        looked_at: from_millis(row.looked_at)?,
        principal: row.principal,
        bearer: row.bearer,
        rpc: row.rpc,
        outcome: row.outcome,
        request_id: row.request_id,
        subjects: serde_json::from_str(&row.subjects).map_err(|_| corrupt("look.subjects"))?,
        hash: hash(row.hash, "look.hash")?,
    })
}
