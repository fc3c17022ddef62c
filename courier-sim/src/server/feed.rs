//! Follows the courier's events: handles each, saves what was decided, and only then acknowledges it.

use anyhow::Context;
use gatepost_process::clock::SharedClock;
use gatepost_proto::v1::stream_events_response::Message;
use gatepost_proto::v1::{AcceptRecallRequest, AcknowledgeEventsRequest, Event, StreamEventsRequest};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::book::{Action, RecallId};
use super::dispatch::Dispatch;
use crate::client::{Backoff, Key, Platform, reason};

/// Follows one courier's events.
pub struct Feed {
    /// Whose events.
    pub key: Key,
    /// Where they come from.
    pub platform: Platform,
    /// What is done about them.
    pub dispatch: Dispatch,
    /// For the waits between attempts.
    pub clock: SharedClock,
}

impl Feed {
    /// Follows until `stop`, reconnecting whenever the stream ends.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut backoff = Backoff::new();
        loop {
            let outcome = tokio::select! {
                outcome = self.follow(&mut backoff) => outcome,
                () = stop.cancelled() => return Ok(()),
            };
            match outcome {
                Ok(()) => tracing::info!("event stream drained, resuming"),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "event stream lost, resuming"),
            }
            tokio::select! {
                () = backoff.wait(&*self.clock) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// One connection, until the platform drains it or it is lost.
    async fn follow(&self, backoff: &mut Backoff) -> anyhow::Result<()> {
        let mut client = self.platform.events(&self.key);
        // Without a book of our own, the platform remembers what we acknowledged.
        let handled = self.dispatch.book().handled();
        let request = StreamEventsRequest { after_sequence: (handled > 0).then_some(handled) };
        let mut events = client.stream_events(request).await?.into_inner();
        while let Some(answer) = events.message().await? {
            backoff.reset();
            match answer.message {
                Some(Message::Event(event)) => self.handle(&event).await?,
                Some(Message::Drain(_)) => return Ok(()),
                Some(Message::Heartbeat(_)) | None => {}
            }
        }
        Ok(())
    }

    async fn handle(&self, event: &Event) -> anyhow::Result<()> {
        tracing::info!(
            sequence = event.sequence,
            kind = event.kind().as_str_name(),
            parcel_id = event.parcel_id,
            "event"
        );
        match self.dispatch.decide(event) {
            Some(Action::Accept { recall, request_id }) => self.accept(&recall, request_id).await?,
            Some(Action::Withdraw { terminal_id, instruction }) => self.dispatch.withdraw(&terminal_id, instruction),
            None => {}
        }
        let sequence = {
            let mut book = self.dispatch.book();
            book.handled_up_to(event.sequence);
            book.handled()
        };
        self.dispatch.save()?;
        self.platform.events(&self.key).acknowledge_events(AcknowledgeEventsRequest { sequence }).await?;
        Ok(())
    }

    async fn accept(&self, recall: &RecallId, request_id: String) -> anyhow::Result<()> {
        // The request id must be on disk before it is used: an attempt after a crash is then the same request.
        self.dispatch.save()?;
        let (parcel_id, recall_number) = (recall.parcel_id.clone(), recall.number);
        let request = AcceptRecallRequest { request_id, parcel_id, recall_number };
        match self.platform.parcels(&self.key).accept_recall(request).await {
            Ok(_) => self.dispatch.instruct(recall),
            Err(status) if matches!(status.code(), Code::FailedPrecondition | Code::NotFound) => {
                let reason = reason(&status).unwrap_or_default();
                tracing::info!(parcel_id = recall.parcel_id, reason, "recall no longer holds, nobody is instructed");
                self.dispatch.book().not_accepted(recall);
            }
            Err(status) => return Err(status).context("cannot accept a recall"),
        }
        Ok(())
    }
}
