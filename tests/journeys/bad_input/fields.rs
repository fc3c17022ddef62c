//! Fields that cannot be read, on both databases: too long, with control characters, missing, out of range, of
//! another kind. None of them may become an internal error, because then the database or a panic decided.

use std::fmt::Debug;

use gatepost_proto::v1::{self, policy_layer::Layer, principal};
use gatepost_tests::{
    clients::{Answer, Courier, Label, Refused, answer, new_request_id, to_wire},
    world::{COMMUNITY, NORTH_GATE, World, standard_community},
};
use prost_types::Timestamp;
use tonic::Code::{InvalidArgument, NotFound};

use super::{Everything, refused};

/// Too long for every field that has a limit.
fn endless() -> String {
    "长".repeat(600)
}

/// What no text may hold. The first is one that PostgreSQL cannot store at all.
const CONTROLS: [&str; 4] = ["王\0芳", "王\n芳", "王\u{1b}[31m芳", "王\u{85}芳"];

/// Not within 1970 to 9999, or not a time at all.
const NO_TIMES: [Timestamp; 6] = [
    Timestamp { seconds: 253_402_300_800, nanos: 0 },
    Timestamp { seconds: i64::MAX, nanos: 999_999_999 },
    Timestamp { seconds: i64::MIN, nanos: 0 },
    Timestamp { seconds: -1, nanos: 0 },
    Timestamp { seconds: 1_780_000_000, nanos: -1 },
    Timestamp { seconds: 1_780_000_000, nanos: 1_000_000_000 },
];

/// Refused with the field's name.
#[track_caller]
fn invalid<T: Debug>(answer: Answer<T>, field: &str) -> Refused {
    let refused = refused(answer, InvalidArgument, "INVALID_FIELD");
    assert_eq!(refused.fields, [field], "{}", refused.message);
    refused
}

on_both_stacks! {
    an_announcement_with_a_bad_field_announces_nothing,
    a_step_with_a_bad_field_moves_nothing,
    questions_that_cannot_be_read_are_refused,
    staff_are_told_which_field_is_wrong,
}

async fn an_announcement_with_a_bad_field_announces_nothing(world: World) {
    let swift = world.courier("swift-express").await;
    let before = Everything::of(&world, &swift).await;
    let good = Label::to(&world.resident("王芳")).request();
    let bad = async |field: &str, change: &dyn Fn(&mut v1::AnnounceParcelRequest)| {
        let mut request = v1::AnnounceParcelRequest { request_id: new_request_id(), ..good.clone() };
        change(&mut request);
        invalid(swift.announce_as(request).await, field);
    };
    for id in ["", "1", "00000000-0000-0000-0000-000000000000", "not-a-uuid-at-all-but-just-as-long-as", &endless()] {
        bad("request_id", &|request| request.request_id = id.to_owned()).await;
    }
    for text in ["", "   ", &endless()].into_iter().chain(CONTROLS) {
        bad("tracking_number", &|request| request.tracking_number = text.to_owned()).await;
    }
    for text in [endless().as_str()].into_iter().chain(CONTROLS) {
        let bad = async |field: &str, change: &dyn Fn(&mut v1::Recipient)| {
            bad(field, &|request| change(request.recipient.as_mut().expect("the good one has one"))).await;
        };
        bad("recipient.name", &|recipient| recipient.name = text.to_owned()).await;
        bad("recipient.phone", &|recipient| recipient.phone = text.to_owned()).await;
        bad("recipient.building", &|recipient| recipient.building = text.to_owned()).await;
        bad("recipient.unit", &|recipient| recipient.unit = text.to_owned()).await;
        bad("recipient.address", &|recipient| recipient.address = text.to_owned()).await;
    }
    bad("recipient", &|request| request.recipient = None).await;
    bad("recipient", &|request| request.recipient = Some(v1::Recipient::default())).await;
    for size in [0, 4, -1, i32::MAX] {
        bad("size", &|request| request.size = size).await;
    }
    for consent in [3, -1, i32::MIN] {
        bad("deposit_consent", &|request| request.deposit_consent = consent).await;
    }
    for id in ["", "Lotus", "莲花苑", "lotus garden", "../lotus", "lotus\0", &endless()] {
        bad("community_id", &|request| request.community_id = id.to_owned()).await;
    }
    let elsewhere = v1::AnnounceParcelRequest { community_id: "elsewhere".to_owned(), ..good.clone() };
    refused(swift.announce_as(elsewhere).await, NotFound, "COMMUNITY_NOT_FOUND");
    assert_eq!(Everything::of(&world, &swift).await, before);
    swift.announce_as(good).await.unwrap();
}

