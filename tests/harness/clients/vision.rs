//! The real vision worker, in this process: real networks, real weights.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use gatepost_process::shutdown::Shutdown;
use gatepost_proto::v1::FrameRefusal;
use gatepost_vision::{Config, Pipeline, cli::DeviceChoice, model::card::default_folder, session::run_with};
use tokio::sync::Mutex;

use super::Seen;
use crate::world::{NORTH_GATE, World, until};

/// A running worker; it goes away when it is dropped.
pub struct VisionWorker(Shutdown);

impl Drop for VisionWorker {
    fn drop(&mut self) {
        self.0.drain();
    }
}

fn model_folder() -> PathBuf {
    let folder = default_folder();
    assert!(
        folder.join("model.toml").is_file(),
        "no model in {}: run `gatepost-vision models import --from $(vision-worker/models/fetch)`, \
         or set GATEPOST_MODEL_DIR",
        folder.display()
    );
    folder
}

/// Loaded once: the weights do not change.
fn pipeline() -> Arc<Pipeline> {
    static PIPELINE: OnceLock<Arc<Pipeline>> = OnceLock::new();
    let load = || {
        let device = DeviceChoice::Cpu.open().expect("the CPU is there");
        Arc::new(Pipeline::load(&model_folder(), &device).expect("the model loads"))
    };
    PIPELINE.get_or_init(load).clone()
}

impl World {
    /// Starts the real worker and waits until the platform has it.
    pub async fn worker(&self) -> VisionWorker {
        let pipeline = tokio::task::spawn_blocking(pipeline).await.expect("the model loads");
        let (shutdown, config) = (Shutdown::new(), Config::new(self.url(), self.worker_key().secret()));
        let session = shutdown.clone();
        shutdown.spawn("vision worker", async move { Ok(run_with(pipeline, config, &session).await?) });
        self.worker_is_connected().await;
        VisionWorker(shutdown)
    }

    /// No rpc tells when a worker has come; a frame that nobody can read does.
    async fn worker_is_connected(&self) {
        let camera = Mutex::new(self.camera(NORTH_GATE).await);
        until("the connection of a vision worker", || async {
            let mut seen = Seen::default();
            let mut camera = camera.lock().await;
            camera.send(Bytes::from_static(b"is somebody there?"), self.now()).await;
            camera.answered(&mut seen).await;
            seen.refused != [FrameRefusal::NoVisionWorker]
        })
        .await;
        camera.into_inner().leave().await;
    }
}
