//! Settings: one struct a concern, each with its defaults. Read from a TOML file and from `GATEPOST_SECTION__KEY`.

mod access;
mod retention;

use std::{net::SocketAddr, path::Path, time::Duration};

use gatepost_process::telemetry::LogFormat;
use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer};

pub use self::{
    access::{ClientCertificates, Oidc, Quotas, Role, Tls},
    retention::Retention,
};

/// All settings of `gatepost serve`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// TLS of the gRPC port.
    pub tls: Tls,
    /// Administrators by the tokens of an identity provider.
    pub oidc: Oidc,
    /// How much each caller may ask for.
    pub quotas: Quotas,
    /// The record.
    pub database: Database,
    /// The master key of the enrolled faces.
    pub keys: Keys,
    /// The index over deadlines.
    pub timers: Timers,
    /// Cameras and workers.
    pub vision: Vision,
    /// The couriers' events.
    pub events: Events,
    /// How long what is personal is kept.
    pub retention: Retention,
    /// Reminders as signed webhooks.
    pub webhook: Webhook,
    /// Reminders by e-mail.
    pub smtp: Smtp,
    /// Logs and traces.
    pub telemetry: Telemetry,
}

/// Addresses.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// gRPC; port 0 takes a free one.
    pub grpc: SocketAddr,
    /// Prometheus metrics and liveness over HTTP.
    pub metrics: SocketAddr,
    /// Serve without TLS on an address that other machines reach.
    pub insecure: bool,
    /// Connections at once; whoever comes then is turned away. Each is an open file: less are taken where the system
    /// grants the process less.
    pub connections_max: usize,
    /// Calls and streams of one connection at once; what comes then waits at the caller.
    pub streams_max: u32,
    /// How long a connection may take to begin: its TLS handshake, and then the opening of HTTP/2.
    #[serde(with = "humantime_serde")]
    pub begin_within: Duration,
    /// How long a call may take to be answered, its request to arrive included, or a stream to begin.
    #[serde(with = "humantime_serde")]
    pub answer_within: Duration,
    /// How often a connection is asked whether it is there, and how long it may take to say so.
    #[serde(with = "humantime_serde")]
    pub keepalive: Duration,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            grpc: ([127, 0, 0, 1], 50051).into(),
            metrics: ([127, 0, 0, 1], 9464).into(),
            insecure: false,
            connections_max: 16_384,
            streams_max: 1_000,
            begin_within: Duration::from_secs(10),
            answer_within: Duration::from_secs(60),
            keepalive: Duration::from_secs(20),
        }
    }
}

/// SQLite by default, in the data folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `postgres://..` or `sqlite://..`; empty means `gatepost.db` in the data folder.
    #[serde(serialize_with = "expose")]
    pub url: SecretString,
    /// Connections at most.
    pub connections_max: u32,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: SecretString::default(), connections_max: 16 }
    }
}

impl Database {
    /// Whether it is the file in the data folder.
    pub fn is_embedded(&self) -> bool {
        use secrecy::ExposeSecret as _;
        self.url.expose_secret().is_empty()
    }

    /// The address to open.
    pub fn url_in(&self, data_dir: &Path) -> SecretString {
        if self.is_embedded() {
            format!("sqlite://{}", data_dir.join("gatepost.db").display()).into()
        } else {
            self.url.clone()
        }
    }
}

/// The master key, which wraps the keys that enrolled faces are sealed with. At most one of the three; by default it is
/// made on the first start and kept as `master.key` in the data folder. A key is `gpm_` and the base64 (the one for URLs,
/// without padding) of 32 random bytes. Where several are given, one a line, the first is in use, and the others open
/// what they once sealed. Replicas need the same ones.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// A file of keys, for example a mounted secret. It is read again whenever a key is missing.
    pub master_file: Option<std::path::PathBuf>,
    /// The keys themselves.
    #[serde(serialize_with = "expose")]
    pub master: SecretString,
    /// A program with arguments that keeps the key to itself, as a key management service does. It is run with one more
    /// argument, `wrap` or `unwrap`, reads base64 on its standard input and answers base64. At most 20 seconds.
    pub master_command: Vec<String>,
}

