//! `gatepost`: serves, migrates, or administers. Nothing is decided here.

use std::{
    alloc::System,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use gatepost_domain::{
    id::{CommunityId, CourierId, GateId},
    principal::Principal,
};
use gatepost_process::{
    clock::{Clock as _, SystemClock},
    config::load,
    metrics_http,
    shutdown::Shutdown,
    telemetry::{self, TelemetryConfig},
};
use gatepost_server::{
    Rotation, admin,
    config::{ClientCertificates, Config},
    failpoint, private_file,
    tls::development::{self, Subject},
    wiring,
};
use zeroizing_alloc::ZeroAlloc;

/// Memory that is given back is cleared first: pictures, faces and names go through buffers of libraries that know nothing
/// of what is in them. `tests/journeys/traces.rs` looks whether it is so.
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

/// What streams and calls may take to end after the first signal.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Parcel lockers whose parcels are collected in time.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the platform. Without settings: SQLite and embedded timers in ./gatepost-data, on 127.0.0.1.
    Serve(ServeArgs),
    /// Brings the database's schema up to date and ends.
    Migrate(SettingsArgs),
    /// Issues a key straight into the database and prints it, for when no administrator's key is at hand.
    IssueKey(IssueKeyArgs),
    /// Makes new keys for the enrolled faces while the platform goes on, and seals anew what needs it.
    RotateKeys(RotateKeysArgs),
    /// Checks beside the database that nobody changed the ledgers of consent, and prints each one's newest hash.
    VerifyLedger(VerifyLedgerArgs),
    /// Verifies a certificate of erasure, without the platform and its database, and prints it.
    VerifyCertificate(VerifyCertificateArgs),
    /// Prints the public keys that certificates of erasure were signed with, for publishing them.
    SigningKeys(SettingsArgs),
    /// Issues a client certificate from the data folder's development authority, for trying `serve --tls` and `--mtls`.
    IssueCertificate(IssueCertificateArgs),
    /// The property's staff: communities, residents, couriers and keys.
    Admin(Box<admin::AdminArgs>),
}

#[derive(Args)]
struct SettingsArgs {
    /// A TOML file of settings; `GATEPOST_SECTION__KEY` in the environment decides over it.
    #[arg(long, env = "GATEPOST_CONFIG")]
    config: Option<PathBuf>,
    /// Where the database and the first keys are.
    #[arg(long, env = "GATEPOST_DATA_DIR", default_value = "gatepost-data")]
    data_dir: PathBuf,
}

#[derive(Args)]
struct IssueKeyArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Whose key.
    #[arg(value_enum)]
    bearer: Bearer,
}

#[derive(Args)]
struct RotateKeysArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    rotation: RotationArgs,
}

#[derive(Subcommand)]
enum RotationArgs {
    /// Wraps every community's key with the master key in use; makes a new one first where it is master.key in the
    /// data folder. Where the master key is given by settings, put the new one first there, then run this, then take the
    /// old one away.
    Master,
    /// Gives one community and its residents new keys.
    Community {
        /// The community's id.
        id: CommunityId,
    },
    /// Gives every community and its residents new keys.
    Communities,
}

#[derive(Args)]
struct VerifyLedgerArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Only this community's.
    #[arg(long)]
    community: Option<CommunityId>,
    /// The newest hash of an earlier check, which must still be there.
    #[arg(long, value_name = "HASH", requires = "community")]
    noted: Option<String>,
    /// Check the record of looks at what is personal instead.
    #[arg(long, conflicts_with = "noted")]
    looks: bool,
}

#[derive(Args)]
struct VerifyCertificateArgs {
    /// The certificate, as `gatepost admin resident erase` wrote it.
    file: PathBuf,
    /// The public key that must have signed it, as `gatepost signing-keys` prints it and the property publishes it.
    #[arg(long, value_name = "BASE64")]
    public_key: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Bearer {
    Administrator,
    Worker,
}

#[derive(Args)]
struct IssueCertificateArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// How long it holds.
    #[arg(long, global = true, value_name = "TIME", default_value = "90d", value_parser = humantime::parse_duration)]
    holds: Duration,
    /// The folder to write it and its key to.
    #[arg(long, global = true, value_name = "FOLDER", default_value = ".")]
    output: PathBuf,
    #[command(subcommand)]
    subject: SubjectArgs,
}

#[derive(Subcommand)]
enum SubjectArgs {
    /// For a courier's backend.
    Courier {
        /// The courier's id.
        id: CourierId,
    },
    /// For a camera at a gate.
    Gate {
        /// The gate's community.
        community: CommunityId,
        /// The gate's id.
        gate: GateId,
    },
    /// For a vision worker.
    Worker,
    /// For the property's admin tooling, which needs a key beside it.
    Administrator,
}

