//! EventService: a courier's durable log as a stream.

use gatepost_domain::{Timestamp, id::CourierId, principal::Principal};
use gatepost_proto::v1::{self, event_service_server::EventService, stream_events_response::Message as StreamMessage};
use jiff::SignedDuration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{convert::events::event_to_proto, parcels::courier, status::status, webhooks::check_kept};
use crate::{platform::Platform, problem::Problem};

/// The service.
pub struct Events {
    /// The parts.
    pub platform: Platform,
    /// Ends the streams with a drain message.
    pub draining: CancellationToken,
}

/// Events read at once, and the most that wait for a consumer that does not read: twice this, and what its connection
/// takes.
const PAGE: u64 = 200;
const HEARTBEAT: SignedDuration = SignedDuration::from_secs(15);

type Sender = mpsc::Sender<Result<v1::StreamEventsResponse, Status>>;

#[tonic::async_trait]
impl EventService for Events {
    type StreamEventsStream = ReceiverStream<Result<v1::StreamEventsResponse, Status>>;

    async fn stream_events(
        &self,
        request: Request<v1::StreamEventsRequest>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        let courier = courier(&request).map_err(status)?;
        let after = self.start(&courier, request.into_inner().after_sequence).await.map_err(status)?;
        let (sender, receiver) = mpsc::channel(PAGE as usize);
        let (platform, draining) = (self.platform.clone(), self.draining.clone());
        tokio::spawn(async move {
            platform.metrics.event_streams.add(1, &[]);
            if let Err(problem) = follow(&platform, &courier, after, &sender, draining).await {
                let _ = sender.send(Err(status(problem))).await;
            }
            platform.metrics.event_streams.add(-1, &[]);
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn acknowledge_events(
        &self,
        request: Request<v1::AcknowledgeEventsRequest>,
    ) -> Result<Response<v1::AcknowledgeEventsResponse>, Status> {
        let courier = courier(&request).map_err(status)?;
        let sequence = request.into_inner().sequence;
        let acknowledged_sequence = self.acknowledge(&courier, sequence).await.map_err(status)?;
        Ok(Response::new(v1::AcknowledgeEventsResponse { acknowledged_sequence }))
    }
}

impl Events {
    /// After which event a stream starts.
    async fn start(&self, courier: &CourierId, asked: Option<i64>) -> Result<i64, Problem> {
        let tx = self.platform.store.read().await?;
        let after = match asked {
            Some(sequence) if sequence < 0 => {
                return Err(Problem::invalid("after_sequence", "0 for the beginning, or an event's sequence"));
            }
            Some(sequence) => sequence,
            None => tx.event_cursor(courier).await?.acknowledged,
        };
        check_kept(&tx, courier, after).await?;
        Ok(after)
    }

    async fn acknowledge(&self, courier: &CourierId, sequence: i64) -> Result<i64, Problem> {
        let _turn = self.platform.turn_to_write(&Principal::Courier { courier: courier.clone() }).await;
        let tx = self.platform.store.write().await?;
        let newest = tx.event_cursor(courier).await?.newest;
        if !(0..=newest).contains(&sequence) {
            return Err(Problem::SequenceUnknown { sequence, newest });
        }
        tx.acknowledge_events(courier, sequence).await?;
        let acknowledged = tx.event_cursor(courier).await?.acknowledged;
        tx.commit().await?;
        Ok(acknowledged)
    }
}

/// Sends what there is and what comes, until the consumer leaves or the server drains.
async fn follow(
    platform: &Platform,
    courier: &CourierId,
    mut after: i64,
    sender: &Sender,
    draining: CancellationToken,
) -> Result<(), Problem> {
    let mut head = platform.heads.follow(courier);
    let mut heartbeat_at = platform.now() + HEARTBEAT;
    loop {
        let newest = *head.borrow_and_update();
        let events = platform.store.read().await?.events(courier, after, PAGE).await?;
        if let Some(oldest) = events.first().map(|event| event.sequence).filter(|oldest| *oldest > after + 1) {
            return Err(Problem::EventsExpired { after, oldest });
        }
        for event in &events {
            let sent = tokio::select! {
                biased;
                sent = send(sender, StreamMessage::Event(event_to_proto(event))) => sent,
                // Who does not read is not waited for.
                () = draining.cancelled() => break,
            };
            if !sent {
                return Ok(());
            }
            after = event.sequence;
        }
        if draining.is_cancelled() {
            send(sender, StreamMessage::Drain(v1::Drain {})).await;
            return Ok(());
        }
        if !events.is_empty() {
            heartbeat_at = platform.now() + HEARTBEAT;
            continue;
        }
        if newest > after {
            // All that was to come has expired.
            check_kept(&platform.store.read().await?, courier, after).await?;
        }
        if !wait(platform, (after, &mut head), (sender, &mut heartbeat_at), &draining).await {
            return Ok(());
        }
    }
}

/// Until there may be something, with heartbeats meanwhile. False when the consumer has left.
async fn wait(
    platform: &Platform,
    (after, head): (i64, &mut watch::Receiver<i64>),
    (sender, heartbeat_at): (&Sender, &mut Timestamp),
    draining: &CancellationToken,
) -> bool {
    loop {
        tokio::select! {
            biased;
            () = draining.cancelled() => return true,
            () = sender.closed() => return false,
            _ = head.changed() => return true,
            () = platform.clock.sleep_until(*heartbeat_at) => {}
        }
        // What is sent has been seen, whoever looked last.
        let newest_sequence = after.max(*head.borrow());
        if !send(sender, StreamMessage::Heartbeat(v1::Heartbeat { newest_sequence })).await {
            return false;
        }
        *heartbeat_at = platform.now() + HEARTBEAT;
    }
}

async fn send(sender: &Sender, message: StreamMessage) -> bool {
    sender.send(Ok(v1::StreamEventsResponse { message: Some(message) })).await.is_ok()
}
