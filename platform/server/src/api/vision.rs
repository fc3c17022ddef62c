//! VisionService: workers dial in and stay.

use std::pin::Pin;

use gatepost_matching::ModelId;
use gatepost_proto::vision::{
    self as wire, vision_service_server::VisionService, work_request, work_response::Message as Answer,
};
use jiff::SignedDuration;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{convert, status::status};
use crate::{
    platform::Platform,
    problem::Problem,
    vision::{hub::Seat, models::Models},
};

/// A worker that has kept a frame so long will not answer it any more. It is let go, so that the camera hears
/// of its frame.
const ANSWER_WITHIN: SignedDuration = SignedDuration::from_secs(15);
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// The service.
pub struct Vision {
    /// The parts.
    pub platform: Platform,
    /// Asks workers to go elsewhere.
    pub draining: CancellationToken,
}

type Answers = mpsc::Sender<Result<wire::WorkResponse, Status>>;

#[tonic::async_trait]
impl VisionService for Vision {
    type WorkStream = Pin<Box<dyn Stream<Item = Result<wire::WorkResponse, Status>> + Send>>;

    async fn work(&self, request: Request<Streaming<wire::WorkRequest>>) -> Result<Response<Self::WorkStream>, Status> {
        let mut requests = request.into_inner();
        let hello = hello(&mut requests).await.map_err(status)?;
        let model = self.welcome(&hello).await.map_err(status)?;
        let (answers, receiver) = mpsc::channel(4);
        let (platform, draining) = (self.platform.clone(), self.draining.clone());
        tokio::spawn(async move {
            tracing::info!(worker = %hello.worker_name, model = model.as_str(), capacity = hello.capacity, "worker connected");
            let (seat, frames) = platform.hub.seat(model, hello.capacity);
            tokio::select! {
                () = serve(&platform, &seat, frames, requests, answers, draining) => {}
                () = keeps_a_frame(&platform, &seat) => {
                    tracing::warn!(worker = %hello.worker_name, "worker does not answer its frames, and is let go");
                }
            }
            drop(seat);
            platform.metrics.workers.record(platform.hub.workers() as u64, &[]);
            tracing::info!(worker = %hello.worker_name, "worker gone");
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

impl Vision {
    /// Checks that this worker's embeddings can be compared with those enrolled.
    async fn welcome(&self, hello: &wire::Hello) -> Result<ModelId, Problem> {
        let model = convert::present(hello.model.as_ref(), "hello.model")?;
        let offered = convert::required(&model.id, "hello.model.id", 200)?;
        if !(1..=2_048).contains(&model.dimension) {
            return Err(Problem::invalid("hello.model.dimension", "1 to 2048"));
        }
        if !(1..=256).contains(&hello.capacity) {
            return Err(Problem::invalid("hello.capacity", "1 to 256"));
        }
        convert::text(&hello.worker_name, "hello.worker_name", 63)?;
        let models = Models::read(&self.platform.store.read().await?).await?;
        let model = ModelId::new(offered);
        if models.has(&model) { Ok(model) } else { Err(models.mismatch(&model)) }
    }
}

async fn hello(requests: &mut Streaming<wire::WorkRequest>) -> Result<wire::Hello, Problem> {
    let missing = || Problem::invalid("hello", "the first message must be hello");
    match requests.message().await.map_err(|_| missing())?.and_then(|request| request.message) {
        Some(work_request::Message::Hello(hello)) => Ok(hello),
        _ => Err(missing()),
    }
}

/// Passes frames and results until the worker leaves.
async fn serve(
    platform: &Platform,
    seat: &Seat<'_>,
    mut frames: mpsc::Receiver<wire::Frame>,
    mut requests: Streaming<wire::WorkRequest>,
    answers: Answers,
    draining: CancellationToken,
) {
    platform.metrics.workers.record(platform.hub.workers() as u64, &[]);
    if !send(&answers, Answer::Welcome(wire::Welcome {})).await {
        return;
    }
    let mut asked_to_leave = false;
    loop {
        tokio::select! {
            () = draining.cancelled(), if !asked_to_leave => {
                asked_to_leave = true;
                seat.leave();
                if !send(&answers, Answer::Drain(wire::WorkerDrain {})).await {
                    return;
                }
            }
            Some(frame) = frames.recv() => {
                if !send(&answers, Answer::Frame(frame)).await {
                    return;
                }
            }
            request = requests.next() => match request {
                Some(Ok(request)) => receive(platform, seat, request),
                Some(Err(error)) => {
                    tracing::debug!(code = ?error.code(), "worker's stream broke");
                    return;
                }
                None => return,
            },
        }
        if asked_to_leave && seat.is_idle() {
            return;
        }
    }
}

/// Returns once a frame is kept for too long.
async fn keeps_a_frame(platform: &Platform, seat: &Seat<'_>) {
    loop {
        let now = platform.now();
        if seat.owes_since().is_some_and(|since| now.duration_since(since) > ANSWER_WITHIN) {
            return;
        }
        platform.clock.sleep_until(now + LOOK_EVERY).await;
    }
}

fn receive(platform: &Platform, seat: &Seat<'_>, request: wire::WorkRequest) {
    match request.message {
        Some(work_request::Message::Result(result)) => {
            if !seat.answer(result, platform.now()) {
                tracing::warn!("worker answered a frame it did not have");
            }
        }
        Some(work_request::Message::GoingAway(_)) => seat.leave(),
        Some(work_request::Message::Hello(_)) | None => tracing::warn!("worker sent what it should not"),
    }
}

async fn send(answers: &Answers, message: Answer) -> bool {
    answers.send(Ok(wire::WorkResponse { message: Some(message) })).await.is_ok()
}
