//! The settings of a worker that works for a platform.

use std::path::PathBuf;

use gatepost_process::client_tls::ClientTls;
use gatepost_process::config::SecretString;

use crate::cli::DeviceChoice;
use crate::model::card;

/// The most frames that a worker may hold at once, by the contract.
pub const CAPACITY_MAX: u16 = 256;

/// The longest name, by the contract.
pub const NAME_MAX: usize = 63;

/// Whom to work for, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the platform listens, such as `http://127.0.0.1:50051`.
    pub platform: String,
    /// Whom to trust, and which certificate to show.
    pub tls: ClientTls,
    /// The worker's key; none for one whose certificate says who it is.
    pub key: Option<SecretString>,
    /// The model folder.
    pub models: PathBuf,
    /// Where the networks run.
    pub device: DeviceChoice,
    /// Frames held at once, 1 to 256.
    pub capacity: u16,
    /// How the platform's logs call this worker, at most 63 characters.
    pub name: String,
}

impl Config {
    /// The default model on the CPU, four frames at once.
    pub fn new(platform: impl Into<String>, key: impl Into<SecretString>) -> Self {
        Self {
            platform: platform.into(),
            tls: ClientTls::default(),
            key: Some(key.into()),
            models: card::default_folder(),
            device: DeviceChoice::Cpu,
            capacity: 4,
            name: "vision-worker".to_owned(),
        }
    }
}
