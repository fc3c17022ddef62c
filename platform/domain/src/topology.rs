//! Buildings, gates and lockers as places joined by walkways.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    id::{BuildingId, CompartmentId, GateId, LockerId},
    opening::OpeningHours,
};

/// Sizes of parcels and compartments, ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// The smallest.
    Small,
    /// Twice a small one, about.
    Medium,
    /// The largest.
    Large,
}

/// A residential building.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Building {
    /// Its place in the graph.
    pub id: BuildingId,
    /// As on labels.
    pub name: String,
}

/// A gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Its place in the graph.
    pub id: GateId,
    /// For people.
    pub name: String,
}

/// A locker with its compartments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locker {
    /// Its place in the graph.
    pub id: LockerId,
    /// For people.
    pub name: String,
    /// An offline locker takes no parcels.
    #[serde(default)]
    pub offline: bool,
    /// When parcels can be put in; always when empty.
    #[serde(default)]
    pub opening_hours: Vec<OpeningHours>,
    /// At least one.
    pub compartments: Vec<Compartment>,
}

/// One compartment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compartment {
    /// Unique in its locker.
    pub id: CompartmentId,
    /// What fits.
    pub size: Size,
    /// Whether its door is at a height that is reached from a wheelchair.
    #[serde(default)]
    pub accessible: bool,
}

/// A way between two places, walked in both directions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Walkway {
    /// One end.
    pub from: String,
    /// The other.
    pub to: String,
    /// Length in metres, above 0.
    pub metres: f64,
    /// Whether there are steps on it.
    #[serde(default)]
    pub steps: bool,
}

/// All places of a community.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Where residents live.
    #[serde(default)]
    pub buildings: Vec<Building>,
    /// Where cameras stand.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// Where parcels wait.
    #[serde(default)]
    pub lockers: Vec<Locker>,
    /// Where walkways meet.
    #[serde(default)]
    pub junctions: Vec<String>,
    /// The edges.
    #[serde(default)]
    pub walkways: Vec<Walkway>,
}

/// What is wrong with a topology, and where.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TopologyError {
    /// Two places of one id.
    #[error("the id {0} is used twice: give every building, gate, locker and junction an id of its own")]
    DuplicatePlace(String),
    /// Two compartments of one id in one locker.
    #[error("compartment {1} stands twice in locker {0}")]
    DuplicateCompartment(LockerId, CompartmentId),
    /// A walkway to nowhere.
    #[error("a walkway names {0}, which is no building, gate, locker or junction")]
    UnknownPlace(String),
    /// A length that is none.
    #[error("the walkway from {0} to {1} needs a length above 0 and at most 100000 metres")]
    InvalidLength(String, String),
    /// A locker without compartments.
    #[error("locker {0} has no compartments")]
    EmptyLocker(LockerId),
    /// Opening hours that are none.
    #[error(
        "the opening hours of locker {0} need a minute to open at, 0 to 1439, another one to close at, 1 to 1440, and \
         at most 7 weekdays"
    )]
    InvalidOpeningHours(LockerId),
    /// More than we take.
    #[error("at most {0} {1}")]
    TooMany(usize, &'static str),
}

const LENGTH_MAX_METRES: f64 = 100_000.0;
const PLACES_MAX: usize = 20_000;
const WALKWAYS_MAX: usize = 100_000;
const COMPARTMENTS_MAX: usize = 1_000;
const OPENING_HOURS_MAX: usize = 50;

impl Topology {
    /// Checks ids, walkways and lengths.
    pub fn check(&self) -> Result<(), TopologyError> {
        let mut places = BTreeSet::new();
        for place in self.places() {
            if !places.insert(place) {
                return Err(TopologyError::DuplicatePlace(place.to_owned()));
            }
        }
        if places.len() > PLACES_MAX {
            return Err(TopologyError::TooMany(PLACES_MAX, "places"));
        }
        if self.walkways.len() > WALKWAYS_MAX {
            return Err(TopologyError::TooMany(WALKWAYS_MAX, "walkways"));
        }
        self.lockers.iter().try_for_each(check_locker)?;
        self.walkways.iter().try_for_each(|walkway| check_walkway(walkway, &places))
    }

    /// The id of every place.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        let buildings = self.buildings.iter().map(|building| building.id.as_str());
        let gates = self.gates.iter().map(|gate| gate.id.as_str());
        let lockers = self.lockers.iter().map(|locker| locker.id.as_str());
        buildings.chain(gates).chain(lockers).chain(self.junctions.iter().map(String::as_str))
    }

    /// The locker of this id.
    pub fn locker(&self, id: &LockerId) -> Option<&Locker> {
        self.lockers.iter().find(|locker| locker.id == *id)
    }

    /// The compartment of these ids.
    pub fn compartment(&self, locker: &LockerId, compartment: &CompartmentId) -> Option<&Compartment> {
        self.locker(locker)?.compartments.iter().find(|candidate| candidate.id == *compartment)
    }

    /// The name of a building.
    pub fn building_name(&self, id: &BuildingId) -> Option<&str> {
        self.buildings.iter().find(|building| building.id == *id).map(|building| building.name.as_str())
    }

    /// Whether this gate exists.
    pub fn has_gate(&self, id: &GateId) -> bool {
        self.gates.iter().any(|gate| gate.id == *id)
    }
}

fn check_locker(locker: &Locker) -> Result<(), TopologyError> {
    if locker.compartments.is_empty() {
        return Err(TopologyError::EmptyLocker(locker.id.clone()));
    }
    if locker.compartments.len() > COMPARTMENTS_MAX {
        return Err(TopologyError::TooMany(COMPARTMENTS_MAX, "compartments in a locker"));
    }
    if locker.opening_hours.len() > OPENING_HOURS_MAX {
        return Err(TopologyError::TooMany(OPENING_HOURS_MAX, "opening hours of a locker"));
    }
    if !locker.opening_hours.iter().all(OpeningHours::is_valid) {
        return Err(TopologyError::InvalidOpeningHours(locker.id.clone()));
    }
    let mut seen = BTreeSet::new();
    for compartment in &locker.compartments {
        if !seen.insert(&compartment.id) {
            return Err(TopologyError::DuplicateCompartment(locker.id.clone(), compartment.id.clone()));
        }
    }
    Ok(())
}

fn check_walkway(walkway: &Walkway, places: &BTreeSet<&str>) -> Result<(), TopologyError> {
    for end in [&walkway.from, &walkway.to] {
        if !places.contains(end.as_str()) {
            return Err(TopologyError::UnknownPlace(end.clone()));
        }
    }
    if walkway.metres > 0.0 && walkway.metres <= LENGTH_MAX_METRES {
        Ok(())
    } else {
        Err(TopologyError::InvalidLength(walkway.from.clone(), walkway.to.clone()))
    }
}
