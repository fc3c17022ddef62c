//! The hub under four times the load that its worker can bear, minute after minute of simulated time.

use std::collections::HashMap;

use bytes::Bytes;
use gatepost_matching::ModelId;
use gatepost_proto::vision as wire;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

use super::hub::{Hub, Outcome, Refusal};

const MINUTE_MS: i64 = 60_000;
/// The worker takes all that it was given at once, and answers all of it after this time.
const BATCH_MS: i64 = 200;
const BATCH: usize = 4;
/// As the settings have it by default.
const FRAMES_PER_CAMERA: usize = 4;

/// What became of the frames of each camera.
#[derive(Default)]
struct Tally {
    looked_at: HashMap<usize, usize>,
    shed: usize,
    oldest_ms: i64,
    waiting_most: usize,
}

/// Cameras with those milliseconds between frames, for so long.
fn run(cameras: &[i64], minutes: i64) -> Tally {
    let hub = Hub::new(SignedDuration::from_secs(5));
    let at = |ms: i64| Timestamp::from_millisecond(1_780_000_000_000 + ms).unwrap();
    let model = ModelId::new("a model");
    let (seat, mut frames) = hub.seat(model.clone(), BATCH as i32);
    let sources: Vec<_> = cameras.iter().map(|_| hub.new_source()).collect();
    let mut waiting: Vec<(usize, i64, oneshot::Receiver<Outcome>)> = Vec::new();
    let (mut batch, mut done_at, mut tally) = (Vec::new(), 0, Tally::default());
    for now in 0..minutes * MINUTE_MS {
        for (camera, between) in cameras.iter().enumerate() {
            if now % between == 0 {
                let jpeg = Bytes::from_static(b"frame");
                let outcome = hub.submit(&model, sources[camera], jpeg, (at(now), at(now)), FRAMES_PER_CAMERA);
                waiting.push((camera, now, outcome));
            }
        }
        if now >= done_at {
            for frame in batch.drain(..) {
                let frame: wire::Frame = frame;
                seat.answer(wire::FrameResult { frame_id: frame.frame_id, ..Default::default() }, at(now));
            }
            batch.extend(std::iter::from_fn(|| frames.try_recv().ok()));
            done_at = if batch.is_empty() { now } else { now + BATCH_MS };
        }
        waiting.retain_mut(|(camera, captured, outcome)| match outcome.try_recv() {
            Ok(Ok(_)) => {
                *tally.looked_at.entry(*camera).or_default() += 1;
                tally.oldest_ms = tally.oldest_ms.max(now - *captured);
                false
            }
            Ok(Err(refusal)) => {
                assert_eq!(refusal, Refusal::Overload);
                tally.shed += 1;
                false
            }
            Err(_) => true,
        });
        tally.waiting_most = tally.waiting_most.max(waiting.len());
    }
    tally
}

#[test]
fn what_is_looked_at_under_overload_is_fresh() {
    // 80 frames a second from 20 cameras; the worker bears 20.
    let between = 250;
    let tally = run(&[between; 20], 1);
    let looked_at: usize = tally.looked_at.values().sum();
    assert!(tally.oldest_ms <= 2 * BATCH_MS + between, "{} ms old", tally.oldest_ms);
    assert!(looked_at >= 60 * 20 * 99 / 100, "the worker was idle: {looked_at}");
    // Every frame is answered, or among the newest.
    assert!(tally.waiting_most <= 20 * FRAMES_PER_CAMERA + BATCH, "{} waited", tally.waiting_most);
    assert!(tally.shed >= 3 * looked_at - 20 * FRAMES_PER_CAMERA, "{} shed", tally.shed);
    // All cameras alike.
    let (least, most) = (tally.looked_at.values().min().unwrap(), tally.looked_at.values().max().unwrap());
    assert!(tally.looked_at.len() == 20 && most - least <= 2, "{:?}", tally.looked_at);
}

#[test]
fn one_frame_a_second_is_seen_among_thirty() {
    let tally = run(&[1000, 33, 33, 33], 1);
    assert_eq!(tally.looked_at[&0], 60);
    assert!(tally.oldest_ms <= 2 * BATCH_MS + 33, "{} ms old", tally.oldest_ms);
}

#[test]
fn nothing_is_shed_that_there_is_time_for() {
    // Four cameras that send at once, with a worker for all four.
    let tally = run(&[500; 4], 1);
    assert_eq!(tally.shed, 0);
}