/// Where the index over deadlines lives.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timers {
    /// Embedded, or on Redis.
    pub kind: TimersKind,
    /// Addresses of Redis, `redis://..`; several for a cluster.
    #[serde(serialize_with = "expose_all")]
    pub redis_urls: Vec<SecretString>,
    /// Parts of the index, each in one slot of a cluster. Must be equal on every replica.
    pub shards: u16,
    /// How long a slot of the index in Redis is; best is what makes one hold 32 to 100 timers. May differ between
    /// replicas while it is changed.
    #[serde(with = "humantime_serde")]
    pub slot_width: Duration,
    /// Whether Redis's clock decides what is due, so that replicas with wrong clocks agree.
    pub server_time: bool,
    /// Timers fired in one transaction.
    pub batch: usize,
    /// Timers held in memory at most; what is due beyond that waits in the index.
    pub held_max: usize,
    /// How long a taken timer is kept from others.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// How often the rows are swept for deadlines that the index missed.
    #[serde(with = "humantime_serde")]
    pub sweep_every: Duration,
    /// How far overdue a deadline must be before the sweep takes it from the index.
    #[serde(with = "humantime_serde")]
    pub sweep_grace: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            kind: TimersKind::Embedded,
            redis_urls: Vec::new(),
            shards: 16,
            slot_width: Duration::from_secs(20),
            server_time: true,
            batch: 500,
            held_max: 50_000,
            lease: Duration::from_secs(5),
            sweep_every: Duration::from_secs(30),
            sweep_grace: Duration::from_secs(30),
        }
    }
}

/// The two implementations of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimersKind {
    /// In this process, made again from the rows at every start.
    Embedded,
    /// One Redis.
    Redis,
    /// A Redis Cluster.
    RedisCluster,
}

/// Frames, and how a face becomes a resident.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vision {
    /// Frames of one camera under way or waiting: the credit it starts with.
    pub frames_per_camera: usize,
    /// Older frames are dropped when their turn comes.
    #[serde(with = "humantime_serde")]
    pub frame_age_max: Duration,
    /// Lowest cosine similarity for KNOWN, whatever a community's recognition policy says; `None` leaves it to that.
    pub similarity_min: Option<f32>,
    /// Frames of one track that must agree; `None` takes the default of the matching policy.
    pub frames_agreeing: Option<u32>,
    /// How long a gate's display shows a reminder.
    #[serde(with = "humantime_serde")]
    pub show_for: Duration,
}

impl Default for Vision {
    fn default() -> Self {
        Self {
            frames_per_camera: 4,
            frame_age_max: Duration::from_secs(5),
            similarity_min: None,
            frames_agreeing: None,
            show_for: Duration::from_secs(5),
        }
    }
}

/// How long couriers' events are kept, and where they may be sent as webhooks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// Older events are deleted, acknowledged or not. Above the three days and a half that a webhook is tried.
    #[serde(with = "humantime_serde")]
    pub keep_for: Duration,
    /// Whether couriers may register `http://` endpoints.
    pub webhooks_over_http: bool,
    /// Whether endpoints may have addresses that only this network reaches: loopback, private, link-local.
    pub webhooks_to_private_addresses: bool,
    /// PEM file of certificate authorities that endpoints may use beside those this machine trusts.
    pub webhooks_ca: Option<std::path::PathBuf>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            keep_for: Duration::from_secs(30 * 24 * 3600),
            webhooks_over_http: false,
            webhooks_to_private_addresses: false,
            webhooks_ca: None,
        }
    }
}

/// Reminders to the residents' app: Standard Webhooks 1.0.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// Where to; empty for none.
    pub url: String,
    /// `whsec_` and a base64 key of 24 to 64 bytes.
    #[serde(serialize_with = "expose")]
    pub secret: SecretString,
}

/// Reminders by e-mail.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Smtp {
    /// `smtp://host:port`, `smtps://..`, with user and password if needed; empty for none.
    #[serde(serialize_with = "expose")]
    pub url: SecretString,
    /// The sender, for example `Lotus Garden <parcels@example.org>`.
    pub from: String,
}

/// Logs and traces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// An OTLP receiver over gRPC, such as `http://127.0.0.1:4317`; empty for none.
    pub otlp_endpoint: String,
    /// For people or for machines.
    pub log_format: LogFormat,
    /// Which log lines, such as `info,gatepost_server=debug`.
    pub log_filter: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: String::new(), log_format: LogFormat::Text, log_filter: "info,sqlx=warn".into() }
    }
}

/// Settings are layered over their own defaults, which passes through serialisation once, in this process only.
fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    use secrecy::ExposeSecret as _;
    serializer.serialize_str(secret.expose_secret())
}

fn expose_all<S: Serializer>(secrets: &[SecretString], serializer: S) -> Result<S::Ok, S::Error> {
    use secrecy::ExposeSecret as _;
    serializer.collect_seq(secrets.iter().map(|secret| secret.expose_secret()))
}

