//! What is kept that the domain has no word for. No logic lives here.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use gatepost_domain::{
    CourierEvent, ReminderCause, Timestamp,
    consent::Purpose,
    id::{
        CommunityId, CompartmentId, CourierId, DecisionId, GateId, KeyId, LockerId, NoticeId, ParcelId, ResidentId,
        TemplateId,
    },
    parcel::StateName,
    principal::{Principal, Scopes},
};

/// The answer that a request id was given. Prints its call only.
#[derive(Clone, PartialEq, Eq)]
pub struct Answered {
    /// Which call was answered.
    pub rpc: String,
    /// SHA-256 of the request's body, so that another body under the same id is noticed.
    pub body_hash: [u8; 32],
    /// The answer, to be given again.
    pub answer: Vec<u8>,
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answered({})", self.rpc)
    }
}

/// Whose layer of the waiting policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyKey {
    /// The whole installation's.
    Tenant,
    /// One community's.
    Community(CommunityId),
    /// One courier's.
    Courier(CourierId),
}

/// A courier company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Courier {
    /// The id.
    pub id: CourierId,
    /// For people.
    pub display_name: String,
}

/// An access key. Prints its id only.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The id.
    pub id: KeyId,
    /// What its bearer is.
    pub principal: Principal,
    /// SHA-256 of the secret; the secret itself is kept nowhere.
    pub secret_hash: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it opens nothing.
    pub revoked_at: Option<Timestamp>,
    /// What it is limited to.
    pub scopes: Scopes,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to a few minutes.
    pub last_used_at: Option<Timestamp>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// A compartment that is not free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Which locker.
    pub locker: LockerId,
    /// Which compartment.
    pub compartment: CompartmentId,
    /// For which parcel.
    pub parcel: ParcelId,
    /// Until when a reservation holds; `None` for a parcel that is inside.
    pub reserved_until: Option<Timestamp>,
}

/// One entry of a courier's event log.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// From 1, without gaps.
    pub sequence: i64,
    /// Which parcel.
    pub parcel: ParcelId,
    /// The courier's own number.
    pub tracking_number: String,
    /// The parcel's state after the step that this tells of.
    pub state: StateName,
    /// What happened.
    pub event: CourierEvent,
}

/// How far a courier's log goes and how far it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventCursor {
    /// The newest sequence; 0 before the first event.
    pub newest: i64,
    /// The highest sequence the courier acknowledged.
    pub acknowledged: i64,
}

/// A way to reach a resident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The display of the gate the resident stands at.
    GateDisplay,
    /// A signed call to the property's own system.
    Webhook,
    /// An e-mail.
    Email,
}

/// How far a notice got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// To be tried, or tried again.
    Pending,
    /// Handed over.
    Delivered,
    /// Given up.
    Failed,
}

/// One reminder over one channel: what the outbox is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct NoticeRecord {
    /// The id.
    pub id: NoticeId,
    /// About which parcel.
    pub parcel: ParcelId,
    /// To whom.
    pub resident: ResidentId,
    /// How.
    pub channel: Channel,
    /// Why.
    pub cause: ReminderCause,
    /// When the step decided it.
    pub decided_at: Timestamp,
    /// How far it got.
    pub delivery: Delivery,
    /// How often it was tried.
    pub attempts: u32,
    /// When to try next, or until when the present attempt is leased; `None` when there is no next time.
    pub next_attempt_at: Option<Timestamp>,
    /// Why the last attempt failed; empty when none did.
    pub last_error: String,
    /// W3C trace context of the deciding step; may be empty.
    pub traceparent: String,
}

/// An enrolled face. Prints neither the vector nor whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    /// The id.
    pub id: TemplateId,
    /// Whose face.
    pub resident: ResidentId,
    /// The model that made the vector; vectors of two models do not compare.
    pub model: String,
    /// The vector, sealed with the resident's key. The store never looks inside.
    pub embedding: Vec<u8>,
    /// When.
    pub enrolled_at: Timestamp,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({})", self.id)
    }
}

/// A community's key, wrapped by the master key. Prints no key.
#[derive(Clone, PartialEq, Eq)]
pub struct CommunityKey {
    /// Whose.
    pub community: CommunityId,
    /// From 1; the highest is in use, older ones until no resident's key is wrapped by them.
    pub generation: i64,
    /// Which master key wrapped it.
    pub master: String,
    /// The wrapped key. The store never looks inside.
    pub wrapped: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl fmt::Debug for CommunityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommunityKey({}, {})", self.community, self.generation)
    }
}

/// A resident's key, wrapped by the community's. Prints no key.
#[derive(Clone, PartialEq, Eq)]
pub struct ResidentKey {
    /// Whose.
    pub resident: ResidentId,
    /// In which community.
    pub community: CommunityId,
    /// Which of the community's keys wrapped it. The resident's templates are turned by the same one.
    pub generation: i64,
    /// The wrapped key. The store never looks inside.
    pub wrapped: Vec<u8>,
}

impl fmt::Debug for ResidentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResidentKey({})", self.resident)
    }
}

