//! `TerminalService`: what the courier's terminals see of their server.

use std::pin::Pin;

use gatepost_process::clock::SharedClock;
use gatepost_process::telemetry;
use gatepost_proto::courier::stream_instructions_response::Message;
use gatepost_proto::courier::terminal_service_server::TerminalService;
use gatepost_proto::courier::{
    ReportOutcomeRequest, ReportOutcomeResponse, StreamInstructionsRequest, StreamInstructionsResponse, TerminalOutcome,
};
use gatepost_proto::v1::{DoorDeliveryOutcome, ReportDoorDeliveryRequest};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::Instrument as _;

use super::book::{Action, Report, ReportRefusal};
use super::dispatch::Dispatch;
use crate::client::{Key, Platform, from_wire, to_wire};

/// Messages a terminal may be behind on its connection.
const AHEAD: usize = 16;
/// Whose reasons a terminal is told.
const DOMAIN: &str = "courier-sim";
/// No id of ours is longer.
const ID_LENGTH_MAX: usize = 100;

/// Serves the terminals of one courier.
pub struct Terminals {
    /// Where instructions come from.
    pub dispatch: Dispatch,
    /// Where outcomes go.
    pub platform: Platform,
    /// The courier's key.
    pub key: Key,
    /// For reports without a time.
    pub clock: SharedClock,
    /// Ends the streams.
    pub stop: CancellationToken,
}

type Instructions = Pin<Box<dyn Stream<Item = Result<StreamInstructionsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl TerminalService for Terminals {
    type StreamInstructionsStream = Instructions;

    async fn stream_instructions(
        &self,
        request: Request<StreamInstructionsRequest>,
    ) -> Result<Response<Self::StreamInstructionsStream>, Status> {
        let terminal_id = request.into_inner().terminal_id;
        if terminal_id.is_empty() || terminal_id.chars().count() > ID_LENGTH_MAX {
            return Err(invalid("terminal_id", "must have 1 to 100 characters"));
        }
        let (sender, receiver) = mpsc::channel(AHEAD);
        let (dispatch, stop) = (self.dispatch.clone(), self.stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stream(dispatch, terminal_id, &sender) => {}
                () = stop.cancelled() => {
                    let _ = sender.try_send(Err(told(Code::Unavailable, "DRAINING", "the server is going away, subscribe again")));
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn report_outcome(
        &self,
        request: Request<ReportOutcomeRequest>,
    ) -> Result<Response<ReportOutcomeResponse>, Status> {
        let span = tracing::info_span!("report_outcome");
        telemetry::span_parent_from(&span, request.metadata());
        self.report(request.into_inner()).instrument(span).await?;
        Ok(Response::new(ReportOutcomeResponse {}))
    }
}

/// Tells a terminal what stands open, then what comes, until it hangs up.
async fn stream(
    dispatch: Dispatch,
    terminal_id: String,
    sender: &mpsc::Sender<Result<StreamInstructionsResponse, Status>>,
) {
    let (open, mut live) = dispatch.subscribe(&terminal_id);
    for instruction in open {
        let message = StreamInstructionsResponse { message: Some(Message::Instruction(instruction.into())) };
        if sender.send(Ok(message)).await.is_err() {
            return;
        }
    }
    loop {
        let next = tokio::select! {
            next = live.recv() => next,
            () = sender.closed() => return,
        };
        let answer = match next {
            Ok((to, message)) if to == terminal_id => Ok(message),
            Ok(_) => continue,
            // Everything that stands open is told again at the next subscription.
            Err(_) => Err(told(Code::Unavailable, "TOO_FAR_BEHIND", "too far behind, subscribe again")),
        };
        let over = answer.is_err();
        if sender.send(answer).await.is_err() || over {
            return;
        }
    }
}

impl Terminals {
    async fn report(&self, request: ReportOutcomeRequest) -> Result<(), Status> {
        let outcome = request.outcome();
        let wire = outcome_to_platform(outcome)?;
        let at = match &request.outcome_time {
            None => self.clock.now(),
            some => from_wire(some.as_ref()).ok_or_else(|| invalid("outcome_time", "is not a time"))?,
        };
        let instruction_id = request.instruction_id;
        let report = self.dispatch.book().report(&instruction_id, outcome, at).map_err(refusal)?;
        let Some(report) = report else { return Ok(()) };
        self.save()?;
        match self.pass_on(&report, wire).await {
            Ok(()) => self.dispatch.book().report_arrived(&instruction_id, outcome),
            Err(status) if status.code() == Code::FailedPrecondition => {
                let stop = self.dispatch.book().report_refused(&instruction_id);
                if let Some(Action::Withdraw { terminal_id, instruction }) = stop {
                    self.dispatch.withdraw(&terminal_id, instruction);
                }
                self.save()?;
                return Err(refusal(ReportRefusal::Closed));
            }
            Err(status) => {
                tracing::warn!(code = ?status.code(), "report did not reach the platform");
                let text = "the platform cannot be reached, report again";
                return Err(told(Code::Unavailable, "PLATFORM_UNAVAILABLE", text));
            }
        }
        self.save()
    }

    async fn pass_on(&self, report: &Report, outcome: DoorDeliveryOutcome) -> Result<(), Status> {
        let request = ReportDoorDeliveryRequest {
            request_id: report.request_id.clone(),
            parcel_id: report.parcel_id.clone(),
            outcome: outcome.into(),
            outcome_time: Some(to_wire(report.at)),
            // One instruction is one attempt, and a terminal reports on it in order.
            attempt: 0,
        };
        self.platform.parcels(&self.key).report_door_delivery(request).await?;
        Ok(())
    }

    fn save(&self) -> Result<(), Status> {
        self.dispatch.save().map_err(|error| {
            tracing::error!(error = format!("{error:#}"), "state not saved");
            told(Code::Unavailable, "REPORT_NOT_KEPT", "the report could not be kept, report again")
        })
    }
}

fn outcome_to_platform(outcome: TerminalOutcome) -> Result<DoorDeliveryOutcome, Status> {
    match outcome {
        TerminalOutcome::Collected => Ok(DoorDeliveryOutcome::Collected),
        TerminalOutcome::Delivered => Ok(DoorDeliveryOutcome::Delivered),
        TerminalOutcome::Failed => Ok(DoorDeliveryOutcome::Failed),
        TerminalOutcome::Unspecified => Err(invalid("outcome", "must be set")),
    }
}

fn refusal(refusal: ReportRefusal) -> Status {
    match refusal {
        ReportRefusal::Unknown => told(Code::NotFound, "INSTRUCTION_NOT_FOUND", refusal.to_string()),
        ReportRefusal::Closed => told(Code::FailedPrecondition, "INSTRUCTION_CLOSED", refusal.to_string()),
    }
}

fn invalid(field: &str, what: &str) -> Status {
    let mut details = ErrorDetails::with_error_info("INVALID_FIELD", DOMAIN, []);
    details.add_bad_request_violation(field, what);
    Status::with_error_details(Code::InvalidArgument, format!("{field} {what}"), details)
}

fn told(code: Code, reason: &str, text: impl Into<String>) -> Status {
    Status::with_error_details(code, text, ErrorDetails::with_error_info(reason, DOMAIN, []))
}
