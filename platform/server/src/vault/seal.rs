//! One key and what it seals: XChaCha20-Poly1305 with a random nonce of 192 bits, after the internet draft
//! draft-irtf-cfrg-xchacha-03, so that no counter has to be kept and nonces do not collide.

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use rand::RngCore as _;
use zeroize::Zeroizing;

/// The first byte of what is sealed, so that another way can follow this one.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// What was sealed with another key, for another place, or was changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealed with another key or for another place, or changed since")]
pub struct Unsealable;

/// A secret of 256 bits. Its memory is cleared when it is dropped.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// A new one.
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(&mut bytes[..]);
        Key(bytes)
    }

    /// The key of these bytes; none if they are not 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        (bytes.len() == key.len()).then(|| key.copy_from_slice(bytes))?;
        Some(Key(key))
    }

    /// The bytes, to wrap them with another key.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals `secret` for the place that `place` names: it opens nowhere else.
    pub fn seal(&self, secret: &[u8], place: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: secret, aad: place };
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .expect("this is a bug: what is sealed here is far below the cipher's 256 GiB");
        [&[VERSION][..], &nonce, &sealed].concat()
    }

    /// Opens what [`Key::seal`] sealed for this place.
    pub fn open(&self, sealed: &[u8], place: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let Some((&VERSION, rest)) = sealed.split_first() else { return Err(Unsealable) };
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Unsealable)?;
        let payload = Payload { msg: sealed, aad: place };
        let secret = self.cipher().decrypt(&XNonce::from(*nonce), payload).map_err(|_| Unsealable)?;
        Ok(Zeroizing::new(secret))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.0).into())
    }
}

/// The name of a place: what it is for and its parts, each with its length, so that no two places have one name.
pub fn place(purpose: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut place = Vec::new();
    for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
        place.extend_from_slice(&(part.len() as u64).to_le_bytes());
        place.extend_from_slice(part);
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_in_its_place_only() {
        let (key, other) = (Key::random(), Key::random());
        let here = place("test", &[b"a", b"bc"]);
        let sealed = key.seal(b"a face", &here);
        assert_eq!(**key.open(&sealed, &here).unwrap(), b"a face"[..]);
        assert_eq!(other.open(&sealed, &here), Err(Unsealable));
        assert_eq!(key.open(&sealed, &place("test", &[b"ab", b"c"])), Err(Unsealable));
        assert_ne!(sealed, key.seal(b"a face", &here), "a nonce is used once");
        for place_of_change in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place_of_change] ^= 1;
            assert_eq!(key.open(&changed, &here), Err(Unsealable), "byte {place_of_change}");
        }
        assert_eq!(key.open(&sealed[..20], &here), Err(Unsealable));
        assert_eq!(key.open(&[], &here), Err(Unsealable));
    }

    #[test]
    fn keys_do_not_print() {
        assert_eq!(format!("{:?}", Key::random()), "Key(..)");
    }
}
