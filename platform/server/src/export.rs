//! Everything that is kept about a resident as one JSON document, which `proto/resident-export.schema.json` describes.

use gatepost_domain::{Timestamp, resident::Resident};
use gatepost_storage::Tx;
use serde_json::Value;

use crate::problem::Problem;

/// What the document is, and which edition of it.
const FORMAT: &str = "gatepost resident export 1";

/// The document about a resident.
pub async fn document(tx: &Tx, resident: &Resident, now: Timestamp) -> Result<Vec<u8>, Problem> {
    let mut document = tx.export_resident(resident.id).await?;
    document.insert("format".to_owned(), FORMAT.into());
    document.insert("exported_at".to_owned(), now.to_string().into());
    // In force now; how that came about is the ledger's to tell.
    let in_force = resident.consents.iter().map(|purpose| Value::from(purpose.name())).collect();
    document.insert("consents_in_force".to_owned(), Value::Array(in_force));
    serde_json::to_vec_pretty(&document).map_err(|_| Problem::Bug("an export that is no JSON"))
}
