//! The key that certificates are signed with: Ed25519, made when it is needed first, and wrapped by the master key, so that
//! every replica has the same one and a copy of the database signs nothing.

use gatepost_domain::Timestamp;
use gatepost_storage::{SigningKey, Store, Tx};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::{Key, Vault, VaultError, place};

impl Vault {
    /// The key in use, made if there is none.
    pub async fn signing_key(&self, tx: &Tx, now: Timestamp) -> Result<Ed25519KeyPair, VaultError> {
        if let Some(key) = tx.signing_keys().await?.pop() {
            let seed = self.masters.unwrap(&key.master, &key.wrapped, &place_of(key.generation)).await?;
            return Ed25519KeyPair::from_seed_and_public_key(&seed, &key.public_key).map_err(|_| VaultError::Signing);
        }
        let seed = Key::random();
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.bytes()).map_err(|_| VaultError::Signing)?;
        let generation = 1;
        let (master, wrapped) = self.masters.wrap(seed.bytes(), &place_of(generation)).await?;
        let public_key = pair.public_key().as_ref().to_vec();
        tx.insert_signing_key(&SigningKey { generation, public_key, master, wrapped, created_at: now }).await?;
        Ok(pair)
    }

    /// Wraps the keys that sign with the master key in use; says how many.
    pub(super) async fn rewrap_signing_keys(&self, store: &Store, in_use: Option<&str>) -> Result<u64, VaultError> {
        let tx = store.write().await?;
        let mut rewrapped = 0;
        for key in tx.signing_keys().await? {
            if in_use == Some(key.master.as_str()) {
                continue;
            }
            let place = place_of(key.generation);
            let seed = self.masters.unwrap(&key.master, &key.wrapped, &place).await?;
            let (master, wrapped) = self.masters.wrap(&seed, &place).await?;
            tx.rewrap_signing_key(&SigningKey { master, wrapped, ..key }).await?;
            rewrapped += 1;
        }
        tx.commit().await?;
        Ok(rewrapped)
    }
}

fn place_of(generation: i64) -> Vec<u8> {
    place("gatepost signing key", &[&generation.to_le_bytes()])
}
