//! The rows as sea-orm sees them, one module a table. They never leave this folder.

use sea_orm::entity::prelude::*;

/// A table. Its rows print the table's name and nothing they hold: most hold something personal.
macro_rules! table {
    ($module:ident, $table:literal, { $($(#[$attribute:meta])* $column:ident: $type:ty,)* }) => {
        pub(super) mod $module {
            use super::*;

            #[derive(Clone, PartialEq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub struct Model {
                $($(#[$attribute])* pub $column: $type,)*
            }

            impl std::fmt::Debug for Model {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(concat!($table, "(..)"))
                }
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

table!(community, "community", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: String,
    display_name: String,
    time_zone: String,
    topology: String,
    display: String,
    version: i64,
});

table!(courier, "courier", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: String,
    display_name: String,
    newest_sequence: i64,
    acknowledged_sequence: i64,
});

table!(access_key, "access_key", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    principal: String,
    secret_hash: Vec<u8>,
    created_at: i64,
    revoked_at: Option<i64>,
    scopes: String,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
});

table!(former_secret, "former_secret", {
    #[sea_orm(primary_key, auto_increment = false)]
    secret_hash: Vec<u8>,
    access_key: Uuid,
    valid_until: i64,
});

table!(rearm, "rearm", {
    #[sea_orm(primary_key, auto_increment = false)]
    scope: String,
    #[sea_orm(primary_key, auto_increment = false)]
    subject: String,
    after: Option<Uuid>,
});

table!(policy_layer, "policy_layer", {
    #[sea_orm(primary_key, auto_increment = false)]
    scope: String,
    #[sea_orm(primary_key, auto_increment = false)]
    subject: String,
    layer: String,
    version: i64,
});

table!(request, "request", {
    #[sea_orm(primary_key, auto_increment = false)]
    principal: String,
    #[sea_orm(primary_key, auto_increment = false)]
    request_id: Uuid,
    rpc: String,
    body_hash: Vec<u8>,
    answer: Vec<u8>,
    answered_at: i64,
});

table!(resident, "resident", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    community: String,
    name: String,
    name_key: String,
    phone: String,
    phone_key: Option<String>,
    email: String,
    building: String,
    unit: String,
    person_reference: String,
    needs_accessible: bool,
    under_14: bool,
});

table!(consent_ledger, "consent_ledger", {
    #[sea_orm(primary_key, auto_increment = false)]
    community: String,
    #[sea_orm(primary_key, auto_increment = false)]
    sequence: i64,
    resident: Uuid,
    purpose: String,
    given: bool,
    notice: String,
    notice_sha256: Option<Vec<u8>>,
    by_guardian: bool,
    guardian: String,
    recorded_at: i64,
    hash: Vec<u8>,
});

table!(consent_in_force, "consent_in_force", {
    #[sea_orm(primary_key, auto_increment = false)]
    resident: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    purpose: String,
});

table!(pickup, "pickup", {
    #[sea_orm(primary_key, auto_increment = false)]
    resident: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    picked_up_at: i64,
});

table!(template, "template", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    resident: Uuid,
    model: String,
    embedding: Vec<u8>,
    enrolled_at: i64,
});

table!(misidentification, "misidentification", {
    #[sea_orm(primary_key, auto_increment = false)]
    resident: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    seen_at: i64,
    community: String,
    reason: String,
    gate: String,
    similarity: Option<f32>,
    other_gate: Option<String>,
    other_seen_at: Option<i64>,
    reported_at: i64,
    settled_at: Option<i64>,
});

table!(capture, "capture", {
    #[sea_orm(primary_key, auto_increment = false)]
    resident: Uuid,
    community: String,
    gate: String,
    opened_at: i64,
    ends_at: i64,
    wanted: i64,
    enrolled: i64,
    frames: i64,
    refused: String,
});

table!(enrolment_conflict, "enrolment_conflict", {
    #[sea_orm(primary_key, auto_increment = false)]
    resident: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    other: Uuid,
    community: String,
    similarity: f32,
    found_at: i64,
    resolution: Option<String>,
    settled_at: Option<i64>,
});

table!(look, "look", {
    #[sea_orm(primary_key, auto_increment = false)]
    community: String,
    #[sea_orm(primary_key, auto_increment = false)]
    sequence: i64,
    looked_at: i64,
    principal: String,
    bearer: String,
    rpc: String,
    outcome: String,
    request_id: Option<Uuid>,
    subjects: String,
    hash: Vec<u8>,
});

table!(look_subject, "look_subject", {
    #[sea_orm(primary_key, auto_increment = false)]
    subject: String,
    #[sea_orm(primary_key, auto_increment = false)]
    community: String,
    #[sea_orm(primary_key, auto_increment = false)]
    sequence: i64,
});

table!(look_forgotten, "look_forgotten", {
    #[sea_orm(primary_key, auto_increment = false)]
    community: String,
    sequence: i64,
    hash: Vec<u8>,
});

table!(erasure, "erasure", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    community: String,
    resident: Uuid,
    requested_at: i64,
    principal: String,
    removed: String,
    completed_at: Option<i64>,
    certificate: Option<String>,
});

table!(erasure_confirmation, "erasure_confirmation", {
    #[sea_orm(primary_key, auto_increment = false)]
    erasure: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    replica: Uuid,
    confirmed_at: i64,
    faces: i64,
});

table!(signing_key, "signing_key", {
    #[sea_orm(primary_key, auto_increment = false)]
    generation: i64,
    public_key: Vec<u8>,
    master: String,
    wrapped: Vec<u8>,
    created_at: i64,
});

table!(decision, "decision", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    resident: Option<Uuid>,
    parcel: Option<Uuid>,
    community: String,
    rule: String,
    decided_at: i64,
    record: String,
});

