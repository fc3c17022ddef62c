//! Webhook endpoints: what their couriers want, and how far each has followed the log. Called by one holder of a lease
//! at a time; whoever changes what the courier wants takes the lease away.

use gatepost_domain::{
    Timestamp,
    id::{CourierId, EndpointId},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, Order, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{
    entity::webhook_endpoint::{Column, Entity, Model},
    failure::failure,
    store::Tx,
    word::{Word, corrupt, count, from_millis, from_millis_option, id, to_millis},
};
use crate::{Disabled, EndpointLease, StoreError, WebhookEndpoint};

/// An enabled endpoint that nobody holds, has rested, and has something to be told, with the time as `$1`.
const DUE: &str = "SELECT w.id FROM webhook_endpoint w JOIN courier c ON c.id = w.courier
    WHERE w.disabled = '' AND w.leased_until <= $1 AND w.not_before <= $1
    AND (w.passed < c.newest_sequence OR w.retry_at <= $1)";

impl Tx {
    /// Keeps a new endpoint.
    pub async fn insert_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<(), StoreError> {
        Entity::insert(to_row(endpoint)?.into_active_model())
            .exec_without_returning(&self.transaction)
            .await
            .map_err(failure)?;
        Ok(())
    }

    /// One endpoint.
    pub async fn endpoint(&self, endpoint: EndpointId) -> Result<Option<WebhookEndpoint>, StoreError> {
        let row = Entity::find_by_id(endpoint.0).one(&self.transaction).await.map_err(failure)?;
        row.map(from_row).transpose()
    }

    /// One endpoint, for this transaction alone to change.
    pub async fn lock_endpoint(&self, endpoint: EndpointId) -> Result<Option<WebhookEndpoint>, StoreError> {
        let mut query = Entity::find_by_id(endpoint.0);
        if self.is_postgres() {
            query = query.lock_exclusive();
        }
        let row = query.one(&self.transaction).await.map_err(failure)?;
        row.map(from_row).transpose()
    }

    /// A courier's endpoints, oldest first.
    pub async fn endpoints_of(&self, courier: &CourierId) -> Result<Vec<WebhookEndpoint>, StoreError> {
        let rows = Entity::find()
            .filter(Column::Courier.eq(courier.as_str()))
            .order_by(Column::Id, Order::Asc)
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }

    /// Endpoints of one courier or of all, in the order of their ids, which is the order they were made in.
    pub async fn endpoints(
        &self,
        courier: Option<&CourierId>,
        disabled_only: bool,
        after: Option<EndpointId>,
        limit: u64,
    ) -> Result<Vec<WebhookEndpoint>, StoreError> {
        let mut query = Entity::find().order_by(Column::Id, Order::Asc).limit(limit);
        if let Some(courier) = courier {
            query = query.filter(Column::Courier.eq(courier.as_str()));
        }
        if disabled_only {
            query = query.filter(Column::Disabled.ne(""));
        }
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        let rows = query.all(&self.transaction).await.map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }

    /// Keeps a locked endpoint as it is now. Whoever calls it at the moment no longer holds it, so that what comes of
    /// that call changes nothing any more.
    pub async fn change_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<(), StoreError> {
        let row = to_row(endpoint)?.into_active_model().reset_all();
        Entity::update_many()
            .set(row)
            .filter(Column::Id.eq(endpoint.id.0))
            .exec(&self.transaction)
            .await
            .map_err(failure)?;
        self.set_retry_at(endpoint.id).await
    }

    /// Forgets an endpoint and its letters. Returns whether there was one.
    pub async fn delete_endpoint(&self, endpoint: EndpointId) -> Result<bool, StoreError> {
        let deleted = Entity::delete_by_id(endpoint.0).exec(&self.transaction).await.map_err(failure)?;
        Ok(deleted.rows_affected > 0)
    }

    /// Whether any endpoint can be claimed now.
    pub async fn endpoint_is_due(&self, now: Timestamp) -> Result<bool, StoreError> {
        use sea_orm::ConnectionTrait as _;
        let ask = self.statement(&format!("{DUE} LIMIT 1"), vec![to_millis(now).into()]);
        Ok(self.transaction.query_one_raw(ask).await.map_err(failure)?.is_some())
    }

    /// Leases up to `limit` endpoints that have something to be told, those that waited longest first; none of `but`.
    pub async fn claim_endpoints(
        &self,
        now: Timestamp,
        lease: EndpointLease,
        but: &[EndpointId],
        limit: u64,
    ) -> Result<Vec<WebhookEndpoint>, StoreError> {
        let but_places: Vec<String> = (5..5 + but.len()).map(|place| format!("${place}")).collect();
        let not_those = match but {
            [] => String::new(),
            _ => format!("AND w.id NOT IN ({})", but_places.join(", ")),
        };
        let skip_locked = if self.is_postgres() { "FOR UPDATE OF w SKIP LOCKED" } else { "" };
        let sql = format!(
            "UPDATE webhook_endpoint SET lease = $2, leased_until = $3
            WHERE id IN ({DUE} {not_those} ORDER BY w.served_at, w.id LIMIT $4 {skip_locked}) RETURNING *"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut values = vec![to_millis(now).into(), lease.token.into(), to_millis(lease.until).into(), limit.into()];
        values.extend(but.iter().map(|id| id.0.into()));
        let rows =
            Entity::find().from_raw_sql(self.statement(&sql, values)).all(&self.transaction).await.map_err(failure)?;
        rows.into_iter().map(from_row).collect()
    }

    /// Whether this lease still holds; if so, it does until the transaction ends.
    pub async fn holds_endpoint(&self, endpoint: EndpointId, lease: EndpointLease) -> Result<bool, StoreError> {
        let mut query = Entity::find_by_id(endpoint.0).filter(Column::Lease.eq(lease.token));
        if self.is_postgres() {
            query = query.lock_exclusive();
        }
        Ok(query.one(&self.transaction).await.map_err(failure)?.is_some())
    }

    /// Keeps how far a held endpoint came, and lets go of it.
    pub async fn release_endpoint(&self, endpoint: &WebhookEndpoint, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE webhook_endpoint SET passed = $2, disabled = $3, failures = $4, failing_since = $5,
            last_error = $6, not_before = $7, served_at = $8, leased_until = 0 WHERE id = $1";
        let values = vec![
            endpoint.id.0.into(),
            endpoint.passed.into(),
            disabled_word(endpoint.disabled).into(),
            i64::from(endpoint.failures).into(),
            endpoint.failing_since.map(to_millis).into(),
            endpoint.last_error.as_str().into(),
            to_millis(endpoint.not_before).into(),
            to_millis(now).into(),
        ];
        self.execute(sql, values).await?;
        self.set_retry_at(endpoint.id).await
    }

    async fn set_retry_at(&self, endpoint: EndpointId) -> Result<(), StoreError> {
        let sql = "UPDATE webhook_endpoint SET retry_at =
            (SELECT MIN(next_attempt_at) FROM webhook_letter WHERE endpoint = $1) WHERE id = $1";
        self.execute(sql, vec![endpoint.0.into()]).await?;
        Ok(())
    }

    /// How many endpoints are disabled, by reason.
    pub async fn disabled_endpoints(&self) -> Result<Vec<(Disabled, u64)>, StoreError> {
        let counts: Vec<(String, i64)> = Entity::find()
            .select_only()
            .column(Column::Disabled)
            .column_as(Column::Id.count(), "endpoints")
            .filter(Column::Disabled.ne(""))
            .group_by(Column::Disabled)
            .into_tuple()
            .all(&self.transaction)
            .await
            .map_err(failure)?;
        counts.into_iter().map(|(word, count)| Ok((Word::read(&word)?, count.unsigned_abs()))).collect()
    }

    /// When the oldest event happened that an enabled endpoint is still to be told.
    pub async fn oldest_undelivered(&self) -> Result<Option<Timestamp>, StoreError> {
        use sea_orm::ConnectionTrait as _;
        let sql = "SELECT MIN(happened_at) FROM (
            SELECT e.happened_at FROM webhook_endpoint w
                JOIN courier_event e ON e.courier = w.courier AND e.sequence = w.passed + 1
                WHERE w.disabled = ''
            UNION ALL
            SELECT e.happened_at FROM webhook_endpoint w
                JOIN webhook_letter l ON l.endpoint = w.id AND l.next_attempt_at IS NOT NULL
                JOIN courier_event e ON e.courier = l.courier AND e.sequence = l.sequence
                WHERE w.disabled = ''
            ) undelivered";
        let row = self.transaction.query_one_raw(self.statement(sql, Vec::new())).await.map_err(failure)?;
        let oldest: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose().map_err(failure)?.flatten();
        from_millis_option(oldest)
    }
}

fn disabled_word(disabled: Option<Disabled>) -> &'static str {
    disabled.map_or("", Word::word)
}

