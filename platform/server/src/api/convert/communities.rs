//! Communities, topologies and policies.

use std::collections::BTreeMap;

use gatepost_domain::{
    community::{Community, DisplayPolicy},
    opening::{OpeningHours, Weekday},
    policy::{Layer, PolicyLayer, WaitingPolicy},
    topology::{Building, Compartment, Gate, Locker, Topology, Walkway},
};
use gatepost_proto::v1::{self, policy_layer as wire};
use gatepost_storage::PolicyKey;
use jiff::tz::TimeZone;

use super::{duration, duration_to_proto, id, parcels, present, required, text};
use crate::problem::Problem;

/// A community with its limits, its topology checked.
pub fn community(community: v1::Community) -> Result<Community, Problem> {
    let topology = topology(community.topology.unwrap_or_default())?;
    topology.check()?;
    Ok(Community {
        id: id(&community.id, "community.id")?,
        display_name: required(&community.display_name, "community.display_name", 200)?,
        time_zone: time_zone(&community.time_zone)?,
        topology,
        display: display(community.display_policy)?,
    })
}

fn time_zone(name: &str) -> Result<TimeZone, Problem> {
    TimeZone::get(name).map_err(|_| Problem::invalid("community.time_zone", "an IANA time zone such as Asia/Shanghai"))
}

fn display(value: i32) -> Result<DisplayPolicy, Problem> {
    match v1::DisplayPolicy::try_from(value) {
        Ok(v1::DisplayPolicy::Unspecified | v1::DisplayPolicy::ParcelWaits) => Ok(DisplayPolicy::ParcelWaits),
        Ok(v1::DisplayPolicy::Locker) => Ok(DisplayPolicy::Locker),
        Ok(v1::DisplayPolicy::Silent) => Ok(DisplayPolicy::Silent),
        Err(_) => Err(Problem::invalid("community.display_policy", "PARCEL_WAITS, LOCKER or SILENT")),
    }
}

fn topology(wire: v1::Topology) -> Result<Topology, Problem> {
    let building = |(n, building): (usize, v1::Building)| {
        Ok(Building {
            id: id(&building.id, &format!("community.topology.buildings[{n}].id"))?,
            name: text(&building.name, &format!("community.topology.buildings[{n}].name"), 100)?,
        })
    };
    let gate = |(n, gate): (usize, v1::Gate)| {
        Ok(Gate {
            id: id(&gate.id, &format!("community.topology.gates[{n}].id"))?,
            name: text(&gate.name, &format!("community.topology.gates[{n}].name"), 100)?,
        })
    };
    let junction = |(n, junction): (usize, v1::Junction)| {
        required(&junction.id, &format!("community.topology.junctions[{n}].id"), 63)
    };
    let walkway = |walkway: v1::Walkway| Walkway {
        from: walkway.from,
        to: walkway.to,
        metres: walkway.metres,
        steps: walkway.steps,
    };
    Ok(Topology {
        buildings: wire.buildings.into_iter().enumerate().map(building).collect::<Result<_, Problem>>()?,
        gates: wire.gates.into_iter().enumerate().map(gate).collect::<Result<_, Problem>>()?,
        lockers: wire.lockers.into_iter().enumerate().map(locker).collect::<Result<_, Problem>>()?,
        junctions: wire.junctions.into_iter().enumerate().map(junction).collect::<Result<_, Problem>>()?,
        walkways: wire.walkways.into_iter().map(walkway).collect(),
    })
}

fn locker((n, locker): (usize, v1::Locker)) -> Result<Locker, Problem> {
    let path = format!("community.topology.lockers[{n}]");
    let compartment = |(m, compartment): (usize, v1::Compartment)| {
        let path = format!("{path}.compartments[{m}]");
        Ok(Compartment {
            id: id(&compartment.id, &format!("{path}.id"))?,
            size: parcels::size(compartment.size, &format!("{path}.size"))?,
            accessible: compartment.accessible,
        })
    };
    Ok(Locker {
        id: id(&locker.id, &format!("{path}.id"))?,
        name: text(&locker.name, &format!("{path}.name"), 100)?,
        offline: locker.offline,
        opening_hours: opening_hours(&locker.opening_hours, &path)?,
        compartments: locker.compartments.into_iter().enumerate().map(compartment).collect::<Result<_, Problem>>()?,
    })
}

