//! Who is calling.

use serde::{Deserialize, Serialize};

use crate::id::{CommunityId, CourierId, GateId};

/// What the bearer of a key is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Principal {
    /// A courier's backend.
    Courier {
        /// Which company.
        courier: CourierId,
    },
    /// A camera at a gate.
    Camera {
        /// The gate's community.
        community: CommunityId,
        /// The gate.
        gate: GateId,
    },
    /// A vision worker.
    Worker,
    /// The property's admin tooling.
    Administrator,
}

impl Principal {
    /// The name that request ids are kept under: ids of one principal mean nothing to another.
    pub fn name(&self) -> String {
        match self {
            Principal::Courier { courier } => format!("courier:{courier}"),
            Principal::Camera { community, gate } => format!("camera:{community}:{gate}"),
            Principal::Worker => "worker".to_owned(),
            Principal::Administrator => "administrator".to_owned(),
        }
    }
}
