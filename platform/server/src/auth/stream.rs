//! Streams outlive the moment in which their caller was believed. They end soon after it would be believed no more: its
//! key revoked or over, its certificate taken back, its courier unknown. Until then they count as open streams of it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http_body::Frame;
use jiff::SignedDuration;
use tonic::{Status, body::Body};

use super::{quota::Leave, shown::Shown};
use crate::{api::status, platform::Platform, problem::Problem};

/// How long a stream goes on at most when its caller is believed no more.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// A stream that ends when its caller is believed no more.
pub struct Guarded {
    inner: Body,
    refused: BoxFuture<'static, Status>,
    over: bool,
    /// Given back with the stream.
    _leave: Leave,
}

impl Guarded {
    /// Guards the answers to who showed this.
    pub fn new(inner: Body, platform: Platform, shown: Shown, leave: Leave) -> Self {
        Self { inner, refused: refused(platform, shown).boxed(), over: false, _leave: leave }
    }
}

/// Returns once the caller would be refused. A database that is away refuses nobody.
async fn refused(platform: Platform, shown: Shown) -> Status {
    loop {
        platform.clock.sleep_until(platform.now() + LOOK_EVERY).await;
        if let Err(problem @ Problem::Stranger(_)) = shown.believed(&platform).await {
            return status::status(problem);
        }
    }
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(status) = self.refused.poll_unpin(cx) {
            self.over = true;
            let mut trailers = http::HeaderMap::new();
            status.add_header(&mut trailers)?;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        polled.map_ok(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                status::give_reason(trailers);
            }
            frame
        })
    }
}
