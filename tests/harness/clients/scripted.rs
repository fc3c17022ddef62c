//! Vision workers of the test's own, for tests where only the protocol matters.
//!
//! A scripted frame is a few words instead of a picture, which the platform passes on unopened: `face 王芳`, `nobody`,
//! `blurred 王芳`, `alive 王芳`, `picture 王芳`, `between 王芳 陈伟`, `face 王芳 + face 陈伟`, `number 7`, `not a jpeg`,
//! `too large`, `failure`. Of `alive` faces and of `picture`s the worker says how living they are; of others it does not
//! know. The same name is the same face; different names are as different as faces can be, of which there are as many as a
//! face has numbers. Those of `number`s are as different as chance makes them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use gatepost_proto::vision::{
    self, Box as Bounds, Frame, FrameError, FrameResult, GoingAway, Hello, Model, WorkRequest, WorkResponse,
    vision_service_client::VisionServiceClient, work_request, work_response::Message,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Answer, Key, Line, Refused, answer};
use crate::world::{World, soon};

pub use gatepost_proto::vision::Face;

/// The model that scripted workers say they have.
pub const SCRIPTED_MODEL: &str = "yunet-2023mar+sface-2021dec@000000000000";
const DIMENSION: usize = 128;
const GOOD: f32 = 0.9;
const BLURRED: f32 = 0.05;
const ALIVE: f32 = 0.9;
const PICTURE: f32 = 0.2;

/// As many equal frames as a passage has.
pub fn scripted_frames(words: &str, count: usize) -> Vec<Bytes> {
    vec![Bytes::from(words.to_owned()); count]
}

/// A worker in the hands of the test: it takes the frames and answers what it likes.
pub struct ManualWorker {
    requests: mpsc::Sender<WorkRequest>,
    responses: Streaming<WorkResponse>,
}

impl ManualWorker {
    /// Dials in and waits for the welcome.
    pub async fn connect(line: &Line, key: &Key, hello: Hello) -> Answer<ManualWorker> {
        let (requests, outgoing) = mpsc::channel(300);
        let mut service = VisionServiceClient::new(line.authorised(key));
        let hello = WorkRequest { message: Some(work_request::Message::Hello(hello)) };
        requests.send(hello).await.expect("there is room");
        let responses = soon("an answer to the hello", service.work(ReceiverStream::new(outgoing))).await;
        let mut worker = ManualWorker { requests, responses: answer(responses)? };
        match soon("the welcome", worker.responses.message()).await.map_err(Refused::from)? {
            Some(WorkResponse { message: Some(Message::Welcome(_)) }) => Ok(worker),
            other => panic!("the first message must be the welcome, not {other:?}"),
        }
    }

    /// A hello that is taken.
    pub fn hello(capacity: i32) -> Hello {
        let model = Model { id: SCRIPTED_MODEL.to_owned(), dimension: DIMENSION as i32 };
        Hello { model: Some(model), capacity, worker_name: "scripted".to_owned() }
    }

