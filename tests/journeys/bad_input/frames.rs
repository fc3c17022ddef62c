//! Frames that are no pictures of anybody, before the real network. After each, the camera's stream goes on.

use bytes::Bytes;
use courier_sim::picture::Picture;
use gatepost_proto::v1::{FrameRefusal, StreamFramesRequest, stream_frames_response::Message};
use gatepost_tests::{
    clients::{Camera, Label, Light, Seen, passage, photograph, to_wire},
    world::{NORTH_GATE, World, until},
};
use jiff::SignedDuration;
use tonic::Code;

use super::{Everything, refused};

const MEBIBYTE: usize = 1024 * 1024;

/// A whole JPEG of nobody.
pub(super) fn of_nobody() -> Bytes {
    let picture = Picture::paint(640, 480, |x, y| [(x / 4) as u8, (y / 4) as u8, 120]);
    picture.to_jpeg(80).unwrap().into()
}

/// The first half of a photograph.
pub(super) fn truncated() -> Bytes {
    let whole = photograph("obama");
    whole.slice(..whole.len() / 2)
}

/// A photograph whose header says that it has 50 megapixels.
pub(super) fn enormous() -> Bytes {
    let mut jpeg = photograph("obama").to_vec();
    // Segment by segment: a thumbnail within one has a header too.
    let mut at = 2;
    while !matches!(jpeg[at + 1], 0xC0..=0xC2) {
        at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
    }
    jpeg[at + 5..at + 7].copy_from_slice(&6_250u16.to_be_bytes());
    jpeg[at + 7..at + 9].copy_from_slice(&8_000u16.to_be_bytes());
    jpeg.into()
}

/// A photograph, padded as some cameras do.
pub(super) fn padded(bytes: usize) -> Bytes {
    let mut jpeg = photograph("obama").to_vec();
    jpeg.resize(bytes, 0);
    jpeg.into()
}

async fn shown(camera: &mut Camera, world: &World, jpeg: Bytes) -> Seen {
    let mut seen = Seen::default();
    camera.send(jpeg, world.now()).await;
    camera.answered(&mut seen).await;
    seen
}

