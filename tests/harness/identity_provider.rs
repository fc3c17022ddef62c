//! A property's identity provider: a real HTTP server that publishes a discovery document and its keys, and signs tokens.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The provider; clones share it. It listens until the test ends.
#[derive(Clone)]
pub struct IdentityProvider {
    issuer: String,
    published: Arc<Published>,
}

#[derive(Default)]
struct Published {
    keys: Mutex<Vec<Value>>,
    /// What the discovery document says of the issuer, when it lies.
    other_issuer: Mutex<Option<String>>,
    fetches: AtomicUsize,
    away: Mutex<bool>,
    issuer: Mutex<String>,
}

/// A key that tokens are signed with.
pub struct SigningKey {
    id: String,
    algorithm: &'static str,
    pair: Pair,
    public: Value,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SigningKey {
    /// On the curve P-256.
    pub fn es256(id: &str) -> SigningKey {
        let (random, scheme) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(scheme, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(scheme, document.as_ref(), &random).expect("a key");
        let point = pair.public_key().as_ref();
        let public = json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id,
            "x": encoded(&point[1..33]), "y": encoded(&point[33..]),
        });
        SigningKey { id: id.to_owned(), algorithm: "ES256", pair: Pair::Es256(pair), public }
    }

    /// On the curve Ed25519.
    pub fn eddsa(id: &str) -> SigningKey {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
        let public = json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": encoded(pair.public_key())});
        SigningKey { id: id.to_owned(), algorithm: "EdDSA", pair: Pair::EdDsa(pair), public }
    }

    /// What is published of it.
    pub fn public(&self) -> &Value {
        &self.public
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({"alg": self.algorithm, "typ": "JWT", "kid": self.id}), claims)
    }

    /// A token with another header than its own.
    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let signature = match &self.pair {
            Pair::Es256(pair) => {
                pair.sign(&SystemRandom::new(), message.as_bytes()).expect("a signature").as_ref().to_vec()
            }
            Pair::EdDsa(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", encoded(signature))
    }
}

/// A token whose signature is a digest under a secret that both sides know.
pub fn signed_with_secret(kid: &str, secret: &[u8], claims: &Value) -> String {
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": kid});
    let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    format!("{message}.{}", encoded(ring::hmac::sign(&key, message.as_bytes())))
}

/// A token without a signature.
pub fn unsigned(kid: &str, claims: &Value) -> String {
    let header = json!({"alg": "none", "typ": "JWT", "kid": kid});
    format!("{}.{}.", encoded(header.to_string()), encoded(claims.to_string()))
}

impl IdentityProvider {
    /// Listens on this machine.
    pub async fn start() -> IdentityProvider {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let issuer = format!("http://{}/realms/property", listener.local_addr().expect("an address"));
        let published = Arc::new(Published { issuer: Mutex::new(issuer.clone()), ..Published::default() });
        let router = Router::new()
            .route("/realms/property/.well-known/openid-configuration", get(discovery))
            .route("/realms/property/keys", get(keys))
            .with_state(published.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        IdentityProvider { issuer, published }
    }

    /// Its name.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Publishes these keys and no others.
    pub fn publish(&self, keys: &[&SigningKey]) {
        *lock(&self.published.keys) = keys.iter().map(|key| key.public.clone()).collect();
    }

    /// Publishes something beside the keys.
    pub fn publish_too(&self, key: Value) {
        lock(&self.published.keys).push(key);
    }

    /// Whether it answers with errors.
    pub fn set_away(&self, away: bool) {
        *lock(&self.published.away) = away;
    }

    /// Says that it is somebody else.
    pub fn pretend(&self, issuer: &str) {
        *lock(&self.published.other_issuer) = Some(issuer.to_owned());
    }

    /// How often it was asked for its keys.
    pub fn fetches(&self) -> usize {
        self.published.fetches.load(Ordering::Relaxed)
    }

    /// The claims of a token for an hour, with these roles.
    pub fn claims(&self, now: Timestamp, roles: &[&str]) -> Value {
        let now = now.as_second();
        json!({
            "iss": self.issuer, "aud": ["gatepost", "another"], "sub": "staff-7",
            "iat": now, "nbf": now, "exp": now + 3600, "realm_access": {"roles": roles},
        })
    }
}

type Answer = Result<Json<BTreeMap<&'static str, Value>>, StatusCode>;

async fn discovery(State(published): State<Arc<Published>>) -> Answer {
    if *lock(&published.away) {
        return Err(StatusCode::BAD_GATEWAY);
    }
    let issuer = lock(&published.issuer).clone();
    let told = lock(&published.other_issuer).clone().unwrap_or_else(|| issuer.clone());
    Ok(Json(BTreeMap::from([("issuer", told.into()), ("jwks_uri", format!("{issuer}/keys").into())])))
}

async fn keys(State(published): State<Arc<Published>>) -> Answer {
    if *lock(&published.away) {
        return Err(StatusCode::BAD_GATEWAY);
    }
    published.fetches.fetch_add(1, Ordering::Relaxed);
    Ok(Json(BTreeMap::from([("keys", Value::Array(lock(&published.keys).clone()))])))
}
