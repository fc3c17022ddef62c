//! An authority of the test's own, and what it signs: servers' and clients' certificates, and lists of those revoked.

use std::{net::SocketAddr, path::Path, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber,
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use x509_parser::prelude::{FromDer as _, X509Certificate};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Signs whatever it is asked to.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    now: Timestamp,
}

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// An authority whose certificates hold from the day before `now`.
    pub fn new(now: Timestamp) -> Authority {
        let mut params = between(now, DAY * 365);
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", uuid::Uuid::new_v4()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: Issuer::new(params, key), pem, now }
    }

    /// Its own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server's certificate for this machine, with a serial number of its own.
    pub fn server(&self, serial: u64, span: SignedDuration) -> Pair {
        let mut params = between(self.now, span);
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into().expect("a name")),
            SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()),
        ];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params, serial)
    }

    /// A client's certificate with these URIs for names.
    pub fn client(&self, uris: &[&str], serial: u64, span: SignedDuration) -> Pair {
        let mut params = between(self.now, span);
        params.subject_alt_names =
            uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("a name in ASCII"))).collect();
        params.distinguished_name.push(DnType::CommonName, "swift-express");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, serial)
    }

    fn sign(&self, mut params: CertificateParams, serial: u64) -> Pair {
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Pair { certificate, key: key.serialize_pem() }
    }

    /// The list of those whose certificates count no more, for a month.
    pub fn revocation_list(&self, number: u64, serials: &[u64]) -> String {
        self.revocation_list_for(number, serials, DAY * 30)
    }

    /// As [`Authority::revocation_list`], to be followed by another after this time.
    pub fn revocation_list_for(&self, number: u64, serials: &[u64], span: SignedDuration) -> String {
        let at = |at: Timestamp| OffsetDateTime::from_unix_timestamp(at.as_second()).expect("an instant");
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: at(self.now - DAY),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: at(self.now - DAY),
            next_update: at(self.now + span),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").pem().expect("as PEM")
    }

    /// How a client verifies a server by this authority.
    pub fn trusted(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.pem))
    }
}

impl Pair {
    /// Writes both files, the key first.
    pub fn write(&self, certificate: &Path, key: &Path) {
        std::fs::write(key, &self.key).expect("the key is written");
        std::fs::write(certificate, &self.certificate).expect("the certificate is written");
    }

    /// As a client shows it.
    pub fn identity(&self) -> Identity {
        Identity::from_pem(&self.certificate, &self.key)
    }
}

/// The serial number of the certificate that a server shows to a new connection, which must be by `authority`.
pub async fn serial_of(address: SocketAddr, authority: &Authority) -> u64 {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("PEM")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await.expect("a connection");
    let name = "localhost".try_into().expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("a handshake");
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).expect("a certificate");
    let (_, certificate) = X509Certificate::from_der(shown).expect("a certificate");
    certificate.raw_serial().iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn between(now: Timestamp, span: SignedDuration) -> CertificateParams {
    let at = |at: Timestamp| OffsetDateTime::from_unix_timestamp(at.as_second()).expect("an instant");
    let mut params = CertificateParams::new(Vec::new()).expect("no name is wrong");
    params.distinguished_name = DistinguishedName::new();
    params.not_before = at(now - DAY);
    params.not_after = at(now + span);
    params
}
