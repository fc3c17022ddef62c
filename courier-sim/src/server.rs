//! A courier company's server: announces and deposits parcels, follows its events, and sends its terminals out.
//!
//! Recalls are accepted as they come. The terminals' service has no keys of its own: it listens on this machine
//! unless it is told otherwise, and belongs inside a courier's network.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use gatepost_process::clock::SharedClock;
use gatepost_process::shutdown::Shutdown;
use gatepost_proto::courier::terminal_service_server::TerminalServiceServer;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

use crate::client::{Key, Platform};

pub mod book;
pub mod counter;
mod dispatch;
mod feed;
mod terminals;

pub use book::Routes;
pub use counter::{Consignment, Counter, Size};

/// What a courier's server needs to know.
pub struct ServerConfig {
    /// Where the platform is.
    pub platform: Platform,
    /// The courier's key.
    pub key: Key,
    /// Where terminals connect.
    pub listen: SocketAddr,
    /// Which terminal goes where.
    pub routes: Routes,
    /// Where what is under way outlives a restart.
    pub state_file: Option<PathBuf>,
    /// The time.
    pub clock: SharedClock,
}

/// A running courier's server.
pub struct CourierServer {
    counter: Counter,
    address: SocketAddr,
}

impl CourierServer {
    /// Opens the port for terminals and begins to follow events; runs until `shutdown` drains.
    pub async fn start(config: ServerConfig, shutdown: &Shutdown) -> anyhow::Result<Self> {
        let ServerConfig { platform, key, listen, routes, state_file, clock } = config;
        let dispatch = dispatch::Dispatch::open(routes, state_file)?;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr()?;

        let stop = shutdown.draining();
        let terminals = terminals::Terminals {
            dispatch: dispatch.clone(),
            platform: platform.clone(),
            key: key.clone(),
            clock: clock.clone(),
            stop: stop.clone(),
        };
        let serving = tonic::transport::Server::builder()
            .add_service(TerminalServiceServer::new(terminals))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
        shutdown.spawn("terminal service", async move { Ok(serving.await?) });

        let feed = feed::Feed { key: key.clone(), platform: platform.clone(), dispatch, clock: clock.clone() };
        shutdown.spawn("event feed", feed.run(stop));
        tracing::info!(%address, "waiting for terminals");
        Ok(CourierServer { counter: Counter { platform, key, clock }, address })
    }

    /// Where terminals connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The side that brings parcels.
    pub fn counter(&self) -> Counter {
        self.counter.clone()
    }
}
