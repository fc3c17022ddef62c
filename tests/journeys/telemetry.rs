//! What operators see of a journey: one trace through every program, metrics, liveness and health.

use gatepost_proto::v1::gate_service_server::GateServiceServer;
use gatepost_tests::{
    clients::{Label, Light, WEBHOOK_SECRET, WebhookReceiver, passage, photograph},
    collector::{Collector, Recorded},
    live::{Live, quick_policy},
    world::soon,
};
use tonic::{Request, server::NamedService as _};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient},
};

/// Chosen by the courier's backend: the trace it was in when it announced the parcel.
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN_ID: &str = "00f067aa0ba902b7";
const HOUR: i64 = 3_600_000;
/// Spans leave soon after they end.
const PROMPTLY: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn in_trace(recorded: &Recorded, name: &str) -> bool {
    recorded.span.name == name && hex(&recorded.span.trace_id) == TRACE_ID
}

#[tokio::test]
async fn one_trace_tells_the_journey_from_the_announcement_to_the_notice() {
    let (collector, receiver) = (Collector::start().await, WebhookReceiver::start().await);
    let live = Live::serve(&[
        ("GATEPOST_TELEMETRY__OTLP_ENDPOINT", collector.endpoint()),
        ("GATEPOST_WEBHOOK__URL", receiver.url()),
        ("GATEPOST_WEBHOOK__SECRET", WEBHOOK_SECRET),
        PROMPTLY,
    ])
    .await;
    live.community(quick_policy(500, 72 * HOUR)).await;
    let wang = live.resident("王芳", "13800010001", "wang@example.org").await;
    let swift = live.courier("swift-express").await;
    let _worker = live.worker(&[("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()), PROMPTLY]).await;
    wang.agree_and_enrol(photograph("obama")).await;

    let mut request = Request::new(Label::to(&wang).request());
    let traceparent = format!("00-{TRACE_ID}-{SPAN_ID}-01");
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    let parcel = swift.parcels().announce_parcel(request).await.unwrap().into_inner().parcel.unwrap();
    swift.deposit(&parcel).await.unwrap();
    let timer = collector.span("the timer's span", |span| in_trace(span, "timer")).await;
    assert_eq!(timer.attribute("parcel.id"), Some(parcel.id.as_str()));
    let camera = live.camera_key().await;
    let seen = live.pass(&camera, &passage("obama2", 12, Light::Day)).await;
    assert_eq!((seen.displays.len(), seen.refused.len()), (1, 0));
    receiver.next().await;

    let span = async |name: &str| collector.span(name, |span| in_trace(span, name)).await;
    let (rpc, remind, frame) = (span("rpc").await, span("remind").await, span("frame").await);
    let (worker, notice) = (span("worker").await, span("notice").await);
    assert_eq!(rpc.attribute("rpc.method"), Some("/gatepost.v1.ParcelService/AnnounceParcel"));
    assert_eq!(hex(&rpc.span.parent_span_id), SPAN_ID);
    assert_eq!((timer.span.parent_span_id, remind.span.parent_span_id), (rpc.span.span_id.clone(), rpc.span.span_id));
    assert_eq!(frame.span.parent_span_id, remind.span.span_id);
    assert_eq!(worker.span.parent_span_id, frame.span.span_id);
    assert_eq!(notice.span.parent_span_id, remind.span.span_id);
    assert_eq!(notice.attribute("channel"), Some("webhook"));
    // The frame was somebody's passage before it was this parcel's: it has a trace of its own, where the worker's
    // process recorded its part.
    let [link] = &frame.span.links[..] else { panic!("{:?}", frame.span.links) };
    assert_ne!(hex(&link.trace_id), TRACE_ID);
    let of_the_frame = |span: &Recorded| span.span.trace_id == link.trace_id;
    let own = collector.span("the frame's own span", |span| of_the_frame(span) && span.span.span_id == link.span_id);
    assert_eq!(own.await.attribute("gate.id"), Some("north-gate"));
    let looked_at =
        collector.span("the worker's own span", |span| of_the_frame(span) && span.service == "gatepost-vision").await;
    assert_eq!((looked_at.span.name.as_str(), &looked_at.span.parent_span_id), ("vision.frame", &link.span_id));
    assert!([rpc.service, timer.service, notice.service].iter().all(|service| service == "gatepost"));
    metrics_of_a_journey(&live).await;
}

async fn metrics_of_a_journey(live: &Live) {
    let (status, metrics) = live.http("/metrics").await;
    assert_eq!(status, 200);
    for (name, label) in [
        ("gatepost_rpc_duration_seconds_count", "AnnounceParcel"),
        ("gatepost_steps_total", "WAITING"),
        ("gatepost_timer_lateness_seconds_count", ""),
        ("gatepost_notices_total", "delivered"),
        ("gatepost_notices_total", "gate_display"),
        ("gatepost_frames_total", "looked_at"),
        ("gatepost_frame_age_seconds_count", ""),
        ("gatepost_verdicts_total", "known"),
        ("gatepost_vision_workers 1", ""),
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(name) && line.contains(label)), "{name}: {metrics}");
    }
    for (name, _) in
        metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(['{', ' ']))
    {
        assert!(name.starts_with("gatepost_") || name == "target_info", "{name} is not ours");
    }
    for personal in ["pcl_", "res_", "王芳", "13800010001", "SX-"] {
        assert!(!metrics.contains(personal), "{personal} is in a label");
    }
    assert_eq!(live.http("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(live.http("/else").await.0, 404);
}

async fn status(health: &mut tonic::Streaming<HealthCheckResponse>) -> i32 {
    soon("a change of health", health.message()).await.expect("the stream is open").expect("a status").status
}

#[tokio::test]
async fn gates_are_served_while_a_worker_is_connected() {
    let live = Live::serve(&[]).await;
    let mut client = HealthClient::new(live.line().channel());
    let check = |service: &str| Request::new(HealthCheckRequest { service: service.to_owned() });
    let mut gates = client.watch(check(GateServiceServer::<()>::NAME)).await.unwrap().into_inner();
    let (serving, not_serving) = (ServingStatus::Serving as i32, ServingStatus::NotServing as i32);
    assert_eq!(status(&mut gates).await, not_serving);
    for service in ["", "gatepost.v1.ParcelService", "gatepost.v1.EventService"] {
        assert_eq!(client.check(check(service)).await.unwrap().into_inner().status, serving, "{service}");
    }
    let worker = live.worker(&[]).await;
    assert_eq!(status(&mut gates).await, serving);
    worker.terminate().await;
    assert_eq!(status(&mut gates).await, not_serving);
    assert_eq!(client.check(check("")).await.unwrap().into_inner().status, serving);
}
