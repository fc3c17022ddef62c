//! Connected vision workers and the frames on their way to and from them.
//!
//! A frame is submitted for a model, with a one-shot for its outcome. It waits in its camera's queue, goes to the worker
//! of that model with the most room, and its outcome comes back exactly once: faces, or why there are none.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use gatepost_domain::Timestamp;
use gatepost_matching::ModelId;
use gatepost_process::telemetry;
use gatepost_proto::vision as wire;
use jiff::SignedDuration;
use tokio::sync::{mpsc, oneshot};

use super::queue::{Queues, Source};
use crate::api::convert::instant_to_proto;

/// Frames a worker may say it can hold.
const CAPACITY_MAX: i32 = 256;
/// Photographs waiting to be enrolled.
const ANALYSES_MAX: usize = 64;
/// The source that photographs to be enrolled share.
const ANALYSES: Source = 0;

/// Why a frame has no faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not a JPEG, or a truncated one.
    NotAJpeg,
    /// Too many bytes or pixels.
    TooLarge,
    /// Pushed out by a newer frame, or too old.
    Overload,
    /// Nobody is connected who could look at it.
    NoVisionWorker,
    /// The worker failed on it.
    Failed,
}

/// The faces of one frame, and the model that embedded them.
pub struct Analysis {
    /// Only embeddings of equal models compare.
    pub model: ModelId,
    /// As the worker answered.
    pub result: wire::FrameResult,
    /// How it came about.
    pub passage: Passage,
}

/// A frame's way through the platform and the worker.
#[derive(Debug, Clone)]
pub struct Passage {
    /// When it came in.
    pub received_at: Timestamp,
    /// When a worker got it.
    pub sent_at: Timestamp,
    /// When the worker answered.
    pub answered_at: Timestamp,
    /// The frame's own trace.
    pub traceparent: String,
}

/// What became of a frame.
pub type Outcome = Result<Analysis, Refusal>;

struct Pending {
    jpeg: Bytes,
    captured_at: Timestamp,
    received_at: Timestamp,
    sent_at: Timestamp,
    traceparent: String,
    answer: oneshot::Sender<Outcome>,
}

struct Worker {
    frames: mpsc::Sender<wire::Frame>,
    model: ModelId,
    capacity: usize,
    leaving: bool,
    /// The id of the last frame it was sent.
    last_frame: i64,
    under_way: HashMap<i64, (Source, Pending)>,
}

#[derive(Default)]
struct State {
    /// Of each model with a worker, what waits for one.
    queues: HashMap<ModelId, Queues<Pending>>,
    workers: BTreeMap<u64, Worker>,
    frames_sent: i64,
    /// The newest time anybody told.
    latest: Option<Timestamp>,
}

impl State {
    /// Where more frames wait than there is room for, those of the camera in turn give way to its newest.
    fn shed(&mut self, model: &ModelId) {
        let able = self.workers.values().filter(|worker| !worker.leaving && worker.model == *model);
        let room: usize = able.map(|worker| worker.capacity.saturating_sub(worker.under_way.len())).sum();
        let Some(queues) = self.queues.get_mut(model) else { return };
        let Some(source) = queues.in_turn().filter(|source| *source != ANALYSES) else { return };
        if queues.len() > room {
            for pending in queues.shed_older(source) {
                let _ = pending.answer.send(Err(Refusal::Overload));
            }
        }
    }

    /// Puts a frame back that was on its way to a worker that left.
    fn put_back(&mut self, model: &ModelId, source: Source, pending: Pending) {
        self.queues.entry(model.clone()).or_default().put_back(source, pending);
    }

    /// The worker of a model with room that has the fewest frames, of several the one whose last frame is longest ago.
    fn roomiest(&self, model: &ModelId) -> Option<u64> {
        let able = self.workers.iter().filter(|(_, worker)| !worker.leaving && worker.model == *model);
        let roomy = able.filter(|(_, worker)| worker.under_way.len() < worker.capacity);
        roomy.min_by_key(|(_, worker)| (worker.under_way.len(), worker.last_frame)).map(|(number, _)| *number)
    }
}

/// All workers and queues.
pub struct Hub {
    state: Mutex<State>,
    frame_age_max: SignedDuration,
    numbers: AtomicU64,
}

/// A worker's place in the hub; dropping it gives its frames to others.
pub struct Seat<'a> {
    hub: &'a Hub,
    number: u64,
}

impl Hub {
    /// An empty hub. Frames older than `frame_age_max` are dropped when their turn comes.
    pub fn new(frame_age_max: SignedDuration) -> Self {
        Self { state: Mutex::default(), frame_age_max, numbers: AtomicU64::new(ANALYSES + 1) }
    }

