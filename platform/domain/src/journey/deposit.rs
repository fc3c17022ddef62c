//! The courier closes the door; T1 and T2 are set.

use super::{CLOCK_SKEW, Circumstances, publish, refuse, reported_time};
use crate::{
    Refusal, Step, Timestamp,
    effect::EventKind,
    id::{CompartmentId, LockerId},
    parcel::{Parcel, RecallBasis, ReminderPlan, State, Stay, Trip},
    placement::{DoorReason, Placement},
    recipient::Addressee,
    topology::Topology,
};

/// A deposit as reported.
#[derive(Debug, Clone)]
pub struct Deposit {
    /// Where.
    pub locker: LockerId,
    /// Where.
    pub compartment: CompartmentId,
    /// When, by the reporter's clock.
    pub deposited_at: Option<Timestamp>,
}

/// Puts a parcel that was announced, or not taken at the door, into the waiting state. That no other parcel is in the compartment is for storage to
/// guarantee; everything else is checked here.
pub fn deposit(
    parcel: Parcel,
    deposit: &Deposit,
    topology: &Topology,
    circumstances: Circumstances<'_>,
) -> Result<Step, Refusal> {
    if parcel.stay().is_some_and(|stay| stay.locker == deposit.locker && stay.compartment == deposit.compartment) {
        return Ok(Step::unchanged(parcel));
    }
    let before = match &parcel.state {
        State::Announced { .. } => Trip { attempt: 0, recalls: 0 },
        State::DoorDeliveryFailed { trip, .. } => *trip,
        _ => return refuse(&parcel, "deposit"),
    };
    check_recipient(&parcel.addressee, parcel.placement())?;
    check_compartment(&parcel, deposit, topology)?;
    let deposited_at = reported_time(deposit.deposited_at, circumstances.now)?;
    let announced_at = parcel.facts.announced_at;
    if deposited_at + CLOCK_SKEW < announced_at {
        return Err(Refusal::TimeBeforeAnnouncement { announced_at });
    }
    let earliest = if before.attempt > 0 { parcel.state_since } else { announced_at };
    let deposited_at = deposited_at.max(earliest);
    let stay = Stay {
        locker: deposit.locker.clone(),
        compartment: deposit.compartment.clone(),
        deposited_at,
        remind_from: deposited_at + circumstances.policy.remind_after,
        recall_at: deposited_at + circumstances.policy.recall_after,
        recall_basis: RecallBasis::Deposit,
        extended: false,
        hold: None,
        recalls: before.recalls,
        door_attempts: before.attempt,
        reminders_sent: 0,
        last_reminded_at: None,
    };
    let state = State::Waiting { stay, plan: ReminderPlan::AtT1 };
    Ok(Step::changed(parcel.moved(state, deposited_at), vec![publish(deposited_at, EventKind::Deposited)]))
}

fn check_recipient(addressee: &Addressee, placement: Option<&Placement>) -> Result<(), Refusal> {
    match (addressee, placement) {
        (Addressee::Unresolved(_), _) => Err(Refusal::RecipientUnresolved),
        (_, None) => Err(Refusal::NoPlacement),
        (_, Some(Placement::Door(DoorReason::NoDepositConsent))) => Err(Refusal::NoDepositConsent),
        (_, Some(Placement::Door(_) | Placement::Locker { .. } | Placement::Unresolved)) => Ok(()),
    }
}

fn check_compartment(parcel: &Parcel, deposit: &Deposit, topology: &Topology) -> Result<(), Refusal> {
    let (locker, compartment) = (deposit.locker.clone(), deposit.compartment.clone());
    match topology.compartment(&locker, &compartment) {
        None => Err(Refusal::CompartmentNotFound { locker, compartment }),
        Some(found) if found.size < parcel.facts.size => Err(Refusal::CompartmentTooSmall { locker, compartment }),
        Some(_) => Ok(()),
    }
}
