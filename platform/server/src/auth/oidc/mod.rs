//! Administrators by OpenID Connect: a signed token of the property's own identity provider in place of a key.
//!
//! Signatures are verified by ring, times by the platform's clock. A token says nothing that was not signed by a key
//! that the issuer publishes at that moment, and is taken for a role that the settings name and for nothing else.

mod provider;
mod published;

use std::collections::BTreeSet;

use gatepost_domain::{
    Timestamp,
    principal::{Principal, Scopes},
};
use gatepost_process::clock::SharedClock;
use jsonwebtoken::{Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::published::OidcError;
use self::published::PublishedKeys;
use super::grant::{Grant, Stranger};
use crate::{
    config::{self, Role},
    metrics::Metrics,
    problem::Problem,
};

/// No identity provider's token is near this.
const TOKEN_MAX_BYTES: usize = 12 * 1024;

/// OpenID Connect Core 1.0, 2: a subject is at most 255 characters.
const SUBJECT_MAX: usize = 255;

/// Verifies tokens of one issuer.
pub struct Oidc {
    settings: config::Oidc,
    keys: PublishedKeys,
}

/// What a token says, as far as it is always the same.
#[derive(Deserialize)]
struct Claims {
    /// Seconds since 1970, in whole numbers or not.
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Oidc {
    /// `None` when the settings name no issuer.
    pub fn new(settings: &config::Oidc, clock: SharedClock) -> Result<Option<Self>, OidcError> {
        if settings.issuer.is_empty() {
            return Ok(None);
        }
        provider::install();
        let keys = PublishedKeys::new(settings, clock)?;
        Ok(Some(Self { settings: settings.clone(), keys }))
    }

    /// What the bearer of this token may do.
    pub async fn grant(&self, token: &str, now: Timestamp, metrics: &Metrics) -> Result<Grant, Problem> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(Stranger::Token("it is larger than 12 KiB").into());
        }
        let header = decode_header(token)
            .map_err(|_| Stranger::Token("it is no JWT, or signed by an algorithm that is not taken"))?;
        if !provider::ALGORITHMS.contains(&header.alg) {
            return Err(Stranger::Token("its algorithm must be ES256, ES384, EdDSA or RS256").into());
        }
        if header.crit.is_some() {
            return Err(Stranger::Token("it has critical extensions, which nobody here understands").into());
        }
        let kid = header.kid.ok_or(Stranger::Token("its header does not say which key signed it (kid)"))?;
        let key = self.keys.key(&kid, header.alg, metrics).await?;
        let mut validation = Validation::new(header.alg);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        // Below, by the platform's clock.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        let claims = decode::<Claims>(token, &key, &validation).map_err(|error| refused(error.kind()))?.claims;
        self.check_times(&claims, now)?;
        let subject = claims.others.get("sub").and_then(Value::as_str).unwrap_or_default();
        let bearer = format!("token:{}", subject.chars().take(SUBJECT_MAX).collect::<String>());
        Ok(Grant { bearer, ..self.grant_for(&roles(&claims.others, &self.settings.claim))? })
    }

    fn check_times(&self, claims: &Claims, now: Timestamp) -> Result<(), Stranger> {
        let (now, leeway) = (now.as_millisecond() as f64 / 1000.0, self.settings.leeway.as_secs_f64());
        if claims.exp + leeway <= now {
            return Err(Stranger::TokenExpired);
        }
        let begun = |at: Option<f64>| at.is_none_or(|at| at - leeway <= now);
        if !begun(claims.nbf) || !begun(claims.iat) {
            return Err(Stranger::Token("it is not valid yet: compare the clocks"));
        }
        Ok(())
    }

    /// The roles of the settings that these are, as one grant. A role for all communities leaves no place for one of a
    /// single community.
    fn grant_for(&self, names: &BTreeSet<String>) -> Result<Grant, Problem> {
        let mut roles: Vec<&Role> = self.settings.roles.iter().filter(|role| names.contains(&role.name)).collect();
        if roles.iter().any(|role| role.community.is_none()) {
            roles.retain(|role| role.community.is_none());
        }
        let first = roles.first().ok_or(Problem::RoleMissing("none of the token's roles is one of oidc.roles"))?;
        let community = first.community.clone();
        if roles.iter().any(|role| role.community != community) {
            return Err(Problem::RoleMissing("the token's roles are of several communities: ask for one at a time"));
        }
        let unlimited = roles.iter().any(|role| role.scopes.is_empty());
        let scopes = if unlimited {
            Scopes::unlimited()
        } else {
            roles.iter().flat_map(|role| role.scopes.iter().copied()).collect()
        };
        Ok(Grant { principal: Principal::Administrator { community }, scopes, bearer: String::new() })
    }
}

