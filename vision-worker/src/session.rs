//! The worker's life with its platforms: dials in at each, says hello, answers every frame with one result, comes back
//! after a loss, and leaves politely.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost_process::config::{ExposeSecret as _, SecretString};
use gatepost_process::shutdown::Shutdown;
use gatepost_process::telemetry::propagation;
use gatepost_proto::vision::vision_service_client::VisionServiceClient;
use gatepost_proto::vision::work_response::Message;
use gatepost_proto::vision::{Frame, WorkRequest, WorkResponse};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;
use tower::service_fn;
use tracing::Instrument as _;

use crate::config::{CAPACITY_MAX, Config, NAME_MAX};
use crate::engine::Engine;
use crate::model::ModelError;
use crate::pipeline::{FrameError, Pipeline};
use crate::replicas::{self, Name};
use crate::{backoff::Backoff, wire};

/// Bounds on what the network may keep us waiting for.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest message that is read; a larger frame ends the stream.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// Why the worker ended other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The settings cannot be used.
    #[error("{0}")]
    Config(String),
    /// The model cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The gallery holds embeddings of another model.
    #[error("the platform's gallery was not made with model {model}: {message}")]
    ModelMismatch {
        /// The worker's own model.
        model: String,
        /// What the platform said.
        message: String,
    },
    /// Every frame fails; a new process may find the device in order.
    #[error("every frame fails, the last ones in a row; start the worker again, and look for the device's own errors")]
    Broken,
    /// The platform will never take this worker as it is: a wrong key, a malformed hello.
    #[error("the platform refuses this worker: {0}")]
    Refused(Status),
}

/// Loads the model and works for the platforms until `shutdown` drains.
pub async fn run(config: Config, shutdown: &Shutdown) -> Result<(), SessionError> {
    let (models, device, decoding) = (config.models.clone(), config.device, config.decoding);
    let pipeline = tokio::task::spawn_blocking(move || {
        let unusable = |error: anyhow::Error| SessionError::Config(format!("{error:#}"));
        let device = device.open().map_err(unusable)?;
        decoding.of(Pipeline::load(&models, &device)?).map_err(unusable)
    });
    let pipeline = pipeline.await.map_err(|error| SessionError::Config(error.to_string()))??;
    run_with(Arc::new(pipeline), config, shutdown).await
}

/// As [`run`], with a model that is already loaded.
pub async fn run_with(pipeline: Arc<Pipeline>, config: Config, shutdown: &Shutdown) -> Result<(), SessionError> {
    let endpoints = config.endpoints()?;
    let worker = Arc::new(Worker::new(pipeline, config)?);
    let leaving = shutdown.draining().child_token();
    let mut platforms = JoinSet::new();
    for endpoint in endpoints {
        let (worker, leaving) = (Arc::clone(&worker), leaving.clone());
        platforms.spawn(async move {
            let Some(name) = worker.config.replicas.clone() else {
                return worker.work_for(&endpoint, None, &leaving).await;
            };
            replicas::work_for_all(Arc::new(Name(name)), &leaving, |address, leaving| {
                let (worker, endpoint) = (Arc::clone(&worker), endpoint.clone());
                async move { worker.work_for(&endpoint, Some(address), &leaving).await }
            })
            .await
        });
    }
    let mut outcome = Ok(());
    while let Some(ended) = platforms.join_next().await {
        // Whom one platform refuses leaves the others politely. Those are lost only by an error of ours.
        leaving.cancel();
        outcome = outcome.and(ended.unwrap_or_else(|error| Err(SessionError::Config(error.to_string()))));
    }
    tracing::info!("gone");
    outcome
}

/// How a session ended, if not by an error.
enum End {
    /// We were asked to leave, and left.
    GoneAway,
    /// The platform asked us to finish and come back.
    Drained,
    /// We cannot work any more, and left.
    Broken,
}

