//! The keys that an issuer publishes, fetched when they are needed and kept for a while. New ones are found without a
//! restart: a token that names a key nobody knows has them fetched again, though not for every such token.

use std::{collections::HashMap, sync::PoisonError, time::Duration};

use gatepost_domain::Timestamp;
use gatepost_process::clock::SharedClock;
use jiff::SignedDuration;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use opentelemetry::KeyValue;
use reqwest::{Certificate, Client, Url, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{auth::grant::Stranger, config, metrics::Metrics, problem::Problem};

const FETCH_WITHIN: Duration = Duration::from_secs(5);
const DOCUMENT_MAX_BYTES: usize = 256 * 1024;
const KEYS_MAX: usize = 100;
/// Not more often than this, whatever tokens come.
const BETWEEN_FETCHES: SignedDuration = SignedDuration::from_secs(30);
/// Keys that could not be fetched anew are believed for this long, so that administrators are not shut out by every
/// pause of their identity provider.
const BELIEVED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Why an issuer's keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// No address, or one that others can listen in on.
    #[error("{0} must be an https address; http only on this machine")]
    Address(&'static str),
    /// The authority of its certificate.
    #[error("oidc.ca cannot be used: {0}")]
    Authority(String),
    /// It does not answer.
    #[error("{0} does not answer: {1}")]
    Unreachable(Url, String),
    /// It answers something else.
    #[error("{0} answers no {1}")]
    Unreadable(Url, &'static str),
    /// It is somebody else.
    #[error("the discovery document is of another issuer: {0}")]
    OtherIssuer(String),
}

/// One published key.
#[derive(Clone)]
struct Published {
    algorithm: Algorithm,
    key: DecodingKey,
}

#[derive(Default)]
struct Cache {
    keys: HashMap<String, Published>,
    fetched_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
    failing: bool,
}

/// An issuer's keys.
pub(super) struct PublishedKeys {
    issuer: String,
    max_age: SignedDuration,
    client: Client,
    clock: SharedClock,
    cache: std::sync::Mutex<Cache>,
    /// Held by the one who fetches.
    fetching: Mutex<()>,
}

impl PublishedKeys {
    pub(super) fn new(settings: &config::Oidc, clock: SharedClock) -> Result<Self, OidcError> {
        address(&settings.issuer).ok_or(OidcError::Address("oidc.issuer"))?;
        let refuse = |error: &dyn std::fmt::Display| OidcError::Authority(error.to_string());
        let mut client = Client::builder().redirect(Policy::none()).timeout(FETCH_WITHIN);
        if let Some(ca) = &settings.ca {
            let pem = std::fs::read(ca).map_err(|error| refuse(&error))?;
            let bundle = Certificate::from_pem_bundle(&pem).map_err(|error| refuse(&error))?;
            client = client.tls_certs_only(bundle);
        }
        Ok(Self {
            issuer: settings.issuer.clone(),
            max_age: settings.keys_max_age.try_into().unwrap_or(SignedDuration::ZERO),
            client: client.build().map_err(|error| refuse(&error))?,
            clock,
            cache: std::sync::Mutex::default(),
            fetching: Mutex::default(),
        })
    }

    /// The key of this id, for this algorithm.
    pub(super) async fn key(&self, kid: &str, algorithm: Algorithm, metrics: &Metrics) -> Result<DecodingKey, Problem> {
        if self.wants_fetch(kid) {
            // Who knows the key does not wait for newer ones; the others wait for whoever fetches.
            let fetching = match self.known(kid) {
                Some(_) => self.fetching.try_lock().ok(),
                None => Some(self.fetching.lock().await),
            };
            if let Some(_fetching) = fetching
                && self.wants_fetch(kid)
            {
                self.fetch(metrics).await;
            }
        }
        let known = self.known(kid).ok_or_else(|| match self.cache().failing {
            true => Problem::IdentityProviderAway,
            false => Stranger::Token("its key is not one that the issuer publishes").into(),
        })?;
        if known.algorithm != algorithm {
            return Err(Stranger::Token("its algorithm is not that of the key it names").into());
        }
        Ok(known.key)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, kid: &str) -> Option<Published> {
        let cache = self.cache();
        let believed = cache.fetched_at.is_some_and(|at| at + BELIEVED_FOR > self.clock.now());
        cache.keys.get(kid).filter(|_| believed).cloned()
    }

    fn wants_fetch(&self, kid: &str) -> bool {
        let (cache, now) = (self.cache(), self.clock.now());
        let fresh = cache.fetched_at.is_some_and(|at| at + self.max_age > now);
        let may_try = cache.tried_at.is_none_or(|at| at + BETWEEN_FETCHES <= now);
        may_try && !(fresh && cache.keys.contains_key(kid))
    }

    async fn fetch(&self, metrics: &Metrics) {
        let outcome = self.published().await;
        let outcome_label = if outcome.is_ok() { "ok" } else { "failed" };
        metrics.oidc_fetches.add(1, &[KeyValue::new("outcome", outcome_label)]);
        let (mut cache, now) = (self.cache(), self.clock.now());
        cache.tried_at = Some(now);
        cache.failing = outcome.is_err();
        match outcome {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "the identity provider's keys were fetched");
                (cache.keys, cache.fetched_at) = (keys, Some(now));
            }
            Err(error) => tracing::warn!(%error, "the identity provider's keys cannot be fetched"),
        }
    }

    async fn published(&self) -> Result<HashMap<String, Published>, OidcError> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
            jwks_uri: String,
        }
        #[derive(Deserialize)]
        struct KeySet {
            keys: Vec<Value>,
        }
        let discovery = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let discovery = address(&discovery).ok_or(OidcError::Address("oidc.issuer"))?;
        let discovery: Discovery = self.get(discovery, "discovery document").await?;
        if discovery.issuer != self.issuer {
            return Err(OidcError::OtherIssuer(discovery.issuer));
        }
        let keys = address(&discovery.jwks_uri).ok_or(OidcError::Address("jwks_uri"))?;
        let keys: KeySet = self.get(keys, "key set").await?;
        // Keys of kinds that nobody here knows are left out, and harm none of the others.
        let keys = keys.keys.into_iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Ok(keys.filter_map(published).collect())
    }

    async fn get<T: DeserializeOwned>(&self, address: Url, what: &'static str) -> Result<T, OidcError> {
        let away = |error: reqwest::Error| OidcError::Unreachable(address.clone(), error.without_url().to_string());
        let mut response = self.client.get(address.clone()).send().await.map_err(away)?;
        response.error_for_status_ref().map_err(away)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            body.extend_from_slice(&chunk);
            if body.len() > DOCUMENT_MAX_BYTES {
                return Err(OidcError::Unreadable(address, what));
            }
        }
        serde_json::from_slice(&body).map_err(|_| OidcError::Unreadable(address, what))
    }
}