/// One face that may be searched for, without the face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchableFace {
    /// Which template.
    pub template: TemplateId,
    /// Whose.
    pub resident: ResidentId,
    /// Which generation of keys it is sealed under.
    pub generation: i64,
    /// The highest similarity at which somebody else was taken for the resident.
    pub mistaken_at: Option<f32>,
}

/// Why a sighting is known to be mistaken, or must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MisidentificationReason {
    /// The resident, or staff, said so.
    NotMe,
    /// Seen at another gate sooner than anybody walks there.
    TwoGates,
    /// More like a picture held before the camera than like a living face.
    NotLive,
}

/// A sighting that was of somebody else.
#[derive(Debug, Clone, PartialEq)]
pub struct Misidentification {
    /// Who was taken to be there.
    pub resident: ResidentId,
    /// Of which community.
    pub community: CommunityId,
    /// How that is known.
    pub reason: MisidentificationReason,
    /// At which gate.
    pub gate: GateId,
    /// When; of a reminder, when it was decided.
    pub seen_at: Timestamp,
    /// How similar the face was; `None` when a smart camera said who it was.
    pub similarity: Option<f32>,
    /// The other gate, and when the resident was seen there.
    pub other: Option<(GateId, Timestamp)>,
    /// When it became known.
    pub reported_at: Timestamp,
    /// When staff had looked into it.
    pub settled_at: Option<Timestamp>,
}

/// Frames of a gate that a resident is enrolled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Who.
    pub resident: ResidentId,
    /// Whose gate.
    pub community: CommunityId,
    /// Which.
    pub gate: GateId,
    /// Since when.
    pub opened_at: Timestamp,
    /// From then on no frame is looked at for it.
    pub ends_at: Timestamp,
    /// How many faces are enough.
    pub wanted: u32,
    /// How many were enrolled.
    pub enrolled: u32,
    /// Frames with a face that were looked at.
    pub frames: u32,
    /// Those of them that gave nothing, by reason.
    pub refused: BTreeMap<String, u32>,
}

/// A photograph that was not enrolled because it resembles somebody else.
#[derive(Debug, Clone, PartialEq)]
pub struct EnrolmentConflict {
    /// Who was to be enrolled.
    pub resident: ResidentId,
    /// Whom the face resembles.
    pub other: ResidentId,
    /// Of which community.
    pub community: CommunityId,
    /// How similar they are.
    pub similarity: f32,
    /// When it was found, the last time.
    pub found_at: Timestamp,
    /// What staff found, and when.
    pub settled: Option<(Resolution, Timestamp)>,
}

/// Why something was decided. Prints its id and its rule.
#[derive(Clone, PartialEq, Eq)]
pub struct DecisionRecord {
    /// The id.
    pub id: DecisionId,
    /// Whom it is about; none of a recall, which is about its parcel and whomever that is for.
    pub resident: Option<ResidentId>,
    /// Which parcel; none when it was decided before one was looked at.
    pub parcel: Option<ParcelId>,
    /// Where.
    pub community: CommunityId,
    /// By which rule.
    pub rule: Cow<'static, str>,
    /// When.
    pub decided_at: Timestamp,
    /// What it was decided by. The store never looks inside.
    pub record: String,
}

impl fmt::Debug for DecisionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecisionRecord({}, {})", self.id, self.rule)
    }
}

/// What staff found when they looked into an enrolment conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// They resemble each other, as twins do: both may be enrolled.
    DifferentPeople,
    /// One person stands on the roster twice, or the photograph was of the wrong one.
    SamePerson,
}

/// The notice that a resident, or a guardian, was shown and agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownNotice {
    /// Which text, by version.
    pub version: String,
    /// SHA-256 of the text itself, where it was told.
    pub sha256: Option<[u8; 32]>,
    /// Whether a guardian agreed for the resident, as for anybody under 14.
    pub by_guardian: bool,
    /// Which: a resident's id, or a reference of the property's; empty where it was not told.
    pub guardian: String,
}

impl From<&str> for ShownNotice {
    fn from(version: &str) -> Self {
        ShownNotice { version: version.to_owned(), sha256: None, by_guardian: false, guardian: String::new() }
    }
}

/// One entry of a community's ledger of consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentEntry {
    /// Whose ledger.
    pub community: CommunityId,
    /// From 1, without gaps.
    pub sequence: i64,
    /// Who agreed; may be deleted since.
    pub resident: ResidentId,
    /// To what.
    pub purpose: Purpose,
    /// Whether it was agreed to, or taken back.
    pub given: bool,
    /// Which notice was shown, by version; empty when taken back.
    pub notice: String,
    /// SHA-256 of the notice's text, where it was told.
    pub notice_sha256: Option<[u8; 32]>,
    /// Whether a guardian spoke for the resident.
    pub by_guardian: bool,
    /// Which one agreed; empty where it was not told.
    pub guardian: String,
    /// When.
    pub recorded_at: Timestamp,
    /// Covers this entry and, through the hash before it, all before.
    pub hash: [u8; 32],
}