/// What stays the same from one session to the next, and from one platform to the other.
struct Worker {
    config: Config,
    model_id: String,
    dimension: usize,
    engine: Engine,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Worker {
    fn new(pipeline: Arc<Pipeline>, config: Config) -> Result<Self, SessionError> {
        let refuse = |reason: &str| SessionError::Config(reason.to_owned());
        if config.capacity == 0 || config.capacity > CAPACITY_MAX {
            return Err(refuse("the capacity must be 1 to 256 frames"));
        }
        if config.name.chars().count() > NAME_MAX {
            return Err(refuse("the worker's name must have at most 63 characters"));
        }
        let bearer = |key: &SecretString| -> Result<MetadataValue<Ascii>, SessionError> {
            let bearer = format!("Bearer {}", key.expose_secret());
            let mut value: MetadataValue<Ascii> =
                bearer.parse().map_err(|_| refuse("the key must be printable ASCII"))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let authorization = config.key.as_ref().map(bearer).transpose()?;
        let (model_id, dimension) = (pipeline.card().id.clone(), pipeline.card().embedder.dimension);
        let engine = Engine::start(pipeline).map_err(|error| SessionError::Config(error.to_string()))?;
        Ok(Self { config, model_id, dimension, engine, authorization })
    }

    /// One session after the other with a platform, until `leaving`; at this address, where it is one of several replicas.
    async fn work_for(
        &self,
        endpoint: &Endpoint,
        address: Option<SocketAddr>,
        leaving: &CancellationToken,
    ) -> Result<(), SessionError> {
        let platform = place(endpoint, address);
        let mut backoff = Backoff::default();
        while !leaving.is_cancelled() {
            match self.session(endpoint, address, leaving, &mut backoff).await {
                Ok(End::GoneAway) => break,
                Ok(End::Broken) => return Err(SessionError::Broken),
                Ok(End::Drained) => tracing::info!(%platform, "drained by the platform, coming back"),
                Err(status) => {
                    if let Some(error) = self.fatal(&status) {
                        return Err(error);
                    }
                    tracing::warn!(%platform, code = ?status.code(), message = status.message(), "lost the platform");
                }
            }
            let delay = backoff.next_delay();
            tokio::select! {
                () = leaving.cancelled() => break,
                () = tokio::time::sleep(delay) => {}
            }
        }
        Ok(())
    }

    /// One stream from hello to its end. The backoff starts anew once the platform has welcomed us.
    async fn session(
        &self,
        endpoint: &Endpoint,
        address: Option<SocketAddr>,
        leaving: &CancellationToken,
        backoff: &mut Backoff,
    ) -> Result<End, Status> {
        let (requests, outgoing) = mpsc::channel(usize::from(self.config.capacity) + 2);
        let greeting = tokio::time::timeout(WELCOME_TIMEOUT, self.greet(endpoint, address, &requests, outgoing));
        let mut incoming = tokio::select! {
            () = leaving.cancelled() => return Ok(End::GoneAway),
            greeted = greeting => greeted.map_err(|_| Status::deadline_exceeded("no welcome"))??,
        };
        backoff.reset();
        let platform = place(endpoint, address);
        tracing::info!(%platform, model.id = self.model_id, capacity = self.config.capacity, "welcomed by the platform");
        let mut frames = JoinSet::new();
        let end = loop {
            tokio::select! {
                () = leaving.cancelled() => break End::GoneAway,
                () = self.engine.broken() => break End::Broken,
                // Only counts out those that have ended.
                Some(_) = frames.join_next() => {}
                message = incoming.message() => match message?.and_then(|response| response.message) {
                    Some(Message::Frame(frame)) => self.take(frame, &requests, &mut frames),
                    Some(Message::Drain(_)) => break End::Drained,
                    Some(Message::Welcome(_)) => {}
                    None => return Err(Status::unavailable("the platform ended the stream")),
                },
            }
        };
        if matches!(end, End::GoneAway | End::Broken) {
            tracing::info!(%platform, frames.left = frames.len(), "going away");
            let _ = requests.send(wire::going_away()).await;
        }
        while frames.join_next().await.is_some() {}
        // The last sender gone, our side of the stream ends; the platform then ends its own.
        drop(requests);
        let farewell = async { while let Ok(Some(_)) = incoming.message().await {} };
        if tokio::time::timeout(FAREWELL_TIMEOUT, farewell).await.is_err() {
            tracing::debug!("the platform did not end the stream");
        }
        Ok(end)
    }

    /// Connects, says hello and waits for the welcome.
    async fn greet(
        &self,
        endpoint: &Endpoint,
        address: Option<SocketAddr>,
        requests: &mpsc::Sender<WorkRequest>,
        outgoing: mpsc::Receiver<WorkRequest>,
    ) -> Result<Streaming<WorkResponse>, Status> {
        let hello = wire::hello(&self.model_id, self.dimension, self.config.capacity, &self.config.name);
        // The channel is fresh and its receiver is ours, so there is room.
        let _ = requests.send(hello).await;
        // The files are read each time: a certificate that was renewed is shown from the next connection on.
        let endpoint = self.config.tls.secure(endpoint.clone());
        let endpoint = endpoint.map_err(|error| Status::unavailable(error.to_string()))?;
        let channel = match address {
            None => endpoint.connect().await,
            // By the endpoint's name, which the certificate has, but at the replica's own address.
            Some(address) => endpoint.connect_with_connector(service_fn(move |_: Uri| dial(address))).await,
        };
        let channel: Channel = channel.map_err(|error| Status::unavailable(sources(&error)))?;
        let mut client = VisionServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        let mut incoming = client.work(request).await?.into_inner();
        match incoming.message().await?.and_then(|response| response.message) {
            Some(Message::Welcome(_)) => Ok(incoming),
            Some(Message::Drain(_)) | None => Err(Status::unavailable("the platform is not ready for workers")),
            Some(Message::Frame(_)) => Err(Status::internal("a frame came before the welcome")),
        }
    }

    /// Has a frame answered in the background.
    fn take(&self, frame: Frame, requests: &mpsc::Sender<WorkRequest>, frames: &mut JoinSet<()>) {
        let Frame { frame_id, jpeg, traceparent, .. } = frame;
        let span = tracing::info_span!("vision.frame", frame.id = frame_id, jpeg.bytes = jpeg.len());
        propagation::span_parent(&span, &traceparent);
        let (engine, requests) = (self.engine.clone(), requests.clone());
        let has_room = frames.len() < usize::from(self.config.capacity);
        let answer = async move {
            let analysis = if has_room {
                engine.analyse(jpeg).await
            } else {
                // More than we offered: refused, so that our memory stays bounded, but answered.
                tracing::warn!("frame over capacity");
                Err(FrameError::Internal("over capacity".to_owned()))
            };
            // If the stream has gone, so has whoever wanted the answer.
            let _ = requests.send(wire::result(frame_id, analysis)).await;
        };
        frames.spawn(answer.instrument(span));
    }

    /// The error that coming back would not cure, if it is one.
    fn fatal(&self, status: &Status) -> Option<SessionError> {
        match status.code() {
            Code::FailedPrecondition if is_model_mismatch(status) => {
                Some(SessionError::ModelMismatch { model: self.model_id.clone(), message: status.message().to_owned() })
            }
            Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument | Code::Unimplemented => {
                Some(SessionError::Refused(status.clone()))
            }
            _ => None,
        }
    }
}

fn is_model_mismatch(status: &Status) -> bool {
    status.get_details_error_info().is_none_or(|details| details.reason == "MODEL_MISMATCH")
}

/// Where a platform is, for the log.
fn place(endpoint: &Endpoint, address: Option<SocketAddr>) -> String {
    address.map_or_else(|| endpoint.uri().to_string(), |address| address.to_string())
}

async fn dial(address: SocketAddr) -> std::io::Result<TokioIo<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(stream))
}

/// An error and what caused it: tonic's own message is only "transport error".
fn sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
