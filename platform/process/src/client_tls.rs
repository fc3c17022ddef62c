//! TLS as a client of the platform has it: whom to trust, and which certificate to show.

use std::path::{Path, PathBuf};

use clap::Args;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// Files, all PEM. They are read at every use, so that a renewed certificate is shown by the next connection.
#[derive(Debug, Clone, Default, Args)]
pub struct ClientTls {
    /// Authority that signed the platform's certificate, as PEM; needed for an https address.
    #[arg(long, global = true, env = "GATEPOST_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Client certificate to show, as PEM, with what lies between it and its authority.
    #[arg(long, global = true, env = "GATEPOST_CERTIFICATE", value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Private key of the client certificate, as PEM.
    #[arg(long, global = true, env = "GATEPOST_CERTIFICATE_KEY", value_name = "FILE")]
    pub certificate_key: Option<PathBuf>,
}

/// Why a connection cannot be secured.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// Nobody to verify the platform by.
    #[error("an https address needs --ca, the authority that signed the platform's certificate")]
    NoAuthority,
    /// Half a pair.
    #[error("--certificate and --certificate-key belong together: give both or neither")]
    Half,
    /// A certificate that nobody would see.
    #[error("a client certificate is shown to an https address only")]
    PlainText,
    /// A file.
    #[error("{} cannot be read: {}", .0.display(), .1)]
    Unreadable(PathBuf, std::io::Error),
    /// What is in them.
    #[error("TLS: {0}")]
    Unusable(String),
}

impl ClientTls {
    /// Secures an https address; leaves an http address as it is.
    pub fn secure(&self, endpoint: Endpoint) -> Result<Endpoint, ClientTlsError> {
        if endpoint.uri().scheme_str() != Some("https") {
            return if self.certificate.is_some() { Err(ClientTlsError::PlainText) } else { Ok(endpoint) };
        }
        let ca = self.ca.as_deref().ok_or(ClientTlsError::NoAuthority)?;
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?));
        match (&self.certificate, &self.certificate_key) {
            (Some(certificate), Some(key)) => {
                config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
            }
            (None, None) => {}
            _ => return Err(ClientTlsError::Half),
        }
        endpoint.tls_config(config).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            ClientTlsError::Unusable(source.unwrap_or_else(|| error.to_string()))
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ClientTlsError> {
    std::fs::read(path).map_err(|error| ClientTlsError::Unreadable(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &'static str, tls: &ClientTls) -> Option<String> {
        tls.secure(Endpoint::from_static(address)).err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_missing_is_asked_for() {
        let file = |name: &str| Some(PathBuf::from(name));
        let none = ClientTls::default();
        assert_eq!(refused("http://127.0.0.1:1", &none), None);
        assert!(refused("https://127.0.0.1:1", &none).unwrap().contains("--ca"));
        let shown = ClientTls { certificate: file("/nowhere.pem"), ..none.clone() };
        assert!(refused("http://127.0.0.1:1", &shown).unwrap().contains("https"));
        let missing = ClientTls { ca: file("/nowhere.pem"), ..none };
        assert!(refused("https://127.0.0.1:1", &missing).unwrap().contains("/nowhere.pem cannot be read"));
    }
}
