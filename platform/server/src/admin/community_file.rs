//! The community file: one community, its topology and, if wanted, its waiting policy, in TOML.
//!
//! ```toml
//! id = "lotus-garden"              # lower-case letters, digits and hyphens
//! display_name = "莲花苑"
//! time_zone = "Asia/Shanghai"      # an IANA name
//! display_policy = "parcel_waits"  # or "locker", or "silent"; parcel_waits when left out
//! junctions = ["plaza"]            # places without a function, where walkways meet
//!
//! [policy]                         # optional; the keys of `gatepost admin policy set`
//! remind_after = "24h"
//! recall_after = "72h"
//!
//! [[buildings]]
//! id = "b1"
//! name = "1号楼"                   # as on labels
//!
//! [[gates]]
//! id = "east"
//! name = "东门"
//!
//! [[lockers]]
//! id = "l1"
//! name = "东门柜"
//! offline = false                  # optional
//! compartments = { small = ["A01", "A02"], medium = ["B01"], large = ["C01"] }
//! accessible = ["A01"]             # optional: compartments whose door is reached from a wheelchair
//! opening_hours = [                # optional: always open when left out; after midnight when `to` is not above `from`
//!     { from = "07:00", to = "24:00" },
//!     { weekdays = ["saturday", "sunday"], from = "00:00", to = "02:00" },
//! ]
//!
//! [[walkways]]                     # walked both ways
//! from = "b1"
//! to = "plaza"
//! metres = 40
//! steps = true                     # optional: not for who needs a way without steps
//! ```
//!
//! An unknown key is refused, so that a misspelt one is not passed over. Whether the topology holds together is the
//! platform's to say; only what the file alone can tell is checked here.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow, bail};
use gatepost_proto::v1::{
    Building, Community, Compartment, DisplayPolicy, Gate, Junction, Locker, OpeningHours, ParcelSize, Topology,
    WaitingPolicy, Walkway, Weekday,
};
use serde::Deserialize;

