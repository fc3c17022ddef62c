//! Who may come in, by what, and how often: TLS, client certificates, the tokens of an identity provider, and quotas.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use gatepost_domain::{
    id::CommunityId,
    principal::{Principal, Scope},
};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// PEM files, looked at again every `reload_every`: what they hold is served without a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The certificate chain.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// Authorities whose client certificates are taken.
    pub client_ca: Option<PathBuf>,
    /// Their lists of revoked certificates.
    pub client_crl: Option<PathBuf>,
    /// Whether certificates are refused once their authority's list of revoked ones is over (its `nextUpdate` has
    /// passed). Otherwise the list goes on to count, and the log and `gatepost_tls_certificate_expires_in` tell of it:
    /// a list that nobody renewed would shut out every courier, and still says who was revoked.
    pub client_crl_must_hold: bool,
    /// Whether a connection without a client certificate is taken.
    pub client_certificates: ClientCertificates,
    /// Whose names in client certificates are ours: `spiffe://TRUST_DOMAIN/courier/ID`.
    pub trust_domain: String,
    /// How often the files are looked at.
    #[serde(with = "humantime_serde")]
    pub reload_every: Duration,
    /// Serve with the development authority of the data folder.
    pub development: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            client_ca: None,
            client_crl: None,
            client_crl_must_hold: false,
            client_certificates: ClientCertificates::Optional,
            trust_domain: "gatepost".to_owned(),
            reload_every: Duration::from_secs(10),
            development: false,
        }
    }
}

impl Tls {
    /// With the files of the development authority, if it is asked for.
    pub fn in_folder(&self, data_dir: &Path) -> Tls {
        if !self.development {
            return self.clone();
        }
        let files = crate::tls::development::Files::within(data_dir);
        Tls {
            certificate: Some(files.certificate),
            key: Some(files.key),
            client_ca: Some(files.authority),
            ..self.clone()
        }
    }

    /// Refuses what cannot work.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.development && (self.certificate.is_some() || self.client_ca.is_some()) {
            return Err(ConfigError::TwiceTls);
        }
        if self.client_ca.is_some() && self.certificate.is_none() {
            return Err(ConfigError::ClientTls("tls.client_ca", "tls.certificate and tls.key"));
        }
        let verified = self.client_ca.is_some() || self.development;
        if self.client_crl.is_some() && !verified {
            return Err(ConfigError::ClientTls("tls.client_crl", "tls.client_ca"));
        }
        if self.client_crl_must_hold && self.client_crl.is_none() {
            return Err(ConfigError::ClientTls("tls.client_crl_must_hold", "tls.client_crl"));
        }
        if self.client_certificates == ClientCertificates::Required && !verified {
            return Err(ConfigError::ClientTls("tls.client_certificates = \"required\"", "tls.client_ca"));
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        if self.trust_domain.is_empty() || !self.trust_domain.bytes().all(plain) {
            return Err(ConfigError::Range("tls.trust_domain must be lower-case letters, digits, dots and hyphens"));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&self.reload_every) {
            return Err(ConfigError::Range("tls.reload_every must be 1s to 1h"));
        }
        Ok(())
    }
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// A key will do.
    Optional,
    /// Nobody connects without, not even for health.
    Required,
}

/// Administrators by OpenID Connect.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Oidc {
    /// The issuer, exactly as its tokens name it; empty for none.
    pub issuer: String,
    /// Whom its tokens must be for.
    pub audience: String,
    /// The claim that lists roles, by its name or by a path with dots, such as `realm_access.roles`.
    pub claim: String,
    /// What each role may do.
    pub roles: Vec<Role>,
    /// Authorities of the issuer's certificate, as PEM; the system's when not set.
    pub ca: Option<PathBuf>,
    /// How far the issuer's clock and ours may differ.
    #[serde(with = "humantime_serde")]
    pub leeway: Duration,
    /// After this time the issuer's keys are fetched anew.
    #[serde(with = "humantime_serde")]
    pub keys_max_age: Duration,
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            claim: "roles".to_owned(),
            roles: Vec::new(),
            ca: None,
            leeway: Duration::from_secs(60),
            keys_max_age: Duration::from_secs(3600),
        }
    }
}

impl Oidc {
    /// Refuses what cannot work.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.issuer.is_empty() {
            return Ok(());
        }
        if self.audience.is_empty() {
            return Err(ConfigError::Oidc("oidc.audience"));
        }
        if self.roles.is_empty() {
            return Err(ConfigError::Oidc("oidc.roles, or nobody could do anything"));
        }
        for role in &self.roles {
            let possible = Principal::Administrator { community: role.community.clone() }.scopes();
            if !role.scopes.iter().all(|scope| possible.contains(scope)) {
                return Err(ConfigError::Range(
                    "scopes of oidc.roles must be read, manage or keys, and keys not for one community",
                ));
            }
        }
        if self.leeway > Duration::from_secs(300) {
            return Err(ConfigError::Range("oidc.leeway must be at most 5m"));
        }
        if !(Duration::from_secs(60)..=Duration::from_secs(86_400)).contains(&self.keys_max_age) {
            return Err(ConfigError::Range("oidc.keys_max_age must be 1m to 24h"));
        }
        Ok(())
    }
}

/// What the bearer of a token with a role is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// As the token names it.
    pub name: String,
    /// What it is limited to; everything when not set.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// The only community it has to do with; all of them when not set.
    #[serde(default)]
    pub community: Option<CommunityId>,
}

/// What each principal, such as a courier or a gate's camera, may ask of one process of the platform. Who asks for more is
/// answered RESOURCE_EXHAUSTED and told when to come back; see proto/README.md.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Calls a second in the long run. A batch, or a stream, of announcements counts as so many calls, and is slowed down
    /// and not refused.
    pub calls_per_second: NonZeroU32,
    /// Calls at once after a pause.
    pub burst: NonZeroU32,
    /// Calls under way at once: what one principal can have of the database, of which everybody else waits for the rest.
    /// By default half of its connections.
    pub calls_at_once: u32,
    /// Calls that may wait until those under way are done.
    pub calls_waiting: u32,
    /// Open streams.
    pub streams: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            calls_per_second: const { NonZeroU32::new(200).expect("not 0") },
            burst: const { NonZeroU32::new(1_000).expect("not 0") },
            calls_at_once: 8,
            calls_waiting: 1_000,
            streams: 100,
        }
    }
}

impl Quotas {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        // A bucket counts in nanoseconds a call, and as many of them as it holds.
        let (rate, burst) = (self.calls_per_second.get(), self.burst.get());
        if rate > 1_000_000 || burst > 10_000_000 {
            return Err(ConfigError::Range("quotas.calls_per_second must be 1 to 1000000, quotas.burst 1 to 10000000"));
        }
        if !(1..=10_000).contains(&self.calls_at_once) || self.calls_waiting > 1_000_000 {
            return Err(ConfigError::Range("quotas.calls_at_once must be 1 to 10000, quotas.calls_waiting to 1000000"));
        }
        if !(1..=1_000_000).contains(&self.streams) {
            return Err(ConfigError::Range("quotas.streams must be 1 to 1000000"));
        }
        Ok(())
    }
}
