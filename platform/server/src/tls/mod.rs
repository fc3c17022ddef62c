//! TLS of the gRPC port: what the files hold now, client certificates, and a development authority for trying it.
//!
//! Every connection is begun with what was read last, so certificates change without a restart, and streams that are
//! open go on. A client certificate is looked at again when an authority or a list of revocations changed.

mod accept;
mod certificate;
mod connection;
pub mod development;
mod files;
mod watch;

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use gatepost_process::clock::SharedClock;

pub use self::{
    accept::{Limits, incoming},
    certificate::{ClientCertificate, Name},
    connection::{Connection, Peer},
    watch::watch,
};
use self::{
    files::{Files, Served},
    watch::Seen,
};
use crate::config;

/// Why a set of files cannot be served with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// Not there, or not ours to read.
    #[error("{} cannot be read: {}", .0.display(), .1)]
    Unreadable(PathBuf, String),
    /// Something else than was asked for.
    #[error("{} holds no {} as PEM", .0.display(), .1)]
    Empty(PathBuf, &'static str),
    /// A certificate that no key opens.
    #[error("tls.certificate and tls.key do not fit together: {0}")]
    Mismatch(String),
    /// Too late.
    #[error("{} ended at {}: renew it", .0.display(), .1)]
    Ended(PathBuf, gatepost_domain::Timestamp),
    /// Authorities that cannot vouch for anybody.
    #[error("tls.client_ca or tls.client_crl cannot be used: {0}")]
    Authority(String),
}

/// The settings, and what is served with now; clones share it.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    settings: config::Tls,
    clock: SharedClock,
    served: ArcSwap<Served>,
    seen: std::sync::Mutex<Seen>,
}

impl Tls {
    /// Reads the files; `None` when the settings ask for plain text.
    pub fn open(settings: config::Tls, clock: SharedClock) -> Result<Option<Tls>, TlsError> {
        if settings.certificate.is_none() {
            return Ok(None);
        }
        let files = Files::read(&settings)?;
        let served = Served::new(&files, &settings, &clock, 0)?;
        let seen = std::sync::Mutex::new(Seen::first(files));
        Ok(Some(Tls(Arc::new(Inner { settings, clock, served: ArcSwap::from_pointee(served), seen }))))
    }

    fn served(&self) -> Arc<Served> {
        self.0.served.load_full()
    }
}
