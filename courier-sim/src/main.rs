//! The command line of courier-sim: each actor by itself, or the whole demonstration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use courier_sim::camera::{self, Camera, Walk};
use courier_sim::client::{Key, Platform};
use courier_sim::demo::{self, DemoConfig};
use courier_sim::journal::Journal;
use courier_sim::scene::{self, Passage};
use courier_sim::server::{Consignment, CourierServer, Routes, ServerConfig};
use courier_sim::terminal::{self, TerminalConfig};
use courier_sim::webhooks::{self, WebhooksConfig};
use gatepost_process::client_tls::ClientTls;
use gatepost_process::clock::SystemClock;
use gatepost_process::shutdown::Shutdown;
use gatepost_process::telemetry::{self, TelemetryConfig};
use jiff::SignedDuration;

const END_BOUND: std::time::Duration = std::time::Duration::from_secs(10);
/// No walk through a gate is waited for longer than this; a camera may well run for months.
const WALK_BOUND: SignedDuration = SignedDuration::from_hours(24 * 365);

#[derive(Parser)]
#[command(name = "courier-sim", version, about = "A courier's world around Gatepost, speaking only its public gRPC")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Which log lines are written to standard error, such as `info,h2=off`.
    #[arg(long, global = true, env = "COURIER_SIM_LOG")]
    log: Option<String>,
    /// Where traces go over OTLP.
    #[arg(long, global = true, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// A courier company's server: brings parcels, follows its events, instructs its terminals.
    Server(ServerArgs),
    /// A courier's handheld: takes instructions and reports how they went.
    Terminal(TerminalArgs),
    /// A courier's web server: takes its events as signed webhooks and prints them. For a platform on this machine,
    /// which has to be started with GATEPOST_EVENTS__WEBHOOKS_OVER_HTTP and _TO_PRIVATE_ADDRESSES set to true.
    Webhooks(WebhooksArgs),
    /// A gate camera: streams JPEG files or a video, and prints what the display shows.
    Camera(CameraArgs),
    /// Makes the frames of somebody who passes a gate out of a photograph, for `camera --folder`.
    Compose(ComposeArgs),
    /// Plays the parcel's journey against a running platform and worker, and says which claims it showed.
    Demo(DemoArgs),
}

#[derive(Args)]
struct ServerArgs {
    /// The platform.
    #[arg(long, default_value = "http://127.0.0.1:50051")]
    platform: String,
    /// A file with the courier's key; not needed with a courier's certificate.
    #[arg(long)]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    tls: ClientTls,
    /// Where terminals connect. Their service has no keys: leave it on this machine or inside your own network.
    #[arg(long, default_value = "127.0.0.1:50061")]
    listen: SocketAddr,
    /// The terminal for every building without a route.
    #[arg(long, default_value = "terminal-1")]
    terminal: String,
    /// A building and its terminal, such as `2号楼=terminal-2`; may be repeated.
    #[arg(long = "route", value_parser = route)]
    routes: Vec<(String, String)>,
    /// Keeps what is under way over a restart.
    #[arg(long)]
    state_file: Option<PathBuf>,
    /// Announces and deposits the parcels of this file first, one JSON object a line.
    #[arg(long, requires = "community")]
    parcels: Option<PathBuf>,
    /// The community of those parcels.
    #[arg(long)]
    community: Option<String>,
}

#[derive(Args)]
struct TerminalArgs {
    /// The courier's server.
    #[arg(long, default_value = "http://127.0.0.1:50061")]
    server: String,
    /// Which terminal this is.
    #[arg(long, default_value = "terminal-1")]
    id: String,
    /// How long the way to the locker takes.
    #[arg(long, default_value = "5s", value_parser = span)]
    to_locker: SignedDuration,
    /// How long the way to the door takes.
    #[arg(long, default_value = "5s", value_parser = span)]
    to_door: SignedDuration,
    /// Nobody takes the parcels at the door.
    #[arg(long)]
    nobody_home: bool,
}

#[derive(Args)]
struct WebhooksArgs {
    /// The platform.
    #[arg(long, default_value = "http://127.0.0.1:50051")]
    platform: String,
    /// A file with the courier's key; not needed with a courier's certificate.
    #[arg(long)]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    tls: ClientTls,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:50071")]
    listen: SocketAddr,
    /// How the platform reaches it; ends in /events. The address it listens on when left out.
    #[arg(long)]
    url: Option<String>,
}

