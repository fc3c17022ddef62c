//! From a database's error to a [`StoreError`]: constraints become meaning by their names, here and nowhere else.

use sea_orm::{DbErr, RuntimeErr, sqlx};

use crate::StoreError;

/// The unique constraints that mean something, by name (PostgreSQL) and by columns (SQLite, which does not tell the
/// name of an index).
const MEANINGS: [(&str, &str, StoreError); 10] = [
    (
        "one_parcel_per_compartment",
        "parcel.community, parcel.held_locker, parcel.held_compartment",
        StoreError::CompartmentTaken,
    ),
    ("one_parcel_per_tracking_number", "parcel.courier, parcel.tracking_number", StoreError::TrackingNumberTaken),
    ("community_pkey", "community.id", StoreError::Exists),
    ("courier_pkey", "courier.id", StoreError::Exists),
    ("one_resident_per_person_reference", "resident.community, resident.person_reference", StoreError::Exists),
    ("one_key_per_secret", "access_key.secret_hash", StoreError::Exists),
    ("request_pkey", "request.principal, request.request_id", StoreError::Conflict),
    ("consent_ledger_pkey", "consent_ledger.community, consent_ledger.sequence", StoreError::Conflict),
    ("signing_key_pkey", "signing_key.generation", StoreError::Conflict),
    ("look_pkey", "look.community, look.sequence", StoreError::Conflict),
];

/// PostgreSQL: serialisation failure, deadlock.
const LOST_RACES: [&str; 2] = ["40001", "40P01"];

pub(super) fn failure(error: DbErr) -> StoreError {
    match &error {
        DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause))
        | DbErr::Conn(RuntimeErr::SqlxError(cause)) => match &**cause {
            sqlx::Error::Database(database) => meaning(&**database),
            other => StoreError::Unavailable(other.to_string()),
        },
        DbErr::Type(text) => StoreError::Corrupt(text.clone()),
        other => StoreError::Unavailable(other.to_string()),
    }
}

fn meaning(error: &dyn sqlx::error::DatabaseError) -> StoreError {
    let code = error.code().unwrap_or_default();
    if error.is_unique_violation() {
        let columns = error.message().rsplit_once("failed: ").map_or("", |(_, columns)| columns);
        let named = MEANINGS.iter().find(|(name, their_columns, _)| match error.constraint() {
            Some(constraint) => constraint == *name,
            None => columns == *their_columns,
        });
        return named.map_or(StoreError::Exists, |(_, _, meaning)| meaning.clone());
    }
    if error.is_foreign_key_violation() {
        return StoreError::NotFound;
    }
    if LOST_RACES.contains(&&*code) {
        return StoreError::Conflict;
    }
    // Errors about values (class 22) quote the value, which may be a name.
    let text = if code.starts_with("22") { "a value does not fit its column" } else { error.message() };
    StoreError::Unavailable(format!("{text} (code {code})"))
}
