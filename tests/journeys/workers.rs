//! Vision workers come, go and die, and every frame is answered once, in the order of capture.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use gatepost_proto::{
    v1::{FrameRefusal, stream_frames_response::Message},
    vision::{FrameError, FrameResult},
};
use gatepost_tests::{
    clients::{Camera, Seen},
    world::{NORTH_GATE, SOUTH_GATE, World},
};
use jiff::SignedDuration;

/// Sends frames that were captured one after the other, without waiting for answers.
async fn show(world: &World, camera: &mut Camera, count: i64) {
    for number in 0..count {
        let captured_at = world.now() + SignedDuration::from_millis(250 * number);
        camera.send(Bytes::from(format!("frame {number}")), captured_at).await;
    }
}

/// Nobody is in the picture.
fn empty(frame_id: i64) -> FrameResult {
    FrameResult { frame_id, ..FrameResult::default() }
}

fn unreadable(frame_id: i64) -> FrameResult {
    FrameResult { frame_id, error: FrameError::NotAJpeg.into(), ..FrameResult::default() }
}

#[tokio::test]
async fn answers_come_in_the_order_of_capture() {
    let world = World::new().await;
    let mut worker = world.manual_worker(4).await;
    let mut camera = world.camera(NORTH_GATE).await;
    show(&world, &mut camera, 4).await;
    let mut frames = Vec::new();
    for number in 0..4 {
        let frame = worker.frame().await;
        assert_eq!(frame.jpeg, format!("frame {number}"));
        frames.push(frame.frame_id);
    }
    for id in frames.iter().rev() {
        worker.answer(unreadable(*id)).await;
    }
    for expected in 1..=4 {
        let Some(Message::Refused(refused)) = camera.message().await else { panic!("a frame was refused") };
        assert_eq!((refused.sequence, refused.reason()), (expected, FrameRefusal::NotAJpeg));
        assert!(matches!(camera.message().await, Some(Message::Credit(credit)) if credit.frames == 1));
    }
}

#[tokio::test]
async fn the_frames_of_a_dead_worker_go_to_another() {
    let world = World::new().await;
    let mut camera = world.camera(NORTH_GATE).await;
    let mut first = world.manual_worker(4).await;
    show(&world, &mut camera, 2).await;
    assert_eq!((first.frame().await.jpeg, first.frame().await.jpeg), ("frame 0".into(), "frame 1".into()));
    let mut second = world.manual_worker(4).await;
    drop(first);
    let mut answered = Vec::new();
    for _ in 0..2 {
        let frame = second.frame().await;
        answered.push(frame.jpeg);
        second.answer(empty(frame.frame_id)).await;
    }
    answered.sort();
    assert_eq!(answered, ["frame 0", "frame 1"]);
    let mut seen = Seen::default();
    camera.answered(&mut seen).await;
    camera.answered(&mut seen).await;
    assert_eq!(seen, Seen::default());
}

#[tokio::test]
async fn a_worker_that_goes_away_finishes_what_it_has_and_gets_no_more() {
    let world = World::new().await;
    let mut camera = world.camera(NORTH_GATE).await;
    let mut leaving = world.manual_worker(4).await;
    show(&world, &mut camera, 1).await;
    let last = leaving.frame().await;
    leaving.go_away().await;
    leaving.answer(empty(last.frame_id)).await;
    let mut seen = Seen::default();
    // The answer was sent after the goodbye, so the platform has heard both.
    camera.answered(&mut seen).await;
    let mut staying = world.manual_worker(4).await;
    camera.send("another".into(), world.now() + SignedDuration::from_secs(1)).await;
    let frame = staying.frame().await;
    assert_eq!(frame.jpeg, "another");
    staying.answer(empty(frame.frame_id)).await;
    camera.answered(&mut seen).await;
    assert_eq!(seen, Seen::default());
}

#[tokio::test]
async fn a_camera_at_thirty_frames_a_second_cannot_starve_one_at_one() {
    let world = World::new().await;
    let mut worker = world.manual_worker(1).await;
    let (mut fast, mut slow) = (world.camera(NORTH_GATE).await, world.camera(SOUTH_GATE).await);
    let (mut sent, mut served) = (0, 0);
    for second in 0..5 {
        for _ in 0..30 {
            fast.send("fast".into(), world.now() + SignedDuration::from_millis(sent)).await;
            sent += 1;
        }
        slow.send("slow".into(), world.now() + SignedDuration::from_millis(second)).await;
        // The fast camera always has a frame waiting: a queue that served the busiest first would never come to the slow one.
        for turn in 0.. {
            assert!(turn < 1000, "the slow camera starves");
            let frame = worker.frame().await;
            worker.answer(empty(frame.frame_id)).await;
            if frame.jpeg == "slow" {
                break;
            }
            served += 1;
            fast.send("fast".into(), world.now() + SignedDuration::from_millis(sent)).await;
            sent += 1;
        }
        let mut seen = Seen::default();
        slow.answered(&mut seen).await;
        assert_eq!(seen, Seen::default());
    }
    // What the fast camera sent too much is shed, and it is told of every one.
    let mut seen = Seen::default();
    for _ in 0..sent - 6 {
        fast.answered(&mut seen).await;
    }
    assert!(seen.refused.iter().all(|reason| *reason == FrameRefusal::Overload), "{seen:?}");
    assert!(
        seen.refused.len() as i64 >= sent - served - 6,
        "{} of {sent} refused, {served} served",
        seen.refused.len()
    );
}