async fn a_step_with_a_bad_field_moves_nothing(world: World) {
    let swift = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let announced = swift.announce(&Label::to(&wang)).await.unwrap().parcel;
    let waiting = swift.bring(&Label::to(&wang)).await;
    let before = Everything::of(&world, &swift).await;
    for at in NO_TIMES {
        let parcel_id = announced.id.clone();
        let request = v1::ConfirmDepositRequest {
            request_id: new_request_id(),
            parcel_id: parcel_id.clone(),
            locker_id: "east".to_owned(),
            compartment_id: "E1".to_owned(),
            deposit_time: Some(at),
        };
        invalid(answer(swift.parcels().confirm_deposit(request).await), "deposit_time");
        let request = v1::ConfirmPickupRequest {
            request_id: new_request_id(),
            parcel_id: waiting.id.clone(),
            pickup_time: Some(at),
        };
        invalid(answer(swift.parcels().confirm_pickup(request).await), "pickup_time");
        let request = v1::ReportDoorDeliveryRequest {
            request_id: new_request_id(),
            parcel_id,
            outcome: v1::DoorDeliveryOutcome::Delivered.into(),
            outcome_time: Some(at),
            attempt: 0,
        };
        invalid(answer(swift.parcels().report_door_delivery(request).await), "outcome_time");
    }
    for outcome in [0, 6, -1] {
        let request = v1::ReportDoorDeliveryRequest {
            request_id: new_request_id(),
            parcel_id: waiting.id.clone(),
            outcome,
            outcome_time: None,
            attempt: 0,
        };
        invalid(answer(swift.parcels().report_door_delivery(request).await), "outcome");
    }
    for reason in [endless().as_str()].into_iter().chain(CONTROLS) {
        let request = v1::RefuseRecallRequest {
            request_id: new_request_id(),
            parcel_id: waiting.id.clone(),
            reason: reason.to_owned(),
            recall_number: 0,
        };
        invalid(answer(swift.parcels().refuse_recall(request).await), "reason");
    }
    invalid(swift.refuse_recall_number(&waiting.id, -1).await, "recall_number");
    invalid(swift.accept_recall_number(&waiting.id, i32::MIN).await, "recall_number");
    let cancel = v1::CancelParcelRequest { request_id: String::new(), parcel_id: announced.id.clone() };
    invalid(answer(swift.parcels().cancel_parcel(cancel).await), "request_id");
    assert_eq!(Everything::of(&world, &swift).await, before);
}

async fn questions_that_cannot_be_read_are_refused(world: World) {
    let swift = world.courier("swift-express").await;
    swift.announce(&Label::to(&world.resident("王芳"))).await.unwrap();
    swift.announce(&Label::to(&world.resident("王芳"))).await.unwrap();
    invalid(answer(swift.parcels().get_parcel(v1::GetParcelRequest { key: None }).await), "key");
    for number in ["", &endless()].into_iter().chain(CONTROLS) {
        refused(swift.parcel_by_number(number).await, NotFound, "PARCEL_NOT_FOUND");
    }
    for size in [-1, 501, i32::MIN, i32::MAX] {
        invalid(swift.list(size, "").await, "page_size");
    }
    let anothers = swift.list(1, "").await.unwrap().next_page_token;
    for token in ["x", "AAAA", &endless(), "\0", "AAAAAAAAAAAAAAAA"] {
        refused(swift.list(1, token).await, InvalidArgument, "INVALID_PAGE_TOKEN");
    }
    let slow = world.courier("slow-post").await;
    refused(slow.list(1, &anothers).await, InvalidArgument, "INVALID_PAGE_TOKEN");
    for state in [11, -1] {
        let request = v1::ListParcelsRequest { state, ..Default::default() };
        invalid(answer(swift.parcels().list_parcels(request).await), "state");
    }
    invalid(swift.follow(Some(-1)).await.map(|_| ()), "after_sequence");
    for sequence in [-1, 1, i64::MAX] {
        refused(swift.acknowledge(sequence).await, InvalidArgument, "SEQUENCE_UNKNOWN");
    }
}

async fn staff_are_told_which_field_is_wrong(world: World) {
    let swift = world.courier("swift-express").await;
    let before = Everything::of(&world, &swift).await;
    residents_fields(&world).await;
    communities_fields(&world).await;
    keys_fields(&world, &swift).await;
    assert_eq!(Everything::of(&world, &swift).await, before);
}

