//! The worker's manners, seen from a platform that is scripted by the test.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use candle_core::Device;
use gatepost_process::shutdown::Shutdown;
use gatepost_proto::vision::vision_service_server::{VisionService, VisionServiceServer};
use gatepost_proto::vision::{
    Frame, FrameError, FrameResult, Hello, Welcome, WorkRequest, WorkResponse, WorkerDrain, work_request, work_response,
};
use gatepost_vision::model::Model;
use gatepost_vision::model::embedder::{Architecture, Embedder};
use gatepost_vision::model::layers::Backend;
use gatepost_vision::model::weights::Weights;
use gatepost_vision::{Config, Pipeline, SessionError, run_with};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::support::{grey, jpeg, model_folder, photograph, pipeline};

const KEY: &str = "a-worker-key";

/// One stream of a worker, in the hands of the test.
struct Connection {
    requests: Streaming<WorkRequest>,
    responses: mpsc::Sender<Result<WorkResponse, Status>>,
}

impl Connection {
    async fn send(&self, message: work_response::Message) {
        self.responses.send(Ok(WorkResponse { message: Some(message) })).await.unwrap();
    }

    async fn send_frame(&self, frame_id: i64, jpeg: Vec<u8>) {
        let frame = Frame { frame_id, jpeg: jpeg.into(), ..Frame::default() };
        self.send(work_response::Message::Frame(frame)).await;
    }

    async fn next(&mut self) -> Option<work_request::Message> {
        soon(self.requests.message()).await.unwrap().and_then(|request| request.message)
    }

    /// Takes the hello and welcomes the worker.
    async fn welcome(&mut self) -> Hello {
        let Some(work_request::Message::Hello(hello)) = self.next().await else { panic!("no hello") };
        self.send(work_response::Message::Welcome(Welcome {})).await;
        hello
    }

    async fn result(&mut self) -> FrameResult {
        let Some(work_request::Message::Result(result)) = self.next().await else { panic!("no result") };
        result
    }
}

struct Platform {
    connections: mpsc::Sender<Connection>,
    refusal: Option<Status>,
}

#[tonic::async_trait]
impl VisionService for Platform {
    type WorkStream = ReceiverStream<Result<WorkResponse, Status>>;

