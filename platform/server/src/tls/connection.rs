//! Connections as they come, with or without TLS, each with whoever is behind it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt as _, future};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;
use tonic::transport::server::{Connected, TcpIncoming};

use super::{ClientCertificate, Tls};

/// Handshakes at once; whoever comes then waits.
const HANDSHAKES_MAX: usize = 512;
/// Whoever takes longer is not waited for.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// A connection that calls may come on.
pub struct Connection {
    io: Either<TcpStream, TlsStream<TcpStream>>,
    peer: Peer,
}

/// Who is behind a connection: an extension of every request.
#[derive(Clone)]
pub struct Peer {
    /// What it showed, if it showed one.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// Every connection, in the order in which they are ready. A handshake that fails is nobody's but its caller's concern.
pub fn incoming(listener: TcpListener, tls: Option<Tls>) -> impl Stream<Item = io::Result<Connection>> {
    let tcp = TcpIncoming::from(listener).with_nodelay(Some(true));
    tcp.map(move |tcp| {
        let tls = tls.clone();
        async move {
            let Some(tls) = tls else {
                return Some(tcp.map(plain));
            };
            let tcp = match tcp {
                Ok(tcp) => tcp,
                Err(error) => return Some(Err(error)),
            };
            // On a task of its own, so that other cores share the work.
            tokio::spawn(secured(tcp, tls)).await.ok().flatten().map(Ok)
        }
    })
    .buffer_unordered(HANDSHAKES_MAX)
    .filter_map(future::ready)
}

fn plain(tcp: TcpStream) -> Connection {
    Connection { io: Either::Left(tcp), peer: Peer { certificate: None } }
}

async fn secured(tcp: TcpStream, tls: Tls) -> Option<Connection> {
    let served = tls.served();
    let handshake = TlsAcceptor::from(served.config.clone()).accept(tcp);
    let outcome = tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await;
    let stream = outcome
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))
        .flatten()
        .inspect_err(|error| tracing::debug!(%error, "TLS handshake failed"))
        .ok()?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = ClientCertificate::new(chain, served.generation, &tls).map(Arc::new);
    Some(Connection { io: Either::Right(stream), peer: Peer { certificate } })
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
