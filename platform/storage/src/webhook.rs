//! What is kept of a courier's webhook endpoints, and of the events they did not take. No logic lives here.

use std::fmt;

use gatepost_domain::{
    Timestamp,
    id::{CourierId, EndpointId},
};
use uuid::Uuid;

use crate::StoredEvent;

/// Where a courier wants its events. Prints its id only: the address may hold a secret, and the keys are secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// The id.
    pub id: EndpointId,
    /// Whose.
    pub courier: CourierId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where to.
    pub url: String,
    /// Names of the event types wanted; none for all.
    pub kinds: Vec<String>,
    /// Why it is not called, if it is not.
    pub disabled: Option<Disabled>,
    /// The key that signs.
    pub secret: Vec<u8>,
    /// The key before, and until when it signs too.
    pub previous_secret: Option<(Vec<u8>, Timestamp)>,
    /// Every event up to here was delivered, set aside or not wanted.
    pub passed: i64,
    /// Calls that failed in a row.
    pub failures: u32,
    /// Since when they fail.
    pub failing_since: Option<Timestamp>,
    /// How the last one failed; empty when it did not.
    pub last_error: String,
    /// It is left alone until then.
    pub not_before: Timestamp,
}

impl fmt::Debug for WebhookEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookEndpoint({})", self.id)
    }
}

/// Why an endpoint is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disabled {
    /// Its courier does not want it.
    ByCourier,
    /// The property's staff do not want it.
    ByAdministrator,
    /// It said that it is gone.
    Gone,
    /// It failed for too long.
    Failing,
}

/// The right to call an endpoint for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointLease {
    /// Tells this lease from every other.
    pub token: Uuid,
    /// When it ends by itself.
    pub until: Timestamp,
}

/// An event that an endpoint did not take.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Which event.
    pub event: StoredEvent,
    /// How often it was tried.
    pub attempts: u32,
    /// When to try again; `None` for a dead letter.
    pub next_attempt_at: Option<Timestamp>,
    /// When it was tried last.
    pub last_attempt_at: Timestamp,
    /// How that failed.
    pub last_error: String,
}

/// How many events an endpoint has not taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LetterCounts {
    /// To be tried again.
    pub retrying: u32,
    /// Given up.
    pub dead: u32,
}

/// Which events to deliver again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// This one, whatever became of it.
    One(i64),
    /// Dead letters above this number.
    DeadAfter(i64),
    /// Dead letters of events that happened since.
    DeadSince(Timestamp),
}
