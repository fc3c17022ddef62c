//! Ids. Those we make are UUIDs with a readable prefix; those an administrator chooses are short texts.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct InvalidId {
    /// What was expected, with an example.
    pub expected: &'static str,
}

macro_rules! made_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|digits| digits.len() == 32)
                    .and_then(|digits| Uuid::try_parse(digits).ok())
                    .map(Self)
                    .ok_or(InvalidId { expected: concat!($prefix, "_ and 32 hexadecimal digits") })
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }
    };
}

macro_rules! chosen_id {
    ($(#[$doc:meta])* $name:ident, $check:path, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if $check(text) { Ok(Self(text.to_owned())) } else { Err(InvalidId { expected: $expected }) }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }
    };
}

made_id! {
    /// One parcel.
    ParcelId, "pcl"
}
made_id! {
    /// One resident.
    ResidentId, "res"
}
made_id! {
    /// One notice over one channel.
    NoticeId, "ntc"
}
made_id! {
    /// One access key.
    KeyId, "key"
}
made_id! {
    /// One webhook endpoint of a courier.
    EndpointId, "whe"
}
made_id! {
    /// One erasure of a resident.
    ErasureId, "ers"
}
made_id! {
    /// One enrolled face.
    TemplateId, "tpl"
}
made_id! {
    /// One recorded decision.
    DecisionId, "dec"
}

chosen_id! {
    /// A residential community.
    CommunityId, is_slug, "1 to 63 lower-case letters, digits and hyphens, such as lotus-garden"
}
chosen_id! {
    /// A courier company.
    CourierId, is_slug, "1 to 63 lower-case letters, digits and hyphens, such as swift-express"
}
chosen_id! {
    /// A building of a community.
    BuildingId, is_place, "1 to 63 characters without control characters"
}
chosen_id! {
    /// A gate of a community.
    GateId, is_place, "1 to 63 characters without control characters"
}
chosen_id! {
    /// A locker of a community.
    LockerId, is_place, "1 to 63 characters without control characters"
}
chosen_id! {
    /// A compartment of a locker.
    CompartmentId, is_place, "1 to 63 characters without control characters"
}

fn is_slug(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_place(text: &str) -> bool {
    (1..=63).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_id_prints_its_prefix_and_parses_only_with_it() {
        let id = ParcelId(Uuid::from_u128(7));
        assert_eq!(id.to_string(), "pcl_00000000000000000000000000000007");
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "pcl_", "pcl_7", "res_00000000000000000000000000000007", "00000000000000000000000000000007"] {
            assert!(wrong.parse::<ParcelId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_chosen_id_is_checked() {
        assert!("lotus-garden".parse::<CommunityId>().is_ok());
        for wrong in ["", "Lotus", "lotus garden", &"a".repeat(64)] {
            assert!(wrong.parse::<CommunityId>().is_err(), "{wrong}");
        }
        assert!("3号楼".parse::<BuildingId>().is_ok());
        assert!("a\nb".parse::<BuildingId>().is_err());
    }
}
