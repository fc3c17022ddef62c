//! SIGTERM: everybody with a stream is told, what is under way is finished, and the process ends well.

use std::time::Duration;

use bytes::Bytes;
use gatepost_proto::{
    v1::{
        EventKind, FrameRefusal, ParcelState, StreamFramesRequest, stream_events_response::Message as EventMessage,
        stream_frames_response::Message as GateMessage,
    },
    vision::work_response::Message as WorkMessage,
};
use gatepost_tests::{
    clients::{Label, ManualWorker, to_wire},
    live::{Live, now, quick_policy},
    world::soon,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const HOUR: i64 = 3_600_000;

#[tokio::test]
async fn sigterm_drains_every_stream_and_exits_with_0() {
    let mut live = Live::serve(&[]).await;
    live.community(quick_policy(HOUR, 2 * HOUR)).await;
    let (swift, wang) =
        (live.courier("swift-express").await, live.resident("王芳", "13800010001", "wang@example.org").await);
    let parcel = swift.bring(&Label::to(&wang)).await;
    let mut events = swift.follow(None).await.unwrap();
    assert_eq!(events.next().await.kind(), EventKind::Deposited);
    let mut worker = ManualWorker::connect(live.line(), &live.worker_key(), ManualWorker::hello(4)).await.unwrap();
    let (frames, outgoing) = mpsc::channel(4);
    let camera_key = live.camera_key().await;
    let mut gates = live.gates(&camera_key);
    let mut answers = gates.stream_frames(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
    let jpeg = Bytes::from_static(b"nobody");
    frames.send(StreamFramesRequest { sequence: 1, capture_time: Some(to_wire(now())), jpeg }).await.unwrap();
    let frame = worker.frame().await;
    // Who watches the health keeps a stream open that never ends by itself.
    let request = Request::new(HealthCheckRequest { service: String::new() });
    let mut health = HealthClient::new(live.line().channel()).watch(request).await.unwrap().into_inner();
    assert_eq!(soon("the health", health.message()).await.unwrap().unwrap().status, 1);

    live.terminate().await;
    assert!(matches!(worker.message().await, Some(WorkMessage::Drain(_))));
    assert!(matches!(events.message().await, Some(EventMessage::Drain(_))));
    assert_eq!(events.message().await, None);
    // The frame under way is still answered, and its camera still hears of it.
    worker.answer(gatepost_proto::vision::FrameResult { frame_id: frame.frame_id, ..Default::default() }).await;
    let (mut drained, mut credits) = (false, 0);
    while let Some(answer) = soon("the end of the camera's stream", answers.message()).await.unwrap() {
        match answer.message.unwrap() {
            GateMessage::Drain(_) => drained = true,
            GateMessage::Credit(_) => credits += 1,
            GateMessage::Refused(refused) => panic!("{:?}", FrameRefusal::try_from(refused.reason)),
            GateMessage::Display(_) => panic!("nobody was there"),
        }
    }
    assert!(drained);
    assert_eq!(credits, 2, "the first credit, and the one for the frame");
    assert_eq!(worker.message().await, None);
    // Long before the drain's own limit: nobody has to be cut.
    let ended = tokio::time::timeout(Duration::from_secs(10), live.ended()).await.expect("a prompt end");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(!ended.said.contains("not drained"), "{}", ended.said);

    live.serve_again().await;
    let after = swift.parcel(&parcel.id).await.unwrap();
    assert_eq!((after.state(), after), (ParcelState::Waiting, parcel));
}
