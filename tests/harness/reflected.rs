//! Rpcs as the descriptor set tells of them, called with messages that are bytes: what holds for every rpc is tried on
//! every rpc, the day it appears.

use std::sync::LazyLock;

use bytes::{Buf as _, BufMut as _, Bytes};
use gatepost_proto::DESCRIPTORS;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::{
    clients::{Key, Line},
    world::soon,
};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("this is a bug: our own descriptors decode"));

/// Every rpc of a package.
pub fn rpcs(package: &str) -> Vec<MethodDescriptor> {
    let services = POOL.services().filter(|service| service.package_name() == package);
    services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// The path an rpc is called by.
pub fn path(rpc: &MethodDescriptor) -> String {
    format!("/{}/{}", rpc.parent_service().full_name(), rpc.name())
}

/// What was answered to one message.
#[derive(Debug)]
pub struct Answered {
    /// The messages of the answer, as they came.
    pub messages: Vec<Bytes>,
    /// How it ended.
    pub end: Result<(), Status>,
}

/// Sends one message and reads the answer to its end. An rpc that streams to a caller who only asked once, as events are
/// streamed, goes on for ever: of that, only the refusal is read.
pub async fn call(line: &Line, key: Option<&Key>, rpc: &MethodDescriptor, message: Bytes) -> Answered {
    let path = path(rpc);
    let mut request = Request::new(tokio_stream::once(message));
    if let Some(key) = key {
        let bearer = format!("Bearer {}", key.secret()).parse().expect("a secret is ASCII");
        request.metadata_mut().insert("authorization", bearer);
    }
    let mut grpc = Grpc::new(line.channel());
    let mut messages = Vec::new();
    let asking = async {
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = path.parse().expect("a path");
        let mut answers = grpc.streaming(request, path, Raw).await?.into_inner();
        if rpc.is_server_streaming() && !rpc.is_client_streaming() {
            return Ok(());
        }
        while let Some(message) = answers.message().await? {
            messages.push(message);
        }
        Ok(())
    };
    let end = soon("the end of an answer", asking).await;
    Answered { messages, end }
}

/// Messages as the bytes they are.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