fn to_row(endpoint: &WebhookEndpoint) -> Result<Model, StoreError> {
    let (previous_secret, previous_until) = endpoint.previous_secret.clone().unzip();
    Ok(Model {
        id: endpoint.id.0,
        courier: endpoint.courier.to_string(),
        created_at: to_millis(endpoint.created_at),
        url: endpoint.url.clone(),
        kinds: serde_json::to_string(&endpoint.kinds).map_err(|_| corrupt("webhook_endpoint.kinds"))?,
        disabled: disabled_word(endpoint.disabled).to_owned(),
        secret: endpoint.secret.clone(),
        previous_secret,
        previous_until: previous_until.map(to_millis),
        passed: endpoint.passed,
        retry_at: None,
        failures: endpoint.failures.into(),
        failing_since: endpoint.failing_since.map(to_millis),
        last_error: endpoint.last_error.clone(),
        not_before: to_millis(endpoint.not_before),
        served_at: 0,
        lease: Uuid::nil(),
        leased_until: 0,
    })
}

fn from_row(row: Model) -> Result<WebhookEndpoint, StoreError> {
    Ok(WebhookEndpoint {
        id: EndpointId(row.id),
        courier: id(&row.courier, "webhook_endpoint.courier")?,
        created_at: from_millis(row.created_at)?,
        url: row.url,
        kinds: serde_json::from_str(&row.kinds).map_err(|_| corrupt("webhook_endpoint.kinds"))?,
        disabled: match row.disabled.as_str() {
            "" => None,
            word => Some(Word::read(word)?),
        },
        secret: row.secret,
        previous_secret: row.previous_secret.zip(from_millis_option(row.previous_until)?),
        passed: row.passed,
        failures: count(row.failures, "webhook_endpoint.failures")?,
        failing_since: from_millis_option(row.failing_since)?,
        last_error: row.last_error,
        not_before: from_millis(row.not_before)?,
    })
}
