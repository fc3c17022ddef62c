//! A courier's handheld: subscribes to its instructions, collects the parcel, brings it to the door and reports both.

use std::collections::HashMap;

use gatepost_process::clock::SharedClock;
use gatepost_process::telemetry;
use gatepost_proto::courier::stream_instructions_response::Message;
use gatepost_proto::courier::terminal_service_client::TerminalServiceClient;
use gatepost_proto::courier::{
    DoorDeliveryInstruction, ReportOutcomeRequest, StreamInstructionsRequest, TerminalOutcome,
};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::client::{Backoff, endpoint, to_wire};
use crate::journal::Journal;

/// Instructions a courier can carry at once; more are left for the next subscription.
const CARRIED_MAX: usize = 200;

/// What a terminal needs to know.
#[derive(Clone)]
pub struct TerminalConfig {
    /// Where the courier's server is.
    pub server: String,
    /// Which terminal this is.
    pub terminal_id: String,
    /// How long the way to the locker takes.
    pub to_locker: SignedDuration,
    /// How long the way from there to the door takes.
    pub to_door: SignedDuration,
    /// Whether nobody is at home.
    pub nobody_home: bool,
    /// The time.
    pub clock: SharedClock,
}

/// What a terminal noticed.
#[derive(Debug, Clone, PartialEq)]
pub enum TerminalNote {
    /// The server can be heard.
    Subscribed,
    /// Go.
    Instructed(DoorDeliveryInstruction),
    /// Stop.
    Withdrawn {
        /// Which instruction.
        instruction_id: String,
        /// Of which parcel.
        tracking_number: String,
    },
    /// The server has the report.
    Reported {
        /// Which instruction.
        instruction_id: String,
        /// Of which parcel.
        tracking_number: String,
        /// What happened.
        outcome: TerminalOutcome,
    },
}

/// Works until `stop`, and subscribes again whenever the server is lost.
pub async fn run(
    config: TerminalConfig,
    journal: Journal<TerminalNote>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let channel = endpoint(&config.server)?.connect_lazy();
    let mut terminal = Terminal { client: TerminalServiceClient::new(channel), config, journal, walks: HashMap::new() };
    let mut backoff = Backoff::new();
    loop {
        let outcome = tokio::select! {
            outcome = terminal.follow(&mut backoff) => outcome,
            () = stop.cancelled() => return Ok(()),
        };
        if let Err(error) = outcome {
            tracing::warn!(error = format!("{error:#}"), "courier server lost, subscribing again");
        }
        let clock = terminal.config.clock.clone();
        tokio::select! {
            () = backoff.wait(&*clock) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

struct Terminal {
    client: TerminalServiceClient<Channel>,
    config: TerminalConfig,
    journal: Journal<TerminalNote>,
    /// Instructions under way; cancelling one stops its walk.
    walks: HashMap<String, Walk>,
}

/// A walk ends by itself or with its instruction; dropping it stops it.
struct Walk {
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Terminal {
    async fn follow(&mut self, backoff: &mut Backoff) -> anyhow::Result<()> {
        let request = StreamInstructionsRequest { terminal_id: self.config.terminal_id.clone() };
        let mut instructions = self.client.stream_instructions(request).await?.into_inner();
        self.journal.note(TerminalNote::Subscribed);
        while let Some(answer) = instructions.message().await? {
            backoff.reset();
            match answer.message {
                Some(Message::Instruction(instruction)) => self.go(instruction),
                Some(Message::Withdrawn(withdrawn)) => {
                    self.walks.remove(&withdrawn.instruction_id);
                    tracing::info!(instruction_id = withdrawn.instruction_id, "withdrawn, turning back");
                    self.journal.note(TerminalNote::Withdrawn {
                        instruction_id: withdrawn.instruction_id,
                        tracking_number: withdrawn.tracking_number,
                    });
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Sets out, unless this instruction is on its way already.
    fn go(&mut self, instruction: DoorDeliveryInstruction) {
        self.walks.retain(|_, walk| !walk.ended.is_finished());
        if self.walks.contains_key(&instruction.instruction_id) || self.walks.len() >= CARRIED_MAX {
            return;
        }
        tracing::info!(
            instruction_id = instruction.instruction_id,
            locker_id = instruction.locker_id,
            compartment_id = instruction.compartment_id,
            "instructed"
        );
        let id = instruction.instruction_id.clone();
        self.journal.note(TerminalNote::Instructed(instruction.clone()));
        let courier =
            Courier { client: self.client.clone(), config: self.config.clone(), journal: self.journal.clone() };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let ended = tokio::spawn(async move {
            tokio::select! {
                () = courier.walk(instruction) => {}
                () = stopped.cancelled() => {}
            }
        });
        self.walks.insert(id, Walk { stop, ended });
    }
}

/// The courier who carries one parcel.
struct Courier {
    client: TerminalServiceClient<Channel>,
    config: TerminalConfig,
    journal: Journal<TerminalNote>,
}

impl Courier {
    async fn walk(mut self, instruction: DoorDeliveryInstruction) {
        let clock = self.config.clock.clone();
        clock.sleep_until(clock.now() + self.config.to_locker).await;
        if !self.report(&instruction, TerminalOutcome::Collected).await {
            return;
        }
        clock.sleep_until(clock.now() + self.config.to_door).await;
        let outcome = if self.config.nobody_home { TerminalOutcome::Failed } else { TerminalOutcome::Delivered };
        self.report(&instruction, outcome).await;
    }

    /// Reports until the server has it; false when the server refuses it.
    async fn report(&mut self, instruction: &DoorDeliveryInstruction, outcome: TerminalOutcome) -> bool {
        let report = ReportOutcomeRequest {
            instruction_id: instruction.instruction_id.clone(),
            outcome: outcome.into(),
            outcome_time: Some(to_wire(self.config.clock.now())),
        };
        let mut backoff = Backoff::new();
        loop {
            let mut request = Request::new(report.clone());
            telemetry::inject(request.metadata_mut());
            match self.client.report_outcome(request).await {
                Ok(_) => break,
                Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => {
                    backoff.wait(&*self.config.clock).await;
                }
                Err(status) => {
                    tracing::warn!(code = ?status.code(), outcome = outcome.as_str_name(), "report refused");
                    return false;
                }
            }
        }
        tracing::info!(instruction_id = instruction.instruction_id, outcome = outcome.as_str_name(), "reported");
        self.journal.note(TerminalNote::Reported {
            instruction_id: instruction.instruction_id.clone(),
            tracking_number: instruction.tracking_number.clone(),
            outcome,
        });
        true
    }
}