async fn residents_fields(world: &World) {
    let administrator = world.administrator();
    let good = v1::Resident {
        community_id: COMMUNITY.to_owned(),
        name: "钱多多".to_owned(),
        building_id: "building-1".to_owned(),
        ..Default::default()
    };
    let with = |change: &dyn Fn(&mut v1::Resident)| {
        let mut resident = good.clone();
        change(&mut resident);
        administrator.add_resident(resident)
    };
    for text in ["", endless().as_str()].into_iter().chain(CONTROLS) {
        invalid(with(&|resident| resident.name = text.to_owned()).await, "resident.name");
    }
    for text in ["1234567", &endless(), "1380001000\u{0}1"] {
        invalid(with(&|resident| resident.phone = text.to_owned()).await, "resident.phone");
    }
    for text in ["nobody", "a@b@c", "a b@example.org", "a\r\nbcc: b@example.org"] {
        invalid(with(&|resident| resident.email = text.to_owned()).await, "resident.email");
    }
    invalid(with(&|resident| resident.building_id = "building-9".to_owned()).await, "resident.building_id");
    invalid(with(&|resident| resident.person_reference = endless()).await, "resident.person_reference");
    invalid(with(&|resident| resident.unit = "8\u{0}2".to_owned()).await, "resident.unit");
    let empty = v1::CreateResidentRequest { request_id: new_request_id(), resident: None };
    invalid(answer(administrator.residents().create_resident(empty).await), "resident");

    let id = world.resident("王芳").id;
    for purpose in [0, 6, -7] {
        let (resident_id, notice) = (id.clone(), "n".to_owned());
        let request = v1::GrantConsentRequest {
            request_id: new_request_id(),
            resident_id,
            purpose,
            notice,
            ..Default::default()
        };
        invalid(answer(administrator.residents().grant_consent(request).await), "purpose");
    }
    for at in NO_TIMES {
        let request = v1::ImportPickupsRequest {
            request_id: new_request_id(),
            resident_id: id.clone(),
            pickup_times: vec![to_wire(world.now()), at],
        };
        invalid(answer(administrator.residents().import_pickups(request).await), "pickup_times[1]");
    }
    let many = vec![world.now(); 1001];
    invalid(world.resident("王芳").import_pickups(&many).await, "pickup_times");
    assert_eq!(world.resident("王芳").usual_pickup().await.1, 0);
    for page_size in [-1, 501] {
        let request = v1::ListResidentsRequest { community_id: COMMUNITY.to_owned(), page_size, ..Default::default() };
        invalid(answer(administrator.residents().list_residents(request).await), "page_size");
        let community_id = COMMUNITY.to_owned();
        let request = v1::ListUnresolvedParcelsRequest { community_id, page_size, ..Default::default() };
        invalid(answer(administrator.residents().list_unresolved_parcels(request).await), "page_size");
    }
    let mask = |path: &str| v1::UpdateResidentRequest {
        request_id: new_request_id(),
        resident: Some(v1::Resident { id: id.clone(), ..good.clone() }),
        update_mask: Some(prost_types::FieldMask { paths: vec![path.to_owned()] }),
    };
    for path in ["id", "faces", "consents", "", "名"] {
        invalid(answer(administrator.residents().update_resident(mask(path)).await), "update_mask");
    }
    for unknown in ["", "res_1", "pcl_00000000000000000000000000000001", "王芳"] {
        let request = v1::GetResidentRequest { resident_id: unknown.to_owned() };
        refused(answer(administrator.residents().get_resident(request).await), NotFound, "RESIDENT_NOT_FOUND");
    }
}