use super::policies;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    display_name: String,
    time_zone: String,
    #[serde(default)]
    display_policy: Display,
    policy: Option<BTreeMap<String, toml::Value>>,
    #[serde(default)]
    buildings: Vec<Named>,
    #[serde(default)]
    gates: Vec<Named>,
    #[serde(default)]
    lockers: Vec<LockerEntry>,
    #[serde(default)]
    junctions: Vec<String>,
    #[serde(default)]
    walkways: Vec<WalkwayEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Display {
    #[default]
    ParcelWaits,
    Locker,
    Silent,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockerEntry {
    id: String,
    name: String,
    #[serde(default)]
    offline: bool,
    compartments: Compartments,
    #[serde(default)]
    accessible: Vec<String>,
    #[serde(default)]
    opening_hours: Vec<OpeningEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpeningEntry {
    #[serde(default)]
    weekdays: Vec<Day>,
    from: String,
    to: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl From<Day> for Weekday {
    fn from(day: Day) -> Self {
        match day {
            Day::Monday => Weekday::Monday,
            Day::Tuesday => Weekday::Tuesday,
            Day::Wednesday => Weekday::Wednesday,
            Day::Thursday => Weekday::Thursday,
            Day::Friday => Weekday::Friday,
            Day::Saturday => Weekday::Saturday,
            Day::Sunday => Weekday::Sunday,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Compartments {
    #[serde(default)]
    small: Vec<String>,
    #[serde(default)]
    medium: Vec<String>,
    #[serde(default)]
    large: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WalkwayEntry {
    from: String,
    to: String,
    metres: f64,
    #[serde(default)]
    steps: bool,
}

/// Reads a community file: the community and the policy of its layer, if the file has one.
pub(super) fn parse(text: &str) -> anyhow::Result<(Community, Option<WaitingPolicy>)> {
    // The error names line, column and what was expected there.
    let file: File = toml::from_str(text).context("the community file cannot be read")?;
    let policy = file.policy.as_ref().map(policy).transpose()?;
    let display_policy = match file.display_policy {
        Display::ParcelWaits => DisplayPolicy::ParcelWaits,
        Display::Locker => DisplayPolicy::Locker,
        Display::Silent => DisplayPolicy::Silent,
    };
    let topology = Topology {
        buildings: file.buildings.into_iter().map(|entry| Building { id: entry.id, name: entry.name }).collect(),
        gates: file.gates.into_iter().map(|entry| Gate { id: entry.id, name: entry.name }).collect(),
        lockers: file.lockers.into_iter().map(locker).collect::<anyhow::Result<_>>()?,
        junctions: file.junctions.into_iter().map(|id| Junction { id }).collect(),
        walkways: file
            .walkways
            .into_iter()
            .map(|entry| Walkway { from: entry.from, to: entry.to, metres: entry.metres, steps: entry.steps })
            .collect(),
    };
    let community = Community {
        id: file.id,
        display_name: file.display_name,
        time_zone: file.time_zone,
        topology: Some(topology),
        display_policy: display_policy.into(),
    };
    Ok((community, policy))
}

fn policy(table: &BTreeMap<String, toml::Value>) -> anyhow::Result<WaitingPolicy> {
    let assignments: Vec<String> = table
        .iter()
        .map(|(key, value)| match value {
            toml::Value::String(text) => format!("{key}={text}"),
            other => format!("{key}={other}"),
        })
        .collect();
    policies::parse(&assignments).context("the [policy] of the community file")
}

fn locker(entry: LockerEntry) -> anyhow::Result<Locker> {
    let Compartments { small, medium, large } = entry.compartments;
    let sizes = [(small, ParcelSize::Small), (medium, ParcelSize::Medium), (large, ParcelSize::Large)];
    let compartments: Vec<Compartment> = sizes
        .into_iter()
        .flat_map(|(ids, size)| ids.into_iter().map(move |id| (id, size)))
        .map(|(id, size)| Compartment { accessible: entry.accessible.contains(&id), id, size: size.into() })
        .collect();
    if let Some(unknown) = entry.accessible.iter().find(|id| !compartments.iter().any(|one| one.id == **id)) {
        bail!("locker {}: accessible names {unknown}, which is none of its compartments", entry.id);
    }
    let opening_hours = entry.opening_hours.iter().map(opening_hours).collect::<Result<_, String>>();
    let opening_hours = opening_hours.map_err(|problem| anyhow!("locker {}: opening_hours {problem}", entry.id))?;
    Ok(Locker { id: entry.id, name: entry.name, offline: entry.offline, compartments, opening_hours })
}

fn opening_hours(entry: &OpeningEntry) -> Result<OpeningHours, String> {
    let to_minute = if entry.to == "24:00" { 24 * 60 } else { policies::minute(&entry.to)? };
    Ok(OpeningHours {
        weekdays: entry.weekdays.iter().map(|day| Weekday::from(*day).into()).collect(),
        from_minute: policies::minute(&entry.from)?,
        // Closing at midnight is the end of a day, not its beginning.
        to_minute: if to_minute == 0 { 24 * 60 } else { to_minute },
    })
}

/// The same community with its parts in one fixed order: what differs after this, differs in fact.
pub(super) fn sorted(mut community: Community) -> Community {
    if community.display_policy() == DisplayPolicy::Unspecified {
        community.set_display_policy(DisplayPolicy::ParcelWaits);
    }
    if let Some(topology) = &mut community.topology {
        topology.buildings.sort_by(|a, b| a.id.cmp(&b.id));
        topology.gates.sort_by(|a, b| a.id.cmp(&b.id));
        topology.junctions.sort_by(|a, b| a.id.cmp(&b.id));
        topology.lockers.sort_by(|a, b| a.id.cmp(&b.id));
        for locker in &mut topology.lockers {
            locker.compartments.sort_by(|a, b| a.id.cmp(&b.id));
        }
        topology.walkways.sort_by(|a, b| (&a.from, &a.to).cmp(&(&b.from, &b.to)));
    }
    community
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../examples/lotus-garden.toml");

    #[test]
    fn the_example_is_a_community() {
        let (community, policy) = parse(EXAMPLE).unwrap();
        assert_eq!(community.id, "lotus-garden");
        assert_eq!(community.display_name, "莲花苑");
        assert_eq!(community.display_policy(), DisplayPolicy::ParcelWaits);
        let topology = community.topology.unwrap();
        let counts = (topology.buildings.len(), topology.gates.len(), topology.lockers.len());
        assert_eq!(counts, (3, 2, 3));
        assert_eq!(topology.buildings[0].name, "1号楼");
        assert_eq!(topology.lockers[0].compartments[0].size(), ParcelSize::Small);
        let plaza = &topology.lockers[1];
        let accessible: Vec<&str> =
            plaza.compartments.iter().filter(|one| one.accessible).map(|one| one.id.as_str()).collect();
        assert_eq!(accessible, ["A01", "B01", "C01"]);
        let hours = &plaza.opening_hours[0];
        assert_eq!((hours.weekdays.len(), hours.from_minute, hours.to_minute), (0, 6 * 60, 24 * 60));
        assert!(topology.walkways.iter().any(|walkway| walkway.steps));
        assert_eq!(policy.unwrap().remind_after.unwrap().seconds, 24 * 3600);
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_line() {
        let error = format!("{:#}", parse(&EXAMPLE.replace("time_zone", "timezone")).unwrap_err());
        assert!(error.contains("timezone") && error.contains("line"), "{error}");
        let error = format!("{:#}", parse(&EXAMPLE.replace("remind_after", "remindafter")).unwrap_err());
        assert!(error.contains("remindafter") && error.contains("[policy]"), "{error}");
        let error =
            format!("{:#}", parse(&EXAMPLE.replace(r#"accessible = ["A01""#, r#"accessible = ["Z9""#)).unwrap_err());
        assert!(error.contains("plaza-side") && error.contains("Z9"), "{error}");
        let error = format!("{:#}", parse(&EXAMPLE.replace(r#"from = "06:00""#, r#"from = "6""#)).unwrap_err());
        assert!(error.contains("plaza-side") && error.contains("time of day"), "{error}");
    }

    #[test]
    fn order_makes_no_difference() {
        let (community, _) = parse(EXAMPLE).unwrap();
        let mut other = community.clone();
        other.topology.as_mut().unwrap().walkways.reverse();
        other.topology.as_mut().unwrap().lockers[0].compartments.reverse();
        assert_ne!(community, other);
        assert_eq!(sorted(community), sorted(other));
    }
}
