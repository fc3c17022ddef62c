//! Which compartment: the nearest locker on foot with a free compartment that fits, and a reason for every other.

use std::collections::BTreeSet;

use crate::{
    Timestamp,
    id::{BuildingId, CompartmentId, LockerId},
    topology::{Locker, Size, Topology},
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
    /// Offline.
    Offline,
    /// No walkway leads there.
    Unreachable,
}

/// One locker as a candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Which.
    pub locker: LockerId,
    /// Metres on foot; `None` when no walkway leads there.
    pub walking_metres: Option<f64>,
    /// Why it was taken or passed over.
    pub reason: Reason,
    /// The compartment, for the one taken.
    pub compartment: Option<CompartmentId>,
}

/// Compartments that hold or keep a place for a parcel.
pub type Occupied = BTreeSet<(LockerId, CompartmentId)>;

/// Ranks every locker for a parcel of `size` bound for `home`, nearest first; equal distances by id, unreachable ones
/// last. In the one taken, the smallest free compartment that fits is chosen, so that large ones stay for large
/// parcels.
pub fn rank(topology: &Topology, home: &BuildingId, size: Size, occupied: &Occupied) -> Vec<Candidate> {
    let metres = topology.walking_metres(home);
    let mut candidates: Vec<Candidate> =
        topology.lockers.iter().map(|locker| judge(locker, metres.get(&locker.id).copied(), size, occupied)).collect();
    candidates.sort_by(|a, b| {
        let far = |candidate: &Candidate| candidate.walking_metres.unwrap_or(f64::INFINITY);
        far(a).total_cmp(&far(b)).then_with(|| a.locker.cmp(&b.locker))
    });
    let mut taken = false;
    for candidate in &mut candidates {
        if candidate.reason == Reason::Nearest {
            if taken {
                candidate.reason = Reason::Farther;
                candidate.compartment = None;
            }
            taken = true;
        }
    }
    candidates
}

fn judge(locker: &Locker, walking_metres: Option<f64>, size: Size, occupied: &Occupied) -> Candidate {
    let free =
        |compartment: &crate::topology::Compartment| !occupied.contains(&(locker.id.clone(), compartment.id.clone()));
    let fitting = || locker.compartments.iter().filter(|compartment| compartment.size >= size);
    let best =
        fitting().filter(|compartment| free(compartment)).min_by_key(|compartment| (compartment.size, &compartment.id));
    let reason = if walking_metres.is_none() {
        Reason::Unreachable
    } else if locker.offline {
        Reason::Offline
    } else if fitting().next().is_none() {
        Reason::TooSmall
    } else if best.is_none() {
        Reason::Full
    } else {
        Reason::Nearest
    };
    let compartment = best.filter(|_| reason == Reason::Nearest).map(|compartment| compartment.id.clone());
    Candidate { locker: locker.id.clone(), walking_metres, reason, compartment }
}

/// The candidate taken, with its compartment and distance.
pub fn best(ranking: &[Candidate]) -> Option<(&LockerId, &CompartmentId, f64)> {
    let taken = ranking.iter().find(|candidate| candidate.reason == Reason::Nearest)?;
    Some((&taken.locker, taken.compartment.as_ref()?, taken.walking_metres?))
}
