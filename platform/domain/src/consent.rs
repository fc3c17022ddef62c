//! What a resident can agree to, each by itself.

use serde::{Deserialize, Serialize};

/// A purpose of processing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Purpose {
    /// Recognition at the gates, for parcel reminders and nothing else.
    GateRecognition,
    /// Parcels may be put into a locker.
    LockerDeposit,
    /// Reminders on a gate's display.
    ReminderGateDisplay,
    /// Reminders through the residents' app.
    ReminderWebhook,
    /// Reminders by e-mail.
    ReminderEmail,
}

impl Purpose {
    /// Every purpose there is.
    pub const ALL: [Purpose; 5] = [
        Purpose::GateRecognition,
        Purpose::LockerDeposit,
        Purpose::ReminderGateDisplay,
        Purpose::ReminderWebhook,
        Purpose::ReminderEmail,
    ];

    /// The ways of a reminder.
    pub const CHANNELS: [Purpose; 3] = [Purpose::ReminderGateDisplay, Purpose::ReminderWebhook, Purpose::ReminderEmail];

    /// The name in rows and logs.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::GateRecognition => "gate_recognition",
            Purpose::LockerDeposit => "locker_deposit",
            Purpose::ReminderGateDisplay => "reminder_gate_display",
            Purpose::ReminderWebhook => "reminder_webhook",
            Purpose::ReminderEmail => "reminder_email",
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

/// Whether a reminder may take this channel, by what the resident has `said` about channels, oldest first: agreed, or
/// refused. Who has said nothing is reminded over every channel, because whoever keeps a parcel has to tell its owner;
/// who has agreed to one has chosen, and is reminded over what they agreed to; of what was refused there is no more.
pub fn may_remind_over(channel: Purpose, said: &[(Purpose, bool)]) -> bool {
    let chose = said.iter().any(|(_, agreed)| *agreed);
    said.iter().rev().find(|(about, _)| *about == channel).map_or(!chose, |(_, agreed)| *agreed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reminder_takes_the_channels_that_were_agreed_to() {
        use Purpose::{ReminderEmail as Email, ReminderWebhook as App};
        let over = |said: &[(Purpose, bool)]| [Email, App].map(|channel| may_remind_over(channel, said));
        assert_eq!(over(&[]), [true, true], "nothing was said");
        assert_eq!(over(&[(App, false)]), [true, false], "only refused");
        assert_eq!(over(&[(Email, true)]), [true, false], "chosen");
        assert_eq!(over(&[(Email, true), (Email, false)]), [false, false], "what was never agreed to does not follow");
        assert_eq!(over(&[(App, false), (Email, true), (App, true)]), [true, true], "the last word counts");
    }
}