fn refused(kind: &ErrorKind) -> Stranger {
    Stranger::Token(match kind {
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidIssuer => "it is of another issuer",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::MissingRequiredClaim(_) => "it lacks one of the claims exp, iss, aud and sub",
        _ => "it cannot be read",
    })
}

/// The values of a claim that lists roles: an array of texts, or one text with spaces between. The claim is found by its
/// whole name, or by a path with dots.
fn roles(claims: &Map<String, Value>, claim: &str) -> BTreeSet<String> {
    let by_path = || {
        let mut parts = claim.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    };
    match claims.get(claim).or_else(by_path) {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(values)) => values.iter().filter_map(|value| Some(value.as_str()?.to_owned())).collect(),
        _ => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use gatepost_domain::principal::Scope;
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_are_found_by_name_or_by_path() {
        let claims = json!({
            "scope": "openid desk",
            "realm_access": {"roles": ["desk", 7]},
            "https://example.org/roles": ["reader"],
        });
        let claims = claims.as_object().unwrap();
        let found = |claim: &str| roles(claims, claim).into_iter().collect::<Vec<_>>();
        assert_eq!(found("scope"), ["desk", "openid"]);
        assert_eq!(found("realm_access.roles"), ["desk"]);
        assert_eq!(found("https://example.org/roles"), ["reader"]);
        assert!(found("roles").is_empty() && found("realm_access").is_empty() && found("scope.roles").is_empty());
    }

    fn granted(names: &[&str]) -> Result<Grant, String> {
        let role = |name: &str, community: Option<&str>, scopes: &[Scope]| Role {
            name: name.to_owned(),
            community: community.map(|id| id.parse().unwrap()),
            scopes: scopes.to_vec(),
        };
        let roles = vec![
            role("chief", None, &[]),
            role("reader", None, &[Scope::Read]),
            role("keys", None, &[Scope::Keys]),
            role("lotus-desk", Some("lotus-garden"), &[Scope::Read]),
            role("lotus-office", Some("lotus-garden"), &[Scope::Manage]),
            role("rose-desk", Some("rose-court"), &[]),
        ];
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = config::Oidc { issuer: "http://127.0.0.1".to_owned(), roles, ..config::Oidc::default() };
        let oidc = Oidc::new(&settings, gatepost_process::clock::SystemClock::shared()).unwrap().unwrap();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        oidc.grant_for(&names).map_err(|problem| problem.to_string())
    }

    #[test]
    fn roles_add_up_and_no_role_is_no_access() {
        let grant = |scopes: &[Scope]| Grant {
            principal: Principal::Worker,
            scopes: scopes.iter().copied().collect(),
            bearer: String::new(),
        };
        let whole = |scopes: &[Scope]| Grant { principal: Principal::ADMINISTRATOR, ..grant(scopes) };
        let lotus = Principal::Administrator { community: Some("lotus-garden".parse().unwrap()) };
        assert_eq!(granted(&["reader", "keys", "cook"]), Ok(whole(&[Scope::Read, Scope::Keys])));
        assert_eq!(granted(&["reader", "chief"]), Ok(whole(&[])));
        assert_eq!(granted(&["reader", "lotus-office"]), Ok(whole(&[Scope::Read])));
        let both = Grant { principal: lotus, ..grant(&[Scope::Read, Scope::Manage]) };
        assert_eq!(granted(&["lotus-desk", "lotus-office"]), Ok(both));
        assert!(granted(&["lotus-desk", "rose-desk"]).unwrap_err().contains("several communities"));
        assert!(granted(&["cook"]).unwrap_err().contains("oidc.roles"));
        assert!(granted(&[]).is_err());
    }
}
