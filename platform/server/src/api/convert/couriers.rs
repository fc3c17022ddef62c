//! Couriers, keys and principals.

use gatepost_domain::principal::{Principal, Scope, Scopes};
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
        wire::Principal::Administrator(administrator) => Ok(Principal::Administrator {
            community: match administrator.community_id.as_str() {
                "" => None,
                community => Some(id(community, "principal.administrator.community_id")?),
            },
        }),
    }
}

fn principal_to_proto(principal: &Principal) -> v1::Principal {
    let principal = match principal {
        Principal::Courier { courier } => wire::Principal::CourierId(courier.to_string()),
        Principal::Camera { community, gate } => {
            wire::Principal::Camera(wire::GateCamera { community_id: community.to_string(), gate_id: gate.to_string() })
        }
        Principal::Worker => wire::Principal::Worker(wire::Worker {}),
        Principal::Administrator { community } => wire::Principal::Administrator(wire::Administrator {
            community_id: community.as_ref().map(ToString::to_string).unwrap_or_default(),
        }),
    };
    v1::Principal { principal: Some(principal) }
}

/// What a key is to be limited to.
pub fn scopes(scopes: &[i32], principal: &Principal) -> Result<Scopes, Problem> {
    let possible = principal.scopes();
    let refuse = || {
        let names: Vec<_> = possible.iter().map(|scope| scope.name()).collect();
        let names = if names.is_empty() { "none for such a principal".to_owned() } else { names.join(", ") };
        Problem::invalid("scopes", names)
    };
    let scope = |scope: &i32| scope_from_proto(*scope).filter(|scope| possible.contains(scope)).ok_or_else(refuse);
    scopes.iter().map(scope).collect()
}

fn scope_from_proto(scope: i32) -> Option<Scope> {
    Scope::ALL.into_iter().find(|known| i32::from(scope_to_proto(*known)) == scope)
}

fn scope_to_proto(scope: Scope) -> v1::Scope {
    match scope {
        Scope::Read => v1::Scope::Read,
        Scope::Announce => v1::Scope::Announce,
        Scope::Handle => v1::Scope::Handle,
        Scope::Events => v1::Scope::Events,
        Scope::Manage => v1::Scope::Manage,
        Scope::Keys => v1::Scope::Keys,
    }
}

/// A key for the wire, never with its secret.
pub fn key_to_proto(key: &Key) -> v1::Key {
    v1::Key {
        id: key.id.to_string(),
        principal: Some(principal_to_proto(&key.principal)),
        create_time: Some(instant_to_proto(key.created_at)),
        revoke_time: key.revoked_at.map(instant_to_proto),
        scopes: key.scopes.iter().map(|scope| scope_to_proto(scope).into()).collect(),
        expire_time: key.expires_at.map(instant_to_proto),
        last_use_time: key.last_used_at.map(instant_to_proto),
    }
}
