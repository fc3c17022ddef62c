//! How the domain's words are written in columns. The words are for ever: rows of every release are read by the next.

use gatepost_domain::{
    Timestamp,
    community::DisplayPolicy,
    consent::{DepositConsent, Purpose},
    parcel::{RecallBasis, StateName},
    placement::DoorReason,
    topology::Size,
};

use crate::{Channel, Delivery, Disabled, MisidentificationReason, Resolution, StoreError};

/// Something that one word of a column says.
pub(super) trait Word: Sized {
    /// How it is written.
    fn word(self) -> &'static str;
    /// Reads it back; a word nobody writes makes the row unreadable.
    fn read(word: &str) -> Result<Self, StoreError>;
}

macro_rules! words {
    ($type:ty { $($variant:path => $word:literal),* $(,)? }) => {
        impl Word for $type {
            fn word(self) -> &'static str {
                match self { $($variant => $word),* }
            }
            fn read(word: &str) -> Result<Self, StoreError> {
                match word {
                    $($word => Ok($variant),)*
                    _ => Err(corrupt(stringify!($type))),
                }
            }
        }
    };
}

words!(Size { Size::Small => "small", Size::Medium => "medium", Size::Large => "large" });
words!(DepositConsent {
    DepositConsent::Unspecified => "unspecified",
    DepositConsent::Given => "given",
    DepositConsent::Refused => "refused",
});
words!(Purpose {
    Purpose::GateRecognition => "gate_recognition",
    Purpose::LockerDeposit => "locker_deposit",
    Purpose::ReminderGateDisplay => "reminder_gate_display",
    Purpose::ReminderWebhook => "reminder_webhook",
    Purpose::ReminderEmail => "reminder_email",
});
words!(DoorReason {
    DoorReason::NoDepositConsent => "no_deposit_consent",
    DoorReason::NoLockerFits => "no_locker_fits",
    DoorReason::NoAccessibleLocker => "no_accessible_locker",
});
words!(RecallBasis {
    RecallBasis::Deposit => "deposit",
    RecallBasis::Refusal => "refusal",
    RecallBasis::Extension => "extension",
});
words!(DisplayPolicy {
    DisplayPolicy::ParcelWaits => "parcel_waits",
    DisplayPolicy::Locker => "locker",
    DisplayPolicy::Silent => "silent",
});
words!(Resolution {
    Resolution::DifferentPeople => "different_people",
    Resolution::SamePerson => "same_person",
});

words!(MisidentificationReason {
    MisidentificationReason::NotMe => "not_me",
    MisidentificationReason::TwoGates => "two_gates",
    MisidentificationReason::NotLive => "not_live",
});
words!(Channel { Channel::GateDisplay => "gate_display", Channel::Webhook => "webhook", Channel::Email => "email" });
words!(Delivery { Delivery::Pending => "pending", Delivery::Delivered => "delivered", Delivery::Failed => "failed" });
words!(Disabled {
    Disabled::ByCourier => "by_courier",
    Disabled::ByAdministrator => "by_administrator",
    Disabled::Gone => "gone",
    Disabled::Failing => "failing",
});

impl Word for StateName {
    fn word(self) -> &'static str {
        self.name()
    }
    fn read(word: &str) -> Result<Self, StoreError> {
        StateName::ALL.into_iter().find(|state| state.name() == word).ok_or_else(|| corrupt("StateName"))
    }
}

/// A row that holds what no release writes; `what` names the column or type and never its content.
pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}

/// A column that the row's state must have filled.
pub(super) fn filled<T>(value: Option<T>, column: &str) -> Result<T, StoreError> {
    value.ok_or_else(|| corrupt(column))
}

/// Reads an id that was checked before it was written.
pub(super) fn id<T: std::str::FromStr>(text: &str, column: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| corrupt(column))
}

/// Instants are kept as milliseconds since 1970 in both databases: they sort, and neither rounds them.
pub(super) fn to_millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

pub(super) fn from_millis(millis: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(millis).map_err(|_| corrupt("an instant"))
}

pub(super) fn from_millis_option(millis: Option<i64>) -> Result<Option<Timestamp>, StoreError> {
    millis.map(from_millis).transpose()
}

/// Counts are kept as wide integers.
pub(super) fn count(value: i64, column: &str) -> Result<u32, StoreError> {
    u32::try_from(value).map_err(|_| corrupt(column))
}

pub(super) fn hash(bytes: Vec<u8>, column: &str) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| corrupt(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_were_written() {
        for state in StateName::ALL {
            assert_eq!(StateName::read(state.word()), Ok(state));
        }
        for size in [Size::Small, Size::Medium, Size::Large] {
            assert_eq!(Size::read(size.word()), Ok(size));
        }
        for purpose in Purpose::ALL {
            assert_eq!(Purpose::read(purpose.word()), Ok(purpose));
            assert_eq!(purpose.word(), purpose.name());
        }
        assert!(Delivery::read("lost").is_err());
    }
}
