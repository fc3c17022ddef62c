//! Everybody's keys: issued, rotated, listed and revoked.

use std::ops::ControlFlow;

use gatepost_domain::{
    Timestamp,
    id::KeyId,
    principal::{Principal, Scopes},
};
use gatepost_proto::v1;
use gatepost_storage::Key;
use jiff::SignedDuration;

use super::{
    convert::{self, couriers as wire},
    couriers::Couriers,
    page,
};
use crate::{
    auth::{grant::Grant, keys, known},
    problem::{Missing, Problem},
};

/// How long former secrets are taken when nobody says.
const OVERLAP: SignedDuration = SignedDuration::from_hours(24);
const OVERLAP_MAX: SignedDuration = SignedDuration::from_hours(24 * 30);
const FORMER_SECRETS_MAX: u64 = 8;

impl Couriers {
    pub(super) async fn create_key(
        &self,
        grant: &Grant,
        request: &v1::CreateKeyRequest,
    ) -> Result<v1::CreateKeyResponse, Problem> {
        let principal = wire::principal(request.principal.clone())?;
        let scopes = wire::scopes(&request.scopes, &principal)?;
        let expires_at = convert::instant_or_none(request.expire_time, "expire_time")?;
        may_issue(grant, &principal, &scopes)?;
        let mutation = match self.0.begin(&grant.principal, "CreateKey", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        check_expiry(expires_at, mutation.now)?;
        if let Some(missing) = known::missing(&mutation.tx, &principal).await? {
            return Err(Problem::NotFound(missing));
        }
        let (key, secret) = keys::fresh(self.0.new_id(), principal, mutation.now);
        let key = Key { scopes, expires_at, ..key };
        mutation.tx.insert_key(&key).await?;
        // Only the answer without the secret is remembered: it is shown once.
        let answer = v1::CreateKeyResponse { key: Some(wire::key_to_proto(&key)), secret: String::new() };
        let answer = self.0.commit(mutation, answer, &[]).await?;
        Ok(v1::CreateKeyResponse { secret, ..answer })
    }

    pub(super) async fn rotate_key(
        &self,
        grant: &Grant,
        request: &v1::RotateKeyRequest,
    ) -> Result<v1::RotateKeyResponse, Problem> {
        let overlap = overlap(request.overlap)?;
        let expires_at = convert::instant_or_none(request.expire_time, "expire_time")?;
        let mutation = match self.0.begin(&grant.principal, "RotateKey", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let (tx, now) = (&mutation.tx, mutation.now);
        let missing = || Problem::NotFound(Missing::Key);
        let id: KeyId = request.key_id.parse().map_err(|_| missing())?;
        let key = tx.lock_key(id).await?.ok_or_else(missing)?;
        may_issue(grant, &key.principal, &key.scopes)?;
        if key.revoked_at.is_some() {
            return Err(Problem::KeyRevoked);
        }
        let expires_at = expires_at.or(key.expires_at);
        check_expiry(expires_at, now)?;
        if tx.former_secrets(id, now).await? >= FORMER_SECRETS_MAX {
            return Err(Problem::SecretsFull);
        }
        let (fresh, secret) = keys::fresh(id.0, key.principal.clone(), now);
        let key = Key { secret_hash: fresh.secret_hash, expires_at, ..key };
        let until = now + overlap;
        tx.rotate_key(&key, until).await?;
        let answer = v1::RotateKeyResponse {
            key: Some(wire::key_to_proto(&key)),
            secret: String::new(),
            former_secrets_until: Some(convert::instant_to_proto(until)),
        };
        let answer = self.0.commit(mutation, answer, &[]).await?;
        Ok(v1::RotateKeyResponse { secret, ..answer })
    }

    pub(super) async fn revoke(
        &self,
        caller: &Principal,
        request: &v1::RevokeKeyRequest,
    ) -> Result<v1::RevokeKeyResponse, Problem> {
        let mutation = match self.0.begin(caller, "RevokeKey", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let missing = || Problem::NotFound(Missing::Key);
        let id: KeyId = request.key_id.parse().map_err(|_| missing())?;
        let key = mutation.tx.revoke_key(id, mutation.now).await?.ok_or_else(missing)?;
        let answer = v1::RevokeKeyResponse { key: Some(wire::key_to_proto(&key)) };
        self.0.commit(mutation, answer, &[]).await
    }

    pub(super) async fn keys(
        &self,
        caller: &Principal,
        request: v1::ListKeysRequest,
    ) -> Result<v1::ListKeysResponse, Problem> {
        let size = page::size(request.page_size)?;
        let after = page::position(&request.page_token, caller, "keys")?;
        let after = after.map(|id| id.parse().map_err(|_| Problem::PageToken)).transpose()?;
        let keys = self.0.store.read().await?.keys(after, size).await?;
        let full = keys.len() as u64 == size;
        let last = keys.last().filter(|_| full);
        Ok(v1::ListKeysResponse {
            next_page_token: last.map_or_else(String::new, |key| page::token(&key.id.to_string(), caller, "keys")),
            keys: keys.iter().map(wire::key_to_proto).collect(),
        })
    }
}

/// A limited administrator cannot make itself an unlimited one.
fn may_issue(grant: &Grant, principal: &Principal, scopes: &Scopes) -> Result<(), Problem> {
    match principal {
        Principal::Administrator { .. } if !grant.scopes.cover(scopes) => Err(Problem::BeyondOwn),
        _ => Ok(()),
    }
}

fn overlap(asked: Option<prost_types::Duration>) -> Result<SignedDuration, Problem> {
    let overlap = asked.map_or(Ok(OVERLAP), |overlap| convert::duration(overlap, "overlap"))?;
    if overlap.is_negative() || overlap > OVERLAP_MAX {
        return Err(Problem::invalid("overlap", "0 to 30 days; unset for 24 hours"));
    }
    Ok(overlap)
}

fn check_expiry(expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), Problem> {
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Problem::invalid("expire_time", "a time to come; unset for never"));
    }
    Ok(())
}
