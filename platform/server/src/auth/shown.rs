//! What a caller shows, and whom it is believed to be.

use std::sync::Arc;

use gatepost_domain::principal::{Principal, Scopes};
use http::{HeaderValue, header::AUTHORIZATION};
use sha2::{Digest as _, Sha256};

use super::{
    grant::{Grant, Stranger},
    keys, known,
};
use crate::{
    platform::Platform,
    problem::Problem,
    tls::{ClientCertificate, Name, Peer},
};

/// Tells what was shown from everything else that is: a SHA-256, because the bearer is a secret.
pub type Fingerprint = [u8; 32];

/// A client certificate, a bearer, or both.
pub struct Shown {
    certificate: Option<Arc<ClientCertificate>>,
    authorization: Option<HeaderValue>,
}

impl Shown {
    /// What came with a request and its connection.
    pub fn by<B>(request: &http::Request<B>) -> Self {
        Self {
            certificate: request.extensions().get::<Peer>().and_then(|peer| peer.certificate.clone()),
            authorization: request.headers().get(AUTHORIZATION).cloned(),
        }
    }

    /// The same for whoever shows the same.
    pub fn fingerprint(&self) -> Fingerprint {
        let certificate = self.certificate.as_ref().map_or(&[][..], |certificate| certificate.end_entity());
        let bearer = self.authorization.as_ref().map_or(&[][..], HeaderValue::as_bytes);
        // The digest of the one keeps it apart from the other, wherever they end.
        Sha256::new().chain_update(Sha256::digest(certificate)).chain_update(bearer).finalize().into()
    }

    /// Whom it names now: the certificate or the bearer. Who shows both must be one.
    pub async fn believed(&self, platform: &Platform) -> Result<Grant, Problem> {
        let certificate = self.certificate.as_ref();
        let name = certificate.map_or(Ok(&Name::Nobody), |certificate| certificate.name(platform.now()))?;
        let bearer = match &self.authorization {
            None => None,
            Some(shown) => {
                let bearer = shown.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
                Some(bearer_grant(platform, bearer.ok_or(Stranger::Malformed)?).await?)
            }
        };
        match (name, bearer) {
            (Name::Nobody | Name::Administrator, None) => Err(Stranger::Nothing.into()),
            (Name::Nobody, Some(grant)) => Ok(grant),
            (Name::Administrator, Some(grant)) => match grant.principal {
                Principal::Administrator { .. } => Ok(grant),
                _ => Err(Stranger::Disagreement.into()),
            },
            (Name::Principal(principal), bearer) => {
                if bearer.as_ref().is_some_and(|grant| grant.principal != *principal) {
                    return Err(Stranger::Disagreement.into());
                }
                if let Some(missing) = known::missing(&platform.store.read().await?, principal).await? {
                    return Err(Stranger::CertificateOfNobody(missing.noun()).into());
                }
                Ok(bearer.unwrap_or_else(|| Grant {
                    principal: principal.clone(),
                    scopes: Scopes::unlimited(),
                    bearer: String::new(),
                }))
            }
        }
    }
}

/// What a key or a token opens. Every key begins alike, and no token begins like that.
async fn bearer_grant(platform: &Platform, bearer: &str) -> Result<Grant, Problem> {
    match &platform.oidc {
        Some(oidc) if !keys::is_key(bearer) => oidc.grant(bearer, platform.now(), &platform.metrics).await,
        _ => keys::grant(platform, bearer).await,
    }
}
