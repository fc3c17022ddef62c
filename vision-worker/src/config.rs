//! The settings of a worker that works for one platform or several.

use std::path::PathBuf;
use std::time::Duration;

use gatepost_process::client_tls::ClientTls;
use gatepost_process::config::SecretString;
use tonic::transport::Endpoint;

use crate::cli::{Decoding, DeviceChoice};
use crate::model::card;
use crate::session::SessionError;

const ADDRESS: &str = "the platform's address must look like http://127.0.0.1:50051";

/// Bounds on how long a platform may be silent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The most frames that a worker may hold at once, by the contract.
pub const CAPACITY_MAX: u16 = 256;

/// The most platforms that a worker works for.
pub const PLATFORMS_MAX: usize = 16;

/// The longest name, by the contract.
pub const NAME_MAX: usize = 63;

/// Whom to work for, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where each platform, or each replica of one, listens, such as `http://127.0.0.1:50051`; 1 to 16.
    pub platforms: Vec<String>,
    /// A name and a port, such as `gatepost-headless:50051`, whose addresses are the replicas of the one platform.
    pub replicas: Option<String>,
    /// Whom to trust, and which certificate to show.
    pub tls: ClientTls,
    /// The worker's key; none for one whose certificate says who it is.
    pub key: Option<SecretString>,
    /// The model folder.
    pub models: PathBuf,
    /// Where the networks run.
    pub device: DeviceChoice,
    /// Who decodes frames.
    pub decoding: Decoding,
    /// Frames of each platform held at once, 1 to 256.
    pub capacity: u16,
    /// How the platform's logs call this worker, at most 63 characters.
    pub name: String,
}

impl Config {
    /// The default model on the CPU, four frames at once.
    pub fn new(platform: impl Into<String>, key: impl Into<SecretString>) -> Self {
        Self {
            platforms: vec![platform.into()],
            replicas: None,
            tls: ClientTls::default(),
            key: Some(key.into()),
            models: card::default_folder(),
            device: DeviceChoice::Cpu,
            decoding: Decoding::Cpu,
            capacity: 4,
            name: "vision-worker".to_owned(),
        }
    }

    /// How each platform is reached.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, SessionError> {
        if !(1..=PLATFORMS_MAX).contains(&self.platforms.len()) {
            return Err(SessionError::Config(format!("a worker works for 1 to {PLATFORMS_MAX} platforms")));
        }
        if self.replicas.is_some() && self.platforms.len() > 1 {
            return Err(SessionError::Config("replicas are those of one platform: name one, or none".to_owned()));
        }
        let endpoint = |address: &String| {
            let endpoint = Endpoint::from_shared(address.clone())
                .map_err(|_| SessionError::Config(ADDRESS.to_owned()))?
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                .keep_alive_while_idle(true);
            // What is wrong with the files is told at once, and not at the first connection.
            self.tls.secure(endpoint.clone()).map_err(|error| SessionError::Config(error.to_string()))?;
            Ok(endpoint)
        };
        self.platforms.iter().map(endpoint).collect()
    }
}
