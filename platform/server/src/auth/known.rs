//! Whether a principal is one of ours.

use gatepost_domain::principal::Principal;
use gatepost_storage::{StoreError, Tx};

use crate::problem::Missing;

/// What is missing, if it is: the courier, the community or the gate.
pub async fn missing(tx: &Tx, principal: &Principal) -> Result<Option<Missing>, StoreError> {
    Ok(match principal {
        Principal::Courier { courier } => tx.courier(courier).await?.is_none().then_some(Missing::Courier),
        Principal::Camera { community, gate } => match tx.community(community).await? {
            None => Some(Missing::Community),
            Some(community) => (!community.topology.has_gate(gate)).then_some(Missing::Gate),
        },
        Principal::Administrator { community: Some(community) } => {
            tx.community(community).await?.is_none().then_some(Missing::Community)
        }
        Principal::Worker | Principal::Administrator { community: None } => None,
    })
}
