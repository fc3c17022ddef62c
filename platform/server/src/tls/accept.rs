//! From the listener to connections that calls may come on: so many at once, and none that never begins.

use std::{io, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, future, stream};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;

use super::{ClientCertificate, Connection, Tls};
use crate::platform::Platform;

/// After an error that is not one connection's, such as too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At once; whoever comes then is turned away.
    pub connections_max: usize,
    /// The TLS handshake, and then the opening of HTTP/2.
    pub begin_within: Duration,
}

/// Every connection, in the order in which they are ready. A handshake that fails is nobody's but its caller's concern.
pub fn incoming(
    listener: TcpListener,
    tls: Option<Tls>,
    limits: Limits,
    platform: Platform,
) -> impl Stream<Item = io::Result<Connection>> {
    let door = Door { listener, places: Arc::new(Semaphore::new(limits.connections_max)), platform, told: false };
    let accepted = stream::unfold(door, |mut door| async { Some((door.next().await, door)) });
    accepted
        .map(move |(tcp, place)| {
            let tls = tls.clone();
            async move {
                let Some(tls) = tls else {
                    return Some(Ok(Connection::new(Either::Left(tcp), None, limits.begin_within, place)));
                };
                // On a task of its own, so that other cores share the work.
                tokio::spawn(secured(tcp, tls, limits.begin_within, place)).await.ok().flatten().map(Ok)
            }
        })
        // Whoever begins slowly keeps nobody else waiting.
        .buffer_unordered(limits.connections_max)
        .filter_map(future::ready)
}

struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    platform: Platform,
    /// Whether it was told that somebody could not come in; not again until somebody could.
    told: bool,
}

impl Door {
    /// The next connection that there is a place for.
    async fn next(&mut self) -> (TcpStream, OwnedSemaphorePermit) {
        loop {
            let tcp = match self.listener.accept().await {
                Ok((tcp, _)) => tcp,
                Err(error) if is_of_one(error.kind()) => continue,
                Err(error) => {
                    self.turn_away(&error);
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            match self.places.clone().try_acquire_owned() {
                Ok(place) => {
                    self.told = false;
                    // It is slower without, and works.
                    let _ = tcp.set_nodelay(true);
                    return (tcp, place);
                }
                Err(_) => self.turn_away(&"there are listen.connections_max of them"),
            }
        }
    }

    fn turn_away(&mut self, why: &dyn std::fmt::Display) {
        self.platform.metrics.connections_turned_away.add(1, &[]);
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(%why, "connections are turned away");
        }
    }
}

/// Whether only the connection failed that was to be accepted.
fn is_of_one(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(kind, ConnectionAborted | ConnectionReset | BrokenPipe | Interrupted | WouldBlock)
}

async fn secured(tcp: TcpStream, tls: Tls, within: Duration, place: OwnedSemaphorePermit) -> Option<Connection> {
    let served = tls.served();
    let handshake = TlsAcceptor::from(served.config.clone()).accept(tcp);
    let outcome = tokio::time::timeout(within, handshake).await;
    let stream = outcome
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))
        .flatten()
        .inspect_err(|error| tracing::debug!(%error, "TLS handshake failed"))
        .ok()?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = ClientCertificate::new(chain, served.generation, &tls).map(Arc::new);
    Some(Connection::new(Either::Right(stream), certificate, within, place))
}
