//! Two neighbours with a community, residents, parcels and webhook endpoints each, and nothing in common.

use gatepost_proto::v1::{
    self, Building, Community, Compartment, DepositConsent, Gate, Locker, ParcelSize, Recipient, Topology, Walkway,
    principal,
};
use gatepost_storage::Letter;
use gatepost_tests::{
    clients::{Administrator, Courier, Key, answer, new_request_id},
    world::{TIME_ZONE, World},
};

/// The one neighbour.
pub const ROSE: &str = "rose";
/// The other.
pub const LOTUS: &str = "lotus";

/// A kind of what requests name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    Parcel,
    TrackingNumber,
    Community,
    Courier,
    Resident,
    Endpoint,
    Building,
    Locker,
    Compartment,
    PersonReference,
    Erasure,
}

impl Named {
    const ALL: [Named; 11] = [
        Named::Parcel,
        Named::TrackingNumber,
        Named::Community,
        Named::Courier,
        Named::Resident,
        Named::Endpoint,
        Named::Building,
        Named::Locker,
        Named::Compartment,
        Named::PersonReference,
        Named::Erasure,
    ];
}

/// One of the two neighbours: a community, its staff and its camera.
pub struct Side {
    name: &'static str,
    /// Tells its numbers from the other's.
    odd: usize,
    staff: Administrator,
    staff_key: Key,
    camera: Key,
}

impl Side {
    /// Builds the community.
    pub async fn new(world: &World, name: &'static str) -> Side {
        let administrator = world.administrator();
        let request = v1::CreateCommunityRequest { request_id: new_request_id(), community: Some(community(name)) };
        answer(administrator.communities().create_community(request).await).unwrap();
        let community_id = name.to_owned();
        let camera = principal::GateCamera { community_id: community_id.clone(), gate_id: format!("{name}-gate") };
        let (_, camera) = administrator.issue_key(principal::Principal::Camera(camera)).await.unwrap();
        let staff = principal::Administrator { community_id };
        let (_, staff_key) = administrator.issue_key(principal::Principal::Administrator(staff)).await.unwrap();
        let staff = Administrator::new(world.line().clone(), staff_key.clone());
        Side { name, odd: usize::from(name == LOTUS), staff, staff_key, camera }
    }
}

fn community(name: &str) -> Community {
    let compartment =
        |nth: usize| Compartment { id: format!("{name}-{nth}"), size: ParcelSize::Small.into(), accessible: false };
    let locker = Locker {
        id: format!("{name}-locker"),
        compartments: (0..300).map(compartment).collect(),
        ..Default::default()
    };
    let walkway = |from: &str, to: &str| Walkway {
        from: format!("{name}-{from}"),
        to: format!("{name}-{to}"),
        metres: 50.0,
        steps: false,
    };
    Community {
        id: name.to_owned(),
        display_name: name.to_owned(),
        time_zone: TIME_ZONE.to_owned(),
        topology: Some(Topology {
            buildings: vec![Building { id: format!("{name}-building"), name: "3号楼".to_owned() }],
            gates: vec![Gate { id: format!("{name}-gate"), name: "北门".to_owned() }],
            lockers: vec![locker],
            junctions: Vec::new(),
            walkways: vec![walkway("building", "locker"), walkway("gate", "locker")],
        }),
        ..Default::default()
    }
}

/// What somebody has, made anew for every rpc: some of them take it away.
pub struct Estate {
    names: Vec<(Named, String)>,
    /// What is personal beside.
    personal: Vec<String>,
    courier: Courier,
    staff: Key,
    camera: Key,
}

