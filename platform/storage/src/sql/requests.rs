//! Answers by request id, so that a repeated request is answered and not done again.

use gatepost_domain::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use uuid::Uuid;

use super::{
    entity::request::{Column, Entity, Model},
    failure::failure,
    store::Tx,
    word::{hash, to_millis},
};
use crate::{Answered, StoreError};

impl Tx {
    /// Lets one transaction at a time handle a request: a copy that comes while the first is under way waits for its
    /// answer, and does not stumble over what the first one made. SQLite has one writer anyway.
    pub async fn lock_request(&self, request_id: Uuid) -> Result<(), StoreError> {
        // Two requests of one number would only wait for each other.
        let (_, number) = request_id.as_u64_pair();
        self.take_lock(number.cast_signed()).await
    }

    /// What a principal's request was answered, if it was.
    pub async fn answered(&self, principal: &str, request_id: Uuid) -> Result<Option<Answered>, StoreError> {
        let key = (principal.to_owned(), request_id);
        let Some(row) = Entity::find_by_id(key).one(&self.transaction).await.map_err(failure)? else {
            return Ok(None);
        };
        let body_hash = hash(row.body_hash, "request.body_hash")?;
        Ok(Some(Answered { rpc: row.rpc, body_hash, answer: row.answer }))
    }

    /// Keeps the answer in the transaction that it is the answer to. [`StoreError::Conflict`] when another transaction
    /// answered the same request first: begin again, and find its answer.
    pub async fn remember_answer(
        &self,
        principal: &str,
        request_id: Uuid,
        answered: &Answered,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let row = Model {
            principal: principal.to_owned(),
            request_id,
            rpc: answered.rpc.clone(),
            body_hash: answered.body_hash.to_vec(),
            answer: answered.answer.clone(),
            answered_at: to_millis(now),
        };
        Entity::insert(row.into_active_model()).exec_without_returning(&self.transaction).await.map_err(failure)?;
        Ok(())
    }

    /// Forgets the answers given before an instant, and says how many there were.
    pub async fn forget_answers(&self, before: Timestamp) -> Result<u64, StoreError> {
        let deleted = Entity::delete_many()
            .filter(Column::AnsweredAt.lt(to_millis(before)))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(deleted.rows_affected)
    }
}
