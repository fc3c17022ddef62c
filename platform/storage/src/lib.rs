//! What the platform keeps: one store over SQLite and PostgreSQL, and the index of deadlines in this process or in
//! Redis.
//!
//! The rows are the truth; the index may be emptied at any time and is built again from them. Nothing here decides
//! anything about a parcel: it keeps what a step of the domain made, whole or not at all.

mod embedded_timers;
mod erasure;
mod error;
mod look;
mod model_upgrade;
mod record;
mod redis;
mod sql;
mod webhook;

pub use self::{
    embedded_timers::EmbeddedTimers,
    erasure::{Confirmation, Erasure, Removed, SigningKey},
    error::StoreError,
    look::{Look, LookChain},
    model_upgrade::{Agreement, EnrolledUnder, ModelUpgrade, Models},
    record::{
        Answered, Capture, Channel, CommunityKey, ConsentEntry, Courier, DecisionRecord, Delivery, EnrolmentConflict,
        EventCursor, Hold, Key, Misidentification, MisidentificationReason, NoticeRecord, PolicyKey, ResidentKey,
        Resolution, SearchableFace, ShownNotice, StoredEvent, Template,
    },
    redis::{RedisOptions, RedisTimers},
    sql::{Store, Tx},
    webhook::{Disabled, EndpointLease, Letter, LetterCounts, Replay, WebhookEndpoint},
};
