//! GateService: cameras stream frames, smart cameras report persons.

use std::{ops::ControlFlow, pin::Pin, sync::Arc};

use futures::{StreamExt as _, stream::FuturesOrdered};
use gatepost_domain::{
    Timestamp,
    consent::Purpose,
    id::{CommunityId, GateId, ResidentId},
    journey::CLOCK_SKEW,
    principal::Principal,
    sighting::Sighting,
};
use gatepost_matching::ModelId;
use gatepost_proto::v1::{
    self, FrameRefusal, gate_service_server::GateService, stream_frames_response::Message as Answer,
};
use gatepost_storage::StoreError;
use jiff::SignedDuration;
use opentelemetry::KeyValue;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

use super::{convert, status::status};
use crate::{
    auth::caller,
    platform::Platform,
    problem::{Problem, settle},
    vision::{
        agreement::{self, Beside},
        gate::{self, Gate, Showing},
        hub::{Outcome, Refusal},
        models::Models,
    },
};

/// The service.
pub struct Gates {
    /// The parts.
    pub platform: Platform,
    /// Ends the streams with a drain message.
    pub draining: CancellationToken,
}

const FRAME_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Cameras send many frames a second, most of them without a face: those need no other read.
const MODELS_READ_EVERY: SignedDuration = SignedDuration::from_secs(1);

type Answers = mpsc::Sender<Result<v1::StreamFramesResponse, Status>>;

fn camera<T>(request: &Request<T>) -> Result<(CommunityId, GateId), Problem> {
    match caller(request)? {
        Principal::Camera { community, gate } => Ok((community, gate)),
        Principal::Courier { .. } | Principal::Worker | Principal::Administrator { .. } => {
            Err(Problem::Bug("a camera's rpc was called by another principal"))
        }
    }
}

#[tonic::async_trait]
impl GateService for Gates {
    type StreamFramesStream = Pin<Box<dyn Stream<Item = Result<v1::StreamFramesResponse, Status>> + Send>>;

