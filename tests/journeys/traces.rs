//! What is left of a stranger once they have passed a gate: nothing, not even in the memory of the platform that looked.
//! Their face as numbers in each width that is used anywhere, and their picture, are looked for in the whole memory of the
//! process, as a core dump would have it, in every file it has written, in Redis, and in all it has said.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use gatepost_proto::{
    v1::StreamFramesRequest,
    vision::{Box as Bounds, Face, FrameResult},
};
use gatepost_tests::{
    clients::{Label, ManualWorker},
    live::{Live, now, quick_policy},
    services::Redis,
    world::until,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_stream::wrappers::ReceiverStream;

const HOUR: i64 = 3_600_000;
/// As large as a frame of a camera.
const PICTURE_BYTES: usize = 150_000;
/// How much of something must be there to be found.
const WINDOW: usize = 32;
const PAGE: usize = 4_096;
const ZEROS: [u8; PAGE] = [0; PAGE];
const DEBUG: &str = "info,gatepost=debug,gatepost_server=debug,gatepost_storage=debug,gatepost_matching=debug";

/// Somebody with a face like no other and a picture like no other.
#[derive(Clone)]
struct Somebody {
    face: Vec<f32>,
    picture: Bytes,
}

impl Somebody {
    fn new(number: u32) -> Somebody {
        let mut state = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let numbers: Vec<f64> = (0..128).map(|_| f64::from(next() % 2_000) - 1_000.0).collect();
        let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
        let face = numbers.iter().map(|number| (number / length) as f32).collect();
        let picture = (0..PICTURE_BYTES / 4).flat_map(|_| (next() | 0x0100_0100).to_le_bytes()).collect::<Vec<u8>>();
        Somebody { face, picture: picture.into() }
    }

    /// As [`Somebody::new`], without a picture.
    fn face_alone(number: u32) -> Somebody {
        Somebody { picture: Bytes::new(), ..Somebody::new(number) }
    }

    /// Parts of the face and the picture that nobody has by chance, each in every form that something could be kept in.
    fn traces(&self) -> Vec<(&'static str, Vec<u8>)> {
        let forms: [(&str, Vec<u8>); 5] = [
            ("the face in 32 bits", self.face.iter().flat_map(|number| number.to_le_bytes()).collect()),
            ("the face in 16 bits", self.face.iter().flat_map(|number| half(*number).to_le_bytes()).collect()),
            ("the upper halves", self.face.iter().flat_map(|it| ((it.to_bits() >> 16) as u16).to_le_bytes()).collect()),
            ("the face in 8 bits", self.face.iter().map(|number| (number * 127.0).round() as i8 as u8).collect()),
            ("the picture", self.picture.to_vec()),
        ];
        let parts = forms.into_iter().flat_map(|(form, bytes)| {
            let step = (bytes.len() / 8).max(WINDOW);
            let starts = (0..bytes.len() - WINDOW + 1).step_by(step);
            starts.map(|start| (form, bytes[start..start + WINDOW].to_vec())).collect::<Vec<_>>()
        });
        parts.collect()
    }
}

/// IEEE 754 binary16, of numbers that are neither tiny nor huge, rounded towards zero.
fn half(number: f32) -> u16 {
    let bits = number.to_bits();
    let (sign, exponent, fraction) = (bits >> 31, (bits >> 23) & 0xFF, bits & 0x7F_FFFF);
    if exponent <= 112 {
        return (sign << 15) as u16;
    }
    ((sign << 15) | ((exponent - 112) << 10) | (fraction >> 13)) as u16
}

/// Which of somebody's traces are in these places.
fn found(somebody: &Somebody, places: &[(String, Vec<u8>)]) -> BTreeSet<String> {
    let traces = somebody.traces();
    // Looked at are only places that begin as a trace does, and no pages of zeros: there is much memory.
    let mut begins = vec![false; 1 << 16];
    traces.iter().for_each(|(_, trace)| begins[beginning(trace[0], trace[1])] = true);
    let mut found = BTreeSet::new();
    for (place, held) in places {
        for (page, bytes) in held.chunks(PAGE).enumerate() {
            if bytes == &ZEROS[..bytes.len()] {
                continue;
            }
            let mut before = 0;
            for (at, byte) in bytes.iter().enumerate() {
                if begins[beginning(before, *byte)] && page * PAGE + at > 0 {
                    let start = &held[page * PAGE + at - 1..];
                    let here = traces.iter().filter(|(_, trace)| start.starts_with(trace));
                    found.extend(here.map(|(form, _)| format!("{form}, {place}")));
                }
                before = *byte;
            }
        }
    }
    found
}

fn beginning(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

/// All that a core dump of the platform would hold.
fn memory(live: &Live) -> Vec<(String, Vec<u8>)> {
    live.memory_itself().into_iter().map(|held| ("in its memory".to_owned(), held)).collect()
}

/// A worker that knows everybody's face by their picture, and answers as often as it may.
fn worker(mut worker: ManualWorker, everybody: Vec<Somebody>, hold: Arc<Semaphore>) -> JoinHandle<()> {
    tokio::spawn(async move {
        // Whoever else comes is a crowd.
        let crowd: Vec<Somebody> = (2_000..2_064).map(Somebody::face_alone).collect();
        // Unbounded on purpose: a worker without frames waits.
        while let Some(frame) = worker.frame_whenever().await {
            hold.acquire().await.unwrap().forget();
            let seen = everybody.iter().find(|somebody| somebody.picture == frame.jpeg);
            let face = |somebody: &Somebody| Face {
                r#box: Some(Bounds { x: 100.0, y: 100.0, width: 120.0, height: 150.0 }),
                score: 0.95,
                quality: 0.9,
                embedding: somebody.face.clone(),
                ..Default::default()
            };
            let faces = seen.map_or_else(|| crowd.iter().map(face).collect(), |somebody| vec![face(somebody)]);
            let result = FrameResult { frame_id: frame.frame_id, width: 640, height: 480, faces, ..Default::default() };
            worker.answer(result).await;
        }
    })
}

/// Frames of others, as a camera goes on to send. What libraries have read last stands in their buffers until they read
/// more.
fn others() -> Vec<Bytes> {
    (1_000..1_030).map(|number| Somebody::new(number).picture).collect()
}

#[tokio::test]
async fn a_stranger_leaves_no_trace_in_any_place() {
    let redis = tokio::task::spawn_blocking(Redis::start).await.unwrap();
    let urls = redis.urls();
    let mut live = Live::serve(&[
        ("GATEPOST_TELEMETRY__LOG_FILTER", DEBUG),
        ("GATEPOST_TIMERS__KIND", "redis"),
        ("GATEPOST_TIMERS__REDIS_URLS", &urls),
    ])
    .await;
    live.community(quick_policy(0, 72 * HOUR)).await;
    let (control, stranger, resident) = (Somebody::new(1), Somebody::new(2), Somebody::new(3));
    let connected = ManualWorker::connect(live.line(), &live.worker_key(), ManualWorker::hello(1)).await.unwrap();
    let (everybody, hold) = (vec![control.clone(), stranger.clone(), resident.clone()], Arc::new(Semaphore::new(0)));
    let worker = worker(connected, everybody, hold.clone());
    let camera = live.camera_key().await;

    // Pictures that wait for the worker are in memory: that is how they are found there.
    let (sender, outgoing) = mpsc::channel(4);
    let mut answers = live.gates(&camera).stream_frames(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
    for sequence in 0..3 {
        let capture_time = Some(prost_types::Timestamp { seconds: now().as_second(), nanos: 0 });
        let frame = StreamFramesRequest { sequence, capture_time, jpeg: control.picture.clone() };
        sender.send(frame).await.unwrap();
    }
    let waits = || async { !found(&control, &memory(&live)).is_empty() };
    until("pictures that wait, or this test looks in the wrong place", waits).await;
    hold.add_permits(1_000);
    drop(sender);
    while answers.message().await.is_ok_and(|message| message.is_some()) {}

    // Somebody is enrolled and waited for, so that strangers are compared with somebody.
    let ouyang = live.resident("欧阳晓燕", "13877665544", "").await;
    ouyang.agree_and_enrol(resident.picture.clone()).await;
    let courier = live.courier("swift-express").await;
    courier.bring(&Label::to(&ouyang)).await;
    let seen = live.pass(&camera, &vec![stranger.picture.clone(); 12]).await;
    assert_eq!((seen.displays.len(), seen.refused.len()), (0, 0), "a stranger is told nothing");
    let seen = live.pass(&camera, &vec![resident.picture.clone(); 12]).await;
    assert_eq!(seen.displays.len(), 1, "who is waited for is recognised");
    live.pass(&camera, &others()).await;

    for somebody in [&control, &stranger] {
        let gone = || async { found(somebody, &memory(&live)).is_empty() };
        if tokio::time::timeout(Duration::from_secs(15), until("the end of every trace in memory", gone)).await.is_err()
        {
            panic!("{:?}", found(somebody, &memory(&live)));
        }
    }
    worker.abort();
    live.terminate().await;
    assert_eq!(live.ended().await.code, Some(0));
    let mut places: Vec<(String, Vec<u8>)> = files(live.data_dir().to_owned());
    places.push(("in its log".to_owned(), live.log().into_bytes()));
    let dump = everything(&redis).await;
    assert!(!dump.is_empty(), "the parcel's deadline is there");
    places.push(("in Redis".to_owned(), dump));
    assert!(live.log().contains("DEBUG") && places.iter().any(|(place, _)| place.contains("gatepost.db")));
    for somebody in [&control, &stranger, &resident] {
        assert_eq!(found(somebody, &places), BTreeSet::new());
    }
}

/// Every key of Redis with its value.
async fn everything(redis: &Redis) -> Vec<u8> {
    let keys: Vec<String> = redis::from_redis_value(redis.ask(&["KEYS", "*"]).await.unwrap()).unwrap();
    let mut dump = Vec::new();
    for key in keys {
        let value: Option<Vec<u8>> = redis::from_redis_value(redis.ask(&["DUMP", &key]).await.unwrap()).unwrap();
        dump.extend(key.into_bytes());
        dump.extend(value.unwrap_or_default());
    }
    dump
}

/// Every file of the folder.
fn files(folder: PathBuf) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    entries.map(|path| (format!("in {}", path.display()), std::fs::read(path).unwrap())).collect()
}