table!(community_key, "community_key", {
    #[sea_orm(primary_key, auto_increment = false)]
    community: String,
    #[sea_orm(primary_key, auto_increment = false)]
    generation: i64,
    master: String,
    wrapped: Vec<u8>,
    created_at: i64,
});

table!(resident_key, "resident_key", {
    #[sea_orm(primary_key, auto_increment = false)]
    resident: Uuid,
    community: String,
    generation: i64,
    wrapped: Vec<u8>,
});

table!(parcel, "parcel", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    courier: String,
    community: String,
    tracking_number: String,
    size: String,
    deposit_consent: String,
    announced_at: i64,
    traceparent: String,
    resident: Option<Uuid>,
    building: Option<String>,
    unit: Option<String>,
    label_name: Option<String>,
    label_phone: Option<String>,
    label_building: Option<String>,
    label_unit: Option<String>,
    label_address: Option<String>,
    state: String,
    state_since: i64,
    placement: Option<String>,
    door_reason: Option<String>,
    walking_metres: Option<f64>,
    reserved_until: Option<i64>,
    locker: Option<String>,
    compartment: Option<String>,
    deposited_at: Option<i64>,
    remind_from: Option<i64>,
    recall_at: Option<i64>,
    recall_basis: Option<String>,
    extended: Option<bool>,
    hold_since: Option<i64>,
    hold_until: Option<i64>,
    recalls: Option<i64>,
    door_attempts: Option<i64>,
    reminders_sent: Option<i64>,
    last_reminded_at: Option<i64>,
    plan: Option<String>,
    planned_at: Option<i64>,
    held_locker: Option<String>,
    held_compartment: Option<String>,
    next_due: Option<i64>,
    version: i64,
});

table!(courier_event, "courier_event", {
    #[sea_orm(primary_key, auto_increment = false)]
    courier: String,
    #[sea_orm(primary_key, auto_increment = false)]
    sequence: i64,
    parcel: Uuid,
    tracking_number: String,
    state: String,
    happened_at: i64,
    kind: String,
    recall: Option<i64>,
    locker: Option<String>,
    compartment: Option<String>,
    building: Option<String>,
    unit: Option<String>,
});

table!(notice, "notice", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    parcel: Uuid,
    resident: Uuid,
    channel: String,
    cause: String,
    gate: Option<String>,
    similarity: Option<f32>,
    decided_at: i64,
    delivery: String,
    attempts: i64,
    next_attempt_at: Option<i64>,
    last_error: String,
    traceparent: String,
});

table!(webhook_endpoint, "webhook_endpoint", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    courier: String,
    created_at: i64,
    url: String,
    kinds: String,
    disabled: String,
    secret: Vec<u8>,
    previous_secret: Option<Vec<u8>>,
    previous_until: Option<i64>,
    passed: i64,
    retry_at: Option<i64>,
    failures: i64,
    failing_since: Option<i64>,
    last_error: String,
    not_before: i64,
    served_at: i64,
    lease: Uuid,
    leased_until: i64,
});

table!(webhook_letter, "webhook_letter", {
    #[sea_orm(primary_key, auto_increment = false)]
    endpoint: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    sequence: i64,
    courier: String,
    attempts: i64,
    next_attempt_at: Option<i64>,
    last_attempt_at: i64,
    last_error: String,
});