#[tokio::test]
async fn a_frame_that_is_no_picture_is_refused_by_name_and_the_next_one_is_seen() {
    let world = World::new().await;
    let _worker = world.worker().await;
    let (swift, wang) = (world.courier("swift-express").await, world.resident("王芳"));
    wang.agree_and_enrol(photograph("obama")).await;
    swift.bring(&Label::to(&wang)).await;
    world.let_pass(SignedDuration::from_hours(25)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    let before = Everything::of(&world, &swift).await;

    use FrameRefusal::{NotAJpeg, TooLarge};
    let cases = [
        ("nothing", Bytes::new(), NotAJpeg),
        ("text", Bytes::from_static(b"GIF89a is what this is"), NotAJpeg),
        ("two bytes of a JPEG", Bytes::from_static(&[0xFF, 0xD8]), NotAJpeg),
        ("half a photograph", truncated(), NotAJpeg),
        ("50 megapixels by the header", enormous(), TooLarge),
        ("over 2 MiB", padded(2 * MEBIBYTE + 1), TooLarge),
    ];
    for (what, jpeg, reason) in cases {
        let seen = shown(&mut camera, &world, jpeg).await;
        assert_eq!(seen, Seen { refused: vec![reason], ..Seen::default() }, "{what}");
    }
    // Nobody to see is no fault of the frame's.
    assert_eq!(shown(&mut camera, &world, of_nobody()).await, Seen::default());
    assert_eq!(Everything::of(&world, &swift).await, before);

    assert_eq!(shown(&mut camera, &world, padded(2 * MEBIBYTE)).await.refused, []);
    let seen = camera.sees(&passage("obama2", 12, Light::Day)).await;
    assert_eq!((seen.displays.len(), seen.refused.len()), (1, 0));
}

#[tokio::test]
async fn a_frame_out_of_order_or_of_another_time_is_refused() {
    let world = World::new().await;
    let worker = world.scripted_worker().await;
    let mut camera = world.camera(NORTH_GATE).await;
    let now = Some(to_wire(world.now()));
    let off = |minutes| Some(to_wire(world.now() + SignedDuration::from_mins(minutes)));
    let nonsense = Some(prost_types::Timestamp { seconds: 253_402_300_800, nanos: -5 });
    use FrameRefusal::{OutOfOrder, Overload};
    let cases = [
        (7, now, None),
        (7, now, Some(OutOfOrder)),
        (6, now, Some(OutOfOrder)),
        (i64::MIN, now, Some(OutOfOrder)),
        (8, None, Some(OutOfOrder)),
        (8, off(10), Some(OutOfOrder)),
        (8, off(-10), Some(OutOfOrder)),
        (8, nonsense, Some(OutOfOrder)),
        (8, off(4), None),
        // Not another time, but too old to show anybody anything.
        (9, off(-4), Some(Overload)),
        (i64::MAX, now, None),
        (i64::MAX, now, Some(OutOfOrder)),
    ];
    let mut looked_at = worker.looked_at();
    for (sequence, capture_time, refused) in cases {
        let jpeg = Bytes::from_static(b"nobody");
        camera.send_as(StreamFramesRequest { sequence, capture_time, jpeg }).await;
        let mut seen = Seen::default();
        camera.answered(&mut seen).await;
        assert_eq!(seen.refused, Vec::from_iter(refused), "{sequence} {capture_time:?}");
        looked_at += usize::from(refused.is_none());
        until("the worker's count", || async { worker.looked_at() == looked_at }).await;
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_of_the_wire_ends_the_stream_and_says_why() {
    let world = World::new().await;
    let worker = world.scripted_worker().await;
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(shown(&mut camera, &world, Bytes::from_static(b"nobody")).await, Seen::default());
    until("the worker's count", || async { worker.looked_at() == 1 }).await;
    camera.send(padded(3 * MEBIBYTE + 1), world.now()).await;
    let ended = camera.end().await.expect_err("the stream breaks");
    assert_eq!(ended.code, Code::OutOfRange, "{}", ended.message);

    let mut camera = world.camera(NORTH_GATE).await;
    let looked_at = worker.looked_at();
    assert_eq!(shown(&mut camera, &world, Bytes::from_static(b"nobody")).await, Seen::default());
    until("the worker's count", || async { worker.looked_at() == looked_at + 1 }).await;
}

#[tokio::test]
async fn a_frame_without_a_worker_is_refused_and_so_is_one_that_the_worker_failed_on() {
    let world = World::new().await;
    let mut camera = world.camera(NORTH_GATE).await;
    let seen = shown(&mut camera, &world, of_nobody()).await;
    assert_eq!(seen.refused, [FrameRefusal::NoVisionWorker]);
    let _worker = world.scripted_worker().await;
    let seen = shown(&mut camera, &world, Bytes::from_static(b"failure")).await;
    assert_eq!(seen.refused, [FrameRefusal::NotAJpeg]);
    assert_eq!(shown(&mut camera, &world, Bytes::from_static(b"nobody")).await, Seen::default());
}

#[tokio::test]
async fn a_key_opens_its_own_doors_only() {
    let world = World::new().await;
    let swift = world.courier("swift-express").await;
    let denied = world.camera_with(swift.key().clone()).await.map(|_| ());
    refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    let denied = world.camera_with(world.worker_key()).await.map(|_| ());
    refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    let stranger = gatepost_tests::clients::Key::new("gpk_nobody");
    refused(world.camera_with(stranger).await.map(|_| ()), Code::Unauthenticated, "UNAUTHENTICATED");
    let mut camera = world.camera(NORTH_GATE).await;
    camera.send(of_nobody(), world.now()).await;
    assert!(matches!(camera.message().await, Some(Message::Refused(_))));
}