/// An address that nobody on the way can change: https, or on this machine.
fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let here = ["127.0.0.1", "[::1]", "localhost"].contains(&url.host_str()?);
    (url.scheme() == "https" || (url.scheme() == "http" && here)).then_some(url)
}

/// A key with its id and the one algorithm it is for, if it is one that tokens are taken by.
fn published(jwk: Jwk) -> Option<(String, Published)> {
    if matches!(jwk.common.public_key_use, Some(ref used) if *used != PublicKeyUse::Signature) {
        return None;
    }
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
            (Algorithm::ES384, KeyAlgorithm::ES384)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        _ => return None,
    };
    if jwk.common.key_algorithm.is_some_and(|algorithm| algorithm != named) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some((jwk.common.key_id?, Published { algorithm, key }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_private_or_here() {
        for good in ["https://id.example.org/realms/property", "http://127.0.0.1:1/x", "http://localhost/"] {
            assert!(address(good).is_some(), "{good}");
        }
        for bad in ["http://id.example.org", "id.example.org", "file:///etc/passwd", "http://127.0.0.1.example.org"] {
            assert!(address(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn keys_for_something_else_are_left_out() {
        let taken = |text: &str| published(serde_json::from_str(text).unwrap()).is_some();
        let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
        let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
        let ec = |rest: &str| format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"{rest}}}"#);
        assert!(taken(&ec(r#","kid":"1""#)));
        assert!(taken(&ec(r#","kid":"1","use":"sig","alg":"ES256""#)));
        assert!(!taken(&ec("")), "without an id");
        assert!(!taken(&ec(r#","kid":"1","use":"enc""#)));
        assert!(!taken(r#"{"kty":"oct","k":"c2VjcmV0","kid":"1"}"#), "a secret that both would know");
    }
}