#[derive(Args)]
struct CameraArgs {
    /// The platform.
    #[arg(long, default_value = "http://127.0.0.1:50051")]
    platform: String,
    /// A file with the camera's key, which names the gate; not needed with a gate's certificate.
    #[arg(long)]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    tls: ClientTls,
    #[command(flatten)]
    source: Source,
    /// Frames a second from a folder; a video comes at its own pace.
    #[arg(long, default_value_t = 4.0, value_parser = fps)]
    fps: f64,
    /// Begins the folder anew when it ends.
    #[arg(long = "loop", conflicts_with = "video")]
    again: bool,
    /// Ends after so many frames sent.
    #[arg(long)]
    frames: Option<usize>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A folder of .jpg files, sent in the order of their names.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// A file of concatenated JPEGs, `-` for standard input:
    /// `ffmpeg -re -i gate.mp4 -vf fps=4 -q:v 4 -f mjpeg - | courier-sim camera --video - ...`
    #[arg(long)]
    video: Option<PathBuf>,
}

#[derive(Args)]
struct ComposeArgs {
    /// A .jpg or .png with one person.
    #[arg(long)]
    photograph: PathBuf,
    /// The folder to write the frames to.
    #[arg(long)]
    into: PathBuf,
    /// How many frames.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000))]
    frames: u16,
    /// Decides the grain of the frames.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Left and right exchanged.
    #[arg(long)]
    mirrored: bool,
}

#[derive(Args)]
struct DemoArgs {
    /// The platform.
    #[arg(long, default_value = "http://127.0.0.1:50051")]
    platform: String,
    /// A file with an administrator's key.
    #[arg(long)]
    admin_key_file: PathBuf,
    #[command(flatten)]
    tls: ClientTls,
    /// The folder of photographs that courier-sim/photographs/fetch prints.
    #[arg(long)]
    photographs: PathBuf,
    /// The community to create; it must not exist yet.
    #[arg(long, default_value = "lotus-garden")]
    community: String,
    /// T1. A slow machine needs more.
    #[arg(long, default_value = "4s", value_parser = span)]
    remind_after: SignedDuration,
    /// T2.
    #[arg(long, default_value = "20s", value_parser = span)]
    recall_after: SignedDuration,
    /// Where the residents' app listens for the platform's webhooks: the platform's webhook.url is
    /// http://ADDRESS/reminders.
    #[arg(long)]
    app_listen: SocketAddr,
    /// The platform's webhook.secret.
    #[arg(long, env = "GATEPOST_WEBHOOK_SECRET", hide_env_values = true)]
    app_secret: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut config = TelemetryConfig::new("courier-sim");
    // The demonstration tells its story itself.
    let quiet = matches!(cli.command, Command::Demo(_));
    config.filter = cli.log.unwrap_or_else(|| if quiet { "warn" } else { "info" }.to_owned());
    config.otlp_endpoint = cli.otlp_endpoint;
    let telemetry = match telemetry::init(config) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = match cli.command {
        Command::Server(args) => server(args).await,
        Command::Terminal(args) => terminal(args).await,
        Command::Webhooks(args) => webhooks(args).await,
        Command::Camera(args) => camera(args).await,
        Command::Compose(args) => compose(&args),
        Command::Demo(args) => demo(args).await,
    };
    telemetry.shutdown().await;
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn server(args: ServerArgs) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::new();
    shutdown.listen_to_signals()?;
    let config = ServerConfig {
        platform: Platform::at(&args.platform, &args.tls)?,
        key: Key::read_or_none(args.key_file.as_deref(), &args.tls)?,
        listen: args.listen,
        routes: Routes { by_building: args.routes.into_iter().collect(), otherwise: args.terminal },
        state_file: args.state_file,
        clock: SystemClock::shared(),
    };
    let server = CourierServer::start(config, &shutdown).await?;
    println!("terminals connect to http://{}", server.address());
    if let (Some(parcels), Some(community)) = (args.parcels, args.community) {
        bring(&server, &parcels, &community).await?;
    }
    shutdown.finished(END_BOUND).await?;
    Ok(ExitCode::SUCCESS)
}

/// Announces and deposits what a file lists, one parcel after the other.
async fn bring(server: &CourierServer, file: &std::path::Path, community: &str) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let counter = server.counter();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = || format!("{} line {}", file.display(), number + 1);
        let consignment: Consignment = serde_json::from_str(line).with_context(place)?;
        let tracking_number = consignment.tracking_number.clone();
        let answer = counter.announce(community, consignment).await.with_context(place)?;
        let parcel = answer.parcel.context("the platform's answer has no parcel")?;
        match counter.deposit(&parcel).await {
            Ok(parcel) => {
                let deposit = parcel.deposit.unwrap_or_default();
                println!("{tracking_number} {} {}/{}", parcel.id, deposit.locker_id, deposit.compartment_id);
            }
            // A parcel for the door, or for nobody known, is no reason to stop.
            Err(error) => println!("{tracking_number} {} {error:#}", parcel.id),
        }
    }
    Ok(())
}

