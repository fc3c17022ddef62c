//! How much CPU a placement takes in communities of 125 to 1,000 buildings with 60 lockers, and how that grows.
//!
//! Ours keeps the walks from a home until the community changes. The peer is the plain way: for every parcel, the graph
//! is made from the walkways and searched by Dijkstra's algorithm as a whole. Both rank the same lockers, and must agree.

#![expect(clippy::unwrap_used, reason = "a benchmark that gets no answer has failed")]

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    hint::black_box,
};

use gatepost_domain::{
    id::LockerId,
    placement::{self, Candidate, Need, Occupied},
    topology::{Building, Compartment, Locker, Size, Topology, Walkway},
    walks::{Reach, Walk, Walks},
};
use gatepost_proto::v1;
use gatepost_tests::{
    benchmark::{Figure, Report, Target, percentile, process_cpu_seconds, thread_cpu_seconds},
    clients::{Courier, Label, new_request_id},
    world::{COMMUNITY, World, standard_community},
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

const SIZES: [usize; 4] = [125, 250, 500, 1_000];
/// The size that the figures are promised for.
const PROMISED: usize = 500;
const LOCKERS: usize = 60;
/// In each locker, a third of each size.
const COMPARTMENTS: usize = 24;
const REPEATS: usize = 5;
/// Parcels a repeat: enough for a 99th percentile.
const PARCELS: usize = 1_000;
/// Parcels announced over gRPC.
const ANNOUNCED: usize = 300;

/// Numbers that are the same in every run (splitmix64, Steele, Lea and Flood 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
    }
}

/// Streets as a square of corners, one corner for each building, and lockers at corners here and there.
fn community(buildings: usize, numbers: &mut Numbers) -> Topology {
    let side = buildings.isqrt() + 1;
    let corner = |nth: usize| format!("corner-{nth}");
    let mut walkways = Vec::new();
    let mut walkway = |from: String, to: String, metres: usize, steps: bool| {
        walkways.push(Walkway { from, to, metres: metres as f64, steps });
    };
    for nth in 0..side * side {
        if nth % side + 1 < side {
            walkway(corner(nth), corner(nth + 1), 30 + numbers.next(40), numbers.next(10) == 0);
        }
        if nth + side < side * side {
            walkway(corner(nth), corner(nth + side), 30 + numbers.next(40), numbers.next(10) == 0);
        }
    }
    for nth in 0..buildings {
        walkway(format!("b{nth}"), corner(nth), 5 + numbers.next(30), false);
    }
    let size = |nth: usize| [Size::Small, Size::Medium, Size::Large][nth % 3];
    let locker = |nth: usize| Locker {
        id: format!("L{nth:02}").parse().unwrap(),
        name: format!("柜{nth}"),
        offline: false,
        opening_hours: Vec::new(),
        compartments: (0..COMPARTMENTS)
            .map(|nth| Compartment { id: format!("{nth:02}").parse().unwrap(), size: size(nth), accessible: nth < 6 })
            .collect(),
    };
    let lockers: Vec<Locker> = (0..LOCKERS).map(locker).collect();
    for locker in &lockers {
        walkway(locker.id.to_string(), corner(numbers.next(side * side)), 3 + numbers.next(10), false);
    }
    Topology {
        buildings: (0..buildings)
            .map(|nth| Building { id: format!("b{nth}").parse().unwrap(), name: format!("{nth}号楼") })
            .collect(),
        gates: Vec::new(),
        lockers,
        junctions: (0..side * side).map(corner).collect(),
        walkways,
    }
}

/// Seven of ten compartments hold a parcel.
fn occupied(topology: &Topology, numbers: &mut Numbers) -> Occupied {
    let mut occupied = Occupied::default();
    for locker in &topology.lockers {
        for compartment in locker.compartments.iter().filter(|_| numbers.next(10) < 7) {
            occupied.insert(locker.id.clone(), compartment.id.clone());
        }
    }
    occupied
}