#[derive(Args)]
struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Where gRPC listens; decides over listen.grpc.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where metrics are served over HTTP; decides over listen.metrics.
    #[arg(long)]
    metrics: Option<SocketAddr>,
    /// Serve without TLS where other machines can reach it.
    #[arg(long)]
    insecure: bool,
    /// Serve with TLS from the data folder's development authority.
    #[arg(long)]
    tls: bool,
    /// As --tls, and take nobody without a client certificate of that authority.
    #[arg(long)]
    mtls: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve(args).await,
        Command::Migrate(args) => migrate(args).await,
        Command::IssueKey(args) => issue_key(args).await,
        Command::RotateKeys(args) => rotate_keys(args).await,
        Command::VerifyLedger(args) => verify_ledger(args).await,
        Command::VerifyCertificate(args) => verify_certificate(&args),
        Command::SigningKeys(args) => signing_keys(args).await,
        Command::IssueCertificate(args) => issue_certificate(args),
        Command::Admin(args) => admin::run(*args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn settings(args: &SettingsArgs) -> anyhow::Result<Config> {
    // Keys and personal data: for this account only.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&args.data_dir)?;
    Ok(load(args.config.as_deref(), "GATEPOST")?)
}

async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    failpoint::set_up();
    let mut config = settings(&args.settings)?;
    config.listen.grpc = args.listen.unwrap_or(config.listen.grpc);
    config.listen.metrics = args.metrics.unwrap_or(config.listen.metrics);
    config.listen.insecure |= args.insecure;
    config.tls.development |= args.tls | args.mtls;
    if args.mtls {
        config.tls.client_certificates = ClientCertificates::Required;
    }
    let guard = telemetry::init(TelemetryConfig {
        otlp_endpoint: Some(config.telemetry.otlp_endpoint.clone()).filter(|endpoint| !endpoint.is_empty()),
        log_format: config.telemetry.log_format,
        filter: config.telemetry.log_filter.clone(),
        ..TelemetryConfig::new("gatepost")
    })?;
    let shutdown = Shutdown::new();
    shutdown.listen_to_signals()?;
    let outcome = run(config, &args.settings.data_dir, &shutdown, &guard).await;
    // Whatever happened, the last spans leave.
    guard.shutdown().await;
    outcome
}

async fn run(
    config: Config,
    data_dir: &Path,
    shutdown: &Shutdown,
    guard: &telemetry::TelemetryGuard,
) -> anyhow::Result<()> {
    let (address, metrics) = metrics_http::serve(config.listen.metrics, guard.registry(), shutdown.draining()).await?;
    shutdown.spawn("metrics", metrics);
    tracing::info!("metrics on http://{address}/metrics");
    gatepost_server::run(config, data_dir, failpoint::clock(), shutdown).await?;
    shutdown.clone().finished(DRAIN_TIMEOUT).await
}

async fn migrate(args: SettingsArgs) -> anyhow::Result<()> {
    let config = settings(&args)?;
    wiring::store(&config, &args.data_dir).await?;
    println!("the schema is up to date");
    Ok(())
}

async fn issue_key(args: IssueKeyArgs) -> anyhow::Result<()> {
    let config = settings(&args.settings)?;
    let store = wiring::store(&config, &args.settings.data_dir).await?;
    let principal = match args.bearer {
        Bearer::Administrator => Principal::ADMINISTRATOR,
        Bearer::Worker => Principal::Worker,
    };
    println!("{}", gatepost_server::issue_key(&store, principal, SystemClock.now()).await?);
    Ok(())
}

async fn rotate_keys(args: RotateKeysArgs) -> anyhow::Result<()> {
    let config = settings(&args.settings)?;
    let rotation = match args.rotation {
        RotationArgs::Master => Rotation::Master,
        RotationArgs::Community { id } => Rotation::Community(id),
        RotationArgs::Communities => Rotation::Communities,
    };
    let now = SystemClock.now();
    println!("{}", gatepost_server::rotate_keys(&config, &args.settings.data_dir, &rotation, now).await?);
    Ok(())
}

async fn verify_ledger(args: VerifyLedgerArgs) -> anyhow::Result<()> {
    let config = settings(&args.settings)?;
    if args.looks {
        println!("{}", gatepost_server::verify_looks(&config, &args.settings.data_dir, args.community).await?);
        return Ok(());
    }
    let noted = args.noted.as_deref();
    println!("{}", gatepost_server::verify_ledger(&config, &args.settings.data_dir, args.community, noted).await?);
    Ok(())
}

fn verify_certificate(args: &VerifyCertificateArgs) -> anyhow::Result<()> {
    let file = std::fs::read_to_string(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    println!("{}", gatepost_server::verify_certificate(&file, args.public_key.as_deref())?);
    Ok(())
}

async fn signing_keys(args: SettingsArgs) -> anyhow::Result<()> {
    let config = settings(&args)?;
    println!("{}", gatepost_server::signing_keys(&config, &args.data_dir).await?);
    Ok(())
}

fn issue_certificate(args: IssueCertificateArgs) -> anyhow::Result<()> {
    let config = settings(&args.settings)?;
    let subject = match args.subject {
        SubjectArgs::Courier { id } => Subject::Courier(id),
        SubjectArgs::Gate { community, gate } => Subject::Gate(community, gate),
        SubjectArgs::Worker => Subject::Worker,
        SubjectArgs::Administrator => Subject::Administrator,
    };
    let (now, holds) = (SystemClock.now(), args.holds.try_into()?);
    let (certificate, key) =
        development::issue_client(&args.settings.data_dir, &config.tls.trust_domain, &subject, now, holds)?;
    let stem = subject.to_string().replace('/', "-");
    for (kind, text) in [("key", key), ("pem", certificate)] {
        let path = args.output.join(format!("{stem}.{kind}"));
        private_file::write_new(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