impl Estate {
    /// A courier with a parcel in a compartment's reservation and a webhook endpoint, and the parcel's resident.
    pub async fn new(world: &World, side: &Side, number: usize) -> Estate {
        let name = side.name;
        // What a stranger may take for its own, such as a number of a parcel, says nothing of whose it was.
        let unique = format!("{:06}", number * 2 + side.odd);
        let courier = world.courier(&format!("{name}-courier-{number}")).await;
        let resident = v1::Resident {
            community_id: name.to_owned(),
            name: format!("{name}的居民"),
            phone: format!("13800{unique}"),
            building_id: format!("{name}-building"),
            unit: "802".to_owned(),
            person_reference: format!("person-{unique}"),
            ..Default::default()
        };
        let resident = side.staff.add_resident(resident).await.unwrap();
        let recipient = Recipient { name: resident.name.clone(), phone: resident.phone.clone(), ..Default::default() };
        let announcement = v1::AnnounceParcelRequest {
            request_id: new_request_id(),
            community_id: name.to_owned(),
            tracking_number: format!("number-{unique}"),
            recipient: Some(recipient),
            size: ParcelSize::Small.into(),
            deposit_consent: DepositConsent::Given.into(),
        };
        let parcel = courier.announce_as(announcement).await.unwrap().parcel;
        let place = parcel.placement.clone().unwrap();
        assert_eq!(place.locker_id, format!("{name}-locker"));
        let endpoint = courier.register("https://127.0.0.1:9/", &[]).await.unwrap().endpoint.unwrap();
        let gone = v1::Resident { person_reference: String::new(), id: String::new(), ..resident.clone() };
        let gone = side.staff.add_resident(gone).await.unwrap();
        let request = v1::EraseResidentRequest { request_id: new_request_id(), resident_id: gone.id };
        let erasure = answer(side.staff.privacy().erase_resident(request).await).unwrap().erasure.unwrap();
        let names = vec![
            (Named::Parcel, parcel.id),
            (Named::TrackingNumber, parcel.tracking_number),
            (Named::Community, name.to_owned()),
            (Named::Courier, courier.id.clone()),
            (Named::Resident, resident.id),
            (Named::Endpoint, endpoint.id),
            (Named::Building, resident.building_id),
            (Named::Locker, place.locker_id),
            (Named::Compartment, place.compartment_id),
            (Named::PersonReference, resident.person_reference),
            (Named::Erasure, erasure.id),
        ];
        assert_eq!(names.iter().map(|(named, _)| *named).collect::<Vec<_>>(), Named::ALL);
        let personal = vec![resident.name, resident.phone];
        Estate { names, personal, courier, staff: side.staff_key.clone(), camera: side.camera.clone() }
    }

    /// Its own of a kind.
    pub fn name(&self, named: Named) -> &str {
        let (_, name) = self.names.iter().find(|(kind, _)| *kind == named).unwrap();
        name
    }

    /// What was never there, and is as long and as well formed as what is. The numbers stay, so that it is another for
    /// every estate.
    pub fn never(&self, named: Named) -> String {
        let name = self.name(named);
        match name.split_once('_') {
            Some((prefix @ ("pcl" | "res" | "whe" | "ers"), digits)) => {
                assert_eq!(digits.len(), 32);
                format!("{prefix}_0190a5b0c0de7000800000000000beef")
            }
            _ => name.chars().map(|letter| if letter.is_ascii_lowercase() { 'z' } else { letter }).collect(),
        }
    }

    /// Every text that another must not be told.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(_, name)| &**name).chain(self.personal.iter().map(String::as_str))
    }

    /// The key of a kind of principal, as proto/README.md names them.
    pub fn key(&self, kind: &str) -> &Key {
        match kind {
            "courier" => self.courier.key(),
            "community administrator" => &self.staff,
            "camera" => &self.camera,
            other => panic!("say in estate.rs whose key a {other} has"),
        }
    }

    /// The courier's backend.
    pub fn courier(&self) -> &Courier {
        &self.courier
    }

    /// Announces a parcel for somebody who lives nowhere; its id.
    async fn announce_to_nobody(&self) -> String {
        let request = v1::AnnounceParcelRequest {
            request_id: new_request_id(),
            community_id: self.name(Named::Community).to_owned(),
            tracking_number: format!("nobody-{}", new_request_id()),
            recipient: Some(Recipient { name: "无人".to_owned(), ..Default::default() }),
            size: ParcelSize::Small.into(),
            deposit_consent: DepositConsent::Refused.into(),
        };
        self.courier.announce_as(request).await.unwrap().parcel.id
    }

    /// Lets two things happen to parcels of this courier, one after the other.
    pub async fn happen(&self) {
        for _ in 0..2 {
            let id = self.announce_to_nobody().await;
            self.courier.cancel(&id).await.unwrap();
        }
    }

    /// Makes every list longer than one: parcels, residents, parcels of nobody, and dead letters.
    pub async fn gather(&self, world: &World) {
        // Nobody but this test writes its letters.
        self.courier.enable_endpoint(self.name(Named::Endpoint), false).await.unwrap();
        self.happen().await;
        for _ in 0..2 {
            self.announce_to_nobody().await;
        }
        let tx = world.store().await.write().await.unwrap();
        let courier = self.courier.id.parse().unwrap();
        for event in tx.events(&courier, 0, 2).await.unwrap() {
            let letter = Letter {
                endpoint: self.name(Named::Endpoint).parse().unwrap(),
                event,
                attempts: 10,
                next_attempt_at: None,
                last_attempt_at: world.now(),
                last_error: "no answer".to_owned(),
            };
            tx.save_letter(&courier, &letter).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}
