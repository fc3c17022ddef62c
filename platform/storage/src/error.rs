//! Why the store said no.

/// Why something was not kept or not found. After any of these a transaction is over: drop it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another transaction was first. Load again, decide again, save again.
    #[error("another transaction was first")]
    Conflict,
    /// Another parcel is in the compartment, or has it reserved.
    #[error("the compartment holds or is kept for another parcel")]
    CompartmentTaken,
    /// The courier has a parcel of this tracking number.
    #[error("the courier has a parcel of this tracking number")]
    TrackingNumberTaken,
    /// A community, courier, key or person reference of this name exists.
    #[error("it exists already")]
    Exists,
    /// What was named does not exist.
    #[error("it does not exist")]
    NotFound,
    /// The database did not answer as it should. The text is for logs only.
    #[error("the database cannot be used: {0}")]
    Unavailable(String),
    /// A row holds what no release could have written. The text names the column and holds nothing personal.
    #[error("a row cannot be read: {0}")]
    Corrupt(String),
}
