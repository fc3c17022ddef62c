//! What a caller showed, once it was believed; and every reason not to believe it.

use gatepost_domain::{
    Timestamp,
    principal::{Principal, Scopes},
};

use crate::problem::Problem;

/// Who calls, and how much of what such a caller may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub principal: Principal,
    /// What it is limited to.
    pub scopes: Scopes,
    /// By whose key or token that is known: the id of the key, or the token's subject. Empty for a certificate.
    pub bearer: String,
}

impl Grant {
    /// The grant of a request behind the layer.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Grant, Problem> {
        let grant = request.extensions().get::<Grant>().cloned();
        grant.ok_or(Problem::Bug("a call reached a handler without a principal"))
    }
}

/// Why a caller is not who it says it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// Nothing was shown.
    #[error("send your key as the metadata authorization: Bearer KEY, or show a client certificate that names you")]
    Nothing,
    /// Something else than a bearer.
    #[error("the metadata authorization must be: Bearer KEY")]
    Malformed,
    /// A key that was never issued.
    #[error("the key is unknown")]
    KeyUnknown,
    /// Taken back.
    #[error("the key was revoked: ask the property for another")]
    KeyRevoked,
    /// Past its end.
    #[error("the key expired at {0}: ask the property for another")]
    KeyExpired(Timestamp),
    /// Rotated, and the overlap is over.
    #[error("this secret was replaced, and was taken until {0}: use the key's present one")]
    SecretReplaced(Timestamp),
    /// A client certificate that is over, on a connection that is not.
    #[error("the client certificate ended at {0}: renew it")]
    CertificateExpired(Timestamp),
    /// Its authority stands behind it no more.
    #[error(
        "the client certificate was revoked, its authority is trusted no more, or no list of revocations is in force"
    )]
    CertificateRevoked,
    /// A name that is not clear.
    #[error("the client certificate does not say who you are: {0}")]
    CertificateUnclear(String),
    /// Somebody nobody knows.
    #[error("the client certificate names a {0} that is not known here")]
    CertificateOfNobody(&'static str),
    /// Two who are not the same.
    #[error("the client certificate and the bearer name different callers: show those of one")]
    Disagreement,
    /// A token that is not taken, and why.
    #[error("the token is not taken: {0}")]
    Token(&'static str),
    /// Past its end.
    #[error("the token expired: get another")]
    TokenExpired,
}

impl Stranger {
    /// The reason of the catalogue.
    pub fn reason(&self) -> &'static str {
        match self {
            Stranger::Nothing | Stranger::Malformed | Stranger::KeyUnknown => "UNAUTHENTICATED",
            Stranger::KeyRevoked => "KEY_REVOKED",
            Stranger::KeyExpired(_) | Stranger::SecretReplaced(_) => "KEY_EXPIRED",
            Stranger::CertificateExpired(_)
            | Stranger::CertificateRevoked
            | Stranger::CertificateUnclear(_)
            | Stranger::CertificateOfNobody(_)
            | Stranger::Disagreement => "CERTIFICATE_REFUSED",
            Stranger::Token(_) => "TOKEN_REFUSED",
            Stranger::TokenExpired => "TOKEN_EXPIRED",
        }
    }

    /// The reason as a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Stranger::Nothing => "nothing_shown",
            Stranger::Malformed => "malformed",
            Stranger::KeyUnknown => "key_unknown",
            Stranger::KeyRevoked => "key_revoked",
            Stranger::KeyExpired(_) => "key_expired",
            Stranger::SecretReplaced(_) => "secret_replaced",
            Stranger::CertificateExpired(_) => "certificate_expired",
            Stranger::CertificateRevoked => "certificate_revoked",
            Stranger::CertificateUnclear(_) => "certificate_unclear",
            Stranger::CertificateOfNobody(_) => "certificate_of_nobody",
            Stranger::Disagreement => "certificate_and_bearer_differ",
            Stranger::Token(_) => "token_refused",
            Stranger::TokenExpired => "token_expired",
        }
    }
}
