//! Over which channels a resident may be reminded.

use std::collections::HashMap;

use gatepost_domain::{
    consent::{Purpose, may_remind_over},
    id::ResidentId,
};
use gatepost_storage::{Channel, StoreError, Tx};

/// What decides over which channels somebody is reminded. The default is somebody without an e-mail address who has said
/// nothing about channels.
#[derive(Clone, Default)]
pub struct Reach {
    email: bool,
    said: Vec<(Purpose, bool)>,
}

impl Reach {
    /// Of each of these residents.
    pub async fn of(tx: &Tx, residents: &[ResidentId]) -> Result<HashMap<ResidentId, Reach>, StoreError> {
        if residents.is_empty() {
            return Ok(HashMap::new());
        }
        let (with_email, said) = (tx.with_email(residents).await?, tx.said_of_channels(residents).await?);
        let reach = |resident: &ResidentId| {
            // Somebody may be named more than once.
            let said = said.get(resident).cloned().unwrap_or_default();
            (*resident, Reach { email: with_email.contains(resident), said })
        };
        Ok(residents.iter().map(reach).collect())
    }

    /// Of one.
    pub async fn of_one(tx: &Tx, resident: ResidentId) -> Result<Reach, StoreError> {
        Ok(Reach::of(tx, &[resident]).await?.remove(&resident).unwrap_or_default())
    }

    /// Whether this channel may take a reminder, and can.
    pub fn allows(&self, channel: Channel) -> bool {
        let (purpose, can) = match channel {
            Channel::GateDisplay => (Purpose::ReminderGateDisplay, true),
            Channel::Webhook => (Purpose::ReminderWebhook, true),
            Channel::Email => (Purpose::ReminderEmail, self.email),
        };
        can && may_remind_over(purpose, &self.said)
    }
}
