//! Which compartment: the nearest locker on foot with a free compartment that fits, and a reason for every other.
//!
//! A locker that is closed is passed over unless it opens before the reservation would end: nobody knows when within
//! that span the courier will stand before it. Who already stands there, and found a place unusable, is sent only to
//! what is open now.

use std::collections::{HashMap, HashSet};

use jiff::tz::TimeZone;

use crate::{
    Timestamp,
    id::{CompartmentId, LockerId},
    opening::opens_within,
    topology::{Compartment, Locker, Size, Topology},
    walks::{Reach, Walk},
};

/// What was decided about the place of a parcel.
#[derive(Debug, Clone, PartialEq)]
pub enum Placement {
    /// Into this compartment, kept free until then.
    Locker {
        /// Which locker.
        locker: LockerId,
        /// Which compartment.
        compartment: CompartmentId,
        /// Metres on foot from the recipient's building.
        walking_metres: f64,
        /// When the reservation ends.
        reserved_until: Timestamp,
    },
    /// To the recipient's door.
    Door(DoorReason),
    /// The recipient is not resolved; nothing was decided.
    Unresolved,
}

/// Why a parcel goes to the door at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoorReason {
    /// The recipient has not agreed to lockers.
    NoDepositConsent,
    /// No locker can take it now.
    NoLockerFits,
    /// No locker can take it now that the resident reaches without steps and at an accessible height.
    NoAccessibleLocker,
}

/// Why a locker was taken or passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The nearest with a free compartment that fits.
    Nearest,
    /// It would do, but a nearer one was taken.
    Farther,
    /// No compartment that fits is free.
    Full,
    /// No compartment is large enough.
    TooSmall,
    /// No compartment that is large enough is at an accessible height.
    NotAccessible,
    /// Offline.
    Offline,
    /// Closed until the reservation would end.
    Closed,
    /// The courier found it unusable.
    Unusable,
    /// Farther from home than the policy lets a parcel be moved from the place it was meant for.
    TooFar,
    /// Every way there has steps.
    Steps,
    /// No walkway leads there.
    Unreachable,
}

/// One locker as a candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Which.
    pub locker: LockerId,
    /// Metres on foot; `None` when the resident cannot get there.
    pub walking_metres: Option<f64>,
    /// Why it was taken or passed over.
    pub reason: Reason,
    /// The compartment, for the one taken.
    pub compartment: Option<CompartmentId>,
}

/// What a parcel and its resident need of a place, and when.
#[derive(Debug, Clone, Copy)]
pub struct Need<'a> {
    /// What must fit.
    pub size: Size,
    /// Whether the resident needs an accessible height and a way without steps.
    pub accessible: bool,
    /// The deposit is not made before this,
    pub from: Timestamp,
    /// and before this. Equal to `from`: at that instant.
    pub until: Timestamp,
    /// The community's, for opening hours.
    pub time_zone: &'a TimeZone,
    /// What the courier found unusable.
    pub unusable: &'a [Unusable],
    /// How much farther than the nearest of these the resident may have to walk.
    pub overflow_metres: u32,
}

/// A place that the courier found unusable when it wanted to deposit there: occupied, blocked or out of order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Which locker.
    pub locker: LockerId,
    /// Which of its compartments; `None` for all of them.
    pub compartment: Option<CompartmentId>,
}

impl Unusable {
    /// Whether it says so of this compartment.
    pub fn covers(&self, locker: &LockerId, compartment: &CompartmentId) -> bool {
        self.locker == *locker && self.compartment.as_ref().is_none_or(|own| own == compartment)
    }
}

/// Compartments that hold or keep a place for a parcel.
#[derive(Debug, Clone, Default)]
pub struct Occupied(HashMap<LockerId, HashSet<CompartmentId>>);

impl Occupied {
    /// Whether this compartment is one of them.
    pub fn contains(&self, locker: &LockerId, compartment: &CompartmentId) -> bool {
        self.0.get(locker).is_some_and(|taken| taken.contains(compartment))
    }

    /// Adds a compartment.
    pub fn insert(&mut self, locker: LockerId, compartment: CompartmentId) {
        self.0.entry(locker).or_default().insert(compartment);
    }
}

impl FromIterator<(LockerId, CompartmentId)> for Occupied {
    fn from_iter<I: IntoIterator<Item = (LockerId, CompartmentId)>>(places: I) -> Self {
        let mut occupied = Self::default();
        places.into_iter().for_each(|(locker, compartment)| occupied.insert(locker, compartment));
        occupied
    }
}

