//! Keys: made here, shown once, kept as SHA-256 only.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gatepost_domain::{
    Timestamp,
    id::KeyId,
    principal::{Principal, Scopes},
};
use gatepost_storage::{Key, Tx};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::grant::{Grant, Stranger};
use crate::{platform::Platform, private_file, problem::Problem};

/// How every secret begins, so that scanners recognise one that leaked.
const PREFIX: &str = "gpk_";
const SECRET_BYTES: usize = 32;

/// A new secret: 256 random bits.
pub fn new_secret() -> String {
    let mut bytes = [0; SECRET_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether a bearer means to be a key.
pub fn is_key(bearer: &str) -> bool {
    bearer.starts_with(PREFIX)
}

/// Whether a text is as long and as random as the secrets made here.
fn is_secret(text: &str) -> bool {
    let bytes = text.strip_prefix(PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    bytes.is_some_and(|bytes| bytes.len() == SECRET_BYTES)
}

/// What is kept of a secret. A plain digest is enough: the secret is 256 random bits, not a password.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// A key without limits, and its secret. It opens nothing until it is inserted.
pub fn fresh(id: Uuid, principal: Principal, now: Timestamp) -> (Key, String) {
    let secret = new_secret();
    (with_secret(id, principal, &secret, now), secret)
}

fn with_secret(id: Uuid, principal: Principal, secret: &str, now: Timestamp) -> Key {
    Key {
        id: KeyId(id),
        principal,
        secret_hash: hash(secret),
        created_at: now,
        revoked_at: None,
        scopes: Scopes::unlimited(),
        expires_at: None,
        last_used_at: None,
    }
}

/// What the bearer of this secret may do.
pub async fn grant(platform: &Platform, secret: &str) -> Result<Grant, Problem> {
    let now = platform.now();
    let tx = platform.store.read().await?;
    let (key, taken_until) = tx.key_by_hash(&hash(secret)).await?.ok_or(Stranger::KeyUnknown)?;
    if key.revoked_at.is_some() {
        return Err(Stranger::KeyRevoked.into());
    }
    if let Some(until) = taken_until.filter(|until| *until <= now) {
        return Err(Stranger::SecretReplaced(until).into());
    }
    if let Some(at) = key.expires_at.filter(|at| *at <= now) {
        return Err(Stranger::KeyExpired(at).into());
    }
    platform.key_uses.note(&key, now);
    Ok(Grant { principal: key.principal, scopes: key.scopes, bearer: key.id.to_string() })
}

/// On the first start, issues a key for an administrator and one for a worker and writes them beside the database. The
/// file comes first and the row follows, at the next start if this one dies in between: a file is never left with a
/// secret that nobody knows, and a secret is never issued that nobody was told. Without a file, none is issued where a
/// key of the kind is in force: a container's empty data folder must not make a new administrator at every start.
pub async fn issue_first(platform: &Platform, data_dir: &Path) -> anyhow::Result<()> {
    for (file, principal) in [("admin.key", Principal::ADMINISTRATOR), ("worker.key", Principal::Worker)] {
        let path = data_dir.join(file);
        if !path.exists() {
            if in_force(&platform.store.read().await?, &principal, platform.now()).await? {
                continue;
            }
            private_file::write(&path, &format!("{}\n", new_secret()))?;
            tracing::info!(file = %path.display(), "key written, keep it secret");
        }
        let text = fs::read_to_string(&path)?;
        let Some(secret) = Some(text.trim()).filter(|secret| is_secret(secret)) else {
            tracing::warn!(file = %path.display(), "file holds no key; delete it to have one issued");
            continue;
        };
        let tx = platform.store.write().await?;
        // A revoked key stays revoked.
        if tx.key_by_hash(&hash(secret)).await?.is_none() {
            tx.insert_key(&with_secret(platform.new_id(), principal, secret, platform.now())).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Whether a key of this principal is known that opens everything the principal may.
async fn in_force(tx: &Tx, principal: &Principal, now: Timestamp) -> Result<bool, Problem> {
    const PAGE: u64 = 500;
    let opens = |key: &Key| key.revoked_at.is_none() && key.expires_at.is_none_or(|at| at > now);
    let whole = |key: &Key| key.principal == *principal && key.scopes == Scopes::unlimited();
    let mut after = None;
    loop {
        let keys = tx.keys(after, PAGE).await?;
        if keys.iter().any(|key| whole(key) && opens(key)) {
            return Ok(true);
        }
        match keys.last() {
            Some(last) if keys.len() as u64 == PAGE => after = Some(last.id),
            _ => return Ok(false),
        }
    }
}
