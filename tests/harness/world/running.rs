//! One life of the platform, on threads of its own, so that it can be killed wherever it stands.

use std::{net::SocketAddr, path::Path, time::Duration};

use gatepost_process::{clock::SharedClock, shutdown::Shutdown};
use gatepost_server::config::Config;
use tokio::runtime::{Builder, Runtime};

use super::soon;

const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Running {
    runtime: Option<Runtime>,
    shutdown: Shutdown,
    address: SocketAddr,
}

impl Running {
    pub(super) async fn start(config: Config, data_dir: &Path, clock: SharedClock) -> Running {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let (shutdown, data_dir) = (Shutdown::new(), data_dir.to_owned());
        let handle = shutdown.clone();
        let start = runtime.spawn(async move { gatepost_server::run(config, &data_dir, clock, &handle).await });
        let mut running = Running { runtime: Some(runtime), shutdown, address: ([127, 0, 0, 1], 0).into() };
        let started = soon("the start of the platform", start).await.expect("the start does not panic");
        running.address = started.expect("the platform starts");
        running
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn begin_drain(&self) {
        self.shutdown.drain();
    }

    /// Ends as after SIGTERM; a task that failed fails the test.
    pub(super) async fn drain(self) {
        self.shutdown.drain();
        self.shutdown.clone().finished(DRAIN_TIMEOUT).await.expect("every task of the platform ends well");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