    async fn work(&self, request: Request<Streaming<WorkRequest>>) -> Result<Response<Self::WorkStream>, Status> {
        if request.metadata().get("authorization").unwrap() != format!("Bearer {KEY}").as_str() {
            return Err(Status::unauthenticated("unknown key"));
        }
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let (responses, stream) = mpsc::channel(16);
        self.connections.send(Connection { requests: request.into_inner(), responses }).await.unwrap();
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// A worker and the platform it works for.
struct Scene {
    connections: mpsc::Receiver<Connection>,
    shutdown: Shutdown,
    worker: JoinHandle<Result<(), SessionError>>,
}

impl Scene {
    async fn begin(key: &str, refusal: Option<Status>) -> Self {
        Self::begin_with(pipeline().clone(), key, refusal).await
    }

    async fn begin_with(pipeline: Arc<Pipeline>, key: &str, refusal: Option<Status>) -> Self {
        Self::begin_at(pipeline, refusal, |address| Config::new(format!("http://{address}"), key)).await
    }

    async fn begin_at(
        pipeline: Arc<Pipeline>,
        refusal: Option<Status>,
        config: impl FnOnce(SocketAddr) -> Config,
    ) -> Self {
        let (sender, connections) = mpsc::channel(1);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = VisionServiceServer::new(Platform { connections: sender, refusal });
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let shutdown = Shutdown::new();
        let config = Config { capacity: 3, ..config(address) };
        let session = shutdown.clone();
        let worker = tokio::spawn(async move { run_with(pipeline, config, &session).await });
        Self { connections, shutdown, worker }
    }

    async fn connection(&mut self) -> Connection {
        soon(self.connections.recv()).await.unwrap()
    }

    async fn outcome(self) -> Result<(), SessionError> {
        soon(self.worker).await.unwrap()
    }
}

/// A bound on every wait, far beyond what it takes.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("this takes too long")
}

#[tokio::test]
async fn every_frame_gets_exactly_one_result() {
    let mut scene = Scene::begin(KEY, None).await;
    let mut connection = scene.connection().await;
    let hello = connection.welcome().await;
    let model = hello.model.unwrap();
    assert_eq!((model.id.as_str(), model.dimension), (pipeline().card().id.as_str(), 128));
    assert_eq!((hello.capacity, hello.worker_name.as_str()), (3, "vision-worker"));

    connection.send_frame(1, photograph("obama")).await;
    connection.send_frame(2, b"not a picture".to_vec()).await;
    connection.send_frame(3, jpeg(&grey(320, 200))).await;
    let mut results = BTreeMap::new();
    for _ in 0..3 {
        let result = connection.result().await;
        assert!(results.insert(result.frame_id, result).is_none());
    }
    let face = &results[&1].faces[0];
    assert_eq!((face.embedding.len(), face.landmarks.len(), results[&1].faces.len()), (128, 5, 1));
    assert_eq!((results[&1].width, results[&1].height), (910, 1137));
    assert_eq!(results[&2].error(), FrameError::NotAJpeg);
    assert_eq!((results[&3].faces.len(), results[&3].width), (0, 320));

    scene.shutdown.drain();
    assert!(matches!(connection.next().await, Some(work_request::Message::GoingAway(_))));
    assert!(connection.next().await.is_none());
    drop(connection);
    scene.outcome().await.unwrap();
}

/// The address of `--platform` says what the platform is called, and the name of the replicas where they are.
#[tokio::test]
async fn replicas_are_found_by_their_name() {
    let config = |address: SocketAddr| Config {
        replicas: Some(format!("localhost:{}", address.port())),
        ..Config::new("http://gatepost.invalid:50051", KEY)
    };
    let mut scene = Scene::begin_at(pipeline().clone(), None, config).await;
    let mut connection = scene.connection().await;
    connection.welcome().await;
    connection.send_frame(1, photograph("obama")).await;
    assert_eq!(connection.result().await.faces.len(), 1);
    scene.shutdown.drain();
    assert!(matches!(connection.next().await, Some(work_request::Message::GoingAway(_))));
    drop(connection);
    scene.outcome().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_leaves_answers_what_it_has() {
    let mut scene = Scene::begin(KEY, None).await;
    let mut connection = scene.connection().await;
    connection.welcome().await;
    for frame_id in 1..=3 {
        connection.send_frame(frame_id, photograph("obama3")).await;
    }
    // The first result proves that the frames have arrived: messages of a stream keep their order.
    let mut answered = vec![connection.result().await.frame_id];
    scene.shutdown.drain();
    let mut gone = false;
    while let Some(message) = connection.next().await {
        match message {
            work_request::Message::Result(result) => answered.push(result.frame_id),
            work_request::Message::GoingAway(_) => gone = true,
            work_request::Message::Hello(_) => panic!("a second hello"),
        }
    }
    answered.sort_unstable();
    assert!(gone);
    assert_eq!(answered, [1, 2, 3]);
    drop(connection);
    scene.outcome().await.unwrap();
}

#[tokio::test]
async fn a_worker_comes_back_after_a_loss_and_after_a_drain() {
    let mut scene = Scene::begin(KEY, None).await;
    let mut connection = scene.connection().await;
    connection.welcome().await;
    drop(connection);

    let mut connection = scene.connection().await;
    connection.welcome().await;
    connection.send_frame(7, jpeg(&grey(64, 64))).await;
    connection.send(work_response::Message::Drain(WorkerDrain {})).await;
    assert_eq!(connection.result().await.frame_id, 7);
    assert!(connection.next().await.is_none());
    drop(connection);

    let mut connection = scene.connection().await;
    connection.welcome().await;
    connection.send_frame(8, jpeg(&grey(64, 64))).await;
    assert_eq!(connection.result().await.frame_id, 8);
    scene.shutdown.drain();
    assert!(matches!(connection.next().await, Some(work_request::Message::GoingAway(_))));
    drop(connection);
    scene.outcome().await.unwrap();
}

#[tokio::test]
async fn more_frames_than_offered_are_answered_with_an_error() {
    let mut scene = Scene::begin(KEY, None).await;
    let mut connection = scene.connection().await;
    connection.welcome().await;
    for frame_id in 0..12 {
        connection.send_frame(frame_id, photograph("obama3")).await;
    }
    let mut refused = 0;
    for _ in 0..12 {
        refused += i32::from(connection.result().await.error() == FrameError::Internal);
    }
    assert!((1..=9).contains(&refused), "{refused}");
    scene.shutdown.drain();
    assert!(matches!(connection.next().await, Some(work_request::Message::GoingAway(_))));
}

/// A pipeline that can embed nothing: its embedder puts out zeros.
fn broken() -> Arc<Pipeline> {
    let mut model = Model::load(&model_folder(), &Device::Cpu).unwrap();
    let file = model.card.embedder.weights.read(&model_folder()).unwrap();
    let weights = candle_core::safetensors::load_buffer(&file, &Device::Cpu).unwrap();
    let zeros = weights.into_iter().map(|(name, weight)| (name, weight.zeros_like().unwrap()));
    let zeros = safetensors::serialize(zeros, None).unwrap();
    let zeros = Weights::from_bytes(&zeros, &Device::Cpu, Backend::Kernels).unwrap();
    model.embedder = Embedder::load(&zeros, Architecture::Sface).unwrap();
    Arc::new(Pipeline::new(model))
}

#[tokio::test]
async fn a_worker_that_fails_frame_after_frame_says_so_and_ends() {
    let mut scene = Scene::begin_with(broken(), KEY, None).await;
    let mut connection = scene.connection().await;
    connection.welcome().await;
    for frame_id in 1..32 {
        connection.send_frame(frame_id, photograph("obama")).await;
        assert_eq!(connection.result().await.error(), FrameError::Internal);
        // What is wrong with a file does not count, in neither direction.
        connection.send_frame(100 + frame_id, b"no picture".to_vec()).await;
        assert_eq!(connection.result().await.error(), FrameError::NotAJpeg);
    }
    connection.send_frame(32, photograph("obama")).await;
    let (mut gone, mut answered) = (false, false);
    while let Some(message) = connection.next().await {
        match message {
            work_request::Message::Result(result) => answered = result.error() == FrameError::Internal,
            work_request::Message::GoingAway(_) => gone = true,
            work_request::Message::Hello(_) => panic!("a second hello"),
        }
    }
    assert!(gone && answered);
    drop(connection);
    let error = scene.outcome().await.unwrap_err();
    assert!(matches!(error, SessionError::Broken), "{error}");
}

#[tokio::test]
async fn another_model_than_the_gallerys_ends_the_worker() {
    let details = ErrorDetails::with_error_info("MODEL_MISMATCH", "gatepost", HashMap::new());
    let refusal = Status::with_error_details(tonic::Code::FailedPrecondition, "made by another model", details);
    let scene = Scene::begin(KEY, Some(refusal)).await;
    let error = scene.outcome().await.unwrap_err();
    assert!(matches!(&error, SessionError::ModelMismatch { .. }), "{error}");
    assert!(error.to_string().contains(&pipeline().card().id), "{error}");
}

#[tokio::test]
async fn a_wrong_key_ends_the_worker() {
    let scene = Scene::begin("another-key", None).await;
    let error = scene.outcome().await.unwrap_err();
    assert!(matches!(error, SessionError::Refused(_)), "{error}");
    assert!(!format!("{error} {error:?}").contains("another-key"));
}

#[tokio::test]
async fn settings_outside_the_contract_are_refused() {
    let shutdown = Shutdown::new();
    let config = Config::new("http://127.0.0.1:1", KEY);
    for config in [
        Config { capacity: 0, ..config.clone() },
        Config { capacity: 257, ..config.clone() },
        Config { name: "x".repeat(64), ..config.clone() },
        Config { platforms: Vec::new(), ..config.clone() },
        Config { platforms: vec!["http://127.0.0.1:1".to_owned(); 17], ..config.clone() },
        Config { platforms: vec!["not an address".to_owned()], ..config.clone() },
        Config { platforms: vec!["http://127.0.0.1:1".to_owned(); 2], replicas: Some("a:1".to_owned()), ..config },
    ] {
        let outcome = run_with(pipeline().clone(), config, &shutdown).await;
        assert!(matches!(outcome, Err(SessionError::Config(_))));
    }
}
