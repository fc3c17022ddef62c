//! How a step says no.

use crate::{
    Timestamp,
    id::{CompartmentId, LockerId},
    parcel::StateName,
};

/// Why a step did not happen. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The parcel's state does not allow the step.
    #[error("a parcel in {state} cannot take the step {step}")]
    IllegalStep {
        /// The state that refused.
        state: StateName,
        /// The step asked for.
        step: &'static str,
    },
    /// An answer to a recall that is over, or never was.
    #[error("recall {asked} is not in effect, the latest of this parcel is {latest}")]
    RecallNotInEffect {
        /// The recall named.
        asked: u32,
        /// The latest there was.
        latest: u32,
    },
    /// A report from the future.
    #[error("the reported time is more than 5 minutes in the future: check the sender's clock")]
    TimeInFuture,
    /// A deposit or pickup before the parcel was announced.
    #[error("the reported time lies more than 5 minutes before the announcement at {announced_at}")]
    TimeBeforeAnnouncement {
        /// When it was announced.
        announced_at: Timestamp,
    },
    /// A report older than the deposit.
    #[error("the reported time lies more than 5 minutes before the deposit at {deposited_at}")]
    TimeBeforeDeposit {
        /// When it was deposited.
        deposited_at: Timestamp,
    },
    /// The recipient is not known yet.
    #[error("the recipient is not resolved to a resident: staff must resolve the parcel before its deposit")]
    RecipientUnresolved,
    /// The recipient does not want lockers.
    #[error("the recipient has not agreed to lockers: bring the parcel to the door")]
    NoDepositConsent,
    /// No such compartment.
    #[error("the community has no compartment {compartment} in locker {locker}")]
    CompartmentNotFound {
        /// The locker named.
        locker: LockerId,
        /// The compartment named.
        compartment: CompartmentId,
    },
    /// The parcel is larger.
    #[error("compartment {compartment} of locker {locker} is too small for the parcel")]
    CompartmentTooSmall {
        /// The locker named.
        locker: LockerId,
        /// The compartment named.
        compartment: CompartmentId,
    },
    /// Nobody asked where the parcel should go.
    #[error("no place was suggested for the parcel since its delivery at the door failed: ask for one first")]
    NoPlacement,
    /// A report on an attempt that was not made.
    #[error("there is no attempt {attempt} at the door, the newest is {newest}")]
    AttemptUnknown {
        /// The one named.
        attempt: u32,
        /// The newest there can be.
        newest: u32,
    },
    /// The policy has none.
    #[error("the waiting policy allows no hold")]
    NoHold,
    /// One is the most.
    #[error("the stay was held before, which is done once at most")]
    AlreadyHeld,
    /// In the past, or too long.
    #[error("a hold ends after {after} and at {latest} at the latest")]
    HoldOutOfRange {
        /// Now.
        after: Timestamp,
        /// As far as the policy goes.
        latest: Timestamp,
    },
    /// What rests is not moved.
    #[error("the stay is held until {until}: release it first")]
    Held {
        /// The end of the hold.
        until: Timestamp,
    },
    /// The policy has none.
    #[error("the waiting policy allows no extension")]
    NoExtension,
    /// One is the most.
    #[error("the stay was extended before, which is done once at most")]
    AlreadyExtended,
    /// Not longer than without it, or too long.
    #[error("an extension ends after {after} and at {latest} at the latest")]
    ExtensionOutOfRange {
        /// T2 as it stands, or now.
        after: Timestamp,
        /// As far as the policy goes.
        latest: Timestamp,
    },
    /// Another parcel is in it, or has it reserved.
    #[error("compartment {compartment} of locker {locker} holds or is kept for another parcel")]
    CompartmentTaken {
        /// The locker named.
        locker: LockerId,
        /// The compartment named.
        compartment: CompartmentId,
    },
}