async fn terminal(args: TerminalArgs) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::new();
    shutdown.listen_to_signals()?;
    let clock = SystemClock::shared();
    let config = TerminalConfig {
        server: args.server,
        terminal_id: args.id,
        to_locker: args.to_locker,
        to_door: args.to_door,
        nobody_home: args.nobody_home,
        clock: clock.clone(),
    };
    shutdown.spawn("terminal", terminal::run(config, Journal::new(clock), shutdown.draining()));
    shutdown.finished(END_BOUND).await?;
    Ok(ExitCode::SUCCESS)
}

async fn webhooks(args: WebhooksArgs) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::new();
    shutdown.listen_to_signals()?;
    let config = WebhooksConfig {
        platform: Platform::at(&args.platform, &args.tls)?,
        key: Key::read_or_none(args.key_file.as_deref(), &args.tls)?,
        listen: args.listen,
        url: args.url,
    };
    webhooks::run(config, &shutdown).await?;
    shutdown.finished(END_BOUND).await?;
    Ok(ExitCode::SUCCESS)
}

async fn camera(args: CameraArgs) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::new();
    shutdown.listen_to_signals()?;
    let frames = match (args.source.folder, args.source.video) {
        (Some(folder), None) => camera::paced_files(camera::folder(&folder)?, args.fps, args.again),
        (None, Some(file)) => {
            // Linux and macOS both name standard input.
            let file = if file.as_os_str() == "-" { PathBuf::from("/dev/stdin") } else { file };
            let opened = tokio::fs::File::open(&file).await;
            camera::video(opened.with_context(|| format!("cannot read {}", file.display()))?)
        }
        (Some(_), Some(_)) | (None, None) => bail!("either --folder or --video"),
    };
    let platform = Platform::at(&args.platform, &args.tls)?;
    let key = Key::read_or_none(args.key_file.as_deref(), &args.tls)?;
    let (camera, task) = Camera::start(platform, key, SystemClock::shared(), shutdown.draining());
    shutdown.spawn("camera", task);
    let stop = shutdown.draining();
    tokio::select! {
        report = camera.walk(Walk { frames, enough: args.frames }, WALK_BOUND) => {
            let report = report?;
            println!("{} frames sent, {} left out, {} refused", report.sent, report.left_out, report.refused.len());
        }
        () = stop.cancelled() => {}
    }
    shutdown.drain();
    shutdown.finished(END_BOUND).await?;
    Ok(ExitCode::SUCCESS)
}

fn compose(args: &ComposeArgs) -> anyhow::Result<ExitCode> {
    let passage =
        Passage { seed: args.seed, frames: usize::from(args.frames), mirrored: args.mirrored, ..Passage::default() };
    std::fs::create_dir_all(&args.into).with_context(|| format!("cannot make {}", args.into.display()))?;
    for (number, frame) in scene::pass(&args.photograph, &passage)?.iter().enumerate() {
        let file = args.into.join(format!("{number:04}.jpg"));
        std::fs::write(&file, frame).with_context(|| format!("cannot write {}", file.display()))?;
    }
    println!("{} frames in {}", args.frames, args.into.display());
    Ok(ExitCode::SUCCESS)
}

async fn demo(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let claims = demo::run(DemoConfig {
        platform: args.platform,
        admin_key_file: args.admin_key_file,
        tls: args.tls,
        photographs: args.photographs,
        community: args.community,
        remind_after: args.remind_after,
        recall_after: args.recall_after,
        app_listen: args.app_listen,
        app_secret: args.app_secret,
        clock: SystemClock::shared(),
    })
    .await?;
    for line in claims.lines() {
        println!("{line}");
    }
    Ok(if claims.all_hold() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn route(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((building, terminal)) if !building.is_empty() && !terminal.is_empty() => {
            Ok((building.to_owned(), terminal.to_owned()))
        }
        Some(_) | None => Err("expected BUILDING=TERMINAL".to_owned()),
    }
}

fn span(text: &str) -> Result<SignedDuration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    SignedDuration::try_from(span).map_err(|error| error.to_string())
}

fn fps(text: &str) -> Result<f64, String> {
    let fps: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if (0.01..=100.0).contains(&fps) { Ok(fps) } else { Err("expected 0.01 to 100 frames a second".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        assert!(route("2号楼=terminal-2").is_ok());
        assert!(route("2号楼").is_err());
        assert_eq!(span("20s"), Ok(SignedDuration::from_secs(20)));
        assert!(fps("0").is_err() && fps("NaN").is_err());
    }
}
