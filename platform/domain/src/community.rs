//! A residential community.

use jiff::tz::TimeZone;

use crate::{id::CommunityId, topology::Topology};

/// A community: its clock, its places and how much its gates may say.
#[derive(Debug, Clone, PartialEq)]
pub struct Community {
    /// The id.
    pub id: CommunityId,
    /// For people.
    pub display_name: String,
    /// Quiet hours and usual pickup hours are kept in this zone.
    pub time_zone: TimeZone,
    /// Its places.
    pub topology: Topology,
    /// What a gate's display may say.
    pub display: DisplayPolicy,
}

/// What a gate's display may say to a recognised resident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DisplayPolicy {
    /// Only that a parcel waits.
    #[default]
    ParcelWaits,
    /// Also which locker.
    Locker,
    /// Nothing.
    Silent,
}
