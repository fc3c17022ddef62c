//! Looks on: a second reader of the courier's event stream that does nothing about the events but note them.

use gatepost_process::clock::SharedClock;
use gatepost_proto::v1::stream_events_response::Message;
use gatepost_proto::v1::{Event, EventKind, StreamEventsRequest};
use tokio_util::sync::CancellationToken;

use crate::client::{Backoff, Key, Platform};
use crate::journal::Journal;

/// Notes every event of the key's courier once, in order, until `stop`.
pub async fn watch(
    platform: Platform,
    key: Key,
    clock: SharedClock,
    journal: Journal<Event>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (mut newest, mut backoff) = (0, Backoff::new());
    loop {
        tokio::select! {
            outcome = follow(&platform, &key, &mut newest, &journal) => match outcome {
                Ok(()) => backoff.reset(),
                Err(status) => tracing::warn!(code = ?status.code(), "observed stream lost, resuming"),
            },
            () = stop.cancelled() => return Ok(()),
        }
        tokio::select! {
            () = backoff.wait(&*clock) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

async fn follow(
    platform: &Platform,
    key: &Key,
    newest: &mut i64,
    journal: &Journal<Event>,
) -> Result<(), tonic::Status> {
    let request = StreamEventsRequest { after_sequence: Some(*newest) };
    let mut events = platform.events(key).stream_events(request).await?.into_inner();
    while let Some(answer) = events.message().await? {
        match answer.message {
            Some(Message::Event(event)) if event.sequence > *newest => {
                *newest = event.sequence;
                journal.note(event);
            }
            Some(Message::Drain(_)) => return Ok(()),
            Some(Message::Event(_) | Message::Heartbeat(_)) | None => {}
        }
    }
    Ok(())
}

/// Accepts the events of one kind of one parcel.
pub fn of(kind: EventKind, parcel_id: &str) -> impl Fn(&Event) -> bool {
    move |event| event.kind() == kind && event.parcel_id == parcel_id
}
