//! Whom a client certificate names. One rule, and nothing else in the certificate counts, the common name least of all:
//! exactly one subject alternative name is a URI in our trust domain, and its path says who,
//!
//! - `spiffe://gatepost/courier/ID`, a courier's backend,
//! - `spiffe://gatepost/gate/COMMUNITY/GATE`, a camera at a gate,
//! - `spiffe://gatepost/worker`, a vision worker,
//! - `spiffe://gatepost/administrator`, who needs a key or a token beside it,
//!
//! with `gatepost` for `tls.trust_domain`, and whatever a URI cannot hold percent-encoded as UTF-8. A certificate
//! without such a name opens the connection and says nothing of who calls.

use std::sync::atomic::{AtomicU64, Ordering};

use gatepost_domain::{Timestamp, id::InvalidId, principal::Principal};
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{
    Tls,
    files::{ends, unix_time},
};
use crate::auth::grant::Stranger;

/// Whom a certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A courier, a camera or a worker.
    Principal(Principal),
    /// An administrator: which one, a key or a token must say.
    Administrator,
    /// Nobody of ours.
    Nobody,
}

/// A certificate that a client showed, and that was verified when its connection began.
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    name: Result<Name, String>,
    ends: Option<Timestamp>,
    /// With what it was verified last.
    generation: AtomicU64,
    tls: Tls,
}

impl ClientCertificate {
    pub(super) fn new(chain: &[CertificateDer<'_>], generation: u64, tls: &Tls) -> Option<Self> {
        let end_entity = chain.first()?;
        Some(Self {
            name: name_of(end_entity, &tls.0.settings.trust_domain),
            ends: ends(end_entity),
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            generation: AtomicU64::new(generation),
            tls: tls.clone(),
        })
    }

    /// The client's own certificate, of the chain that it showed.
    pub fn end_entity(&self) -> &[u8] {
        self.chain.first().map_or(&[], |certificate| certificate.as_ref())
    }

    /// Whom it names, if it is still to be believed: a connection may outlive its certificate, and a list of revocations.
    pub fn name(&self, now: Timestamp) -> Result<&Name, Stranger> {
        if let Some(at) = self.ends.filter(|at| *at <= now) {
            return Err(Stranger::CertificateExpired(at));
        }
        let served = self.tls.served();
        let list_is_over =
            self.tls.0.settings.client_crl_must_hold && served.client_crl_ends.is_some_and(|at| at <= now);
        if list_is_over || self.generation.load(Ordering::Relaxed) != served.generation {
            let verifier = served.verifier.as_ref().ok_or(Stranger::CertificateRevoked)?;
            let (end_entity, between) = self.chain.split_first().ok_or(Stranger::CertificateRevoked)?;
            let now = unix_time(now).ok_or(Stranger::CertificateRevoked)?;
            verifier.verify_client_cert(end_entity, between, now).map_err(|_| Stranger::CertificateRevoked)?;
            self.generation.store(served.generation, Ordering::Relaxed);
        }
        self.name.as_ref().map_err(|problem| Stranger::CertificateUnclear(problem.clone()))
    }
}

fn name_of(certificate: &CertificateDer<'_>, trust_domain: &str) -> Result<Name, String> {
    let unreadable = || "its names cannot be read".to_owned();
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| unreadable())?;
    let names = certificate.subject_alternative_name().map_err(|_| unreadable())?;
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let ours: Vec<_> = names
        .filter_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix("spiffe://")?.strip_prefix(trust_domain),
            _ => None,
        })
        .filter(|path| path.is_empty() || path.starts_with(['/', '?', '#', ':']))
        .collect();
    match ours[..] {
        [] => Ok(Name::Nobody),
        [path] => named(path),
        _ => Err("it has several names in this trust domain".to_owned()),
    }
}

fn named(path: &str) -> Result<Name, String> {
    let unknown = || {
        "its name must end in /courier/ID, /gate/COMMUNITY/GATE, /worker or /administrator, percent-encoded".to_owned()
    };
    if !path.starts_with('/') || path.contains(['?', '#']) {
        return Err(unknown());
    }
    let parts: Result<Vec<String>, _> =
        path.split('/').skip(1).map(|part| percent_decode_str(part).decode_utf8().map(Into::into)).collect();
    let parts = parts.map_err(|_| unknown())?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let wrong = |error: InvalidId| format!("the id in its name is not {}", error.expected);
    let principal = match parts[..] {
        ["courier", courier] => Principal::Courier { courier: courier.parse().map_err(wrong)? },
        ["gate", community, gate] => {
            Principal::Camera { community: community.parse().map_err(wrong)?, gate: gate.parse().map_err(wrong)? }
        }
        ["worker"] => Principal::Worker,
        ["administrator"] => return Ok(Name::Administrator),
        _ => return Err(unknown()),
    };
    Ok(Name::Principal(principal))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn name(uris: &[&str]) -> Result<Name, String> {
        let mut params = CertificateParams::new(vec!["courier.example.org".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "spiffe://gatepost/worker");
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        name_of(certificate.der(), "gatepost")
    }

    #[test]
    fn a_uri_in_our_trust_domain_says_who() {
        let swift = Principal::Courier { courier: "swift-express".parse().unwrap() };
        assert_eq!(name(&["spiffe://gatepost/courier/swift-express"]), Ok(Name::Principal(swift)));
        let gate =
            |gate: &str| Principal::Camera { community: "lotus-garden".parse().unwrap(), gate: gate.parse().unwrap() };
        let encoded = "spiffe://gatepost/gate/lotus-garden/%E4%B8%9C%E9%97%A8%2F%E5%8C%97";
        assert_eq!(name(&[encoded]), Ok(Name::Principal(gate("东门/北"))));
        assert_eq!(name(&["https://example.org", "spiffe://gatepost/worker"]), Ok(Name::Principal(Principal::Worker)));
        assert_eq!(name(&["spiffe://gatepost/administrator"]), Ok(Name::Administrator));
    }

    #[test]
    fn other_names_say_nothing() {
        assert_eq!(name(&[]), Ok(Name::Nobody), "the common name least of all");
        for uri in ["spiffe://gatepost.example/worker", "spiffe://elsewhere/worker", "https://gatepost/worker"] {
            assert_eq!(name(&[uri]), Ok(Name::Nobody), "{uri}");
        }
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for uris in [
            &["spiffe://gatepost/worker", "spiffe://gatepost/courier/swift-express"][..],
            &["spiffe://gatepost/worker", "spiffe://gatepost/worker"],
            &["spiffe://gatepost"],
            &["spiffe://gatepost/"],
            &["spiffe://gatepost/courier"],
            &["spiffe://gatepost/courier/"],
            &["spiffe://gatepost/courier/Swift"],
            &["spiffe://gatepost/courier/swift-express/"],
            &["spiffe://gatepost/courier/swift%2dexpress%ff"],
            &["spiffe://gatepost/gate/lotus-garden"],
            &["spiffe://gatepost/worker?and=more"],
            &["spiffe://gatepost:443/worker"],
        ] {
            assert!(name(uris).is_err(), "{uris:?}: {:?}", name(uris));
        }
    }
}
