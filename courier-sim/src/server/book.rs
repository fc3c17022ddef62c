//! What the courier's server knows of the recalls it was asked for, and what to do about the next event or report.
//!
//! Pure decisions: nothing here calls anybody. Events come at least once and reports may be repeated, so every
//! decision is safe to ask for twice; what must be done again after a lost answer is decided again with the same
//! request id.

use std::collections::BTreeMap;

use gatepost_proto::courier::{DoorDeliveryInstruction, TerminalOutcome};
use gatepost_proto::v1::{Event, EventKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::client::request_id;

/// How many closed recalls are remembered, so that late reports on them are still recognised.
const CLOSED_KEPT: usize = 10_000;

/// Which terminal goes to which building.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Routes {
    /// Terminals by building, as the community writes it.
    pub by_building: BTreeMap<String, String>,
    /// For every other building.
    pub otherwise: String,
}

impl Routes {
    fn terminal(&self, building: &str) -> String {
        self.by_building.get(building).unwrap_or(&self.otherwise).clone()
    }
}

/// What is to be done about an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Accept the recall, then tell the book how that went.
    Accept {
        /// Which recall.
        recall: RecallId,
        /// The same for every attempt.
        request_id: String,
    },
    /// Tell the terminal to stop.
    Withdraw {
        /// Which terminal.
        terminal_id: String,
        /// What it was told to do.
        instruction: Instruction,
    },
}

/// One recall of one parcel: a parcel can be recalled again after a refusal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecallId {
    /// The parcel.
    pub parcel_id: String,
    /// Counted from 1 for each parcel.
    pub number: i32,
}

/// What a terminal is told, kept in a form that can be saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instruction {
    /// Chosen here.
    pub instruction_id: String,
    /// Of the parcel.
    pub tracking_number: String,
    /// Where to collect it.
    pub locker_id: String,
    /// Where to collect it.
    pub compartment_id: String,
    /// Where to bring it.
    pub building: String,
    /// Where to bring it.
    pub unit: String,
}

impl From<Instruction> for DoorDeliveryInstruction {
    fn from(of: Instruction) -> Self {
        DoorDeliveryInstruction {
            instruction_id: of.instruction_id,
            tracking_number: of.tracking_number,
            locker_id: of.locker_id,
            compartment_id: of.compartment_id,
            building: of.building,
            unit: of.unit,
        }
    }
}

/// How far a recall has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The platform has not heard yet that we accept.
    Accepting,
    /// The terminal knows.
    Instructed,
    /// The terminal has the parcel.
    Collected,
    /// Nothing is left to do: brought, not taken at the door, withdrawn, or picked up before we could accept.
    Closed,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Recall {
    id: RecallId,
    request_id: String,
    terminal_id: String,
    instruction: Instruction,
    stage: Stage,
    reports: Vec<Report>,
}

/// A terminal's report on its way to the platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The parcel.
    pub parcel_id: String,
    /// The same for every attempt.
    pub request_id: String,
    /// As `TerminalOutcome`.
    pub outcome: i32,
    /// When it happened, as the first report said.
    pub at: Timestamp,
    /// Whether the platform has it.
    pub arrived: bool,
}

/// Why a report is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportRefusal {
    /// No such instruction was given.
    #[error("this instruction was never given")]
    Unknown,
    /// The resident was faster, or the parcel was handed over already.
    #[error("this instruction no longer holds")]
    Closed,
}

/// The recalls, and how far the event stream was handled.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Book {
    handled: i64,
    /// In the order they came.
    recalls: Vec<Recall>,
}

impl Book {
    /// The newest event that was handled wholly; 0 before the first.
    pub fn handled(&self) -> i64 {
        self.handled
    }

    /// What is to be done about `event`; nothing when it was handled before.
    pub fn decide(&mut self, event: &Event, routes: &Routes) -> Option<Action> {
        if event.sequence <= self.handled {
            return None;
        }
        let id = RecallId { parcel_id: event.parcel_id.clone(), number: event.recall_number };
        match event.kind() {
            EventKind::RecallRequested => self.recall_requested(id, event, routes),
            EventKind::RecallWithdrawn => self.withdraw(|recall| recall.id == id),
            // A parcel that is out of the compartment by other means leaves no instruction standing, even if its
            // withdrawal were to get lost on a platform that sends none.
            EventKind::PickedUp => self.withdraw(|recall| recall.id.parcel_id == id.parcel_id),
            EventKind::Unspecified
            | EventKind::RecipientResolved
            | EventKind::Deposited
            | EventKind::ReminderSent
            | EventKind::RecallAccepted
            | EventKind::RecallRefused
            | EventKind::Collected
            | EventKind::DeliveredToDoor
            | EventKind::DoorDeliveryFailed
            | EventKind::Cancelled
            | EventKind::StayExtended
            | EventKind::StayHeld
            | EventKind::StayReleased
            | EventKind::RedeliveryStarted
            | EventKind::ReturnedToSender => None,
        }
    }