    async fn stream_frames(
        &self,
        request: Request<Streaming<v1::StreamFramesRequest>>,
    ) -> Result<Response<Self::StreamFramesStream>, Status> {
        let (community, gate) = camera(&request).map_err(status)?;
        let (answers, receiver) = mpsc::channel(64);
        let mut session = Session {
            gate: Gate::new(&self.platform, community, gate),
            source: self.platform.hub.new_source(),
            platform: self.platform.clone(),
            compared: Arc::new(Semaphore::new(self.platform.config.vision.frames_per_camera)),
            models: None,
            answers,
            sequence: i64::MIN,
        };
        let (requests, draining) = (request.into_inner(), self.draining.clone());
        tokio::spawn(async move {
            session.run(requests, draining).await;
            if let Err(problem) = session.gate.finish(&session.platform).await {
                tracing::error!(error = %problem, "the last faces of a camera were lost");
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn report_person(
        &self,
        request: Request<v1::ReportPersonRequest>,
    ) -> Result<Response<v1::ReportPersonResponse>, Status> {
        let (community, gate) = camera(&request).map_err(status)?;
        let request = request.into_inner();
        self.person(community, gate, &request).await.map(Response::new).map_err(status)
    }
}

impl Gates {
    /// An unknown reference, a resident without consent and one with nothing to remind of all answer alike.
    async fn person(
        &self,
        community: CommunityId,
        gate: GateId,
        request: &v1::ReportPersonRequest,
    ) -> Result<v1::ReportPersonResponse, Problem> {
        let reference = convert::required(&request.person_reference, "person_reference", 100)?;
        let captured_at = convert::instant(convert::present(request.capture_time, "capture_time")?, "capture_time")?;
        let seen_at = gatepost_domain::journey::reported_time(Some(captured_at), self.platform.now())?;
        let caller = Principal::Camera { community: community.clone(), gate: gate.clone() };
        let sighting = |resident| Sighting {
            community: community.clone(),
            gate: gate.clone(),
            resident,
            seen_at,
            similarity: None,
        };
        let (answer, showing) = settle(|| self.try_person(&caller, request, &reference, &sighting)).await?;
        if let Some(showing) = showing {
            showing.shown(&self.platform, true).await?;
        }
        Ok(answer)
    }

    async fn try_person(
        &self,
        caller: &Principal,
        request: &v1::ReportPersonRequest,
        reference: &str,
        sighting: &impl Fn(ResidentId) -> Sighting,
    ) -> Result<(v1::ReportPersonResponse, Option<Showing>), Problem> {
        let mutation = match self.platform.begin(caller, "ReportPerson", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok((answer, None)),
            ControlFlow::Continue(mutation) => mutation,
        };
        let Principal::Camera { community, .. } = caller else {
            return Err(Problem::Bug("a camera's rpc was called by another principal"));
        };
        let (mut reminded, mut showing) = (Vec::new(), None);
        let resident = mutation.tx.resident_by_person_reference(community, reference).await?;
        if let Some(resident) = resident.filter(|resident| resident.agrees_to(Purpose::GateRecognition)) {
            let sighting = sighting(resident.id);
            reminded = self.platform.remind_seen(&mutation.tx, &sighting, None).await?;
            showing = gate::showing(&mutation.tx, sighting, &reminded).await?;
        }
        let display = showing.as_ref().map(|showing| display(&self.platform, showing));
        let answer = self.platform.commit(mutation, v1::ReportPersonResponse { display }, &reminded).await?;
        Ok((answer, showing))
    }
}

/// One camera's stream.
struct Session {
    platform: Platform,
    gate: Gate,
    source: u64,
    /// Places for frames that another model looks at too.
    compared: Arc<Semaphore>,
    /// As last read, and when.
    models: Option<(Timestamp, Arc<Models>)>,
    answers: Answers,
    sequence: i64,
}

/// A frame that was submitted, with what became of it.
struct Looked {
    sequence: i64,
    captured_at: Timestamp,
    outcome: Outcome,
    /// The same frame on its way to the other model.
    beside: Option<Beside>,
}

impl Session {
    /// Submits frames and takes in their faces in the order of capture, until the camera leaves.
    async fn run(&mut self, mut requests: Streaming<v1::StreamFramesRequest>, draining: CancellationToken) {
        let credit = self.platform.config.vision.frames_per_camera;
        if !self.send(Answer::Credit(v1::Credit { frames: credit as i32 })).await {
            return;
        }
        let mut under_way = FuturesOrdered::new();
        let mut open = true;
        while open || !under_way.is_empty() {
            tokio::select! {
                biased;
                () = draining.cancelled(), if open => {
                    self.send(Answer::Drain(v1::GateDrain {})).await;
                    open = false;
                }
                Some(looked) = under_way.next() => {
                    if !self.conclude(looked).await {
                        return;
                    }
                }
                request = requests.next(), if open => match request {
                    Some(Ok(frame)) => match self.accept(frame).await {
                        Ok(looking) => under_way.push_back(looking),
                        Err((sequence, reason)) => {
                            if !self.refuse(sequence, reason).await {
                                return;
                            }
                        }
                    },
                    // A frame over the limit of the wire, or the camera's connection broke: if it is there, it is told.
                    Some(Err(status)) => {
                        let _ = self.answers.send(Err(status)).await;
                        open = false;
                    }
                    None => open = false,
                },
            }
        }
    }

    /// Checks a frame and submits it.
    async fn accept(
        &mut self,
        frame: v1::StreamFramesRequest,
    ) -> Result<impl Future<Output = Looked> + use<>, (i64, FrameRefusal)> {
        let now = self.platform.now();
        let refusal = |reason| (frame.sequence, reason);
        let captured_at = frame
            .capture_time
            .and_then(|at| convert::instant(at, "capture_time").ok())
            .filter(|at| at.duration_since(now).abs() <= CLOCK_SKEW)
            .filter(|_| frame.sequence > self.sequence)
            .ok_or(refusal(FrameRefusal::OutOfOrder))?;
        if frame.jpeg.len() > FRAME_MAX_BYTES {
            return Err(refusal(FrameRefusal::TooLarge));
        }
        self.sequence = frame.sequence;
        let models = self.models(now).await.map_err(|error| {
            tracing::error!(%error, "the database does not say who is to look at a frame");
            refusal(FrameRefusal::Overload)
        })?;
        let (model, other) = self.platform.at_work(&models);
        let model = model.ok_or(refusal(FrameRefusal::NoVisionWorker))?;
        let span = tracing::info_span!("frame", gate.id = %self.gate_id(), sequence = frame.sequence);
        let most = self.platform.config.vision.frames_per_camera;
        let submit = |model: &ModelId, jpeg, most| {
            span.in_scope(|| self.platform.hub.submit(model, self.source, jpeg, (captured_at, now), most))
        };
        // What is only compared gives way first: one frame waits, and who has no place is not looked at.
        let place = other.and_then(|other| Some((other, self.compared.clone().try_acquire_owned().ok()?)));
        let beside = place.map(|(other, place)| Beside { outcome: submit(&other, frame.jpeg.clone(), 1), place });
        let outcome = submit(&model, frame.jpeg, most);
        let sequence = frame.sequence;
        let looking = async move {
            let outcome = outcome.await.unwrap_or(Err(Refusal::NoVisionWorker));
            Looked { sequence, captured_at, outcome, beside }
        };
        Ok(looking.instrument(span))
    }

    /// The models as they were within the last second. Of a frame that went to one that is not in use any more, nothing
    /// is made.
    async fn models(&mut self, now: Timestamp) -> Result<Arc<Models>, StoreError> {
        if let Some((read_at, models)) = &self.models
            && now.duration_since(*read_at).abs() < MODELS_READ_EVERY
        {
            return Ok(models.clone());
        }
        let models = Arc::new(Models::read(&self.platform.store.read().await?).await?);
        self.models = Some((now, models.clone()));
        Ok(models)
    }

    fn gate_id(&self) -> &GateId {
        self.gate.id()
    }

    /// Takes in the faces, gives the credit back and shows what there is to show. False when the camera is gone.
    async fn conclude(&mut self, looked: Looked) -> bool {
        let analysis = match looked.outcome {
            Ok(analysis) => analysis,
            Err(refusal) => return self.refuse(looked.sequence, reason(refusal)).await,
        };
        let age = self.platform.now().duration_since(looked.captured_at).as_secs_f64();
        self.platform.metrics.frame_age.record(age.max(0.0), &[]);
        self.count("looked_at");
        let (model, asked) = (analysis.model.clone(), looked.beside.is_some());
        let found = if analysis.result.faces.is_empty() {
            self.gate.nobody(&self.platform, looked.captured_at).await.map(|()| Default::default())
        } else {
            self.gate.look(&self.platform, analysis, looked.captured_at, asked).await
        };
        let (showings, said) = found.unwrap_or_else(|problem| {
            tracing::error!(error = %problem, "faces of a frame were lost");
            Default::default()
        });
        if let Some(beside) = looked.beside {
            let community = self.gate.community().clone();
            tokio::spawn(agreement::compare(self.platform.clone(), community, model, said, beside));
        }
        for showing in showings {
            let reached = self.send(Answer::Display(display(&self.platform, &showing))).await;
            if let Err(problem) = showing.shown(&self.platform, reached).await {
                tracing::error!(error = %problem, "delivery at a display was not recorded");
            }
        }
        self.send(Answer::Credit(v1::Credit { frames: 1 })).await
    }

    async fn refuse(&self, sequence: i64, reason: FrameRefusal) -> bool {
        self.count(reason.as_str_name());
        let refused = v1::FrameRefused { sequence, reason: reason.into() };
        self.send(Answer::Refused(refused)).await && self.send(Answer::Credit(v1::Credit { frames: 1 })).await
    }

    fn count(&self, outcome: &'static str) {
        self.platform.metrics.frames.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    async fn send(&self, message: Answer) -> bool {
        self.answers.send(Ok(v1::StreamFramesResponse { message: Some(message) })).await.is_ok()
    }
}

fn display(platform: &Platform, showing: &Showing) -> v1::Display {
    let show_for = platform.config.vision.show_for;
    v1::Display {
        text: showing.text.clone(),
        show_for: Some(prost_types::Duration { seconds: show_for.as_secs() as i64, nanos: 0 }),
    }
}

fn reason(refusal: Refusal) -> FrameRefusal {
    match refusal {
        Refusal::NotAJpeg | Refusal::Failed => FrameRefusal::NotAJpeg,
        Refusal::TooLarge => FrameRefusal::TooLarge,
        Refusal::Overload => FrameRefusal::Overload,
        Refusal::NoVisionWorker => FrameRefusal::NoVisionWorker,
    }
}
