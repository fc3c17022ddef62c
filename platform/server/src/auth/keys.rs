//! Keys: made here, shown once, kept as SHA-256 only.

use std::{fs, io, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gatepost_domain::{id::KeyId, principal::Principal};
use gatepost_storage::{Key, StoreError, Tx};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{platform::Platform, problem::Problem};

/// How every secret begins, so that scanners recognise one that leaked.
const PREFIX: &str = "gpk_";
const SECRET_BYTES: usize = 32;

/// A new secret: 256 random bits.
pub fn new_secret() -> String {
    let mut bytes = [0; SECRET_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
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

/// Issues a key and returns it with its secret.
pub async fn issue(
    tx: &Tx,
    id: Uuid,
    principal: Principal,
    now: gatepost_domain::Timestamp,
) -> Result<(Key, String), Problem> {
    let secret = new_secret();
    Ok((insert(tx, id, principal, &secret, now).await?, secret))
}

async fn insert(
    tx: &Tx,
    id: Uuid,
    principal: Principal,
    secret: &str,
    now: gatepost_domain::Timestamp,
) -> Result<Key, StoreError> {
    let key = Key { id: KeyId(id), principal, secret_hash: hash(secret), created_at: now, revoked_at: None };
    tx.insert_key(&key).await?;
    Ok(key)
}

/// Whose secret this is.
pub async fn principal(platform: &Platform, secret: &str) -> Result<Principal, Problem> {
    let tx = platform.store.read().await?;
    match tx.key_by_hash(&hash(secret)).await? {
        Some(Key { revoked_at: None, principal, .. }) => Ok(principal),
        _ => Err(Problem::Unauthenticated("the key is unknown or revoked")),
    }
}

/// On the first start, issues a key for an administrator and one for a worker and writes them beside the database. The
/// file comes first and the row follows, at the next start if this one dies in between: a file is never left with a
/// secret that nobody knows, and a secret is never issued that nobody was told. Without a file, none is issued where a
/// key of the kind is in force: a container's empty data folder must not make a new administrator at every start.
pub async fn issue_first(platform: &Platform, data_dir: &Path) -> anyhow::Result<()> {
    for (file, principal) in [("admin.key", Principal::Administrator), ("worker.key", Principal::Worker)] {
        let path = data_dir.join(file);
        if !path.exists() {
            if in_force(&platform.store.read().await?, &principal).await? {
                continue;
            }
            write_secret(&path, &new_secret())?;
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
            insert(&tx, platform.new_id(), principal, secret, platform.now()).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Whether a key of this principal is known and not revoked.
async fn in_force(tx: &Tx, principal: &Principal) -> Result<bool, Problem> {
    const PAGE: u64 = 500;
    let mut after = None;
    loop {
        let keys = tx.keys(after, PAGE).await?;
        if keys.iter().any(|key| key.principal == *principal && key.revoked_at.is_none()) {
            return Ok(true);
        }
        match keys.last() {
            Some(last) if keys.len() as u64 == PAGE => after = Some(last.id),
            _ => return Ok(false),
        }
    }
}

/// Writes the whole file or none: it gets its name once it is on the disk.
fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    fs::rename(partial, path)
}
