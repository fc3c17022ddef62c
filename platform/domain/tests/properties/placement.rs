//! Ranking lockers equals trying every path and every compartment.

use gatepost_domain::{
    Timestamp,
    id::{BuildingId, CompartmentId, LockerId},
    opening::OpeningHours,
    placement::{self, Candidate, DoorReason, Need, Occupied, Reason, Unusable},
    topology::{Building, Compartment, Locker, Size, Topology, Walkway},
    walks::Walks,
};
use jiff::{SignedDuration, tz::TimeZone};
use proptest::prelude::*;

const SIZES: [Size; 3] = [Size::Small, Size::Medium, Size::Large];

#[derive(Debug, Clone)]
struct Case {
    topology: Topology,
    occupied: Vec<(LockerId, CompartmentId)>,
    unusable: Vec<Unusable>,
    size: Size,
    accessible: bool,
    /// From when on for how many minutes the deposit may come.
    from: Timestamp,
    minutes: i64,
    overflow_metres: u32,
    /// Every place, in the order of the distance matrix.
    places: Vec<String>,
}

impl Case {
    fn need<'a>(&'a self, time_zone: &'a TimeZone) -> Need<'a> {
        Need {
            size: self.size,
            accessible: self.accessible,
            from: self.from,
            until: self.from + SignedDuration::from_mins(self.minutes),
            time_zone,
            unusable: &self.unusable,
            overflow_metres: self.overflow_metres,
        }
    }
}

fn shanghai() -> TimeZone {
    TimeZone::get("Asia/Shanghai").unwrap()
}

/// Size, accessible, what is wrong with it: 0 occupied, 1 unusable, else nothing.
type Cell = (usize, bool, u8);

/// Offline, wholly unusable, opening hours, compartments.
type Shape = (bool, bool, Vec<(u16, u16)>, Vec<Cell>);

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let cell = (0usize..3, any::<bool>(), 0u8..8);
    let hours = prop::collection::vec((0u16..1440, 1u16..=1440), 0..2);
    let locker = (prop::bool::weighted(0.15), prop::bool::weighted(0.1), hours, prop::collection::vec(cell, 1..4));
    prop::collection::vec(locker, 0..7)
}

/// Up to 3 buildings, 6 lockers and 5 junctions, with walkways between any two, also twice and in circles. Lengths
/// are few, so that equal distances are common.
fn cases() -> impl Strategy<Value = Case> {
    let walkways = prop::collection::vec((any::<u8>(), any::<u8>(), 1u8..6, prop::bool::weighted(0.3)), 0..20);
    let when = (0i64..20_000, 0i64..600);
    (1usize..4, shapes(), 0usize..6, walkways, 0usize..3, any::<bool>(), when, 0u32..60).prop_map(
        |(buildings, shapes, junctions, walkways, size, accessible, (start, minutes), overflow_metres)| {
            let buildings: Vec<Building> = (0..buildings)
                .map(|nth| Building { id: format!("b{nth}").parse().unwrap(), name: String::new() })
                .collect();
            let junctions: Vec<String> = (0..junctions).map(|nth| format!("j{nth}")).collect();
            let (mut occupied, mut unusable) = (Vec::new(), Vec::new());
            let lockers: Vec<Locker> = shapes
                .into_iter()
                .enumerate()
                .map(|(nth, shape)| locker(nth, shape, &mut occupied, &mut unusable))
                .collect();
            let places: Vec<String> = (buildings.iter().map(|building| building.id.to_string()))
                .chain(lockers.iter().map(|locker| locker.id.to_string()))
                .chain(junctions.iter().cloned())
                .collect();
            let place = |nth: u8| places[usize::from(nth) % places.len()].clone();
            let walkways = walkways
                .into_iter()
                .map(|(from, to, metres, steps)| Walkway {
                    from: place(from),
                    to: place(to),
                    metres: f64::from(metres) * 10.0,
                    steps,
                })
                .collect();
            let topology = Topology { buildings, gates: vec![], lockers, junctions, walkways };
            let from = "2026-06-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(start);
            let size = SIZES[size];
            Case { topology, occupied, unusable, size, accessible, from, minutes, overflow_metres, places }
        },
    )
}

fn locker(
    nth: usize,
    (offline, broken, hours, cells): Shape,
    occupied: &mut Vec<(LockerId, CompartmentId)>,
    unusable: &mut Vec<Unusable>,
) -> Locker {
    let id: LockerId = format!("L{nth}").parse().unwrap();
    if broken {
        unusable.push(Unusable { locker: id.clone(), compartment: None });
    }
    let compartment = |(nth, (size, accessible, wrong)): (usize, Cell)| {
        let compartment = Compartment { id: format!("A{nth}").parse().unwrap(), size: SIZES[size], accessible };
        match wrong {
            0 => occupied.push((id.clone(), compartment.id.clone())),
            1 => unusable.push(Unusable { locker: id.clone(), compartment: Some(compartment.id.clone()) }),
            _ => {}
        }
        compartment
    };
    let compartments = cells.into_iter().enumerate().map(compartment).collect();
    let opening_hours = (hours.into_iter())
        .map(|(from_minute, to_minute)| OpeningHours { weekdays: vec![], from_minute, to_minute })
        .filter(OpeningHours::is_valid)
        .collect();
    Locker { id, name: String::new(), offline, opening_hours, compartments }
}

