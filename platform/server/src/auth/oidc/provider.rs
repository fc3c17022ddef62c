//! ring as the provider of jsonwebtoken's cryptography: verification only, nothing is signed here.

use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

/// What is taken: signatures by a key pair, so that nobody who can verify can also sign.
pub(super) const ALGORITHMS: [Algorithm; 4] = [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256];

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Once a process; again is harmless.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if algorithm.family() != key.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() }))
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl RingVerifier {
    fn verify_raw(&self, message: &[u8], signature: &[u8]) -> Option<()> {
        let raw = |algorithm: &'static dyn VerificationAlgorithm| {
            let key = self.key.try_get_as_bytes().ok()?;
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).ok()
        };
        match self.algorithm {
            Algorithm::ES256 => raw(&ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => raw(&ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => raw(&ED25519),
            Algorithm::RS256 => match self.key.kind() {
                DecodingKeyKind::RsaModulusExponent { n, e } => {
                    RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).ok()
                }
                DecodingKeyKind::SecretOrDer(_) => None,
            },
            _ => None,
        }
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        self.verify_raw(message, signature).ok_or_else(signature::Error::new)
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A token that OpenSSL signed, and the modulus of the key; the private half was thrown away.
    const SIGNED: &str = concat!(
        "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJzdWIiOiJzdGFmZi03In0.XCf9Ytmi_u3uycb3poQOKvNfZHrXgKiLQEIuoBV",
        "_cx7oF8Fp_1X7VVyy7hqpqdHaOJNeICgmE8shbxKXdj0Wvn5F7VjqAoXXiA0mQQOBktESQ9YuBv_O6bsxNEVZFAxTkvN070xjjZ8",
        "XKRIw_3icRBUu6W3M5yKCWl2zfsLoPkAzw42jlXzkoUZzK03o-8Q38-WFh9w7ovgEtWhgOWI8aH4UotWfX4Ty1ZeR3V9YSlhSoI6",
        "ouqFY4lMkNk5Y1nN_pw8YrjUqP61AV1clV1-9VIZedT18B8aYb9YIyL1jZPVsup1t13rhcy0-cnQfEpA2G61e8t0RLZkH8TBpWRM",
        "y1g",
    );
    const MODULUS: &str = concat!(
        "xxSCoPvHd8ZhSCSI-4ys8dMRFDc4pYtCtSFHAjQ85aDJPlGX-HIWJSv8fxh_Xn9DoRKShu8jXN3FAL-wS5zUFTtcZ09kipmboz6e",
        "xtPRFbnsJ3ZyDZLq1-Jl0yQoKSp3PuIH0mWETUDx260fx17tQqa7Np6I3F3M6vmj3rJCeueOZO0v9s0WOIFNwJ5UHCly9Qi9mBgP",
        "JQc5w4lIG5kCFPe6e2bdKTmZeKcZ10bDQ9ry2czjPUMFfGyYkjsF-Qx7BX5icx8_YqXEhpVXP2OVLDb1XPY8BKUszGuRTXljCZ5M",
        "JsuHYxPjvzJDmzMnF2a_wqABw8t5kXC1aXYKJJPdkw",
    );

    fn verified(token: &str, key: &DecodingKey, algorithm: Algorithm) -> bool {
        let (message, signature) = token.rsplit_once('.').unwrap();
        install();
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), key, algorithm).unwrap_or(false)
    }

    #[test]
    fn rsa_signatures_are_verified() {
        let key = DecodingKey::from_rsa_components(MODULUS, "AQAB").unwrap();
        assert!(verified(SIGNED, &key, Algorithm::RS256));
        assert!(!verified(&SIGNED.replacen("eyJzdWI", "eyJzdWM", 1), &key, Algorithm::RS256));
        let other = DecodingKey::from_rsa_components(&MODULUS.replacen("xxSC", "xxSD", 1), "AQAB").unwrap();
        assert!(!verified(SIGNED, &other, Algorithm::RS256));
    }

    #[test]
    fn a_key_is_for_its_own_algorithms() {
        let key = DecodingKey::from_rsa_components(MODULUS, "AQAB").unwrap();
        for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256, Algorithm::PS256, Algorithm::RS512] {
            assert!(!verified(SIGNED, &key, algorithm), "{algorithm:?}");
        }
        let secret = DecodingKey::from_secret(MODULUS.as_bytes());
        assert!(!verified(SIGNED, &secret, Algorithm::HS256) && !verified(SIGNED, &secret, Algorithm::RS256));
    }
}