/// Minutes that do not fit the type fit no day either: the topology's own check tells what would.
fn opening_hours(wire: &[v1::OpeningHours], path: &str) -> Result<Vec<OpeningHours>, Problem> {
    let weekday = |n: usize, value: i32| {
        let day = v1::Weekday::try_from(value).ok().and_then(|day| WEEKDAYS.iter().find(|(wire, _)| *wire == day));
        let field = format!("{path}.opening_hours[{n}].weekdays");
        day.map(|(_, day)| *day).ok_or_else(|| Problem::invalid(field, "MONDAY to SUNDAY"))
    };
    let minute = |value: i32| u16::try_from(value).unwrap_or(u16::MAX);
    let hours = |(n, hours): (usize, &v1::OpeningHours)| {
        Ok(OpeningHours {
            weekdays: hours.weekdays.iter().map(|day| weekday(n, *day)).collect::<Result<_, Problem>>()?,
            from_minute: minute(hours.from_minute),
            to_minute: minute(hours.to_minute),
        })
    };
    wire.iter().enumerate().map(hours).collect()
}

const WEEKDAYS: [(v1::Weekday, Weekday); 7] = [
    (v1::Weekday::Monday, Weekday::Monday),
    (v1::Weekday::Tuesday, Weekday::Tuesday),
    (v1::Weekday::Wednesday, Weekday::Wednesday),
    (v1::Weekday::Thursday, Weekday::Thursday),
    (v1::Weekday::Friday, Weekday::Friday),
    (v1::Weekday::Saturday, Weekday::Saturday),
    (v1::Weekday::Sunday, Weekday::Sunday),
];

/// A community for the wire.
pub fn community_to_proto(community: &Community) -> v1::Community {
    let display = match community.display {
        DisplayPolicy::ParcelWaits => v1::DisplayPolicy::ParcelWaits,
        DisplayPolicy::Locker => v1::DisplayPolicy::Locker,
        DisplayPolicy::Silent => v1::DisplayPolicy::Silent,
    };
    v1::Community {
        id: community.id.to_string(),
        display_name: community.display_name.clone(),
        time_zone: community.time_zone.iana_name().unwrap_or_default().to_owned(),
        topology: Some(topology_to_proto(&community.topology)),
        display_policy: display.into(),
    }
}

fn topology_to_proto(topology: &Topology) -> v1::Topology {
    let building = |b: &Building| v1::Building { id: b.id.to_string(), name: b.name.clone() };
    let gate = |g: &Gate| v1::Gate { id: g.id.to_string(), name: g.name.clone() };
    let compartment = |c: &Compartment| v1::Compartment {
        id: c.id.to_string(),
        size: parcels::size_to_proto(c.size).into(),
        accessible: c.accessible,
    };
    let weekday = |day: &Weekday| WEEKDAYS.iter().find(|(_, own)| own == day).map_or(0, |(wire, _)| i32::from(*wire));
    let opening_hours = |hours: &OpeningHours| v1::OpeningHours {
        weekdays: hours.weekdays.iter().map(weekday).collect(),
        from_minute: hours.from_minute.into(),
        to_minute: hours.to_minute.into(),
    };
    let locker = |l: &Locker| v1::Locker {
        id: l.id.to_string(),
        name: l.name.clone(),
        offline: l.offline,
        opening_hours: l.opening_hours.iter().map(opening_hours).collect(),
        compartments: l.compartments.iter().map(compartment).collect(),
    };
    let walkway =
        |w: &Walkway| v1::Walkway { from: w.from.clone(), to: w.to.clone(), metres: w.metres, steps: w.steps };
    v1::Topology {
        buildings: topology.buildings.iter().map(building).collect(),
        gates: topology.gates.iter().map(gate).collect(),
        lockers: topology.lockers.iter().map(locker).collect(),
        junctions: topology.junctions.iter().map(|id| v1::Junction { id: id.clone() }).collect(),
        walkways: topology.walkways.iter().map(walkway).collect(),
    }
}