async fn communities_fields(world: &World) {
    let administrator = world.administrator();
    let create = async |change: &dyn Fn(&mut v1::Community)| {
        let mut community = v1::Community { id: "another".to_owned(), ..standard_community() };
        change(&mut community);
        let request = v1::CreateCommunityRequest { request_id: new_request_id(), community: Some(community) };
        answer(administrator.communities().create_community(request).await)
    };
    invalid(create(&|community| community.id = "莲花苑".to_owned()).await, "community.id");
    invalid(create(&|community| community.display_name = endless()).await, "community.display_name");
    for zone in ["", "Asia/Beiping", "UTC+8", "../../etc/passwd", "\0"] {
        invalid(create(&|community| community.time_zone = zone.to_owned()).await, "community.time_zone");
    }
    invalid(create(&|community| community.display_policy = 9).await, "community.display_policy");
    let topology = |change: &dyn Fn(&mut v1::Topology)| {
        let mut topology = standard_community().topology.unwrap();
        change(&mut topology);
        topology
    };
    let with =
        |topology: v1::Topology| async move { create(&|community| community.topology = Some(topology.clone())).await };
    let unnamed = topology(&|topology| topology.buildings[0].id = String::new());
    invalid(with(unnamed).await, "community.topology.buildings[0].id");
    let sizeless = topology(&|topology| topology.lockers[1].compartments[2].size = 0);
    invalid(with(sizeless).await, "community.topology.lockers[1].compartments[2].size");
    for metres in [0.0, -1.0, f64::NAN, f64::INFINITY, 100_001.0] {
        let endless = with(topology(&|topology| topology.walkways[0].metres = metres)).await;
        refused(endless, InvalidArgument, "INVALID_TOPOLOGY");
    }
    let twice = topology(&|topology| topology.gates[0].id = "east".to_owned());
    refused(with(twice).await, InvalidArgument, "INVALID_TOPOLOGY");
    let nowhere = topology(&|topology| topology.walkways[0].to = "moon".to_owned());
    refused(with(nowhere).await, InvalidArgument, "INVALID_TOPOLOGY");
    let empty = v1::CreateCommunityRequest { request_id: new_request_id(), community: None };
    invalid(answer(administrator.communities().create_community(empty).await), "community");
    let layerless = v1::SetWaitingPolicyRequest { request_id: new_request_id(), layer: None, policy: None };
    invalid(answer(administrator.communities().set_waiting_policy(layerless).await), "layer");
    let policyless = v1::SetWaitingPolicyRequest {
        request_id: new_request_id(),
        layer: Some(v1::PolicyLayer { layer: Some(Layer::CommunityId(COMMUNITY.to_owned())) }),
        policy: None,
    };
    invalid(answer(administrator.communities().set_waiting_policy(policyless).await), "policy");
    for page_size in [-1, 501] {
        let request = v1::ListCommunitiesRequest { page_size, ..Default::default() };
        invalid(answer(administrator.communities().list_communities(request).await), "page_size");
    }
}

async fn keys_fields(world: &World, courier: &Courier) {
    let administrator = world.administrator();
    for id in ["", "Swift", "顺丰", "a b", &endless()] {
        invalid(administrator.add_courier(id).await, "courier.id");
    }
    let nobody = v1::CreateKeyRequest { request_id: new_request_id(), ..Default::default() };
    invalid(answer(administrator.couriers().create_key(nobody).await), "principal");
    let courier_id = principal::Principal::CourierId("nobody".to_owned());
    refused(administrator.issue_key(courier_id).await.map(|_| ()), NotFound, "COURIER_NOT_FOUND");
    let camera = |community_id: &str, gate_id: &str| {
        principal::Principal::Camera(principal::GateCamera {
            community_id: community_id.to_owned(),
            gate_id: gate_id.to_owned(),
        })
    };
    let gateless = administrator.issue_key(camera(COMMUNITY, "west-gate")).await.map(|_| ());
    refused(gateless, NotFound, "GATE_NOT_FOUND");
    let elsewhere = administrator.issue_key(camera("elsewhere", NORTH_GATE)).await.map(|_| ());
    refused(elsewhere, NotFound, "COMMUNITY_NOT_FOUND");
    let revoke = v1::RevokeKeyRequest { request_id: new_request_id(), key_id: courier.id.clone() };
    refused(answer(administrator.couriers().revoke_key(revoke).await), NotFound, "KEY_NOT_FOUND");

    let camera = world.camera(NORTH_GATE).await;
    let report = |reference: &str, at: Option<Timestamp>| {
        camera.report_person_as(v1::ReportPersonRequest {
            request_id: new_request_id(),
            person_reference: reference.to_owned(),
            capture_time: at,
        })
    };
    let now = Some(to_wire(world.now()));
    for reference in ["", endless().as_str()].into_iter().chain(CONTROLS) {
        invalid(report(reference, now).await, "person_reference");
    }
    invalid(report("person-1", None).await, "capture_time");
    for at in NO_TIMES {
        invalid(report("person-1", Some(at)).await, "capture_time");
    }
    let future = to_wire(world.now() + jiff::SignedDuration::from_mins(10));
    refused(report("person-1", Some(future)).await, InvalidArgument, "TIME_IN_FUTURE");
}
