//! A courier's log: durable, in order, resumed by cursor or acknowledgement, with a goodbye before the server goes.

use gatepost_proto::v1::{EventKind, ParcelState, stream_events_response::Message, stream_frames_response};
use gatepost_proto::vision::work_response;
use gatepost_tests::{
    clients::Label,
    world::{NORTH_GATE, World, hours, soon},
};
use jiff::SignedDuration;
use tonic::Code;

on_both_stacks!(a_stream_resumes_where_it_was_acknowledged, events_outlive_the_server);

async fn a_stream_resumes_where_it_was_acknowledged(world: World) {
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    for _ in 0..3 {
        let parcel = courier.bring(&Label::to(&wang)).await;
        courier.pick_up(&parcel.id).await.unwrap();
    }
    let mut all = Vec::new();
    for expected in 1..=6 {
        let event = courier.next_event().await;
        assert_eq!(event.sequence, expected, "no gaps");
        all.push(event);
    }
    assert_eq!(courier.acknowledge(2).await.unwrap(), 2);
    assert_eq!(courier.acknowledge(1).await.unwrap(), 2, "acknowledging less changes nothing");
    let refused = courier.acknowledge(7).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::InvalidArgument, "SEQUENCE_UNKNOWN"));
    courier.hang_up().await;
    assert_eq!(courier.next_event().await, all[2], "after the acknowledged one");
    let mut from_cursor = courier.follow(Some(4)).await.unwrap();
    assert_eq!(from_cursor.next().await, all[4]);
    let mut from_the_beginning = courier.follow(Some(0)).await.unwrap();
    for event in &all {
        assert_eq!(&from_the_beginning.next().await, event);
    }
    courier.bring(&Label::to(&wang)).await;
    assert_eq!(from_the_beginning.next().await.sequence, 7, "and then those that come");
    let refused = courier.follow(Some(-1)).await.err().unwrap();
    assert_eq!((refused.code, &*refused.reason), (Code::InvalidArgument, "INVALID_FIELD"));
}

async fn events_outlive_the_server(world: World) {
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&world.resident("王芳"))).await;
    courier.expect_event(EventKind::Deposited).await;
    let mut stream = courier.follow(Some(1)).await.unwrap();
    courier.hang_up().await;
    world.begin_drain();
    assert!(stream.drained().await, "a stream says goodbye");
    world.drain().await;
    world.let_pass(hours(72)).await;
    world.start().await;
    world.settled().await;
    let mut stream = courier.follow(Some(1)).await.unwrap();
    let event = stream.next().await;
    assert_eq!((event.kind(), event.parcel_id), (EventKind::RecallRequested, parcel.id), "what came due meanwhile");
}

#[tokio::test]
async fn each_courier_has_a_log_of_its_own() {
    let world = World::new().await;
    let (swift, cloud) = (world.courier("swift-express").await, world.courier("cloud-way").await);
    let wang = world.resident("王芳");
    let one = swift.bring(&Label::to(&wang)).await;
    let other = cloud.bring(&Label::to(&wang)).await;
    let event = swift.next_event().await;
    assert_eq!((event.sequence, event.parcel_id), (1, one.id));
    let event = cloud.next_event().await;
    assert_eq!((event.sequence, event.parcel_id, event.parcel_state), (1, other.id, ParcelState::Waiting.into()));
}

#[tokio::test]
async fn a_silent_stream_has_a_heartbeat() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    courier.bring(&Label::to(&world.resident("王芳"))).await;
    let mut stream = courier.follow(Some(0)).await.unwrap();
    stream.next().await;
    // The stream counts from when it was silent, which nobody can tell from outside: time passes until it speaks.
    let heartbeat = soon("a heartbeat", async {
        loop {
            tokio::select! {
                message = stream.message() => break message,
                () = world.let_pass(SignedDuration::from_secs(1)) => {}
            }
        }
    })
    .await;
    let Some(Message::Heartbeat(heartbeat)) = heartbeat else { panic!("{heartbeat:?}") };
    assert_eq!(heartbeat.newest_sequence, 1);
}

#[tokio::test]
async fn cameras_and_workers_are_told_to_go_elsewhere() {
    let world = World::new().await;
    let mut worker = world.manual_worker(4).await;
    let mut camera = world.camera(NORTH_GATE).await;
    world.begin_drain();
    assert!(matches!(camera.message().await, Some(stream_frames_response::Message::Drain(_))));
    assert!(matches!(worker.message().await, Some(work_response::Message::Drain(_))));
    assert_eq!((camera.message().await, worker.message().await), (None, None));
    world.drain().await;
}
