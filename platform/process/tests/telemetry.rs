//! Telemetry as a whole process has it: one test, because it is installed once in a process.
#![expect(clippy::unwrap_used, reason = "the collector's set-up is test code outside a test function")]

use std::collections::HashMap;
use std::time::Duration;

use gatepost_process::telemetry::{
    self, RecordedSpans, TelemetryConfig, inject, span_parent, span_parent_from, traceparent,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// An OTLP collector that passes on what it gets.
struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).map_err(|_| Status::unavailable("test is over"))?;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Starts a collector on a free port; its endpoint, and what it receives.
async fn collector() -> (String, mpsc::UnboundedReceiver<ExportTraceServiceRequest>) {
    let (sender, received) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (endpoint, received)
}

/// A caller, a callee on the other side of a gRPC call, and work that was saved and taken up later.
fn one_journey() {
    let mut metadata = MetadataMap::new();
    let mut saved = None;
    tracing::info_span!("caller").in_scope(|| inject(&mut metadata));
    let callee = tracing::info_span!("callee");
    span_parent_from(&callee, &metadata);
    callee.in_scope(|| saved = traceparent());
    let later = tracing::info_span!("later");
    span_parent(&later, &saved.expect("a recorded span has a traceparent"));
    later.in_scope(|| tracing::info!("took up saved work"));

    let stranger = tracing::info_span!("stranger");
    span_parent_from(&stranger, &MetadataMap::new());
    span_parent(&stranger, "not a traceparent");
    stranger.in_scope(|| ());
}

// On the single-threaded runtime, where a flush that waits on the runtime's own thread would never end.
#[tokio::test]
async fn one_trace_spans_a_call_and_saved_work() {
    assert_eq!(traceparent(), None);
    let (endpoint, mut received) = collector().await;
    let spans = RecordedSpans::new();
    let config = TelemetryConfig { otlp_endpoint: Some(endpoint), ..TelemetryConfig::new("telemetry-test") };
    let guard = telemetry::init_with(config.clone(), Some(spans.clone())).unwrap();
    let second = telemetry::init(config).unwrap();

    one_journey();
    let counter = opentelemetry::global::meter("test").u64_counter("gatepost.frames").build();
    counter.add(2, &[]);
    let families = second.registry().gather();
    assert!(families.iter().any(|family| family.name() == "gatepost_frames_total"), "{families:?}");
    drop(second);

    let recorded: HashMap<_, _> = spans.all().into_iter().map(|span| (span.name.to_string(), span)).collect();
    let trace = recorded["caller"].span_context.trace_id();
    assert_eq!(recorded["callee"].span_context.trace_id(), trace);
    assert_eq!(recorded["callee"].parent_span_id, recorded["caller"].span_context.span_id());
    assert_eq!(recorded["later"].span_context.trace_id(), trace);
    assert_eq!(recorded["later"].parent_span_id, recorded["callee"].span_context.span_id());
    assert_ne!(recorded["stranger"].span_context.trace_id(), trace);

    guard.shutdown().await;
    let mut names = Vec::new();
    while names.len() < 4 {
        let batch = tokio::time::timeout(Duration::from_secs(30), received.recv()).await.unwrap().unwrap();
        let scopes = batch.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        names.extend(scopes.flat_map(|scope| scope.spans).map(|span| span.name));
    }
    names.sort();
    assert_eq!(names, ["callee", "caller", "later", "stranger"]);
}

#[test]
fn a_bad_filter_is_refused() {
    let config = TelemetryConfig { filter: "gatepost=loud".to_owned(), ..TelemetryConfig::new("telemetry-test") };
    assert!(telemetry::init(config).is_err());
}