/// The plain way: the graph anew, the whole of it searched, and the lockers sorted.
fn plain_walks(topology: &Topology, home: &str) -> Vec<Walk> {
    let mut ways: HashMap<&str, Vec<(&str, f64)>> = HashMap::new();
    for walkway in &topology.walkways {
        ways.entry(&walkway.from).or_default().push((&walkway.to, walkway.metres));
        ways.entry(&walkway.to).or_default().push((&walkway.from, walkway.metres));
    }
    let mut metres: HashMap<&str, f64> = HashMap::new();
    // Lengths are whole metres here, and whole numbers have an order.
    let mut next = BinaryHeap::from([(Reverse(0_u64), home)]);
    while let Some((Reverse(far), place)) = next.pop() {
        if metres.contains_key(place) {
            continue;
        }
        metres.insert(place, far as f64);
        for (to, length) in ways.get(place).into_iter().flatten() {
            next.push((Reverse(far + *length as u64), to));
        }
    }
    let reach = |id: &LockerId| metres.get(id.as_str()).map_or(Reach::Unreachable, |metres| Reach::Metres(*metres));
    let mut walks: Vec<Walk> =
        (topology.lockers.iter().enumerate()).map(|(locker, found)| Walk { locker, reach: reach(&found.id) }).collect();
    walks.sort_by(|a, b| {
        let far = |walk: &Walk| walk.reach.metres().unwrap_or(f64::INFINITY);
        let id = |walk: &Walk| &topology.lockers[walk.locker].id;
        far(a).total_cmp(&far(b)).then_with(|| id(a).cmp(id(b)))
    });
    walks
}

/// The 99th percentile of this many calls, in microseconds of this thread's CPU.
fn p99_us(mut call: impl FnMut(usize) -> Vec<Candidate>) -> f64 {
    let times: Vec<f64> = (0..PARCELS)
        .map(|nth| {
            let began = thread_cpu_seconds();
            black_box(call(nth));
            (thread_cpu_seconds() - began) * 1e6
        })
        .collect();
    percentile(&times, 0.99)
}

/// The 99th percentiles of one community, one of each repeat.
#[derive(Default)]
struct Times {
    /// Every parcel but the first to a home.
    known: Vec<f64>,
    /// The first parcel to a home.
    first: Vec<f64>,
    plain: Vec<f64>,
}

fn measure(buildings: usize) -> Times {
    let mut numbers = Numbers(buildings as u64);
    let topology = community(buildings, &mut numbers);
    topology.check().unwrap();
    let occupied = occupied(&topology, &mut numbers);
    let time_zone = TimeZone::UTC;
    let from = Timestamp::UNIX_EPOCH;
    let need = Need {
        size: Size::Medium,
        accessible: false,
        from,
        until: from + SignedDuration::from_hours(2),
        time_zone: &time_zone,
        unusable: &[],
        overflow_metres: 500,
    };
    let walks = Walks::new(&topology);
    let kept: Vec<Vec<Walk>> =
        topology.buildings.iter().map(|building| walks.nearest_first(&building.id, false)).collect();
    let rank = |walks: &[Walk]| placement::rank(&topology, walks, &need, &occupied);
    let plain = |home: usize| rank(&plain_walks(&topology, topology.buildings[home].id.as_str()));
    for (home, walks) in kept.iter().enumerate() {
        assert_eq!(rank(walks), plain(home), "both ways choose alike");
    }
    let homes: Vec<usize> = (0..PARCELS).map(|_| numbers.next(buildings)).collect();
    let mut times = Times::default();
    for _ in 0..REPEATS {
        times.known.push(p99_us(|nth| rank(&kept[homes[nth]])));
        times.plain.push(p99_us(|nth| plain(homes[nth])));
        times.first.push(p99_us(|nth| rank(&walks.nearest_first(&topology.buildings[homes[nth]].id, false))));
    }
    times
}

fn to_wire(topology: &Topology) -> v1::Topology {
    let size = |size: Size| match size {
        Size::Small => v1::ParcelSize::Small,
        Size::Medium => v1::ParcelSize::Medium,
        Size::Large => v1::ParcelSize::Large,
    };
    let compartment = |one: &Compartment| v1::Compartment {
        id: one.id.to_string(),
        size: size(one.size).into(),
        accessible: one.accessible,
    };
    let locker = |one: &Locker| v1::Locker {
        id: one.id.to_string(),
        name: one.name.clone(),
        compartments: one.compartments.iter().map(compartment).collect(),
        ..Default::default()
    };
    let walkway = |one: &Walkway| v1::Walkway {
        from: one.from.clone(),
        to: one.to.clone(),
        metres: one.metres,
        steps: one.steps,
    };
    let building = |one: &Building| v1::Building { id: one.id.to_string(), name: one.name.clone() };
    v1::Topology {
        buildings: topology.buildings.iter().map(building).collect(),
        gates: Vec::new(),
        lockers: topology.lockers.iter().map(locker).collect(),
        junctions: topology.junctions.iter().map(|id| v1::Junction { id: id.clone() }).collect(),
        walkways: topology.walkways.iter().map(walkway).collect(),
    }
}