/// The shortest way between any two places, by Floyd and Warshall.
fn all_distances(case: &Case, step_free: bool) -> Vec<Vec<f64>> {
    let count = case.places.len();
    let nth = |place: &str| case.places.iter().position(|other| other == place).unwrap();
    let mut metres = vec![vec![f64::INFINITY; count]; count];
    for (place, row) in metres.iter_mut().enumerate() {
        row[place] = 0.0;
    }
    for walkway in case.topology.walkways.iter().filter(|walkway| !(step_free && walkway.steps)) {
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

/// Looks at the clock on the wall every minute there is.
fn is_open(case: &Case, locker: &Locker) -> bool {
    let open_at = |minute: i64| {
        let at = (case.from + SignedDuration::from_mins(minute)).to_zoned(shanghai());
        let now = i32::from(at.hour()) * 60 + i32::from(at.minute());
        locker.opening_hours.iter().any(|hours| {
            let (from, to) = (i32::from(hours.from_minute), i32::from(hours.to_minute));
            if from < to { (from..to).contains(&now) } else { now >= from || now < to }
        })
    };
    locker.opening_hours.is_empty() || (0..case.minutes.max(1)).any(open_at)
}

/// Every locker with the reason it would have if it were the only one.
fn alone(case: &Case, locker: &Locker, [metres, step_free]: [f64; 2], limit: f64) -> Candidate {
    let walk = if case.accessible { step_free } else { metres };
    let large: Vec<&Compartment> = locker.compartments.iter().filter(|place| place.size >= case.size).collect();
    let fits: Vec<&Compartment> = large.iter().copied().filter(|place| place.accessible || !case.accessible).collect();
    let mut free: Vec<&Compartment> = fits.clone();
    free.retain(|place| !case.occupied.contains(&(locker.id.clone(), place.id.clone())));
    free.retain(|place| {
        let own = Unusable { locker: locker.id.clone(), compartment: Some(place.id.clone()) };
        !case.unusable.contains(&own)
    });
    free.sort_by_key(|place| (place.size, place.accessible, place.id.clone()));
    let broken = case.unusable.contains(&Unusable { locker: locker.id.clone(), compartment: None });
    let obstacles = [
        (metres.is_infinite(), Reason::Unreachable),
        (walk.is_infinite(), Reason::Steps),
        (broken, Reason::Unusable),
        (locker.offline, Reason::Offline),
        (walk > limit, Reason::TooFar),
        (!is_open(case, locker), Reason::Closed),
        (large.is_empty(), Reason::TooSmall),
        (fits.is_empty(), Reason::NotAccessible),
        (free.is_empty(), Reason::Full),
    ];
    let reason = obstacles.iter().find(|(holds, _)| *holds).map_or(Reason::Nearest, |(_, reason)| *reason);
    let compartment = free.first().filter(|_| reason == Reason::Nearest).map(|place| place.id.clone());
    let walking_metres = walk.is_finite().then_some(walk);
    Candidate { locker: locker.id.clone(), walking_metres, reason, compartment }
}

fn brute_force(case: &Case, home: &BuildingId) -> Vec<Candidate> {
    let metres = [all_distances(case, false), all_distances(case, true)];
    let nth = |place: &str| case.places.iter().position(|other| other == place).unwrap();
    let far = |locker: &Locker| [0, 1].map(|kind| metres[kind][nth(home.as_str())][nth(locker.id.as_str())]);
    let lockers = &case.topology.lockers;
    let named = lockers.iter().filter(|locker| case.unusable.iter().any(|place| place.locker == locker.id));
    let nearest = named.map(|locker| far(locker)[usize::from(case.accessible)]).fold(f64::INFINITY, f64::min);
    let limit = nearest + f64::from(case.overflow_metres);
    let mut all: Vec<Candidate> = lockers.iter().map(|locker| alone(case, locker, far(locker), limit)).collect();
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
        let time_zone = shanghai();
        let walks = Walks::new(&case.topology);
        let occupied: Occupied = case.occupied.iter().cloned().collect();
        for building in &case.topology.buildings {
            let nearest_first = walks.nearest_first(&building.id, case.accessible);
            let ranked = placement::rank(&case.topology, &nearest_first, &case.need(&time_zone), &occupied);
            prop_assert_eq!(&ranked, &brute_force(&case, &building.id));
            let best = placement::best(&ranked);
            let could = ranked.iter().any(|candidate| candidate.compartment.is_some());
            prop_assert_eq!(best.is_some(), could, "to the door only when no locker fits");
            let barred = ranked.iter().any(|candidate| [Reason::Steps, Reason::NotAccessible].contains(&candidate.reason));
            prop_assert!(case.accessible || !barred, "only who needs an accessible place is told of barriers");
            let door = placement::door_reason(&ranked);
            prop_assert_eq!(door == DoorReason::NoAccessibleLocker, barred);
        }
    }
}
