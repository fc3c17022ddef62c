//! Who is calling, and how much of what such a caller may do.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::id::{CommunityId, CourierId, GateId};

/// What the bearer of a key, a certificate or a token is.
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
    Administrator {
        /// The only community it has to do with; `None` for all of them and what they share.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        community: Option<CommunityId>,
    },
}

impl Principal {
    /// An administrator of everything.
    pub const ADMINISTRATOR: Principal = Principal::Administrator { community: None };

    /// The name that request ids are kept under: ids of one principal mean nothing to another.
    pub fn name(&self) -> String {
        match self {
            Principal::Courier { courier } => format!("courier:{courier}"),
            Principal::Camera { community, gate } => format!("camera:{community}:{gate}"),
            Principal::Worker => "worker".to_owned(),
            Principal::Administrator { community: None } => "administrator".to_owned(),
            Principal::Administrator { community: Some(community) } => format!("administrator:{community}"),
        }
    }

    /// Whether this is an administrator of `community`, alone or among others.
    pub fn administers(&self, community: &CommunityId) -> bool {
        match self {
            Principal::Administrator { community: only } => only.as_ref().is_none_or(|only| only == community),
            Principal::Courier { .. } | Principal::Camera { .. } | Principal::Worker => false,
        }
    }

    /// The scopes that mean anything for such a caller.
    pub fn scopes(&self) -> &'static [Scope] {
        match self {
            Principal::Courier { .. } => &[Scope::Read, Scope::Announce, Scope::Handle, Scope::Events],
            Principal::Administrator { community: None } => &[Scope::Read, Scope::Manage, Scope::Keys],
            Principal::Administrator { community: Some(_) } => &[Scope::Read, Scope::Manage],
            Principal::Camera { .. } | Principal::Worker => &[],
        }
    }
}

/// A part of what a principal may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Look, and change nothing.
    Read,
    /// Announce parcels, place them, and cancel them.
    Announce,
    /// Report what happens to parcels, and answer recalls.
    Handle,
    /// Read the event log and acknowledge it.
    Events,
    /// Change communities, residents and policies.
    Manage,
    /// Register couriers, and issue and revoke keys.
    Keys,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 6] =
        [Scope::Read, Scope::Announce, Scope::Handle, Scope::Events, Scope::Manage, Scope::Keys];

    /// How it is written.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Announce => "announce",
            Scope::Handle => "handle",
            Scope::Events => "events",
            Scope::Manage => "manage",
            Scope::Keys => "keys",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Scope::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| {
            let names: Vec<_> = Scope::ALL.iter().map(|scope| scope.name()).collect();
            format!("one of {}", names.join(", "))
        })
    }
}

/// What a credential is limited to; nothing named means no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// No limit.
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// Whether a call that needs `scope` may be made.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.is_empty() || self.0.contains(&scope)
    }

    /// Whether everything that `other` allows is allowed.
    pub fn cover(&self, other: &Scopes) -> bool {
        self.0.is_empty() || (!other.0.is_empty() && other.0.is_subset(&self.0))
    }

    /// The scopes named.
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_of_the_first_rows_are_still_read() {
        let read = |text| serde_json::from_str::<Principal>(text).unwrap();
        assert_eq!(read(r#"{"kind":"administrator"}"#), Principal::ADMINISTRATOR);
        assert_eq!(serde_json::to_string(&Principal::ADMINISTRATOR).unwrap(), r#"{"kind":"administrator"}"#);
        assert_eq!(read(r#"{"kind":"worker"}"#), Principal::Worker);
    }

    #[test]
    fn an_administrator_of_one_community_has_to_do_with_no_other() {
        let id = |text: &str| text.parse::<CommunityId>().unwrap();
        let one = Principal::Administrator { community: Some(id("lotus-garden")) };
        assert!(one.administers(&id("lotus-garden")) && !one.administers(&id("rose-court")));
        assert!(Principal::ADMINISTRATOR.administers(&id("rose-court")));
        assert_ne!(one.name(), Principal::ADMINISTRATOR.name());
    }

    #[test]
    fn a_limit_covers_only_what_is_within_it() {
        let only = |scopes: &[Scope]| scopes.iter().copied().collect::<Scopes>();
        let unlimited = Scopes::unlimited();
        assert!(unlimited.allow(Scope::Keys) && unlimited.cover(&unlimited));
        let read = only(&[Scope::Read]);
        assert!(read.allow(Scope::Read) && !read.allow(Scope::Manage));
        assert!(!read.cover(&unlimited), "no limit is more than any limit");
        assert!(only(&[Scope::Read, Scope::Keys]).cover(&read) && !read.cover(&only(&[Scope::Keys])));
    }

    #[test]
    fn scopes_are_written_as_they_are_read() {
        for scope in Scope::ALL {
            assert_eq!(scope.name().parse(), Ok(scope));
            assert_eq!(serde_json::to_string(&scope).unwrap(), format!("\"{scope}\""));
        }
        assert!("write".parse::<Scope>().unwrap_err().contains("manage"));
    }
}
