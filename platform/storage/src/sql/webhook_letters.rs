//! Letters: events that a webhook endpoint did not take, to be tried again or given up.

use std::collections::HashMap;

use gatepost_domain::{
    Timestamp,
    id::{CourierId, EndpointId},
};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect, sea_query::OnConflict,
};

use super::{
    entity::{
        courier_event,
        webhook_letter::{Column, Entity, Model},
    },
    event_row,
    failure::failure,
    store::Tx,
    word::{corrupt, count, from_millis, from_millis_option, to_millis},
};
use crate::{Letter, LetterCounts, Replay, StoreError, StoredEvent};

impl Tx {
    /// Sets an event aside, or keeps how another attempt went.
    pub async fn save_letter(&self, courier: &CourierId, letter: &Letter) -> Result<(), StoreError> {
        let row = Model {
            endpoint: letter.endpoint.0,
            sequence: letter.event.sequence,
            courier: courier.to_string(),
            attempts: letter.attempts.into(),
            next_attempt_at: letter.next_attempt_at.map(to_millis),
            last_attempt_at: to_millis(letter.last_attempt_at),
            last_error: letter.last_error.clone(),
        };
        let again = OnConflict::columns([Column::Endpoint, Column::Sequence])
            .update_columns([Column::Attempts, Column::NextAttemptAt, Column::LastAttemptAt, Column::LastError])
            .to_owned();
        Entity::insert(row.into_active_model())
            .on_conflict(again)
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// Forgets letters that were delivered after all.
    pub async fn delete_letters(&self, endpoint: EndpointId, sequences: &[i64]) -> Result<(), StoreError> {
        if sequences.is_empty() {
            return Ok(());
        }
        Entity::delete_many()
            .filter(Column::Endpoint.eq(endpoint.0))
            .filter(Column::Sequence.is_in(sequences.iter().copied()))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// Forgets every letter above a number: the endpoint will come to their events again.
    pub async fn delete_letters_after(&self, endpoint: EndpointId, sequence: i64) -> Result<(), StoreError> {
        Entity::delete_many()
            .filter(Column::Endpoint.eq(endpoint.0))
            .filter(Column::Sequence.gt(sequence))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// Letters that are due, in the order of their events.
    pub async fn letters_due(
        &self,
        endpoint: EndpointId,
        now: Timestamp,
        limit: u64,
    ) -> Result<Vec<Letter>, StoreError> {
        let query = Entity::find()
            .filter(Column::Endpoint.eq(endpoint.0))
            .filter(Column::NextAttemptAt.lte(to_millis(now)))
            .order_by(Column::Sequence, Order::Asc)
            .limit(limit);
        self.with_events(query.all(&self.transaction).await.map_err(failure)?).await
    }

    /// Letters that were given up, oldest event first.
    pub async fn dead_letters(&self, endpoint: EndpointId, after: i64, limit: u64) -> Result<Vec<Letter>, StoreError> {
        let query = Entity::find()
            .filter(Column::Endpoint.eq(endpoint.0))
            .filter(Column::Sequence.gt(after))
            .filter(Column::NextAttemptAt.is_null())
            .order_by(Column::Sequence, Order::Asc)
            .limit(limit);
        self.with_events(query.all(&self.transaction).await.map_err(failure)?).await
    }

    async fn with_events(&self, rows: Vec<Model>) -> Result<Vec<Letter>, StoreError> {
        let Some(courier) = rows.first().map(|row| row.courier.clone()) else { return Ok(Vec::new()) };
        let events = courier_event::Entity::find()
            .filter(courier_event::Column::Courier.eq(courier))
            .filter(courier_event::Column::Sequence.is_in(rows.iter().map(|row| row.sequence)))
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        let mut events: HashMap<i64, StoredEvent> = events
            .into_iter()
            .map(|row| Ok((row.sequence, event_row::from_row(row)?)))
            .collect::<Result<_, StoreError>>()?;
        let letter = |row: Model| {
            Ok(Letter {
                endpoint: EndpointId(row.endpoint),
                event: events.remove(&row.sequence).ok_or_else(|| corrupt("webhook_letter.sequence"))?,
                attempts: count(row.attempts, "webhook_letter.attempts")?,
                next_attempt_at: from_millis_option(row.next_attempt_at)?,
                last_attempt_at: from_millis(row.last_attempt_at)?,
                last_error: row.last_error,
            })
        };
        rows.into_iter().map(letter).collect()
    }

    /// How many letters these endpoints have; those that have none are left out.
    pub async fn letter_counts(
        &self,
        endpoints: &[EndpointId],
    ) -> Result<HashMap<EndpointId, LetterCounts>, StoreError> {
        let counts: Vec<(uuid::Uuid, i64, i64)> = Entity::find()
            .select_only()
            .column(Column::Endpoint)
            .column_as(Column::Sequence.count(), "letters")
            .column_as(Column::NextAttemptAt.count(), "retrying")
            .filter(Column::Endpoint.is_in(endpoints.iter().map(|endpoint| endpoint.0)))
            .group_by(Column::Endpoint)
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        let read = |(endpoint, letters, retrying): (_, i64, i64)| {
            let dead = count(letters - retrying, "webhook_letter")?;
            let retrying = count(retrying, "webhook_letter")?;
            Ok((EndpointId(endpoint), LetterCounts { retrying, dead }))
        };
        counts.into_iter().map(read).collect()
    }

    /// Makes letters due now, as if they had never been tried. Returns how many.
    pub async fn replay_letters(
        &self,
        endpoint: EndpointId,
        replay: Replay,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let which = match replay {
            Replay::One(_) => "AND sequence = $3",
            Replay::DeadAfter(_) => "AND sequence > $3 AND next_attempt_at IS NULL",
            Replay::DeadSince(_) => {
                "AND next_attempt_at IS NULL AND EXISTS (SELECT 1 FROM courier_event e
                WHERE e.courier = webhook_letter.courier AND e.sequence = webhook_letter.sequence
                AND e.happened_at >= $3)"
            }
        };
        let bound = match replay {
            Replay::One(sequence) | Replay::DeadAfter(sequence) => sequence,
            Replay::DeadSince(since) => to_millis(since),
        };
        let sql = format!("UPDATE webhook_letter SET attempts = 0, next_attempt_at = $1 WHERE endpoint = $2 {which}");
        self.execute(&sql, vec![to_millis(now).into(), endpoint.0.into(), bound.into()]).await
    }

    /// Forgets the oldest dead letters beyond so many. Returns how many.
    pub async fn trim_dead_letters(&self, endpoint: EndpointId, most: u64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM webhook_letter WHERE endpoint = $1 AND next_attempt_at IS NULL AND sequence <= (
            SELECT sequence FROM webhook_letter WHERE endpoint = $1 AND next_attempt_at IS NULL
            ORDER BY sequence DESC LIMIT 1 OFFSET $2)";
        self.execute(sql, vec![endpoint.0.into(), i64::try_from(most).unwrap_or(i64::MAX).into()]).await
    }
}
