//! What the channels to the outside hand over, and how they say that it did not work.

use std::fmt;

use gatepost_domain::{
    ReminderCause,
    id::{CommunityId, CompartmentId, LockerId, NoticeId, ParcelId, ResidentId},
};
use jiff::SignedDuration;

/// One reminder on its way out. Prints nothing but the id.
#[derive(Clone, PartialEq)]
pub struct Outgoing {
    /// Equal for every attempt, so that the other side recognises a repeat.
    pub notice: NoticeId,
    /// Which parcel waits.
    pub parcel: ParcelId,
    /// Whose it is.
    pub resident: ResidentId,
    /// The person's id in the property's own systems; empty when there is none.
    pub person_reference: String,
    /// Where.
    pub community: CommunityId,
    /// Why now.
    pub cause: ReminderCause,
    /// Where it waits.
    pub locker: LockerId,
    /// The locker, for people.
    pub locker_name: String,
    /// Where it waits.
    pub compartment: CompartmentId,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outgoing({})", self.notice)
    }
}

/// Why an attempt failed. The texts are kept and logged: they hold no address and nothing of what the other side said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Trying again would fail again.
    #[error("{0}")]
    Final(String),
    /// It may work later.
    #[error("{text}")]
    Again {
        /// What happened.
        text: String,
        /// How long the other side asks us to wait, at most a day.
        after: Option<SignedDuration>,
    },
}

impl DeliveryError {
    /// A failure that may pass, without a word about when.
    pub(super) fn again(text: impl Into<String>) -> Self {
        Self::Again { text: text.into(), after: None }
    }
}

/// Settings that no channel can be made of. The texts name the setting and never repeat its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Not an address to call.
    #[error("webhook.url must be an http:// or https:// address")]
    WebhookUrl,
    /// Not a key to sign with.
    #[error("webhook.secret must be whsec_ and the base64 of 24 to 64 bytes")]
    WebhookSecret,
    /// The system's certificates could not be loaded.
    #[error("webhook.url is https:// but this machine has no trusted certificates: install its CA certificates")]
    NoCertificates,
    /// Not a mail server.
    #[error("smtp.url must be smtp://host:port or smtps://host:port, with ?tls=required for STARTTLS")]
    SmtpUrl,
    /// Not a sender.
    #[error("smtp.from must be a sender, such as Lotus Garden <parcels@example.org>")]
    SmtpFrom,
}