/// What is wrong with settings that read well each by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Plain text to the outside.
    #[error(
        "listen.grpc {0} is reachable from other machines without TLS: set tls.certificate and tls.key, or --insecure"
    )]
    Insecure(SocketAddr),
    /// Half a key pair.
    #[error("tls.certificate and tls.key belong together: set both or neither")]
    HalfTls,
    /// More than one master key.
    #[error("keys.master_file, keys.master and keys.master_command exclude each other: set one of them, or none")]
    SeveralMasters,
    /// Two servers' certificates.
    #[error(
        "--tls and --mtls serve with the development authority: use them without tls.certificate and tls.client_ca"
    )]
    TwiceTls,
    /// Tokens that are for nobody, or for no role.
    #[error("oidc.issuer needs {0}")]
    Oidc(&'static str),
    /// Clients verified by nobody.
    #[error("{0} needs {1}")]
    ClientTls(&'static str, &'static str),
    /// Redis without an address.
    #[error("timers.kind needs timers.redis_urls")]
    NoRedis,
    /// A number out of range.
    #[error("{0}")]
    Range(&'static str),
}

impl Config {
    /// Refuses what cannot work or should not be done unknowingly.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return Err(ConfigError::HalfTls);
        }
        self.tls.check()?;
        self.oidc.check()?;
        self.quotas.check()?;
        self.retention.check()?;
        let secured = self.tls.certificate.is_some() || self.tls.development;
        if !self.listen.grpc.ip().is_loopback() && !secured && !self.listen.insecure {
            return Err(ConfigError::Insecure(self.listen.grpc));
        }
        if !(1..=1_000_000).contains(&self.listen.connections_max) {
            return Err(ConfigError::Range("listen.connections_max must be 1 to 1000000"));
        }
        if !(1..=100_000).contains(&self.listen.streams_max) {
            return Err(ConfigError::Range("listen.streams_max must be 1 to 100000"));
        }
        let patience = Duration::from_millis(100)..=Duration::from_secs(600);
        let waits = [self.listen.begin_within, self.listen.answer_within, self.listen.keepalive];
        if !waits.iter().all(|wait| patience.contains(wait)) {
            return Err(ConfigError::Range(
                "listen.begin_within, listen.answer_within and listen.keepalive must be 100ms to 10m",
            ));
        }
        use secrecy::ExposeSecret as _;
        let masters = [
            self.keys.master_file.is_some(),
            !self.keys.master.expose_secret().is_empty(),
            !self.keys.master_command.is_empty(),
        ];
        if masters.iter().filter(|given| **given).count() > 1 {
            return Err(ConfigError::SeveralMasters);
        }
        if self.timers.kind != TimersKind::Embedded && self.timers.redis_urls.is_empty() {
            return Err(ConfigError::NoRedis);
        }
        if !(1..=4096).contains(&self.timers.shards) {
            return Err(ConfigError::Range("timers.shards must be 1 to 4096"));
        }
        if !(1..=500).contains(&self.timers.batch) {
            return Err(ConfigError::Range("timers.batch must be 1 to 500"));
        }
        if !(500..=10_000_000).contains(&self.timers.held_max) {
            return Err(ConfigError::Range("timers.held_max must be 500 to 10000000"));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(600)).contains(&self.timers.lease) {
            return Err(ConfigError::Range("timers.lease must be 1s to 10m"));
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(3600)).contains(&self.timers.slot_width) {
            return Err(ConfigError::Range("timers.slot_width must be 1ms to 1h"));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&self.timers.sweep_grace) {
            return Err(ConfigError::Range("timers.sweep_grace must be 1s to 1h"));
        }
        if !(Duration::from_secs(4 * 24 * 3600)..=Duration::from_secs(3650 * 24 * 3600)).contains(&self.events.keep_for)
        {
            return Err(ConfigError::Range("events.keep_for must be 4 to 3650 days"));
        }
        if !(1..=64).contains(&self.vision.frames_per_camera) {
            return Err(ConfigError::Range("vision.frames_per_camera must be 1 to 64"));
        }
        if self.vision.similarity_min.is_some_and(|least| !(0.2..=0.95).contains(&least)) {
            return Err(ConfigError::Range("vision.similarity_min must be 0.2 to 0.95"));
        }
        if self.vision.frames_agreeing.is_some_and(|frames| !(1..=30).contains(&frames)) {
            return Err(ConfigError::Range("vision.frames_agreeing must be 1 to 30"));
        }
        Ok(())
    }
}
