//! What anybody may call, health and reflection, without a key: little at once, so that strangers cost little.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

use super::status::status;
use crate::{problem::Problem, tls::Peer};

/// A service for everybody, of which a connection may have [`Peer::open_calls`] calls under way, and all of them
/// together as many as are left here.
#[derive(Clone)]
pub struct Open<S> {
    inner: S,
    overall: Arc<Semaphore>,
}

impl<S> Open<S> {
    /// With so many calls at once, of all callers together.
    pub fn new(inner: S, calls_max: usize) -> Self {
        Self { inner, overall: Arc::new(Semaphore::new(calls_max)) }
    }

    fn places<B>(&self, request: &Request<B>) -> Option<[Option<OwnedSemaphorePermit>; 2]> {
        let peer = request.extensions().get::<Peer>();
        let here = peer.map(|peer| peer.open_calls.clone().try_acquire_owned()).transpose().ok()?;
        Some([here, Some(self.overall.clone().try_acquire_owned().ok()?)])
    }
}

impl<S: NamedService> NamedService for Open<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Open<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(places) = self.places(&request) else {
            return Box::pin(std::future::ready(Ok(status(Problem::Busy).into_http())));
        };
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(answer.await?.map(|body| Body::new(Counted { body, _places: places }))) })
    }
}

/// An answer that counts as a call under way until its end.
struct Counted {
    body: Body,
    _places: [Option<OwnedSemaphorePermit>; 2],
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