    fn recall_requested(&mut self, id: RecallId, event: &Event, routes: &Routes) -> Option<Action> {
        let position = self.recalls.iter().position(|recall| recall.id == id).unwrap_or_else(|| {
            self.recalls.push(Recall {
                id: id.clone(),
                request_id: request_id(),
                terminal_id: routes.terminal(&event.building),
                instruction: Instruction {
                    instruction_id: request_id(),
                    tracking_number: event.tracking_number.clone(),
                    locker_id: event.locker_id.clone(),
                    compartment_id: event.compartment_id.clone(),
                    building: event.building.clone(),
                    unit: event.unit.clone(),
                },
                stage: Stage::Accepting,
                reports: Vec::new(),
            });
            self.recalls.len() - 1
        });
        let recall = &self.recalls[position];
        (recall.stage == Stage::Accepting).then(|| Action::Accept { recall: id, request_id: recall.request_id.clone() })
    }

    fn withdraw(&mut self, which: impl Fn(&Recall) -> bool) -> Option<Action> {
        let recall = self.recalls.iter_mut().find(|recall| which(recall) && recall.stage != Stage::Closed)?;
        let instructed = recall.stage != Stage::Accepting;
        recall.stage = Stage::Closed;
        instructed.then(|| Action::Withdraw {
            terminal_id: recall.terminal_id.clone(),
            instruction: recall.instruction.clone(),
        })
    }

    /// The platform took our acceptance: the instruction, and the terminal it is for. Nothing when the recall was
    /// closed meanwhile or the terminal knows already.
    pub fn accepted(&mut self, id: &RecallId) -> Option<(String, Instruction)> {
        let recall = self.recalls.iter_mut().find(|recall| recall.id == *id)?;
        if recall.stage != Stage::Accepting {
            return None;
        }
        recall.stage = Stage::Instructed;
        Some((recall.terminal_id.clone(), recall.instruction.clone()))
    }

    /// The platform did not take our acceptance, because the resident was faster: nobody is instructed.
    pub fn not_accepted(&mut self, id: &RecallId) {
        if let Some(recall) = self.recalls.iter_mut().find(|recall| recall.id == *id) {
            recall.stage = Stage::Closed;
        }
    }

    /// Everything about the event was done; it needs not be sent again.
    pub fn handled_up_to(&mut self, sequence: i64) {
        self.handled = self.handled.max(sequence);
        let closed = self.recalls.iter().filter(|recall| recall.stage == Stage::Closed).count();
        if closed > CLOSED_KEPT
            && let Some(oldest) = self.recalls.iter().position(|recall| recall.stage == Stage::Closed)
        {
            self.recalls.remove(oldest);
        }
    }

    /// What a terminal still has to do, told again at every subscription.
    pub fn open(&self, terminal_id: &str) -> Vec<Instruction> {
        let open = |stage| matches!(stage, Stage::Instructed | Stage::Collected);
        self.recalls
            .iter()
            .filter(|recall| recall.terminal_id == terminal_id && open(recall.stage))
            .map(|recall| recall.instruction.clone())
            .collect()
    }

    /// A terminal reports. Returns what to pass on to the platform; nothing when the platform has it already.
    pub fn report(
        &mut self,
        instruction_id: &str,
        outcome: TerminalOutcome,
        at: Timestamp,
    ) -> Result<Option<Report>, ReportRefusal> {
        let recall = self.by_instruction(instruction_id).ok_or(ReportRefusal::Unknown)?;
        if let Some(known) = recall.reports.iter().find(|report| report.outcome == i32::from(outcome)) {
            return Ok((!known.arrived).then(|| known.clone()));
        }
        if recall.stage == Stage::Closed {
            return Err(ReportRefusal::Closed);
        }
        let report = Report {
            parcel_id: recall.id.parcel_id.clone(),
            request_id: request_id(),
            outcome: i32::from(outcome),
            at,
            arrived: false,
        };
        recall.reports.push(report.clone());
        Ok(Some(report))
    }

    /// The platform has the report.
    pub fn report_arrived(&mut self, instruction_id: &str, outcome: TerminalOutcome) {
        let Some(recall) = self.by_instruction(instruction_id) else { return };
        if let Some(report) = recall.reports.iter_mut().find(|report| report.outcome == i32::from(outcome)) {
            report.arrived = true;
        }
        match outcome {
            TerminalOutcome::Collected if recall.stage == Stage::Instructed => recall.stage = Stage::Collected,
            TerminalOutcome::Delivered | TerminalOutcome::Failed => recall.stage = Stage::Closed,
            TerminalOutcome::Collected | TerminalOutcome::Unspecified => {}
        }
    }

    /// The platform refused the report, because the parcel is not where the terminal believes it: the instruction is
    /// withdrawn.
    pub fn report_refused(&mut self, instruction_id: &str) -> Option<Action> {
        self.withdraw(|recall| recall.instruction.instruction_id == instruction_id)
    }

    fn by_instruction(&mut self, instruction_id: &str) -> Option<&mut Recall> {
        // An instruction exists for others only once it was given.
        self.recalls
            .iter_mut()
            .find(|recall| recall.instruction.instruction_id == instruction_id && recall.stage != Stage::Accepting)
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
