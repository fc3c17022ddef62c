//! From files to what a connection is begun with.

use std::{fmt, fs, path::Path, sync::Arc};

use gatepost_domain::Timestamp;
use gatepost_process::clock::SharedClock;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    time_provider::TimeProvider,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::TlsError;
use crate::config::{self, ClientCertificates};

/// Larger than any bundle that people keep.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// The files as they were read.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
    client_crl: Vec<u8>,
}

impl Files {
    /// Reads those that the settings name; the others are empty.
    pub(super) fn read(settings: &config::Tls) -> Result<Files, TlsError> {
        let read = |path: &Option<std::path::PathBuf>| path.as_deref().map_or(Ok(Vec::new()), read);
        Ok(Files {
            certificate: read(&settings.certificate)?,
            key: read(&settings.key)?,
            client_ca: read(&settings.client_ca)?,
            client_crl: read(&settings.client_crl)?,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error: std::io::Error| TlsError::Unreadable(path.to_owned(), error.to_string());
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_MAX_BYTES {
        return Err(TlsError::Unreadable(path.to_owned(), "it is larger than 4 MiB".to_owned()));
    }
    fs::read(path).map_err(unreadable)
}

/// What connections are begun with.
pub(super) struct Served {
    /// For rustls.
    pub(super) config: Arc<ServerConfig>,
    /// Who vouches for clients.
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Grows with every change.
    pub(super) generation: u64,
    /// When the server's own certificate ends.
    pub(super) server_ends: Timestamp,
    /// When the first of the clients' authorities ends.
    pub(super) client_ca_ends: Option<Timestamp>,
    /// When the first of their lists of revocations should have been followed by another.
    pub(super) client_crl_ends: Option<Timestamp>,
}

impl Served {
    pub(super) fn new(
        files: &Files,
        settings: &config::Tls,
        clock: &SharedClock,
        generation: u64,
    ) -> Result<Served, TlsError> {
        let path = |path: &Option<std::path::PathBuf>| path.clone().unwrap_or_default();
        let certificate = path(&settings.certificate);
        let chain = certificates(&files.certificate).ok_or(TlsError::Empty(certificate.clone(), "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&files.key)
            .map_err(|_| TlsError::Empty(path(&settings.key), "private key"))?;
        let server_ends =
            chain.iter().filter_map(ends).min().ok_or(TlsError::Empty(certificate.clone(), "certificate"))?;
        if server_ends <= clock.now() {
            return Err(TlsError::Ended(certificate, server_ends));
        }
        let provider = Arc::new(ring::default_provider());
        let (mut client_ca_ends, mut client_crl_ends) = (None, None);
        let verifier = if settings.client_ca.is_some() {
            let authorities = certificates(&files.client_ca)
                .ok_or_else(|| TlsError::Empty(path(&settings.client_ca), "certificate"))?;
            client_ca_ends = authorities.iter().filter_map(ends).min();
            let lists = lists(&files.client_crl, settings)?;
            client_crl_ends = lists.iter().filter_map(list_ends).min();
            Some(verifier(authorities, lists, settings, &provider)?)
        } else {
            None
        };
        let builder = ServerConfig::builder_with_details(provider, Arc::new(OnClock(clock.clone())))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Mismatch(error.to_string()))?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| TlsError::Mismatch(error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Served { config: Arc::new(config), verifier, generation, server_ends, client_ca_ends, client_crl_ends })
    }
}

/// The lists of those whose certificates count no more.
fn lists(pem: &[u8], settings: &config::Tls) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    let lists = lists.map_err(|error| TlsError::Authority(error.to_string()))?;
    match &settings.client_crl {
        Some(path) if lists.is_empty() => Err(TlsError::Empty(path.clone(), "revocation list")),
        _ => Ok(lists),
    }
}

fn verifier(
    authorities: Vec<CertificateDer<'static>>,
    lists: Vec<CertificateRevocationListDer<'static>>,
    settings: &config::Tls,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let refuse = |error: &dyn fmt::Display| TlsError::Authority(error.to_string());
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|error| refuse(&error))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .with_crls(lists)
        .only_check_end_entity_revocation()
        // An authority of which there is no list has revoked nobody.
        .allow_unknown_revocation_status();
    if settings.client_crl_must_hold {
        builder = builder.enforce_revocation_expiration();
    }
    if settings.client_certificates == ClientCertificates::Optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| refuse(&error))
}

/// Every certificate of a bundle; `None` when there is none, or one cannot be read.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    Some(certificates).filter(|certificates| !certificates.is_empty())
}

/// When a certificate ends.
pub(super) fn ends(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

fn list_ends(list: &CertificateRevocationListDer<'_>) -> Option<Timestamp> {
    let (_, list) = CertificateRevocationList::from_der(list).ok()?;
    Timestamp::from_second(list.next_update()?.timestamp()).ok()
}

/// The platform's clock, as rustls asks it.
struct OnClock(SharedClock);

impl fmt::Debug for OnClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnClock")
    }
}

impl TimeProvider for OnClock {
    fn current_time(&self) -> Option<UnixTime> {
        unix_time(self.0.now())
    }
}

/// An instant as rustls has it; none before 1970.
pub(super) fn unix_time(at: Timestamp) -> Option<UnixTime> {
    let since = at.duration_since(Timestamp::UNIX_EPOCH);
    Some(UnixTime::since_unix_epoch(since.try_into().ok()?))
}
