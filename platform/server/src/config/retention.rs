//! How long what is personal is kept, by class. `proto/README.md` has the table of all classes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// How long what is personal is kept; older rows are deleted within the hour.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// The record of who looked at what is personal. China's PIPL, article 56, wants records of processing for three
    /// years.
    #[serde(with = "humantime_serde")]
    pub looks: Duration,
    /// Reminders and how their delivery went, from their decision on. What is still to be delivered is kept.
    #[serde(with = "humantime_serde")]
    pub notices: Duration,
    /// Pickups, from which the usual hour is learnt: one of 300 days ago counts a thousandth of today's.
    #[serde(with = "humantime_serde")]
    pub pickups: Duration,
    /// Whose a parcel was, from its end on; and whose label is on one that nobody was found for and that was never
    /// brought.
    #[serde(with = "humantime_serde")]
    pub addressees: Duration,
    /// Why somebody was reminded or not, and why a recall was requested: as long as anybody asks, a choice.
    #[serde(with = "humantime_serde")]
    pub decisions: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { looks: days(3 * 365), notices: days(180), pickups: days(365), addressees: days(90), decisions: days(90) }
    }
}

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 3600)
}

impl Retention {
    /// Refuses what is hardly meant.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Retention { looks, notices, pickups, addressees, decisions } = *self;
        if !(days(30)..=days(3650)).contains(&looks) {
            return Err(ConfigError::Range("retention.looks must be 30 to 3650 days"));
        }
        if ![notices, pickups, addressees, decisions].iter().all(|kept_for| (days(1)..=days(3650)).contains(kept_for)) {
            return Err(ConfigError::Range(
                "retention.notices, retention.pickups, retention.addressees and retention.decisions must be 1 to 3650 days",
            ));
        }
        Ok(())
    }
}
