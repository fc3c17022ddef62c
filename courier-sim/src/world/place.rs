//! Where the story plays: a community whose nearest locker on foot is not the one next door.
//!
//! The lake locker stands across the water from building 1 and a single path leads there, around the water: 180 m.
//! The court locker is two paths away and 55 m. So neither the straight line nor the number of paths finds it.

use gatepost_proto::v1::{
    Building, Community, Compartment, DisplayPolicy, Gate, Junction, Locker, ParcelSize, Topology, WaitingPolicy,
    Walkway,
};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::client::duration_to_wire;

/// The community's time zone.
pub const TIME_ZONE: &str = "Asia/Shanghai";
/// The gate where residents pass.
pub const SOUTH_GATE: &str = "gate-south";
/// The other gate.
pub const NORTH_GATE: &str = "gate-north";
/// In the court, 55 m from building 1; its only large compartment gets full.
pub const COURT_LOCKER: &str = "locker-court";
/// At the south gate, 125 m from building 1.
pub const GATE_LOCKER: &str = "locker-south-gate";
/// Across the water, 180 m from building 1.
pub const LAKE_LOCKER: &str = "locker-lake";

/// The community with its topology.
pub fn community(id: &str) -> Community {
    let building = |id: &str, name: &str| Building { id: id.to_owned(), name: name.to_owned() };
    let gate = |id: &str, name: &str| Gate { id: id.to_owned(), name: name.to_owned() };
    Community {
        id: id.to_owned(),
        display_name: "莲花苑".to_owned(),
        time_zone: TIME_ZONE.to_owned(),
        topology: Some(Topology {
            buildings: vec![
                building("building-1", "1号楼"),
                building("building-2", "2号楼"),
                building("building-3", "3号楼"),
            ],
            gates: vec![gate(NORTH_GATE, "北门"), gate(SOUTH_GATE, "南门")],
            lockers: lockers(),
            junctions: ["court", "south-path"].map(|id| Junction { id: id.to_owned() }).to_vec(),
            walkways: walkways(),
        }),
        display_policy: DisplayPolicy::ParcelWaits.into(),
    }
}

fn lockers() -> Vec<Locker> {
    use ParcelSize::{Large, Medium, Small};
    let locker = |id: &str, name: &str, sizes: &[ParcelSize]| Locker {
        id: id.to_owned(),
        name: name.to_owned(),
        offline: false,
        opening_hours: Vec::new(),
        compartments: sizes
            .iter()
            .enumerate()
            .map(|(number, size)| Compartment {
                id: format!("{:02}", number + 1),
                size: (*size).into(),
                accessible: false,
            })
            .collect(),
    };
    vec![
        locker(LAKE_LOCKER, "湖畔柜", &[Small, Medium, Large]),
        locker(COURT_LOCKER, "中庭柜", &[Small, Small, Medium, Medium, Large]),
        locker(GATE_LOCKER, "南门柜", &[Small, Medium, Large, Large]),
    ]
}

fn walkways() -> Vec<Walkway> {
    let walkway = |(from, to, metres): (&str, &str, f64)| Walkway {
        from: from.to_owned(),
        to: to.to_owned(),
        metres,
        steps: false,
    };
    [
        ("building-1", LAKE_LOCKER, 180.0),
        ("building-1", "court", 30.0),
        ("court", COURT_LOCKER, 25.0),
        ("court", "south-path", 60.0),
        ("south-path", GATE_LOCKER, 35.0),
        ("building-2", "court", 45.0),
        ("building-2", "south-path", 50.0),
        ("building-3", "south-path", 40.0),
        ("building-3", LAKE_LOCKER, 70.0),
        (NORTH_GATE, "court", 20.0),
        (SOUTH_GATE, "south-path", 10.0),
    ]
    .map(walkway)
    .to_vec()
}

/// The waiting policy of the story: short deadlines, no quiet hours, and a policy hour that lies half a day away, so
/// that only the resident with a history has a usual hour within the story.
pub fn policy(remind_after: SignedDuration, recall_after: SignedDuration, now: Timestamp) -> WaitingPolicy {
    let local = now.to_zoned(TimeZone::get(TIME_ZONE).unwrap_or(TimeZone::UTC));
    let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
    WaitingPolicy {
        remind_after: Some(duration_to_wire(remind_after.unsigned_abs())),
        recall_after: Some(duration_to_wire(recall_after.unsigned_abs())),
        reminder_cooldown: Some(duration_to_wire(std::time::Duration::from_secs(60))),
        quiet_from_minute: Some(0),
        quiet_to_minute: Some(0),
        usual_minute: Some((minute + 12 * 60) % (24 * 60)),
        ..WaitingPolicy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_hour_is_half_a_day_away() {
        let noon: Timestamp = "2026-03-02T04:10:00Z".parse().unwrap();
        let span = SignedDuration::from_secs(3);
        assert_eq!(policy(span, span * 5, noon).usual_minute, Some(10));
    }
}
