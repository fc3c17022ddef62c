//! What a resident can agree to, each by itself.

use serde::{Deserialize, Serialize};

/// A purpose of processing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Purpose {
    /// Recognition at the gates, for parcel reminders and nothing else.
    GateRecognition,
    /// Parcels may be put into a locker.
    LockerDeposit,
}

impl Purpose {
    /// Every purpose there is.
    pub const ALL: [Purpose; 2] = [Purpose::GateRecognition, Purpose::LockerDeposit];

    /// The name in rows and logs.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::GateRecognition => "gate_recognition",
            Purpose::LockerDeposit => "locker_deposit",
        }
    }
}

/// What the recipient told the courier about lockers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DepositConsent {
    /// Nothing: the resident's own consent decides.
    #[default]
    Unspecified,
    /// Agreed.
    Given,
    /// Refused.
    Refused,
}

/// Whether a parcel may be put into a locker: a word to the courier decides, else the resident's consent.
pub fn may_deposit(told_courier: DepositConsent, resident_agrees: bool) -> bool {
    match told_courier {
        DepositConsent::Given => true,
        DepositConsent::Refused => false,
        DepositConsent::Unspecified => resident_agrees,
    }
}