#[tokio::test]
async fn a_slow_worker_gets_fewer_frames() {
    let world = World::new().await;
    let mut camera = world.camera(NORTH_GATE).await;
    let mut slow = world.manual_worker(2).await;
    let mut held = Vec::new();
    show(&world, &mut camera, 2).await;
    for _ in 0..2 {
        held.push(slow.frame().await);
    }
    let mut quick = world.manual_worker(2).await;
    for number in 2..20 {
        camera.send("later".into(), world.now() + SignedDuration::from_millis(250 * number)).await;
        let frame = quick.frame().await;
        assert_eq!(frame.jpeg, "later");
        quick.answer(empty(frame.frame_id)).await;
    }
    for frame in &held {
        slow.answer(empty(frame.frame_id)).await;
    }
    let mut seen = Seen::default();
    for _ in 0..20 {
        camera.answered(&mut seen).await;
    }
    assert_eq!(seen, Seen::default());
}

#[tokio::test]
async fn without_a_worker_frames_are_refused_at_once() {
    let world = World::new().await;
    let mut camera = world.camera(NORTH_GATE).await;
    let seen = camera.sees(&["frame".into()]).await;
    assert_eq!(seen.refused, [FrameRefusal::NoVisionWorker]);
    let worker = world.scripted_worker().await;
    assert_eq!(camera.sees(&["nobody".into()]).await, Seen::default());
    assert_eq!(worker.looked_at(), 1);
}

#[tokio::test]
async fn a_worker_that_keeps_a_frame_is_let_go() {
    let world = World::new().await;
    let mut camera = world.camera(NORTH_GATE).await;
    let mut keeping = world.manual_worker(4).await;
    show(&world, &mut camera, 1).await;
    assert_eq!(keeping.frame().await.jpeg, "frame 0");
    let mut other = world.manual_worker(4).await;
    // Half of the time is no reason.
    world.clock().advance(SignedDuration::from_secs(8));
    show(&world, &mut camera, 1).await;
    let fresh = other.frame().await;
    other.answer(empty(fresh.frame_id)).await;
    world.clock().advance(SignedDuration::from_secs(8));
    assert!(keeping.message().await.is_none(), "its stream ends");
    let Some(Message::Refused(refused)) = camera.message().await else { panic!("too old for anybody else") };
    assert_eq!(refused.reason(), FrameRefusal::Overload);
    for _ in 0..2 {
        assert!(matches!(camera.message().await, Some(Message::Credit(credit)) if credit.frames == 1));
    }
}

#[tokio::test]
async fn under_overload_each_worker_gets_what_it_answers_and_every_frame_is_told_of() {
    const TURNS: usize = 40;
    const TURNS_OF_THE_SLOW: usize = 4;
    let world = World::new().await;
    let (mut quick, mut slow) = (world.manual_worker(2).await, world.manual_worker(2).await);
    let mut cameras = [world.camera(NORTH_GATE).await, world.camera(SOUTH_GATE).await];
    let mut looked_at = 0;
    for turn in 0..TURNS {
        let captured_at = world.now() + SignedDuration::from_millis(turn as i64);
        for camera in &mut cameras {
            camera.send("frame".into(), captured_at).await;
        }
        // If its share were not bounded by its credits, the slow one would have what the quick one waits for here.
        let frame = quick.frame().await;
        quick.answer(empty(frame.frame_id)).await;
        looked_at += 1;
        if turn % TURNS_OF_THE_SLOW == 0 {
            let frame = slow.frame().await;
            slow.answer(empty(frame.frame_id)).await;
            looked_at += 1;
        }
    }
    // What it still has goes to the quick one, which now answers whatever is left.
    drop(slow);
    let rest = Arc::new(AtomicUsize::new(0));
    let answered = Arc::clone(&rest);
    let answering = tokio::spawn(async move {
        while let Some(frame) = quick.frame_whenever().await {
            answered.fetch_add(1, Ordering::Relaxed);
            quick.answer(empty(frame.frame_id)).await;
        }
    });
    let mut seen = Seen::default();
    for camera in &mut cameras {
        for _ in 0..TURNS {
            camera.answered(&mut seen).await;
        }
    }
    answering.abort();
    assert!(seen.refused.iter().all(|reason| *reason == FrameRefusal::Overload), "{seen:?}");
    assert_eq!(cameras.len() * TURNS - seen.refused.len(), looked_at + rest.load(Ordering::Relaxed));
    assert!(!seen.refused.is_empty(), "it was no overload");
}
