//! Keys: made here, shown once, kept as SHA-256 only.

use std::{fs, io, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gatepost_domain::{id::KeyId, principal::Principal};
use gatepost_storage::{Key, Tx};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{platform::Platform, problem::Problem};

/// How every secret begins, so that scanners recognise one that leaked.
const PREFIX: &str = "gpk_";

/// A new secret: 256 random bits.
pub fn new_secret() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
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
    let key = Key { id: KeyId(id), principal, secret_hash: hash(&secret), created_at: now, revoked_at: None };
    tx.insert_key(&key).await?;
    Ok((key, secret))
}

/// Whose secret this is.
pub async fn principal(platform: &Platform, secret: &str) -> Result<Principal, Problem> {
    let tx = platform.store.read().await?;
    match tx.key_by_hash(&hash(secret)).await? {
        Some(Key { revoked_at: None, principal, .. }) => Ok(principal),
        _ => Err(Problem::Unauthenticated("the key is unknown or revoked")),
    }
}

/// On the first start, issues a key for an administrator and one for a worker and writes them beside the database.
pub async fn issue_first(platform: &Platform, data_dir: &Path) -> anyhow::Result<()> {
    for (file, principal) in [("admin.key", Principal::Administrator), ("worker.key", Principal::Worker)] {
        let path = data_dir.join(file);
        if path.exists() {
            continue;
        }
        let tx = platform.store.write().await?;
        let (_, secret) = issue(&tx, platform.new_id(), principal, platform.now()).await?;
        write_secret(&path, &secret)?;
        tx.commit().await?;
        tracing::info!(file = %path.display(), "key written, keep it secret");
    }
    Ok(())
}

fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}
