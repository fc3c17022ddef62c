//! A courier's event stream.

use gatepost_proto::v1::{Event, StreamEventsResponse, stream_events_response::Message};
use tonic::Streaming;

use crate::world::soon;

/// An open stream.
pub struct Events(Streaming<StreamEventsResponse>);

impl Events {
    /// From the answer of the rpc.
    pub fn new(stream: Streaming<StreamEventsResponse>) -> Self {
        Self(stream)
    }

    /// The next event; heartbeats are passed over, and the end of the stream fails the test.
    pub async fn next(&mut self) -> Event {
        loop {
            match self.message().await {
                Some(Message::Event(event)) => return event,
                Some(Message::Heartbeat(_)) => {}
                other => panic!("the stream ended instead of telling an event: {other:?}"),
            }
        }
    }

    /// The next message of any kind; nothing at the end, orderly or not.
    pub async fn message(&mut self) -> Option<Message> {
        soon("a message on the event stream", self.0.message()).await.ok().flatten()?.message
    }

    /// Reads to the end of the stream; whether the platform said goodbye.
    pub async fn drained(&mut self) -> bool {
        let mut drained = false;
        while let Some(message) = self.message().await {
            drained |= matches!(message, Message::Drain(_));
        }
        drained
    }
}
