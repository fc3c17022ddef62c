//! Couriers, keys and principals.

use gatepost_domain::principal::Principal;
use gatepost_proto::v1::{self, principal as wire};
use gatepost_storage::{Courier, Key};

use super::{id, instant_to_proto, present, required};
use crate::problem::Problem;

/// A courier with its limits.
pub fn courier(courier: v1::Courier) -> Result<Courier, Problem> {
    Ok(Courier {
        id: id(&courier.id, "courier.id")?,
        display_name: required(&courier.display_name, "courier.display_name", 200)?,
    })
}

/// A courier for the wire.
pub fn courier_to_proto(courier: &Courier) -> v1::Courier {
    v1::Courier { id: courier.id.to_string(), display_name: courier.display_name.clone() }
}

/// What a key's bearer is to be.
pub fn principal(principal: Option<v1::Principal>) -> Result<Principal, Problem> {
    match present(principal.and_then(|principal| principal.principal), "principal")? {
        wire::Principal::CourierId(courier) => {
            Ok(Principal::Courier { courier: id(&courier, "principal.courier_id")? })
        }
        wire::Principal::Camera(camera) => Ok(Principal::Camera {
            community: id(&camera.community_id, "principal.camera.community_id")?,
            gate: id(&camera.gate_id, "principal.camera.gate_id")?,
        }),
        wire::Principal::Worker(_) => Ok(Principal::Worker),
        wire::Principal::Administrator(_) => Ok(Principal::Administrator),
    }
}

fn principal_to_proto(principal: &Principal) -> v1::Principal {
    let principal = match principal {
        Principal::Courier { courier } => wire::Principal::CourierId(courier.to_string()),
        Principal::Camera { community, gate } => {
            wire::Principal::Camera(wire::GateCamera { community_id: community.to_string(), gate_id: gate.to_string() })
        }
        Principal::Worker => wire::Principal::Worker(wire::Worker {}),
        Principal::Administrator => wire::Principal::Administrator(wire::Administrator {}),
    };
    v1::Principal { principal: Some(principal) }
}

/// A key for the wire, never with its secret.
pub fn key_to_proto(key: &Key) -> v1::Key {
    v1::Key {
        id: key.id.to_string(),
        principal: Some(principal_to_proto(&key.principal)),
        create_time: Some(instant_to_proto(key.created_at)),
        revoke_time: key.revoked_at.map(instant_to_proto),
    }
}
