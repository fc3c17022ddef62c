//! How long parcels wait and when residents are reminded: T1 < T2, in layers, with the layer that decided.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// A complete policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingPolicy {
    /// T1: from the deposit to the first reminder.
    pub remind_after: SignedDuration,
    /// T2: from the deposit to the recall. Above T1.
    pub recall_after: SignedDuration,
    /// From a refused recall to the next one.
    pub recall_again_after: SignedDuration,
    /// At least this long between two reminders of one parcel.
    pub reminder_cooldown: SignedDuration,
    /// At most this many reminders of one parcel.
    pub reminders_max: u32,
    /// No reminders from this minute after local midnight.
    pub quiet_from_minute: u16,
    /// Until this one; equal means never quiet.
    pub quiet_to_minute: u16,
    /// The minute after local midnight for residents with too few pickups on record.
    pub usual_minute: u16,
    /// How far T2 can be put off, once, for a resident who cannot come; zero when it cannot.
    pub extension: SignedDuration,
    /// How long a stay can be held, once, for a resident who is away; zero when it cannot.
    pub hold_max: SignedDuration,
    /// How long a reserved compartment is kept.
    pub reservation: SignedDuration,
    /// How much farther from home than first meant a parcel may be put when that place turns out unusable, in metres.
    pub overflow_metres: u32,
}

impl Default for WaitingPolicy {
    /// T1 and T2 follow what the large operators do (24 hours free at Hive Box, 72 hours at Amazon), and so does the
    /// extension (48 hours at InPost). A hold of a week is our own choice: a compartment is taken all the while.
    fn default() -> Self {
        Self {
            remind_after: SignedDuration::from_hours(24),
            recall_after: SignedDuration::from_hours(72),
            recall_again_after: SignedDuration::from_hours(24),
            reminder_cooldown: SignedDuration::from_hours(12),
            reminders_max: 5,
            quiet_from_minute: 22 * 60,
            quiet_to_minute: 8 * 60,
            usual_minute: 18 * 60 + 30,
            extension: SignedDuration::from_hours(48),
            hold_max: SignedDuration::from_hours(7 * 24),
            reservation: SignedDuration::from_hours(2),
            overflow_metres: 500,
        }
    }
}

/// One layer of the policy: what is `None` inherits from the layer below.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are those of WaitingPolicy")]
pub struct PolicyLayer {
    pub remind_after: Option<SignedDuration>,
    pub recall_after: Option<SignedDuration>,
    pub recall_again_after: Option<SignedDuration>,
    pub reminder_cooldown: Option<SignedDuration>,
    pub reminders_max: Option<u32>,
    pub quiet_from_minute: Option<u16>,
    pub quiet_to_minute: Option<u16>,
    pub usual_minute: Option<u16>,
    pub extension: Option<SignedDuration>,
    pub hold_max: Option<SignedDuration>,
    pub reservation: Option<SignedDuration>,
    pub overflow_metres: Option<u32>,
}

/// Where a layer stands; a later one decides over an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The built-in defaults.
    Default,
    /// The whole installation.
    Tenant,
    /// One community.
    Community,
    /// One courier.
    Courier,
}

impl Layer {
    /// The name in answers and rows.
    pub fn name(self) -> &'static str {
        match self {
            Layer::Default => "default",
            Layer::Tenant => "tenant",
            Layer::Community => "community",
            Layer::Courier => "courier",
        }
    }
}

/// Which layer decided a field, and which version of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The layer.
    pub layer: Layer,
    /// How often the layer had been set by then; 0 of the defaults.
    pub version: i64,
}

/// Which layer decided each field, by the field's name.
pub type Origins = BTreeMap<String, Origin>;

/// As [`merge`], of layers with their versions.
pub fn merge_versions(layers: &[(Layer, PolicyLayer, i64)]) -> (WaitingPolicy, Origins) {
    let values: Vec<_> = layers.iter().map(|(layer, values, _)| (*layer, values)).collect();
    let (policy, decided) = merge(&values);
    let version = |of: Layer| layers.iter().find(|(layer, ..)| *layer == of).map_or(0, |(.., version)| *version);
    let origin = |(field, layer): (&str, Layer)| (field.to_owned(), Origin { layer, version: version(layer) });
    (policy, decided.into_iter().map(origin).collect())
}

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// T1 is not before T2.
    #[error("remind_after (T1, {remind_after:#}) must be below recall_after (T2, {recall_after:#})")]
    T1NotBelowT2 {
        /// T1.
        remind_after: SignedDuration,
        /// T2.
        recall_after: SignedDuration,
    },
    /// A value outside its range.
    #[error("{field} must be {range}")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// What it may be.
        range: &'static str,
    },
}

