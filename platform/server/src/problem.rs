//! Everything that can keep a call from being answered. `api/status.rs` turns it into a gRPC status, and nothing else
//! does.

use gatepost_domain::{Refusal, policy::PolicyError, principal::Scope, topology::TopologyError};
use gatepost_storage::StoreError;

use crate::{
    auth::{grant::Stranger, quota::Exceeded},
    photograph::Unfit,
    vault::VaultError,
};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A step said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Storage said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No such thing, or not the caller's.
    #[error("no such {}", .0.noun())]
    NotFound(Missing),
    /// It is there already.
    #[error("{} is taken", .0)]
    Exists(Taken),
    /// The courier announced this tracking number before.
    #[error("this tracking number was announced before: use GetParcel to look it up")]
    NumberTaken,
    /// Fields that cannot be read.
    #[error("{} invalid field(s)", .0.len())]
    Invalid(Vec<Violation>),
    /// A policy that cannot work.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Places that do not fit together.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The request id was used for something else.
    #[error("this request_id was used with another body: choose a new one")]
    RequestIdReused,
    /// A page token that we did not give to this caller.
    #[error("page_token is not one this caller was given: start from the first page")]
    PageToken,
    /// A compartment that an update would drop.
    #[error("compartment {1} of locker {0} holds or is kept for a parcel: empty it first")]
    CompartmentInUse(String, String),
    /// Acknowledging what was never sent.
    #[error("there is no event {sequence} yet, the newest is {newest}")]
    SequenceUnknown {
        /// What was acknowledged.
        sequence: i64,
        /// What there is.
        newest: i64,
    },
    /// Events that are kept no longer.
    #[error("the events after {after} are kept no longer: the oldest is {oldest}")]
    EventsExpired {
        /// After which one the caller asked.
        after: i64,
        /// The oldest there is, or the next one.
        oldest: i64,
    },
    /// A courier's endpoints are all used.
    #[error("this courier has {0} webhook endpoints already: delete one first")]
    EndpointsFull(usize),
    /// Staff disabled it.
    #[error("the property's staff disabled this endpoint: ask them")]
    DisabledByAdministrator,
    /// Neither the request nor the answer was ready in time.
    #[error("the request did not arrive, or could not be answered, in time")]
    TimedOut,
    /// Too much of this at once.
    #[error("too many calls of this kind are under way: try again in a few seconds")]
    Busy,
    /// A photograph that cannot be enrolled.
    #[error(transparent)]
    Photograph(#[from] PhotographProblem),
    /// A gate takes one resident at a time.
    #[error("somebody else is being enrolled at this gate: wait a minute")]
    GateBusy,
    /// A child's consent without a guardian.
    #[error("the resident is under 14: a named guardian has to agree to gate recognition")]
    GuardianNeeded,
    /// Nobody to look at pictures.
    #[error("no vision worker is connected: start gatepost-vision, then try again")]
    NoVisionWorker,
    /// Somebody looked at a picture, and said nothing that can be used.
    #[error("the vision worker failed on the photograph: see its log, then try again, or another photograph")]
    VisionWorkerFailed,
    /// A worker of another model than the gallery's.
    #[error(
        "the enrolled faces were made by model {enrolled}, this worker runs {offered}: use the same weights, or enrol again"
    )]
    ModelMismatch {
        /// The gallery's.
        enrolled: String,
        /// The worker's.
        offered: String,
    },
    /// An upgrade of the model that cannot be.
    #[error(transparent)]
    ModelUpgrade(#[from] ModelUpgradeProblem),
    /// A looser recognition policy while somebody is known to be mistaken for somebody else.
    #[error(
        "somebody said \"not me\" and nobody has settled it: look into it and settle it before the gates may be less sure"
    )]
    MisidentificationStands,
    /// Faces cannot be sealed or opened.
    #[error("the keys of the enrolled faces cannot be used: see the server's log, and check [keys]")]
    Vault(VaultError),
    /// The server is about to go away.
    #[error("the server is going away: connect again and send what was not answered")]
    Draining,
    /// Not who it says it is.
    #[error(transparent)]
    Stranger(#[from] Stranger),
    /// A key for something else.
    #[error("this caller may not call {0}")]
    Forbidden(String),
    /// A key for less.
    #[error("{rpc} needs the scope {scope}, which this caller does not have")]
    ScopeMissing {
        /// What was called.
        rpc: String,
        /// What it needs.
        scope: Scope,
    },
    /// More than it may.
    #[error(transparent)]
    OverQuota(#[from] Exceeded),
    /// A token of somebody without a role here.
    #[error("{0}")]
    RoleMissing(&'static str),
    /// Tokens cannot be verified.
    #[error("the identity provider does not answer, so no token can be verified: try again, or use a key")]
    IdentityProviderAway,
    /// A limited administrator would issue a key for more.
    #[error("only an administrator without scopes may issue an administrator's key that may do more than its own")]
    BeyondOwn,
    /// Rotating what opens nothing any more.
    #[error("the key was revoked: create another")]
    KeyRevoked,
    /// Rotated again and again.
    #[error("eight former secrets of this key are still taken: wait, or rotate it with a shorter overlap")]
    SecretsFull,
    /// A defect of ours.
    #[error("{0}")]
    Bug(&'static str),
}

/// Why the model is not upgraded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelUpgradeProblem {
    #[error("no faces are enrolled: workers of any model are welcome without an upgrade")]
    NothingEnrolled,
    #[error("the model is being upgraded to {0}: finish that first")]
    UnderWay(String),
    #[error("no upgrade of the model is under way: start one first")]
    NotUnderWay,
}

/// Why a photograph was not enrolled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhotographProblem {
    #[error("the resident has not agreed to gate recognition: grant the consent first")]
    NoConsent,
    #[error("the resident has 8 enrolled faces already: delete them first")]
    Full,
    #[error("the photograph is not a JPEG, or a truncated one")]
    NotAJpeg,
    #[error("the photograph has more than 20 megapixels or 8 MiB")]
    TooLarge,
    #[error("no face was found in the photograph")]
    NoFace,
    #[error("several faces were found: use a photograph of one person")]
    SeveralFaces,
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unfit(Vec<Unfit>),
    #[error(
        "the face resembles another resident's more than this community's limit: see ListEnrolmentConflicts, and settle it before either is enrolled from such a photograph"
    )]
    Conflict,
}