/// Which layer a policy belongs to.
pub fn policy_key(layer: Option<v1::PolicyLayer>) -> Result<PolicyKey, Problem> {
    match present(layer.and_then(|layer| layer.layer), "layer")? {
        wire::Layer::Tenant(_) => Ok(PolicyKey::Tenant),
        wire::Layer::CommunityId(community) => Ok(PolicyKey::Community(id(&community, "layer.community_id")?)),
        wire::Layer::CourierId(courier) => Ok(PolicyKey::Courier(id(&courier, "layer.courier_id")?)),
    }
}

/// One layer of the policy.
pub fn policy_layer(policy: v1::WaitingPolicy) -> Result<PolicyLayer, Problem> {
    let length = |value: Option<prost_types::Duration>, field: &str| {
        value.map(|value| duration(value, &format!("policy.{field}"))).transpose()
    };
    let minute = |value: Option<i32>, field: &str| {
        let field = format!("policy.{field}");
        value
            .map(|v| u16::try_from(v).map_err(|_| Problem::invalid(field, "0 to 1439 minutes after midnight")))
            .transpose()
    };
    let number = |value: Option<i32>, field: &str, range: &str| {
        value.map(|value| u32::try_from(value).map_err(|_| Problem::invalid(field, range))).transpose()
    };
    Ok(PolicyLayer {
        remind_after: length(policy.remind_after, "remind_after")?,
        recall_after: length(policy.recall_after, "recall_after")?,
        recall_again_after: length(policy.recall_again_after, "recall_again_after")?,
        reminder_cooldown: length(policy.reminder_cooldown, "reminder_cooldown")?,
        reminders_max: number(policy.reminders_max, "policy.reminders_max", "0 to 100")?,
        quiet_from_minute: minute(policy.quiet_from_minute, "quiet_from_minute")?,
        quiet_to_minute: minute(policy.quiet_to_minute, "quiet_to_minute")?,
        usual_minute: minute(policy.usual_minute, "usual_minute")?,
        extension: length(policy.extension, "extension")?,
        hold_max: length(policy.hold_max, "hold_max")?,
        reservation: length(policy.reservation, "reservation")?,
        overflow_metres: number(policy.overflow_metres, "policy.overflow_metres", "0 to 100000 metres")?,
    })
}

/// A complete policy for the wire.
pub fn policy_to_proto(policy: &WaitingPolicy) -> v1::WaitingPolicy {
    v1::WaitingPolicy {
        remind_after: Some(duration_to_proto(policy.remind_after)),
        recall_after: Some(duration_to_proto(policy.recall_after)),
        recall_again_after: Some(duration_to_proto(policy.recall_again_after)),
        reminder_cooldown: Some(duration_to_proto(policy.reminder_cooldown)),
        reminders_max: Some(policy.reminders_max as i32),
        quiet_from_minute: Some(policy.quiet_from_minute.into()),
        quiet_to_minute: Some(policy.quiet_to_minute.into()),
        usual_minute: Some(policy.usual_minute.into()),
        extension: Some(duration_to_proto(policy.extension)),
        hold_max: Some(duration_to_proto(policy.hold_max)),
        reservation: Some(duration_to_proto(policy.reservation)),
        overflow_metres: Some(policy.overflow_metres as i32),
    }
}

/// Which layer decided what, for the wire.
pub fn decided_by(decided: &BTreeMap<&'static str, Layer>) -> std::collections::HashMap<String, String> {
    decided.iter().map(|(field, layer)| ((*field).to_owned(), layer.name().to_owned())).collect()
}
