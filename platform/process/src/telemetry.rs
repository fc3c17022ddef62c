//! Logs, traces and metrics: readable logs always, traces over OTLP when an endpoint is set, metrics in a Prometheus
//! registry. What is logged where is the business of each crate; no name, phone, image or vector belongs in any of it.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter};
use prometheus::Registry;
use tokio::runtime::{Builder, Runtime};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

mod past;
pub mod propagation;
mod recorded;

pub use past::{PastWork, record_past};
pub use propagation::{extract, inject, span_parent, span_parent_from, traceparent};
pub use recorded::RecordedSpans;

/// How long the last spans may take to leave when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The registry of the first `init`, which later ones in the same process share.
static INSTALLED: OnceLock<Registry> = OnceLock::new();

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// What a process says about itself, and where to.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// `service.name` of every span and metric.
    pub service_name: String,
    /// Where spans go, such as `http://127.0.0.1:4317`; none keeps them in this process.
    pub otlp_endpoint: Option<String>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written, such as `info,gatepost_server=debug`.
    pub filter: String,
}

impl TelemetryConfig {
    /// Readable logs from `info` up, no OTLP.
    pub fn new(service_name: impl Into<String>) -> Self {
        TelemetryConfig {
            service_name: service_name.into(),
            otlp_endpoint: None,
            log_format: LogFormat::Text,
            filter: "info".to_owned(),
        }
    }
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter cannot be parsed.
    #[error("log filter is not valid")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The OTLP endpoint cannot be used.
    #[error("otlp endpoint cannot be used")]
    Otlp(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The metrics registry cannot be set up.
    #[error("metrics cannot be set up")]
    Metrics(#[from] opentelemetry_sdk::error::OTelSdkError),
    /// The thread that sends spans cannot start.
    #[error("exporter thread cannot start")]
    Thread(#[from] std::io::Error),
}

/// Keeps telemetry running; flushes what is left when it goes.
#[derive(Debug)]
#[must_use = "spans are lost when the guard is dropped early"]
pub struct TelemetryGuard {
    registry: Registry,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    tracing: SdkTracerProvider,
    metrics: SdkMeterProvider,
    exporting: Option<Runtime>,
}

/// Installs logs, traces, metrics and the W3C trace context for the whole process. A second call in one process,
/// as tests make them, changes nothing and returns a guard without effect that shares the first one's registry.
pub fn init(config: TelemetryConfig) -> Result<TelemetryGuard, TelemetryError> {
    init_with(config, None::<RecordedSpans>)
}

/// As [`init`], and gives every span to `exporter` as soon as it ends.
pub fn init_with(
    config: TelemetryConfig,
    exporter: Option<impl SpanExporter + 'static>,
) -> Result<TelemetryGuard, TelemetryError> {
    let filter = EnvFilter::try_new(&config.filter)?;
    if let Some(registry) = INSTALLED.get() {
        return Ok(TelemetryGuard { registry: registry.clone(), running: None });
    }
    let registry = Registry::new();
    let reader =
        opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build()?;
    let resource = Resource::builder().with_service_name(config.service_name.clone()).build();
    let metrics = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(reader).build();

    let mut tracing = SdkTracerProvider::builder().with_resource(resource);
    let mut exporting = None;
    if let Some(endpoint) = &config.otlp_endpoint {
        // A runtime of its own: the channel then works, and can be flushed, wherever the process's own runtime is.
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("otlp").enable_all().build()?;
        let _inside = runtime.enter();
        let otlp = OtlpExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(FLUSH_TIMEOUT).build()?;
        tracing = tracing.with_batch_exporter(otlp);
        drop(_inside);
        exporting = Some(runtime);
    }
    if let Some(exporter) = exporter {
        tracing = tracing.with_simple_exporter(exporter);
    }
    let running = Running { tracing: tracing.build(), metrics, exporting };

    if INSTALLED.set(registry.clone()).is_err() {
        return Ok(TelemetryGuard { registry: INSTALLED.get().unwrap_or(&registry).clone(), running: None });
    }
    install(&config, filter, &running);
    Ok(TelemetryGuard { registry, running: Some(running) })
}

fn install(config: &TelemetryConfig, filter: EnvFilter, running: &Running) {
    global::set_text_map_propagator(TraceContextPropagator::new());
    global::set_meter_provider(running.metrics.clone());
    global::set_tracer_provider(running.tracing.clone());
    let colours = std::io::stderr().is_terminal();
    let logs = match config.log_format {
        LogFormat::Text => fmt::layer().with_ansi(colours).with_writer(std::io::stderr).with_filter(filter).boxed(),
        LogFormat::Json => fmt::layer().json().with_writer(std::io::stderr).with_filter(filter).boxed(),
    };
    // The exporter speaks gRPC itself: its own transport must not make spans that it would then have to send.
    let ours = Targets::new().with_default(LevelFilter::INFO).with_targets(
        ["h2", "hyper", "hyper_util", "tonic", "tower", "opentelemetry"].map(|name| (name, LevelFilter::OFF)),
    );
    let traces = tracing_opentelemetry::layer()
        .with_tracer(running.tracing.tracer("gatepost"))
        .with_location(false)
        .with_threads(false)
        .with_filter(ours);
    if tracing_subscriber::registry().with(logs).with(traces).try_init().is_err() {
        // A test harness was faster. Metrics work all the same.
        tracing::debug!("another subscriber is installed, traces are not recorded");
    }
}

impl TelemetryGuard {
    /// Where the metrics are, for [`crate::metrics_http::serve`].
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Sends what is left, off the runtime's threads, and stops.
    pub async fn shutdown(mut self) {
        if let Some(running) = self.running.take() {
            let _ = tokio::task::spawn_blocking(move || running.stop()).await;
        }
    }
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // A thread of its own, because stopping a runtime inside another one is not allowed.
            let _ = thread::spawn(move || running.stop()).join();
        }
    }
}

impl Running {
    fn stop(self) {
        let traces = self.tracing.shutdown_with_timeout(FLUSH_TIMEOUT);
        let metrics = self.metrics.shutdown();
        if let Err(error) = traces.and(metrics) {
            tracing::warn!(%error, "telemetry not flushed");
        }
        if let Some(runtime) = self.exporting {
            runtime.shutdown_background();
        }
    }
}
