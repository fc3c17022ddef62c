//! Ranking lockers equals trying every path.

use gatepost_domain::{
    id::{BuildingId, LockerId},
    placement::{self, Candidate, Occupied, Reason},
    topology::{Building, Compartment, Locker, Size, Topology, Walkway},
};
use proptest::prelude::*;

const SIZES: [Size; 3] = [Size::Small, Size::Medium, Size::Large];

#[derive(Debug, Clone)]
struct Case {
    topology: Topology,
    occupied: Occupied,
    size: Size,
    /// Every place, in the order of the distance matrix.
    places: Vec<String>,
}

/// Up to 3 buildings, 6 lockers and 5 junctions, with walkways between any two, also twice and in circles. Lengths
/// are few, so that equal distances are common.
fn cases() -> impl Strategy<Value = Case> {
    let compartment = (0usize..3, any::<bool>());
    let locker = (prop::bool::weighted(0.15), prop::collection::vec(compartment, 1..4));
    let lockers = prop::collection::vec(locker, 0..7);
    (1usize..4, lockers, 0usize..6, prop::collection::vec((any::<u8>(), any::<u8>(), 1u8..6), 0..20), 0usize..3)
        .prop_map(|(buildings, lockers, junctions, walkways, size)| {
            let buildings: Vec<Building> = (0..buildings)
                .map(|nth| Building { id: format!("b{nth}").parse().unwrap(), name: String::new() })
                .collect();
            let junctions: Vec<String> = (0..junctions).map(|nth| format!("j{nth}")).collect();
            let mut occupied = Occupied::new();
            let lockers: Vec<Locker> = lockers
                .into_iter()
                .enumerate()
                .map(|(nth, (offline, compartments))| {
                    let id: LockerId = format!("L{nth}").parse().unwrap();
                    let compartment = |(nth, (size, taken)): (usize, (usize, bool))| {
                        let compartment = Compartment { id: format!("A{nth}").parse().unwrap(), size: SIZES[size] };
                        if taken {
                            occupied.insert((id.clone(), compartment.id.clone()));
                        }
                        compartment
                    };
                    let compartments = compartments.into_iter().enumerate().map(compartment).collect();
                    Locker { id: id.clone(), name: String::new(), offline, compartments }
                })
                .collect();
            let places: Vec<String> = (buildings.iter().map(|building| building.id.to_string()))
                .chain(lockers.iter().map(|locker| locker.id.to_string()))
                .chain(junctions.iter().cloned())
                .collect();
            let place = |nth: u8| places[usize::from(nth) % places.len()].clone();
            let walkways = walkways
                .into_iter()
                .map(|(from, to, metres)| Walkway {
                    from: place(from),
                    to: place(to),
                    metres: f64::from(metres) * 10.0,
                })
                .collect();
            let topology = Topology { buildings, gates: vec![], lockers, junctions, walkways };
            Case { topology, occupied, size: SIZES[size], places }
        })
}

/// The shortest way between any two places, by Floyd and Warshall.
fn all_distances(case: &Case) -> Vec<Vec<f64>> {
    let count = case.places.len();
    let nth = |place: &str| case.places.iter().position(|other| other == place).unwrap();
    let mut metres = vec![vec![f64::INFINITY; count]; count];
    for (place, row) in metres.iter_mut().enumerate() {
        row[place] = 0.0;
    }
    for walkway in &case.topology.walkways {
        let (from, to) = (nth(&walkway.from), nth(&walkway.to));
        metres[from][to] = metres[from][to].min(walkway.metres);
        metres[to][from] = metres[from][to];
    }
    for over in 0..count {
        for from in 0..count {
            for to in 0..count {
                metres[from][to] = metres[from][to].min(metres[from][over] + metres[over][to]);
            }
        }
    }
    metres
}

/// Every locker with the reason it would have if it were the only one.
fn alone(case: &Case, locker: &Locker, metres: f64) -> Candidate {
    let fits: Vec<&Compartment> = locker.compartments.iter().filter(|place| place.size >= case.size).collect();
    let mut free: Vec<&Compartment> = fits.clone();
    free.retain(|place| !case.occupied.contains(&(locker.id.clone(), place.id.clone())));
    free.sort_by_key(|place| (place.size, place.id.clone()));
    let reason = match (metres.is_finite(), locker.offline, fits.first(), free.first()) {
        (false, ..) => Reason::Unreachable,
        (_, true, ..) => Reason::Offline,
        (_, _, None, _) => Reason::TooSmall,
        (.., None) => Reason::Full,
        (.., Some(_)) => Reason::Nearest,
    };
    let compartment = free.first().filter(|_| reason == Reason::Nearest).map(|place| place.id.clone());
    Candidate { locker: locker.id.clone(), walking_metres: metres.is_finite().then_some(metres), reason, compartment }
}

fn brute_force(case: &Case, home: &BuildingId) -> Vec<Candidate> {
    let metres = all_distances(case);
    let nth = |place: &str| case.places.iter().position(|other| other == place).unwrap();
    let from = &metres[nth(home.as_str())];
    let lockers = &case.topology.lockers;
    let mut all: Vec<Candidate> =
        lockers.iter().map(|locker| alone(case, locker, from[nth(locker.id.as_str())])).collect();
    // Selection, one after another: the nearest of what is left, and of equals the first by id.
    let mut ranked: Vec<Candidate> = Vec::new();
    while !all.is_empty() {
        let far = |candidate: &Candidate| candidate.walking_metres.unwrap_or(f64::INFINITY);
        let next = (0..all.len()).fold(0, |best, nth| {
            let nearer = far(&all[nth]) < far(&all[best]);
            let earlier = far(&all[nth]) == far(&all[best]) && all[nth].locker < all[best].locker;
            if nearer || earlier { nth } else { best }
        });
        let mut candidate = all.remove(next);
        if candidate.reason == Reason::Nearest && ranked.iter().any(|taken| taken.reason == Reason::Nearest) {
            candidate = Candidate { reason: Reason::Farther, compartment: None, ..candidate };
        }
        ranked.push(candidate);
    }
    ranked
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ranking_equals_brute_force(case in cases()) {
        prop_assert_eq!(case.topology.check(), Ok(()));
        for building in &case.topology.buildings {
            let ranked = placement::rank(&case.topology, &building.id, case.size, &case.occupied);
            prop_assert_eq!(&ranked, &brute_force(&case, &building.id));
            let best = placement::best(&ranked);
            let could = ranked.iter().any(|candidate| candidate.compartment.is_some());
            prop_assert_eq!(best.is_some(), could, "to the door only when no locker fits");
        }
    }
}
