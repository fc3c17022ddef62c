//! A connection, with or without TLS, and whoever is behind it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tonic::transport::server::Connected;

use super::ClientCertificate;

/// Calls of one connection at once that need nobody to call.
const OPEN_CALLS_MAX: usize = 16;
/// HTTP/2 begins with these bytes of the client's; from then on the keepalive tells who is still there.
const OPENING_BYTES: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// A connection that calls may come on.
pub struct Connection {
    io: Either<TcpStream, TlsStream<TcpStream>>,
    peer: Peer,
    opening: Option<Opening>,
    _place: OwnedSemaphorePermit,
}

/// What is still to come before it is taken for a client's, and until when.
struct Opening {
    bytes: usize,
    until: Pin<Box<Sleep>>,
}

/// Who is behind a connection: an extension of every request.
#[derive(Clone)]
pub struct Peer {
    /// What it showed, if it showed one.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// What is left of the calls it may have under way that need nobody to call.
    pub open_calls: Arc<Semaphore>,
}

impl Connection {
    pub(super) fn new(
        io: Either<TcpStream, TlsStream<TcpStream>>,
        certificate: Option<Arc<ClientCertificate>>,
        begin_within: Duration,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let peer = Peer { certificate, open_calls: Arc::new(Semaphore::new(OPEN_CALLS_MAX)) };
        let until = Box::pin(tokio::time::sleep(begin_within));
        Self { io, peer, opening: Some(Opening { bytes: OPENING_BYTES, until }), _place: place }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        let Some(opening) = &mut self.opening else { return polled };
        if polled.is_pending() {
            ready!(opening.until.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        opening.bytes = opening.bytes.saturating_sub(buf.filled().len() - before);
        if opening.bytes == 0 {
            self.opening = None;
        }
        polled
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