/// One field that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path in the request.
    pub field: String,
    /// What it should be.
    pub description: String,
}

/// What was looked for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Parcel,
    Community,
    Resident,
    Courier,
    Gate,
    Capture,
    Key,
    Compartment,
    Reminder,
    Misidentification,
    Conflict,
    Decision,
    Endpoint,
    Erasure,
}

impl Missing {
    /// The domain's word.
    pub fn noun(self) -> &'static str {
        match self {
            Missing::Parcel => "parcel",
            Missing::Community => "community",
            Missing::Resident => "resident",
            Missing::Courier => "courier",
            Missing::Gate => "gate",
            Missing::Capture => "capture",
            Missing::Key => "key",
            Missing::Compartment => "compartment",
            Missing::Reminder => "reminder at a gate",
            Missing::Misidentification => "misidentification",
            Missing::Conflict => "enrolment conflict",
            Missing::Decision => "decision",
            Missing::Endpoint => "webhook endpoint",
            Missing::Erasure => "erasure",
        }
    }
}

/// What can be there only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Community,
    Courier,
    PersonReference,
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Taken::Community => "the community id",
            Taken::Courier => "the courier id",
            Taken::PersonReference => "the person reference",
        })
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        match error {
            // A lost race is taken again, whoever lost it.
            VaultError::Store(error) => Problem::Store(error),
            other => Problem::Vault(other),
        }
    }
}

impl Problem {
    /// One invalid field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Problem::Invalid(vec![Violation { field: field.into(), description: description.into() }])
    }
}

/// Repeats work that lost a race against another transaction, a bounded number of times.
pub async fn settle<T, F>(mut work: impl FnMut() -> F) -> Result<T, Problem>
where
    F: Future<Output = Result<T, Problem>>,
{
    const ATTEMPTS: usize = 20;
    let mut outcome = work().await;
    for _ in 1..ATTEMPTS {
        match outcome {
            Err(Problem::Store(StoreError::Conflict)) => outcome = work().await,
            settled => return settled,
        }
    }
    outcome
}