/// The longest of any duration in a policy.
const DURATION_MAX: SignedDuration = SignedDuration::from_hours(24 * 366);

const OVERFLOW_MAX_METRES: u32 = 100_000;

/// Merges layers in the given order, later ones deciding, and tells which layer decided each field.
pub fn merge(layers: &[(Layer, &PolicyLayer)]) -> (WaitingPolicy, BTreeMap<&'static str, Layer>) {
    let mut policy = WaitingPolicy::default();
    let mut decided = BTreeMap::new();
    macro_rules! fields {
        ($($field:ident),*) => {$(
            decided.insert(stringify!($field), Layer::Default);
            for (layer, values) in layers {
                if let Some(value) = values.$field {
                    policy.$field = value;
                    decided.insert(stringify!($field), *layer);
                }
            }
        )*};
    }
    fields!(
        remind_after,
        recall_after,
        recall_again_after,
        reminder_cooldown,
        reminders_max,
        quiet_from_minute,
        quiet_to_minute,
        usual_minute,
        extension,
        hold_max,
        reservation,
        overflow_metres
    );
    (policy, decided)
}

impl WaitingPolicy {
    /// Refuses what cannot work. Zero is allowed for T1 (remind at once) and for the cooldown.
    pub fn check(&self) -> Result<(), PolicyError> {
        let zero = SignedDuration::ZERO;
        let durations = [
            ("remind_after", self.remind_after, zero),
            ("recall_after", self.recall_after, zero),
            ("recall_again_after", self.recall_again_after, SignedDuration::from_secs(1)),
            ("reminder_cooldown", self.reminder_cooldown, zero),
            ("extension", self.extension, zero),
            ("hold_max", self.hold_max, zero),
            ("reservation", self.reservation, SignedDuration::from_secs(1)),
        ];
        for (field, value, least) in durations {
            if value < least || value > DURATION_MAX {
                return Err(PolicyError::OutOfRange {
                    field,
                    range: "0 s (1 s for recalls and reservations) to 366 days",
                });
            }
        }
        let minutes = [
            ("quiet_from_minute", self.quiet_from_minute),
            ("quiet_to_minute", self.quiet_to_minute),
            ("usual_minute", self.usual_minute),
        ];
        for (field, minute) in minutes {
            if minute >= 24 * 60 {
                return Err(PolicyError::OutOfRange { field, range: "0 to 1439 minutes after midnight" });
            }
        }
        if self.reminders_max > 100 {
            return Err(PolicyError::OutOfRange { field: "reminders_max", range: "0 to 100" });
        }
        if self.overflow_metres > OVERFLOW_MAX_METRES {
            return Err(PolicyError::OutOfRange { field: "overflow_metres", range: "0 to 100000 metres" });
        }
        if self.remind_after >= self.recall_after {
            return Err(PolicyError::T1NotBelowT2 { remind_after: self.remind_after, recall_after: self.recall_after });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_layer_that_says_something_decides() {
        let hours = |n| Some(SignedDuration::from_hours(n));
        let tenant = PolicyLayer { remind_after: hours(10), recall_after: hours(50), ..PolicyLayer::default() };
        let courier = PolicyLayer { remind_after: hours(20), ..PolicyLayer::default() };
        let (policy, decided) = merge(&[(Layer::Tenant, &tenant), (Layer::Courier, &courier)]);
        assert_eq!(policy.remind_after, SignedDuration::from_hours(20));
        assert_eq!(policy.recall_after, SignedDuration::from_hours(50));
        assert_eq!(decided["remind_after"], Layer::Courier);
        assert_eq!(decided["recall_after"], Layer::Tenant);
        assert_eq!(decided["reservation"], Layer::Default);
    }

    #[test]
    fn t1_must_be_below_t2() {
        let policy = WaitingPolicy { remind_after: SignedDuration::from_hours(72), ..WaitingPolicy::default() };
        assert!(matches!(policy.check(), Err(PolicyError::T1NotBelowT2 { .. })));
        assert_eq!(WaitingPolicy::default().check(), Ok(()));
    }
}
