//! The community that the tests live in: three buildings, two gates, three lockers.
//!
//! Two paths join building 3 and the lake locker: a direct one of 400 m around the lake, and one of 260 m by two
//! corners. Its nearest locker, the east one, has no direct path at all. So neither the fewest paths nor the straight
//! line gives the order, only the walk does.

use gatepost_proto::v1::{
    Building, Community, Compartment, ConsentPurpose, CreateCommunityRequest, Gate, Junction, Locker, ParcelSize,
    Topology, Walkway,
};

use super::World;
use crate::clients::{Resident, new_request_id};

/// The standard community.
pub const COMMUNITY: &str = "lotus-garden";
/// Where it is.
pub const TIME_ZONE: &str = "Asia/Shanghai";
/// One of its gates.
pub const NORTH_GATE: &str = "north-gate";
/// The other.
pub const SOUTH_GATE: &str = "south-gate";

/// Name, phone, building, unit, person reference. All agree to lockers, nobody to recognition.
const RESIDENTS: [(&str, &str, &str, &str, &str); 5] = [
    ("王芳", "13800010001", "building-3", "802", "person-1"),
    ("陈伟", "13800010002", "building-1", "1502", "person-2"),
    ("李建国", "13800010003", "building-2", "301", "person-3"),
    ("赵敏", "13800010004", "building-3", "1101", "person-4"),
    ("刘洋", "13800010005", "building-1", "0903", "person-5"),
];

/// Both ways, in metres.
const WALKWAYS: [(&str, &str, f64); 12] = [
    ("building-3", "corner-east", 60.0),
    ("corner-east", "east", 50.0),
    ("corner-east", "lake", 200.0),
    ("building-3", "lake", 400.0),
    ("building-3", "corner-west", 100.0),
    ("corner-west", "west", 80.0),
    ("building-1", "corner-west", 40.0),
    ("corner-east", "corner-west", 70.0),
    ("building-2", "corner-west", 50.0),
    ("building-2", "lake", 300.0),
    ("north-gate", "corner-east", 20.0),
    ("south-gate", "corner-west", 20.0),
];

/// The standard community as an administrator would send it.
pub fn standard_community() -> Community {
    let building = |number: u32| Building { id: format!("building-{number}"), name: format!("{number}号楼") };
    let gate = |id: &str, name: &str| Gate { id: id.to_owned(), name: name.to_owned() };
    let walkway =
        |(from, to, metres): (&str, &str, f64)| Walkway { from: from.into(), to: to.into(), metres, steps: false };
    use ParcelSize::{Large, Medium, Small};
    Community {
        id: COMMUNITY.to_owned(),
        display_name: "莲花苑".to_owned(),
        time_zone: TIME_ZONE.to_owned(),
        topology: Some(Topology {
            buildings: (1..=3).map(building).collect(),
            gates: vec![gate(NORTH_GATE, "北门"), gate(SOUTH_GATE, "南门")],
            lockers: vec![
                locker("east", "东柜", &[("E1", Small), ("E2", Medium), ("E3", Large)]),
                locker("west", "西柜", &[("W1", Small), ("W2", Medium), ("W3", Large), ("W4", Small)]),
                locker("lake", "湖柜", &[("K1", Small), ("K2", Medium)]),
            ],
            junctions: ["corner-east", "corner-west"].map(|id| Junction { id: id.to_owned() }).into(),
            walkways: WALKWAYS.map(walkway).into(),
        }),
        ..Community::default()
    }
}

fn locker(id: &str, name: &str, compartments: &[(&str, ParcelSize)]) -> Locker {
    let compartment =
        |(id, size): &(&str, ParcelSize)| Compartment { id: (*id).to_owned(), size: (*size).into(), accessible: false };
    Locker {
        id: id.to_owned(),
        name: name.to_owned(),
        offline: false,
        opening_hours: Vec::new(),
        compartments: compartments.iter().map(compartment).collect(),
    }
}

impl World {
    /// Imports the standard community and its five residents.
    pub async fn community(&self) {
        let request = CreateCommunityRequest { request_id: new_request_id(), community: Some(standard_community()) };
        self.administrator().communities().create_community(request).await.expect("the community is created");
        self.move_in().await;
    }

    /// The five residents move into the standard community, as it is.
    pub async fn move_in(&self) {
        let administrator = self.administrator();
        for (name, phone, building, unit, reference) in RESIDENTS {
            let resident = administrator
                .add_resident(gatepost_proto::v1::Resident {
                    community_id: COMMUNITY.to_owned(),
                    name: name.to_owned(),
                    phone: phone.to_owned(),
                    building_id: building.to_owned(),
                    unit: unit.to_owned(),
                    person_reference: reference.to_owned(),
                    ..Default::default()
                })
                .await
                .expect("the resident is added");
            self.people().residents.insert(name.to_owned(), resident.id.clone());
            self.resident(name).consent(ConsentPurpose::LockerDeposit).await;
        }
    }

    /// A resident of the standard community.
    pub fn resident(&self, name: &str) -> Resident {
        let id = self.people().residents.get(name).cloned().expect("nobody of this name lives here");
        let known = RESIDENTS.iter().find(|(known, ..)| *known == name);
        let (building, unit) = known.map_or(("", ""), |(_, _, building, unit, _)| (building, unit));
        let phone = known.map_or("", |(_, phone, ..)| phone);
        Resident {
            administrator: self.administrator(),
            id,
            name: name.to_owned(),
            phone: phone.to_owned(),
            building: building.replace("building-", "") + "号楼",
            unit: unit.to_owned(),
            person_reference: known.map_or("", |(.., reference)| reference).to_owned(),
        }
    }
}