/// Judges every locker for a parcel, in the order of `walks`, which is that of [`crate::walks::Walks::nearest_first`]
/// for the recipient's home and need. In the one taken, the smallest free compartment that fits is chosen, and of
/// equally small ones one that is not accessible if it need not be, so that large and accessible ones stay for those
/// who need them.
pub fn rank(topology: &Topology, walks: &[Walk], need: &Need<'_>, occupied: &Occupied) -> Vec<Candidate> {
    let limit = overflow_limit(topology, walks, need);
    let mut taken = false;
    let judge = |walk: &Walk| {
        let locker = &topology.lockers[walk.locker];
        let (reason, compartment) = match (obstacle(locker, walk.reach, need, limit), taken) {
            (Some(obstacle), _) => (obstacle, None),
            (None, taken) => match choose(locker, need, occupied) {
                Err(reason) => (reason, None),
                Ok(_) if taken => (Reason::Farther, None),
                Ok(compartment) => (Reason::Nearest, Some(compartment.id.clone())),
            },
        };
        taken |= reason == Reason::Nearest;
        Candidate { locker: locker.id.clone(), walking_metres: walk.reach.metres(), reason, compartment }
    };
    walks.iter().map(judge).collect()
}

/// How far a walk may be at most once a place turned out unusable.
fn overflow_limit(topology: &Topology, walks: &[Walk], need: &Need<'_>) -> f64 {
    let named = |walk: &&Walk| need.unusable.iter().any(|place| place.locker == topology.lockers[walk.locker].id);
    // The nearest comes first.
    let nearest = walks.iter().filter(named).find_map(|walk| walk.reach.metres());
    nearest.map_or(f64::INFINITY, |metres| metres + f64::from(need.overflow_metres))
}

/// What speaks against the locker as a whole.
fn obstacle(locker: &Locker, reach: Reach, need: &Need<'_>, limit: f64) -> Option<Reason> {
    let metres = match reach {
        Reach::Unreachable => return Some(Reason::Unreachable),
        Reach::Steps => return Some(Reason::Steps),
        Reach::Metres(metres) => metres,
    };
    if need.unusable.iter().any(|place| place.locker == locker.id && place.compartment.is_none()) {
        Some(Reason::Unusable)
    } else if locker.offline {
        Some(Reason::Offline)
    } else if metres > limit {
        Some(Reason::TooFar)
    } else if !opens_within(&locker.opening_hours, need.from, need.until, need.time_zone) {
        Some(Reason::Closed)
    } else {
        None
    }
}

/// The compartment to take, or what is wrong with all of them.
fn choose<'a>(locker: &'a Locker, need: &Need<'_>, occupied: &Occupied) -> Result<&'a Compartment, Reason> {
    let large = || locker.compartments.iter().filter(|compartment| compartment.size >= need.size);
    let fitting = || large().filter(|compartment| compartment.accessible || !need.accessible);
    let unusable =
        |compartment: &Compartment| need.unusable.iter().any(|place| place.covers(&locker.id, &compartment.id));
    let free = fitting()
        .filter(|compartment| !occupied.contains(&locker.id, &compartment.id) && !unusable(compartment))
        .min_by_key(|compartment| (compartment.size, compartment.accessible, &compartment.id));
    match free {
        Some(compartment) => Ok(compartment),
        None if large().next().is_none() => Err(Reason::TooSmall),
        None if fitting().next().is_none() => Err(Reason::NotAccessible),
        None => Err(Reason::Full),
    }
}

/// The candidate taken, with its compartment and distance.
pub fn best(ranking: &[Candidate]) -> Option<(&LockerId, &CompartmentId, f64)> {
    let taken = ranking.iter().find(|candidate| candidate.reason == Reason::Nearest)?;
    Some((&taken.locker, taken.compartment.as_ref()?, taken.walking_metres?))
}

/// Why no locker of a ranking takes the parcel.
pub fn door_reason(ranking: &[Candidate]) -> DoorReason {
    let barred = |candidate: &Candidate| matches!(candidate.reason, Reason::Steps | Reason::NotAccessible);
    if ranking.iter().any(barred) { DoorReason::NoAccessibleLocker } else { DoorReason::NoLockerFits }
}
