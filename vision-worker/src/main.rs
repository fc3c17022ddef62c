//! The `gatepost-vision` command line: reads the arguments and hands over.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use gatepost_process::client_tls::ClientTls;
use gatepost_process::config::SecretString;
use gatepost_process::metrics_http;
use gatepost_process::shutdown::Shutdown;
use gatepost_process::telemetry::{self, TelemetryConfig};
use gatepost_vision::cli::{
    self, AnnotateArguments, BenchArguments, Decoding, DeviceChoice, EvaluateArguments, EvaluateLivenessArguments,
    ModelsCommand,
};
use gatepost_vision::model::card;
use gatepost_vision::{Config, session};

/// How long the frames in hand may take once we were asked to leave.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Finds the faces of camera frames for a Gatepost platform.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Works for a platform, or for several, until it gets SIGTERM or SIGINT.
    Run(RunArguments),
    /// Imports or checks a model folder.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Prints the faces of JPEG files, for trying a camera or a photograph.
    Embed {
        /// The model folder [default: $GATEPOST_MODEL_DIR or ~/.cache/gatepost/models/yunet-sface].
        #[arg(long)]
        models: Option<PathBuf>,
        /// Where the networks run.
        #[arg(long, value_enum, default_value = "cpu")]
        device: DeviceChoice,
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Measures how right the whole pipeline is on labelled photographs.
    Evaluate(EvaluateArguments),
    /// Measures how often living people and pictures of them are taken for each other (ISO/IEC 30107-3).
    EvaluateLiveness(EvaluateLivenessArguments),
    /// Measures how fast this machine is, step by step and on whole frames.
    Bench(BenchArguments),
    /// Draws bounds, landmarks and scores onto a picture, or onto the pictures of a folder.
    Annotate(AnnotateArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Where the platform listens; several, or all replicas of one, with commas between them.
    #[arg(
        long = "platform",
        value_name = "URL",
        env = "GATEPOST_PLATFORM",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:50051"
    )]
    platforms: Vec<String>,
    /// A name and a port, such as that of a headless service, whose addresses are the platform's replicas: the worker
    /// works for each of them, 16 at most, under the one address of --platform.
    #[arg(long, value_name = "NAME:PORT", env = "GATEPOST_REPLICAS")]
    replicas: Option<String>,
    #[command(flatten)]
    tls: ClientTls,
    #[command(flatten)]
    key: KeyArguments,
    /// The model folder [default: $GATEPOST_MODEL_DIR or ~/.cache/gatepost/models/yunet-sface].
    #[arg(long)]
    models: Option<PathBuf>,
    /// Where the networks run.
    #[arg(long, env = "GATEPOST_DEVICE", value_enum, default_value = "cpu")]
    device: DeviceChoice,
    /// Who decodes frames.
    #[arg(long, env = "GATEPOST_DECODING", value_enum, default_value = "cpu")]
    decoding: Decoding,
    /// Frames of each platform held at once, 1 to 256 [default: 4 on the CPU, 256 on a GPU].
    #[arg(long, env = "GATEPOST_CAPACITY")]
    capacity: Option<u16>,
    /// How the platform's logs call this worker.
    #[arg(long, env = "HOSTNAME", default_value = "vision-worker")]
    name: String,
    /// Where to serve /metrics and /healthz, such as 127.0.0.1:9465; nowhere if not given.
    #[arg(long, env = "GATEPOST_METRICS_ADDRESS")]
    metrics_address: Option<SocketAddr>,
    /// Where spans are sent by OTLP over gRPC.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
    /// Which log lines, such as `info,gatepost_vision=debug`.
    #[arg(long, env = "GATEPOST_LOG_FILTER", default_value = "info")]
    log_filter: String,
}

#[derive(Debug, Args)]
#[group(required = false, multiple = false)]
struct KeyArguments {
    /// The file that holds the worker's key.
    #[arg(long, env = "GATEPOST_WORKER_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// The worker's key itself.
    #[arg(long, env = "GATEPOST_WORKER_KEY", hide_env_values = true)]
    key: Option<SecretString>,
}

impl KeyArguments {
    /// The key; none when a certificate is shown in its place.
    fn read(self, tls: &ClientTls) -> anyhow::Result<Option<SecretString>> {
        match (self.key, self.key_file) {
            (Some(key), _) => Ok(Some(key)),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                Ok(Some(text.trim().to_owned().into()))
            }
            (None, None) if tls.certificate.is_some() => Ok(None),
            (None, None) => anyhow::bail!("give --key-file, --key, or a worker's --certificate"),
        }
    }
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run(arguments) => run(arguments),
        Command::Models(command) => cli::models(command),
        Command::Embed { models, device, files } => {
            cli::embed(&models.unwrap_or_else(card::default_folder), device, &files)
        }
        Command::Evaluate(arguments) => cli::evaluate(arguments),
        Command::EvaluateLiveness(arguments) => cli::evaluate_liveness(arguments),
        Command::Bench(arguments) => cli::bench(arguments),
        Command::Annotate(arguments) => cli::annotate(arguments),
    }
}

#[tokio::main]
async fn run(arguments: RunArguments) -> anyhow::Result<()> {
    let mut telemetry = TelemetryConfig::new("gatepost-vision");
    telemetry.otlp_endpoint = arguments.otlp_endpoint;
    telemetry.filter = arguments.log_filter;
    let telemetry = telemetry::init(telemetry)?;
    let shutdown = Shutdown::new();
    shutdown.listen_to_signals()?;
    if let Some(address) = arguments.metrics_address {
        let (bound, server) =
            metrics_http::serve(address, telemetry.registry(), shutdown.draining()).await.context("metrics")?;
        tracing::info!(%bound, "metrics served");
        shutdown.spawn("metrics", server);
    }
    let config = Config {
        platforms: arguments.platforms,
        replicas: arguments.replicas,
        key: arguments.key.read(&arguments.tls)?,
        tls: arguments.tls,
        models: arguments.models.unwrap_or_else(card::default_folder),
        device: arguments.device,
        decoding: arguments.decoding,
        capacity: arguments.capacity.unwrap_or(arguments.device.capacity()),
        name: arguments.name,
    };
    let session = shutdown.clone();
    shutdown.spawn("session", async move {
        let outcome = session::run(config, &session).await;
        session.drain();
        Ok(outcome?)
    });
    shutdown.finished(DRAIN_TIMEOUT).await
}