    /// The next message; nothing at the end of the stream.
    pub async fn message(&mut self) -> Option<Message> {
        soon("a message to the worker", self.responses.message()).await.ok().flatten()?.message
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Frame {
        match self.message().await {
            Some(Message::Frame(frame)) => frame,
            other => panic!("a frame was to come, not {other:?}"),
        }
    }

    /// The next frame, however long it takes to come; nothing at the end of the stream.
    pub async fn frame_whenever(&mut self) -> Option<Frame> {
        while let Ok(Some(response)) = self.responses.message().await {
            if let Some(Message::Frame(frame)) = response.message {
                return Some(frame);
            }
        }
        None
    }

    /// Answers a frame.
    pub async fn answer(&self, result: FrameResult) {
        self.send(work_request::Message::Result(result)).await;
    }

    /// Wants no more frames.
    pub async fn go_away(&self) {
        self.send(work_request::Message::GoingAway(GoingAway {})).await;
    }

    async fn send(&self, message: work_request::Message) {
        self.requests.send(WorkRequest { message: Some(message) }).await.expect("the stream is open");
    }
}

/// A worker that answers by itself, by the words of each frame.
pub struct ScriptedWorker {
    task: JoinHandle<()>,
    looked_at: Arc<Mutex<usize>>,
}

impl ScriptedWorker {
    /// Frames it has answered.
    pub fn looked_at(&self) -> usize {
        *self.looked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ScriptedWorker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Everybody who was ever in a picture, in the order of appearance.
struct Faces {
    dimension: usize,
    places: HashMap<String, usize>,
}

impl Faces {
    fn result(&mut self, frame: &Frame) -> FrameResult {
        let words = String::from_utf8_lossy(&frame.jpeg).into_owned();
        let mut result = FrameResult { frame_id: frame.frame_id, width: 1280, height: 720, ..Default::default() };
        for (number, part) in words.split('+').map(str::trim).enumerate() {
            let (kind, names) = part.split_once(' ').unwrap_or((part, ""));
            let names: Vec<&str> = names.split_whitespace().collect();
            match kind {
                "face" | "between" => result.faces.push(self.face(&names, number, GOOD)),
                "blurred" => result.faces.push(self.face(&names, number, BLURRED)),
                "alive" => result.faces.push(Face { liveness: Some(ALIVE), ..self.face(&names, number, GOOD) }),
                "picture" => result.faces.push(Face { liveness: Some(PICTURE), ..self.face(&names, number, GOOD) }),
                "number" => result.faces.push(self.numbered(names.concat().parse().expect("a number"), number)),
                "nobody" => {}
                "too" => result.error = FrameError::TooLarge.into(),
                "failure" => result.error = FrameError::Internal.into(),
                _ => result.error = FrameError::NotAJpeg.into(),
            }
        }
        result
    }

    fn numbered(&self, person: u64, number: usize) -> Face {
        let mut rng = StdRng::seed_from_u64(person);
        let embedding: Vec<f32> = (0..self.dimension).map(|_| rng.random_range(-1.0..1.0)).collect();
        let length = embedding.iter().map(|part| part * part).sum::<f32>().sqrt();
        let embedding = embedding.iter().map(|part| part / length).collect();
        Face { embedding, ..seen(number, GOOD) }
    }

    fn face(&mut self, names: &[&str], number: usize, quality: f32) -> Face {
        let mut embedding = vec![0.0; self.dimension];
        for name in names {
            let next = self.places.len();
            embedding[*self.places.entry((*name).to_owned()).or_insert(next)] = 1.0 / (names.len() as f32).sqrt();
        }
        Face { embedding, ..seen(number, quality) }
    }
}

/// Where the face of this number in the picture is.
fn seen(number: usize, quality: f32) -> Face {
    let bounds = Bounds { x: 100.0 + 300.0 * number as f32, y: 100.0, width: 120.0, height: 150.0 };
    vision::Face { r#box: Some(bounds), score: 0.95, quality, ..Default::default() }
}

impl World {
    /// A worker in the hands of the test.
    pub async fn manual_worker(&self, capacity: i32) -> ManualWorker {
        let hello = ManualWorker::hello(capacity);
        ManualWorker::connect(self.line(), &self.worker_key(), hello).await.expect("the worker is welcome")
    }

    /// A worker that answers by the words of each frame. It ends when it is dropped.
    pub async fn scripted_worker(&self) -> ScriptedWorker {
        self.scripted_worker_of(SCRIPTED_MODEL, DIMENSION).await.expect("the worker is welcome")
    }

    /// One that has another model, by which everybody has another face.
    pub async fn scripted_worker_of(&self, model: &str, dimension: usize) -> Answer<ScriptedWorker> {
        let model = Model { id: model.to_owned(), dimension: dimension as i32 };
        let hello = Hello { model: Some(model), ..ManualWorker::hello(8) };
        let mut worker = ManualWorker::connect(self.line(), &self.worker_key(), hello).await?;
        let looked_at: Arc<Mutex<usize>> = Arc::default();
        let counted = looked_at.clone();
        let task = tokio::spawn(async move {
            let mut faces = Faces { dimension, places: HashMap::new() };
            // Unbounded on purpose: a worker without frames waits.
            while let Some(frame) = worker.frame_whenever().await {
                worker.answer(faces.result(&frame)).await;
                *counted.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            }
        });
        Ok(ScriptedWorker { task, looked_at })
    }
}