/// A platform on SQLite with a community of this many buildings, and what is announced to it.
struct Announcing {
    _world: World,
    courier: Courier,
    labels: Vec<Label>,
}

impl Announcing {
    async fn to(buildings: usize) -> Announcing {
        let world = World::builder().bare().start().await;
        let mut numbers = Numbers(buildings as u64);
        let topology = community(buildings, &mut numbers);
        let community = v1::Community { topology: Some(to_wire(&topology)), ..standard_community() };
        let request = v1::CreateCommunityRequest { request_id: new_request_id(), community: Some(community) };
        world.administrator().communities().create_community(request).await.unwrap();
        let courier = world.courier("swift-express").await;
        let mut labels = Vec::new();
        for nth in 0..ANNOUNCED {
            let resident = v1::Resident {
                community_id: COMMUNITY.to_owned(),
                name: format!("居民{nth}"),
                phone: format!("138{nth:08}"),
                building_id: topology.buildings[numbers.next(buildings)].id.to_string(),
                unit: "101".to_owned(),
                ..Default::default()
            };
            world.administrator().add_resident(resident.clone()).await.unwrap();
            let recipient = v1::Recipient { name: resident.name, phone: resident.phone, ..Default::default() };
            labels.push(Label {
                tracking_number: format!("SX-{nth}"),
                recipient,
                size: v1::ParcelSize::Medium,
                consent: v1::DepositConsent::Given,
            });
        }
        Announcing { _world: world, courier, labels }
    }

    /// Announces the nth parcel over gRPC: milliseconds of CPU, of client and platform together.
    async fn announce(&self, nth: usize) -> f64 {
        let began = process_cpu_seconds();
        let announced = self.courier.announce(&self.labels[nth]).await.unwrap();
        let took = (process_cpu_seconds() - began) * 1e3;
        assert_eq!(announced.parcel.placement.unwrap().kind(), v1::PlacementKind::Locker);
        took
    }
}

/// Announcements, each to another home, in turns to a community of the promised size and to the smallest one: 99th
/// percentiles in milliseconds of CPU.
async fn announce() -> (f64, f64) {
    let (small, large) = (Announcing::to(SIZES[0]).await, Announcing::to(PROMISED).await);
    let (mut in_small, mut in_large) = (Vec::new(), Vec::new());
    for nth in 0..ANNOUNCED {
        in_small.push(small.announce(nth).await);
        in_large.push(large.announce(nth).await);
    }
    (percentile(&in_large, 0.99), percentile(&in_small, 0.99))
}

fn main() {
    let mut report = Report::new("placement");
    let all: Vec<(usize, Times)> = SIZES.iter().map(|size| (*size, measure(*size))).collect();
    for (size, times) in &all {
        let what = |which: &str| format!("p99 of placement, {size} buildings, {LOCKERS} lockers, {which}");
        let promised = |target| (*size == PROMISED).then_some(target);
        let (known, first) = (promised(Target::RatioAtMost(0.2)), promised(Target::RatioAtMost(1.0)));
        report.add(Figure::beside(what("home known"), "us", &times.known, &times.plain, known));
        report.add(Figure::beside(what("first to a home"), "us", &times.first, &times.plain, first));
    }
    let (smallest, largest) = (&all[0].1, &all[SIZES.len() - 1].1);
    let growth = |large: &[f64], small: &[f64]| -> Vec<f64> { large.iter().zip(small).map(|(l, s)| l / s).collect() };
    let known = growth(&largest.known, &smallest.known);
    let plain = growth(&largest.plain, &smallest.plain);
    let what = format!("growth of p99 from {} to {} buildings, home known", SIZES[0], SIZES[SIZES.len() - 1]);
    report.add(Figure::beside(what, "x", &known, &plain, Target::RatioAtMost(0.5)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (large, small): (Vec<f64>, Vec<f64>) = (0..3).map(|_| runtime.block_on(announce())).unzip();
    let what = format!(
        "p99 of AnnounceParcel over gRPC on SQLite, {LOCKERS} lockers, {PROMISED} buildings beside {}",
        SIZES[0]
    );
    report.add(Figure::beside(what, "ms", &large, &small, Target::RatioAtMost(2.0)));
    report.publish().unwrap();
}
