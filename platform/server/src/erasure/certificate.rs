//! What a certificate of erasure says, and how it is signed and verified: Ed25519 (RFC 8032) over a label and the bytes of
//! the certificate's JSON as they stand in the file.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatepost_domain::Timestamp;
use gatepost_storage::{Confirmation, Erasure};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

const FORMAT: &str = "gatepost erasure certificate 1";
/// What is signed begins with it, so that the key can sign other things too.
const LABEL: &[u8] = b"gatepost erasure certificate 1\n";

/// What is certified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// What the document is, and which edition of it.
    pub format: String,
    /// The erasure's id.
    pub erasure: String,
    /// The community's id.
    pub community: String,
    /// The id of who was erased.
    pub resident: String,
    /// When it was asked for; from then on no row told of them.
    pub requested_at: Timestamp,
    /// Who asked.
    pub requested_by: String,
    /// When the last replica had confirmed.
    pub completed_at: Timestamp,
    /// Rows that are gone, by table.
    pub rows_deleted: BTreeMap<String, u64>,
    /// Rows that stay without what they said of the resident, by table.
    pub rows_cleared: BTreeMap<String, u64>,
    /// Rows that stay, of a random id: the ledger of consent and the record of looks, which prove what was done.
    pub rows_kept: BTreeMap<String, u64>,
    /// Keys that enrolled faces were sealed with: without them no copy of a face, in backups either, is readable.
    pub keys_destroyed: u64,
    /// Deadlines that stay in the index, of parcels that go on: a parcel and an instant each, of nobody.
    pub timers_kept: u64,
    /// Reminders that were still to be delivered, and will not be.
    pub reminders_withheld: u64,
    /// Reminders delivered before, by channel: they lie with others now.
    pub reminders_told_before: BTreeMap<String, u64>,
    /// What each running platform said of its memory.
    pub replicas: Vec<Replica>,
}

/// What one replica said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Which one: a random id of the process.
    pub replica: String,
    /// When its memory held nothing any more.
    pub confirmed_at: Timestamp,
    /// Faces of the resident that were in it until then.
    pub faces_cleared: u64,
}

impl Replica {
    /// As it stands in the certificate.
    pub fn of(confirmation: &Confirmation) -> Self {
        Replica {
            replica: confirmation.replica.to_string(),
            confirmed_at: confirmation.confirmed_at,
            faces_cleared: confirmation.faces,
        }
    }
}

/// The file: the certificate's own bytes as a text, and who stands for them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    certificate: String,
    public_key: String,
    signature: String,
}

/// Why a certificate is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not such a file.
    #[error("the file is no certificate of erasure")]
    NotOne,
    /// Changed, or signed by another key than it says.
    #[error("the signature is wrong: the certificate was changed, or signed by another key than it names")]
    Forged,
    /// By somebody else than expected.
    #[error("it is signed by the key {0}, and not by the one expected")]
    OtherKey(String),
}

impl Certificate {
    /// Of an erasure that every replica has confirmed.
    pub fn new(erasure: &Erasure, kept: BTreeMap<String, u64>, replicas: Vec<Replica>, now: Timestamp) -> Self {
        let removed = erasure.removed.clone();
        Certificate {
            format: FORMAT.to_owned(),
            erasure: erasure.id.to_string(),
            community: erasure.community.to_string(),
            resident: erasure.resident.to_string(),
            requested_at: erasure.requested_at,
            requested_by: erasure.principal.clone(),
            completed_at: now,
            keys_destroyed: removed.deleted.get("resident_key").copied().unwrap_or_default(),
            rows_deleted: removed.deleted,
            rows_cleared: removed.cleared,
            rows_kept: kept,
            timers_kept: removed.timers,
            reminders_withheld: removed.untold,
            reminders_told_before: removed.told,
            replicas,
        }
    }

    /// The file, signed.
    pub fn sign(&self, key: &Ed25519KeyPair) -> Result<String, Problem> {
        let unwritable = |_| Problem::Bug("a certificate that is no JSON");
        let certificate = serde_json::to_string(self).map_err(unwritable)?;
        let signature = key.sign(&[LABEL, certificate.as_bytes()].concat());
        let signed = Signed {
            certificate,
            public_key: STANDARD.encode(key.public_key()),
            signature: STANDARD.encode(signature),
        };
        serde_json::to_string_pretty(&signed).map_err(unwritable)
    }

    /// Reads a file and verifies it; with `expected`, a public key in base64, also that this one signed it. Returns the
    /// key beside the certificate.
    pub fn verify(file: &str, expected: Option<&str>) -> Result<(String, Certificate), CertificateError> {
        let signed: Signed = serde_json::from_str(file).map_err(|_| CertificateError::NotOne)?;
        let bytes = |text: &str| STANDARD.decode(text).map_err(|_| CertificateError::NotOne);
        let (key, signature) = (bytes(&signed.public_key)?, bytes(&signed.signature)?);
        UnparsedPublicKey::new(&ED25519, &key)
            .verify(&[LABEL, signed.certificate.as_bytes()].concat(), &signature)
            .map_err(|_| CertificateError::Forged)?;
        if expected.is_some_and(|expected| expected != signed.public_key) {
            return Err(CertificateError::OtherKey(signed.public_key));
        }
        let certificate: Certificate =
            serde_json::from_str(&signed.certificate).map_err(|_| CertificateError::NotOne)?;
        if certificate.format != FORMAT {
            return Err(CertificateError::NotOne);
        }
        Ok((signed.public_key, certificate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> (String, String) {
        let at = Timestamp::from_second(1_780_000_000).unwrap();
        let erasure = Erasure {
            id: "ers_00000000000000000000000000000007".parse().unwrap(),
            community: "lotus-garden".parse().unwrap(),
            resident: "res_00000000000000000000000000000008".parse().unwrap(),
            requested_at: at,
            principal: "administrator".to_owned(),
            removed: gatepost_storage::Removed::default(),
            completed: None,
        };
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let file = Certificate::new(&erasure, BTreeMap::new(), Vec::new(), at).sign(&key).unwrap();
        (file, STANDARD.encode(key.public_key()))
    }

    #[test]
    fn what_was_signed_is_believed_and_any_change_is_not() {
        let (file, key) = signed();
        let (by, certificate) = Certificate::verify(&file, Some(&key)).unwrap();
        assert_eq!((by, &*certificate.community), (key.clone(), "lotus-garden"));
        let other = STANDARD.encode([9; 32]);
        assert_eq!(Certificate::verify(&file, Some(&other)), Err(CertificateError::OtherKey(key)));
        for (from, to) in
            [("lotus-garden", "rose-garden"), ("000008", "000009"), ("\\\"timers_kept\\\":0", "\\\"timers_kept\\\":1")]
        {
            let changed = file.replace(from, to);
            assert_ne!(changed, file);
            assert_eq!(Certificate::verify(&changed, None), Err(CertificateError::Forged), "{from}");
        }
        assert_eq!(Certificate::verify("{}", None), Err(CertificateError::NotOne));
    }
}