    /// A number for a camera's stream.
    pub fn new_source(&self) -> Source {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Submits a frame to be looked at by a worker of the model; at most `most` wait for this source, the oldest gives way.
    pub fn submit(
        &self,
        model: &ModelId,
        source: Source,
        jpeg: Bytes,
        (captured_at, now): (Timestamp, Timestamp),
        most: usize,
    ) -> oneshot::Receiver<Outcome> {
        let (answer, outcome) = oneshot::channel();
        let traceparent = telemetry::traceparent().unwrap_or_default();
        let pending = Pending { jpeg, captured_at, received_at: now, sent_at: now, traceparent, answer };
        let mut state = self.lock();
        let Some(queues) = state.queues.get_mut(model) else {
            let _ = pending.answer.send(Err(Refusal::NoVisionWorker));
            return outcome;
        };
        if let Some(oldest) = queues.push(source, pending, most) {
            let _ = oldest.answer.send(Err(Refusal::Overload));
        }
        self.dispatch(&mut state, model, now);
        outcome
    }

    /// Looks at one photograph.
    pub async fn analyse(&self, model: &ModelId, jpeg: Bytes, now: Timestamp) -> Outcome {
        let outcome = self.submit(model, ANALYSES, jpeg, (now, now), ANALYSES_MAX);
        outcome.await.unwrap_or(Err(Refusal::NoVisionWorker))
    }

    /// The model of the worker that has been there for longest.
    pub fn some_model(&self) -> Option<ModelId> {
        self.lock().workers.values().next().map(|worker| worker.model.clone())
    }

    /// Whether a worker of the model is there.
    pub fn has_worker_of(&self, model: &ModelId) -> bool {
        self.lock().queues.contains_key(model)
    }

    /// Seats a worker. Its frames come out of the receiver, never more unanswered ones than its capacity.
    pub fn seat(&self, model: ModelId, capacity: i32) -> (Seat<'_>, mpsc::Receiver<wire::Frame>) {
        let capacity = capacity.clamp(1, CAPACITY_MAX) as usize;
        let (frames, receiver) = mpsc::channel(capacity);
        let number = self.new_source();
        let mut state = self.lock();
        state.queues.entry(model.clone()).or_default();
        let worker = Worker { frames, model, capacity, leaving: false, last_frame: 0, under_way: HashMap::new() };
        state.workers.insert(number, worker);
        drop(state);
        (Seat { hub: self, number }, receiver)
    }

    /// How many workers are connected.
    pub fn workers(&self) -> usize {
        self.lock().workers.len()
    }

    /// Sends frames that wait for the model to its workers with room, the emptiest first.
    fn dispatch(&self, state: &mut State, model: &ModelId, now: Timestamp) {
        state.latest = Some(now);
        while let Some(number) = state.roomiest(model) {
            state.shed(model);
            let Some((source, mut pending)) = state.queues.get_mut(model).and_then(Queues::pop) else {
                return;
            };
            if source != ANALYSES && now.duration_since(pending.captured_at) > self.frame_age_max {
                let _ = pending.answer.send(Err(Refusal::Overload));
                continue;
            }
            // Whoever asked may have left: then nobody needs the faces.
            if pending.answer.is_closed() {
                continue;
            }
            state.frames_sent += 1;
            let frame = wire::Frame {
                frame_id: state.frames_sent,
                jpeg: pending.jpeg.clone(),
                capture_time: Some(instant_to_proto(pending.captured_at)),
                traceparent: pending.traceparent.clone(),
            };
            let Some(worker) = state.workers.get_mut(&number) else { return };
            if worker.frames.try_send(frame).is_err() {
                worker.leaving = true;
                state.put_back(model, source, pending);
                continue;
            }
            pending.sent_at = now;
            worker.last_frame = state.frames_sent;
            worker.under_way.insert(state.frames_sent, (source, pending));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat<'_> {
    /// Takes a worker's answer. False when the frame was never sent, or answered before.
    pub fn answer(&self, result: wire::FrameResult, now: Timestamp) -> bool {
        let mut state = self.hub.lock();
        let Some(worker) = state.workers.get_mut(&self.number) else { return false };
        let Some((_, pending)) = worker.under_way.remove(&result.frame_id) else { return false };
        let model = worker.model.clone();
        let outcome = match result.error() {
            wire::FrameError::Unspecified => {
                let passage = Passage {
                    received_at: pending.received_at,
                    sent_at: pending.sent_at,
                    answered_at: now,
                    traceparent: pending.traceparent.clone(),
                };
                Ok(Analysis { model: model.clone(), result, passage })
            }
            wire::FrameError::NotAJpeg => Err(Refusal::NotAJpeg),
            wire::FrameError::TooLarge => Err(Refusal::TooLarge),
            wire::FrameError::Internal => Err(Refusal::Failed),
        };
        let _ = pending.answer.send(outcome);
        self.hub.dispatch(&mut state, &model, now);
        true
    }

    /// The worker gets no more frames.
    pub fn leave(&self) {
        if let Some(worker) = self.hub.lock().workers.get_mut(&self.number) {
            worker.leaving = true;
        }
    }

    /// Since when the worker has had the oldest frame that it has not answered.
    pub fn owes_since(&self) -> Option<Timestamp> {
        self.hub.lock().workers.get(&self.number)?.under_way.values().map(|(_, pending)| pending.sent_at).min()
    }

    /// Whether every frame was answered.
    pub fn is_idle(&self) -> bool {
        self.hub.lock().workers.get(&self.number).is_none_or(|worker| worker.under_way.is_empty())
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        let Some(worker) = state.workers.remove(&self.number) else { return };
        let model = worker.model;
        let mut unanswered: Vec<_> = worker.under_way.into_iter().collect();
        // Newest first, because each goes to the front.
        unanswered.sort_by_key(|(frame_id, _)| std::cmp::Reverse(*frame_id));
        for (_, (source, pending)) in unanswered {
            state.put_back(&model, source, pending);
        }
        if !state.workers.values().any(|worker| worker.model == model) {
            for pending in state.queues.remove(&model).iter_mut().flat_map(Queues::drain) {
                let _ = pending.answer.send(Err(Refusal::NoVisionWorker));
            }
        } else if let Some(now) = state.latest {
            self.hub.dispatch(&mut state, &model, now);
        }
    }
}
