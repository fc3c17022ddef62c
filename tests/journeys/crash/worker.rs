//! The real worker, with its real weights, is killed: what it had in hand is refused and counted, and recognition goes on
//! with the next one, or with the other one that serves the same replicas.

use gatepost_proto::v1::FrameRefusal;
use gatepost_tests::{
    clients::{Label, Light, Seen, from_wire, passage, photograph},
    live::{Live, LiveCamera, now, quick_policy},
    services::{Redis, fresh_database},
    world::until,
};

const HOUR: i64 = 3_600_000;
/// As many as end a track.
const PASSAGE: usize = 12;

/// What the platform has counted under this name and label.
async fn counted(live: &Live, name: &str, label: &str) -> usize {
    let metrics = live.http("/metrics").await.1;
    let counted = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
    counted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).sum()
}

#[tokio::test]
async fn a_killed_worker_loses_the_frames_it_had_and_no_other() {
    let live = Live::serve(&[]).await;
    live.community(quick_policy(500, 72 * HOUR)).await;
    let (swift, wang) =
        (live.courier("swift-express").await, live.resident("王芳", "13800010001", "wang@example.org").await);
    let mut worker = live.worker(&[]).await;
    wang.agree_and_enrol(photograph("obama")).await;
    let parcel = swift.bring(&Label::to(&wang)).await;
    let mut camera = LiveCamera::open(&live, &live.camera_key().await).await;
    let stranger = passage("biden", PASSAGE, Light::Day);
    assert_eq!(camera.shows(&stranger).await, Seen::default());

    // It stands still, and so has all that a camera may send when it dies.
    worker.pause().await;
    let in_hand = camera.credit();
    for frame in stranger.iter().cycle().take(in_hand) {
        camera.send(frame.clone()).await;
    }
    worker.kill().await;
    let mut lost = Seen::default();
    for _ in 0..in_hand {
        camera.answered(&mut lost).await;
    }
    assert_eq!(lost, Seen { displays: Vec::new(), refused: vec![FrameRefusal::NoVisionWorker; in_hand] });

    let _worker = live.worker(&[]).await;
    let remind_from = from_wire(swift.parcel(&parcel.id).await.unwrap().remind_from.unwrap());
    until("T1", || async { now() > remind_from }).await;
    // The same stream goes on.
    let seen = camera.shows(&passage("obama2", PASSAGE, Light::Day)).await;
    assert_eq!((seen.displays.len(), seen.refused.len()), (1, 0));
    assert_eq!(counted(&live, "gatepost_frames_total", "NO_VISION_WORKER").await, in_hand);
    assert_eq!(counted(&live, "gatepost_frames_total", "looked_at").await, 2 * PASSAGE);
}

#[tokio::test]
async fn two_workers_serve_two_replicas_and_one_is_enough() {
    let (database, redis) = tokio::task::spawn_blocking(|| (fresh_database(), Redis::start())).await.unwrap();
    let urls = redis.urls();
    let mut one = Live::serve(&[
        ("GATEPOST_DATABASE__URL", &database),
        ("GATEPOST_TIMERS__KIND", "redis"),
        ("GATEPOST_TIMERS__REDIS_URLS", &urls),
    ])
    .await;
    one.community(quick_policy(500, 72 * HOUR)).await;
    let two = one.replica().await;
    let mut first = one.worker_for(&[&one, &two], &[]).await;
    let mut second = one.worker_for(&[&one, &two], &[]).await;
    for replica in [&one, &two] {
        assert_eq!(counted(replica, "gatepost_vision_workers", "").await, 2);
    }
    let swift = one.courier("swift-express").await;
    let mut remind_from = now();
    for (name, phone, picture) in [("王芳", "13800010001", "obama"), ("陈伟", "13800010002", "biden")] {
        let resident = one.resident(name, phone, "somebody@example.org").await;
        resident.agree_and_enrol(photograph(picture)).await;
        remind_from = from_wire(swift.bring(&Label::to(&resident)).await.remind_from.unwrap());
    }
    until("T1", || async { now() > remind_from }).await;
    let key = one.camera_key().await;
    let (mut at_one, mut at_two) = (LiveCamera::open(&one, &key).await, LiveCamera::open(&two, &key).await);
    let (wang, chen) = (passage("obama2", PASSAGE, Light::Day), passage("biden", PASSAGE, Light::Day));
    let (seen_at_one, seen_at_two) = tokio::join!(at_one.shows(&wang), at_two.shows(&chen));
    for seen in [seen_at_one, seen_at_two] {
        assert_eq!((seen.displays.len(), seen.refused.len()), (1, 0));
    }

    first.kill().await;
    let (seen_at_one, seen_at_two) = tokio::join!(at_one.shows(&wang), at_two.shows(&chen));
    assert_eq!((seen_at_one, seen_at_two), (Seen::default(), Seen::default()));

    // A worker that has lost one replica works on for the other.
    one.kill().await;
    second.says(&format!("lost the platform platform={}", one.url())).await.expect("the worker works");
    assert_eq!(at_two.shows(&chen).await, Seen::default());
    assert_eq!(counted(&two, "gatepost_frames_total", "looked_at").await, 3 * PASSAGE);
}
