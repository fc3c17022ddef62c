//! Keys of signatures: `whsec_` and the base64 of 24 to 64 bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatepost_domain::Timestamp;
use rand::RngCore as _;
use standardwebhooks::Webhook;

const PREFIX: &str = "whsec_";
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const BYTES_OF_OURS: usize = 32;

/// One key. Never printed.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

impl SigningKey {
    /// A new key: 256 random bits.
    pub fn new() -> Self {
        let mut bytes = vec![0; BYTES_OF_OURS];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// A key that was kept.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// A key as people write it.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        BYTES.contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The key as people write it, to be shown once.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// The key as it is kept.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The signatures of one call by every key, with spaces between: whoever knows one of the keys finds its own.
pub(super) fn sign(keys: &[SigningKey], id: &str, at: Timestamp, body: &str) -> Option<String> {
    let sign =
        |key: &SigningKey| Webhook::from_bytes(key.0.clone()).ok()?.sign(id, at.as_second(), body.as_bytes()).ok();
    let signatures: Vec<String> = keys.iter().map(sign).collect::<Option<_>>()?;
    Some(signatures.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_it_is_read() {
        let key = SigningKey::new();
        let shown = key.reveal();
        assert_eq!(SigningKey::parse(&shown).unwrap().into_bytes(), key.into_bytes());
        for wrong in ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(SigningKey::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn every_key_signs() {
        let (new, old) = (SigningKey::new(), SigningKey::new());
        let at = "2026-06-01T10:30:00Z".parse().unwrap();
        let both = sign(&[new.clone(), old.clone()], "evt_1", at, "{}").unwrap();
        let one = |key| sign(&[key], "evt_1", at, "{}").unwrap();
        assert_eq!(both, format!("{} {}", one(new), one(old)));
        assert!(both.starts_with("v1,"));
    }
}
