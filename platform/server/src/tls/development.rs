//! An authority of the data folder's own, for trying TLS and client certificates. It vouches for nobody elsewhere.

use std::{
    fmt, fs,
    net::IpAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use gatepost_domain::{
    Timestamp,
    id::{CommunityId, CourierId, GateId},
};
use jiff::SignedDuration;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use time::OffsetDateTime;

use super::files::ends;
use crate::private_file;

const AUTHORITY_FOR: SignedDuration = SignedDuration::from_hours(24 * 3650);
const SERVER_FOR: SignedDuration = SignedDuration::from_hours(24 * 365);
/// A server's certificate that has less left is made anew at the next start.
const SERVER_LEAST: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Clocks differ: what is made now holds since yesterday.
const BACKDATED: SignedDuration = SignedDuration::from_hours(24);

/// What a URI's path holds as it is.
const PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// Where everything lies.
pub struct Files {
    /// The authority, which clients verify the server by, and the server its clients.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    authority_key: PathBuf,
}

impl Files {
    /// Of a data folder.
    pub fn within(data_dir: &Path) -> Self {
        let file = |name: &str| data_dir.join("tls").join(name);
        Files {
            authority: file("ca.pem"),
            authority_key: file("ca.key"),
            certificate: file("server.pem"),
            key: file("server.key"),
        }
    }
}

/// Makes what is missing, and says so.
pub fn prepare(data_dir: &Path, listen: IpAddr, now: Timestamp) -> anyhow::Result<()> {
    let files = Files::within(data_dir);
    let folder = data_dir.join("tls");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    if !files.authority.exists() || !files.authority_key.exists() {
        let key = KeyPair::generate()?;
        let certificate = authority(now)?.self_signed(&key)?;
        private_file::write(&files.authority_key, &key.serialize_pem())?;
        private_file::write(&files.authority, &certificate.pem())?;
        // What the authority before signed is worth nothing now.
        let _ = fs::remove_file(&files.certificate);
        tracing::info!(
            folder = %folder.display(),
            "a development authority was made: try TLS with `gatepost serve --tls`, or with client certificates --mtls"
        );
    }
    let left = fs::read(&files.certificate)
        .ok()
        .and_then(|pem| ends(&CertificateDer::from_pem_slice(&pem).ok()?))
        .map_or(SignedDuration::ZERO, |at| at.duration_since(now));
    if left < SERVER_LEAST || !files.key.exists() {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        if !listen.is_unspecified() && !listen.is_loopback() {
            names.push(listen.to_string());
        }
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (certificate, key) = issue(&files, params, "gatepost", now, SERVER_FOR)?;
        private_file::write(&files.key, &key)?;
        private_file::write(&files.certificate, &certificate)?;
    }
    Ok(())
}

/// Whose certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A courier's backend.
    Courier(CourierId),
    /// A camera at a gate.
    Gate(CommunityId, GateId),
    /// A vision worker.
    Worker,
    /// The property's admin tooling, which needs a key beside it.
    Administrator,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Courier(courier) => write!(f, "courier/{}", encoded(courier.as_str())),
            Subject::Gate(community, gate) => {
                write!(f, "gate/{}/{}", encoded(community.as_str()), encoded(gate.as_str()))
            }
            Subject::Worker => f.write_str("worker"),
            Subject::Administrator => f.write_str("administrator"),
        }
    }
}

fn encoded(part: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(part, &PATH)
}

/// Issues a client certificate and its key, as PEM.
pub fn issue_client(
    data_dir: &Path,
    trust_domain: &str,
    subject: &Subject,
    now: Timestamp,
    span: SignedDuration,
) -> anyhow::Result<(String, String)> {
    let mut params = CertificateParams::new(Vec::new())?;
    let name = format!("spiffe://{trust_domain}/{subject}");
    params.subject_alt_names = vec![SanType::URI(name.as_str().try_into()?)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    issue(&Files::within(data_dir), params, "gatepost client", now, span)
}

fn issue(
    files: &Files,
    mut params: CertificateParams,
    common_name: &str,
    now: Timestamp,
    span: SignedDuration,
) -> anyhow::Result<(String, String)> {
    let none = || format!("no development authority in {}: start `gatepost serve` once", files.authority.display());
    let authority = fs::read_to_string(&files.authority).with_context(none)?;
    let authority_key = fs::read_to_string(&files.authority_key).with_context(none)?;
    let issuer = Issuer::from_ca_cert_pem(&authority, KeyPair::from_pem(&authority_key)?)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    between(&mut params, now, span)?;
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
}

fn authority(now: Timestamp) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Gatepost development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    between(&mut params, now, AUTHORITY_FOR)?;
    Ok(params)
}

fn between(params: &mut CertificateParams, now: Timestamp, span: SignedDuration) -> anyhow::Result<()> {
    params.not_before = OffsetDateTime::from_unix_timestamp((now - BACKDATED).as_second())?;
    params.not_after = OffsetDateTime::from_unix_timestamp((now + span).as_second())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn what_is_there_is_kept_until_it_runs_out() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::within(folder.path());
        let now: Timestamp = "2026-06-01T04:00:00Z".parse().unwrap();
        let read = |path: &Path| fs::read(path).unwrap();
        prepare(folder.path(), HERE, now).unwrap();
        let (authority, certificate) = (read(&files.authority), read(&files.certificate));
        prepare(folder.path(), HERE, now + SignedDuration::from_hours(24 * 330)).unwrap();
        assert_eq!(read(&files.certificate), certificate);
        prepare(folder.path(), HERE, now + SignedDuration::from_hours(24 * 340)).unwrap();
        assert_ne!(read(&files.certificate), certificate, "made anew a month before its end");
        assert_eq!(read(&files.authority), authority);
    }

    #[test]
    fn names_are_written_as_they_are_read() {
        let gate = Subject::Gate("lotus-garden".parse().unwrap(), "东门/北".parse().unwrap());
        assert_eq!(gate.to_string(), "gate/lotus-garden/%E4%B8%9C%E9%97%A8%2F%E5%8C%97");
        let folder = tempfile::tempdir().unwrap();
        let (now, day) = ("2026-06-01T04:00:00Z".parse().unwrap(), SignedDuration::from_hours(24));
        let refused = issue_client(folder.path(), "gatepost", &gate, now, day).unwrap_err();
        assert!(format!("{refused:#}").contains("gatepost serve"), "{refused:#}");
        prepare(folder.path(), HERE, now).unwrap();
        assert!(issue_client(folder.path(), "gatepost", &gate, now, day).unwrap().0.contains("BEGIN CERTIFICATE"));
    }
}
