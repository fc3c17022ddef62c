//! Every rpc, from the descriptors, and a call of one with any bytes at all.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use gatepost_proto::DESCRIPTORS;
use gatepost_tests::{clients::Key, world::BOUND};
use http_body::Frame;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use tonic::{
    Code, Status, Streaming,
    body::Body,
    client::GrpcService as _,
    codec::{DecodeBuf, Decoder},
    transport::Channel,
};

/// Answers are read up to this size.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;
/// How long a stream that need not say anything is listened to.
const LISTEN_FOR: Duration = Duration::from_millis(5);

/// One rpc.
pub struct Rpc {
    /// As calls name it.
    pub path: String,
    /// What it takes.
    pub input: MessageDescriptor,
    /// What it answers.
    pub output: MessageDescriptor,
    /// Whether it takes a stream.
    pub streams_in: bool,
    /// Whether its answers go on after the last request.
    pub endless: bool,
}

impl Rpc {
    /// Its own name, without the service.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether a courier's own server has it, and not the platform.
    pub fn is_of_terminals(&self) -> bool {
        self.path.starts_with("/gatepost.courier.")
    }
}

/// Every rpc of our packages.
pub fn rpcs() -> Vec<Rpc> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let services = pool.services().filter(|service| service.package_name().starts_with("gatepost."));
    let rpcs = services.flat_map(|service| {
        let methods: Vec<_> = service.methods().collect();
        methods.into_iter().map(move |rpc| Rpc {
            path: format!("/{}/{}", service.full_name(), rpc.name()),
            input: rpc.input(),
            output: rpc.output(),
            streams_in: rpc.is_client_streaming(),
            endless: rpc.is_server_streaming() && !rpc.is_client_streaming(),
        })
    });
    rpcs.collect()
}

/// Calls an rpc with these bytes as the body of the request, and reads every answer. `None` when the call hangs.
pub async fn call(channel: &Channel, rpc: &Rpc, key: Option<&Key>, body: Bytes) -> Option<Result<Vec<Bytes>, Status>> {
    tokio::time::timeout(BOUND, exchange(channel.clone(), rpc, key, body)).await.ok()
}

async fn exchange(mut channel: Channel, rpc: &Rpc, key: Option<&Key>, body: Bytes) -> Result<Vec<Bytes>, Status> {
    let lost = |error: tonic::transport::Error| Status::unknown(format!("the connection broke: {error:?}"));
    poll_fn(|cx| channel.poll_ready(cx)).await.map_err(lost)?;
    let mut request =
        http::Request::post(&*rpc.path).header("content-type", "application/grpc").header("te", "trailers");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {}", key.secret()));
    }
    // The platform's library closes a connection that has sent a hundred empty frames, so there are none.
    let body = Some(body).filter(|body| !body.is_empty());
    let request = request.body(Body::new(Whole(body))).unwrap();
    let response = channel.call(request).await.map_err(lost)?;
    if let Some(status) = Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok) {
        return Err(status);
    }
    let (head, body) = response.into_parts();
    let mut answers = Streaming::new_response(Raw, body, head.status, None, Some(ANSWER_MAX_BYTES));
    let mut all = Vec::new();
    loop {
        let next = if rpc.endless {
            match tokio::time::timeout(LISTEN_FOR, answers.message()).await {
                Ok(next) => next,
                Err(_) => return Ok(all),
            }
        } else {
            answers.message().await
        };
        match next? {
            Some(answer) => all.push(answer),
            None => return Ok(all),
        }
        if rpc.endless && all.len() > 3 {
            return Ok(all);
        }
    }
}

/// Messages as they are.
struct Raw;

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// A body of at most one piece.
struct Whole(Option<Bytes>);

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}
