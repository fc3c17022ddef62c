//! Who of the staff looked at what is personal is on record: every such rpc, every outcome, and unchanged.

use std::collections::BTreeSet;

use bytes::Bytes;
use gatepost_proto::v1::{self, ConsentPurpose, principal};
use gatepost_server::verify_looks;
use gatepost_tests::{
    clients::{Administrator, Label, answer, new_request_id},
    reflected,
    world::{COMMUNITY, World, hours, standard_community, until},
};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};
use secrecy::ExposeSecret as _;
use tonic::Code;

use super::permissions;

on_both_stacks!(a_look_tells_who_and_whom, what_cannot_be_recorded_is_not_told, what_was_changed_is_found);

/// Messages in answers to staff that say nothing about a person themselves. One that is new is looked at by somebody, who either marks
/// its fields with `debug_redact` or adds it here.
const IMPERSONAL: [&str; 33] = [
    "Administrator",
    "Building",
    "Calibration",
    "CalibrationPoint",
    "CaptureRefusal",
    "Community",
    "Compartment",
    "CompartmentUse",
    "Courier",
    "CourierWebhook",
    "DecidedByEntry",
    "Deposit",
    "Erasure",
    "Gate",
    "GateCamera",
    "Junction",
    "Key",
    "Locker",
    "Look",
    "ModelAgreement",
    "ModelUpgrade",
    "OpeningHours",
    "Parcel",
    "Placement",
    "PolicyOrigin",
    "Principal",
    "RecognitionPolicy",
    "Topology",
    "UnresolvedParcel",
    "WaitingPolicy",
    "Walkway",
    "WebhookEndpoint",
    "Worker",
];

/// Whether a field says something about a person.
fn is_marked(field: &FieldDescriptor) -> bool {
    let options = field.options();
    options.get_field_by_name("debug_redact").is_some_and(|marked| *marked == Value::Bool(true))
}

/// Every message that an answer can hold, itself included.
fn within(message: MessageDescriptor, found: &mut Vec<MessageDescriptor>) {
    if message.package_name() != "gatepost.v1" || found.contains(&message) {
        return;
    }
    found.push(message.clone());
    for field in message.fields() {
        if let Kind::Message(part) = field.kind() {
            within(part, found);
        }
    }
}

fn parts(rpc: &MethodDescriptor) -> Vec<MessageDescriptor> {
    let mut found = Vec::new();
    within(rpc.output(), &mut found);
    found
}

fn says_something(message: &MessageDescriptor) -> bool {
    message.fields().any(|field| is_marked(&field))
}

/// What administrators may call.
fn for_staff() -> Vec<MethodDescriptor> {
    let told = permissions::told();
    let may = |rpc: &MethodDescriptor| {
        let path = reflected::path(rpc);
        told.iter().any(|row| row.path == path && row.who.contains(&"administrator"))
    };
    reflected::rpcs("gatepost.v1").into_iter().filter(may).collect()
}

#[tokio::test]
async fn every_rpc_that_answers_with_something_personal_is_on_record() {
    let world = World::new().await;
    let administrator = world.administrator();
    let on_record = async || {
        let looks = administrator.looks("", "").await.unwrap();
        looks.into_iter().map(|look| format!("/{}", look.rpc)).collect::<BTreeSet<String>>()
    };
    assert_eq!(on_record().await, BTreeSet::new());
    let key = world.key_file("admin.key");
    let mut personal = BTreeSet::new();
    for rpc in for_staff() {
        reflected::call(world.line(), Some(&key), &rpc, Bytes::new()).await;
        if parts(&rpc).iter().any(says_something) {
            personal.insert(reflected::path(&rpc));
        }
    }
    assert_eq!(on_record().await, personal, "permissions.rs says which rpcs are personal");
    assert!(personal.len() > 10, "{personal:?}");
}

#[test]
fn every_message_to_staff_was_looked_at() {
    let rpcs = for_staff();
    let messages: BTreeSet<String> = rpcs
        .iter()
        .flat_map(parts)
        .filter(|message| !says_something(message) && !message.name().ends_with("Response"))
        .map(|message| message.name().to_owned())
        .collect();
    assert_eq!(messages, IMPERSONAL.iter().map(|name| (*name).to_owned()).collect());
}

/// Staff of one community, and the id of their key.
async fn staff_of(world: &World, community: &str) -> (String, Administrator) {
    let principal = principal::Administrator { community_id: community.to_owned() };
    let issued = world.administrator().issue_key(principal::Principal::Administrator(principal)).await.unwrap();
    (issued.0, Administrator::new(world.line().clone(), issued.1))
}

async fn get(who: &Administrator, id: &str) -> Result<String, String> {
    let request = v1::GetResidentRequest { resident_id: id.to_owned() };
    let found = answer(who.residents().get_resident(request).await);
    found.map(|found| found.resident.unwrap().name).map_err(|refused| refused.reason)
}

async fn a_look_tells_who_and_whom(world: World) {
    let (key, staff) = staff_of(&world, COMMUNITY).await;
    let [wang, chen] = ["王芳", "陈伟"].map(|name| world.resident(name));
    let community = v1::Community { id: "rose-court".to_owned(), ..standard_community() };
    let request = v1::CreateCommunityRequest { request_id: new_request_id(), community: Some(community) };
    answer(world.administrator().communities().create_community(request).await).unwrap();
    let (strangers_key, strangers) = staff_of(&world, "rose-court").await;
    world.let_pass(hours(1)).await;

    assert_eq!(get(&staff, &wang.id).await.unwrap(), "王芳");
    let request_id = new_request_id();
    let request = v1::WithdrawConsentRequest {
        request_id: request_id.clone(),
        resident_id: wang.id.clone(),
        purpose: ConsentPurpose::LockerDeposit.into(),
        by_guardian: false,
    };
    answer(staff.residents().withdraw_consent(request).await).unwrap();
    let looks = staff.looks(COMMUNITY, &wang.id).await.unwrap();
    let told = |look: &v1::Look| (look.rpc.clone(), look.outcome.clone(), look.subjects.clone());
    let rpc = |name: &str| format!("gatepost.v1.ResidentService/{name}");
    assert_eq!(told(&looks[0]), (rpc("WithdrawConsent"), "OK".to_owned(), vec![wang.id.clone()]));
    assert_eq!((&*looks[0].request_id, &*looks[1].request_id), (&*request_id, ""));
    assert_eq!(told(&looks[1]), (rpc("GetResident"), "OK".to_owned(), vec![wang.id.clone()]));
    for look in &looks[..2] {
        assert_eq!((&*look.principal, &*look.bearer), ("administrator:lotus-garden", &*key));
        assert_eq!(look.look_time.unwrap().seconds, world.now().as_second());
    }
    assert_eq!(looks.last().unwrap().rpc, rpc("CreateResident"), "from their first day on");
    assert!(looks.iter().all(|look| look.subjects.contains(&wang.id)));

    // Of a list everybody on the page, of an unresolved parcel the parcel.
    let request = v1::ListResidentsRequest { community_id: COMMUNITY.to_owned(), ..Default::default() };
    let listed = answer(staff.residents().list_residents(request).await).unwrap().residents;
    let courier = world.courier("swift-express").await;
    let unknown = v1::Recipient { name: "无人".to_owned(), ..Default::default() };
    let parcel = courier.announce(&Label::to(&wang).recipient(unknown)).await.unwrap().parcel;
    assert_eq!(staff.unresolved(COMMUNITY).await.len(), 1);
    let looks = staff.looks(COMMUNITY, "").await.unwrap();
    assert_eq!(looks[0].subjects, [parcel.id]);
    assert_eq!(looks[1].subjects.len(), listed.len());

    // What is refused is a look as well; who reaches too far stands where the neighbours do not see it.
    let before = looks.len();
    assert_eq!(get(&strangers, &chen.id).await.unwrap_err(), "RESIDENT_NOT_FOUND");
    let nobody = "res_0190a5b0c0de7000800000000000beef".to_owned();
    assert_eq!(get(&staff, &nobody).await.unwrap_err(), "RESIDENT_NOT_FOUND");
    assert_eq!(staff.looks(COMMUNITY, "").await.unwrap().len(), before);
    assert!(strangers.looks("rose-court", "").await.unwrap().is_empty());
    let refused = strangers.looks("", "").await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::NotFound, "COMMUNITY_NOT_FOUND"));
    let looks = world.administrator().looks("", "").await.unwrap();
    assert_eq!(told(&looks[0]), (rpc("GetResident"), "RESIDENT_NOT_FOUND".to_owned(), vec![nobody]));
    assert_eq!(told(&looks[1]), (rpc("GetResident"), "RESIDENT_NOT_FOUND".to_owned(), vec![chen.id.clone()]));
    assert_eq!((&*looks[1].principal, &*looks[1].bearer), ("administrator:rose-court", &*strangers_key));

    // The record outlives the resident, and has nothing of them but an id.
    wang.delete().await;
    let looks = staff.looks(COMMUNITY, &wang.id).await.unwrap();
    assert!(!looks.is_empty());
    assert!(!format!("{looks:?}").contains("王芳"));
}

async fn database(world: &World) -> DatabaseConnection {
    Database::connect(world.config().database.url_in(world.data_dir()).expose_secret()).await.unwrap()
}

async fn what_cannot_be_recorded_is_not_told(world: World) {
    let wang = world.resident("王芳");
    let database = database(&world).await;
    database.execute_unprepared("ALTER TABLE look RENAME TO gone").await.unwrap();
    let refused = wang.on_record().await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
    assert!(!format!("{refused:?}").contains("王芳"));
    database.execute_unprepared("ALTER TABLE gone RENAME TO look").await.unwrap();
    assert_eq!(wang.on_record().await.unwrap().name, "王芳");
}

async fn what_was_changed_is_found(world: World) {
    let administrator = world.administrator();
    let wang = world.resident("王芳");
    for _ in 0..3 {
        wang.on_record().await.unwrap();
    }
    let verify = async || {
        let community = Some(COMMUNITY.parse().unwrap());
        verify_looks(world.config(), world.data_dir(), community).await.map_err(|error| format!("{error:#}"))
    };
    let looks = administrator.looks(COMMUNITY, "").await.unwrap();
    let newest = looks[0].hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let whole = format!("lotus-garden: {} looks, whole, newest {newest}", looks.len());
    assert_eq!(verify().await.unwrap(), whole);
    let all = verify_looks(world.config(), world.data_dir(), None).await.unwrap();
    assert!(all.starts_with(&whole) && all.contains("nobody: 0 looks"), "{all}");

    let database = database(&world).await;
    let middle = looks[1].sequence;
    let execute = async |sql: String| database.execute_unprepared(&sql).await.unwrap();
    for (change, back) in [
        ("principal = 'administrator:nobody'", "principal = 'administrator'"),
        ("outcome = 'RESIDENT_NOT_FOUND'", "outcome = 'OK'"),
        ("looked_at = looked_at + 1", "looked_at = looked_at - 1"),
    ] {
        execute(format!("UPDATE look SET {change} WHERE community = 'lotus-garden' AND sequence = {middle}")).await;
        assert!(verify().await.unwrap_err().contains(&format!("broken at {middle}")), "{change}");
        execute(format!("UPDATE look SET {back} WHERE community = 'lotus-garden' AND sequence = {middle}")).await;
        assert_eq!(verify().await.unwrap(), whole);
    }
    execute(format!("DELETE FROM look_subject WHERE sequence = {middle}")).await;
    execute(format!("DELETE FROM look WHERE community = 'lotus-garden' AND sequence = {middle}")).await;
    assert!(verify().await.unwrap_err().contains(&format!("broken at {middle}")), "one was taken out");
}

#[tokio::test]
async fn old_looks_go_and_the_rest_is_whole() {
    let world = World::new().await;
    let administrator = world.administrator();
    let wang = world.resident("王芳");
    world.let_pass(hours(24)).await;
    wang.on_record().await.unwrap();
    let before = administrator.looks(COMMUNITY, "").await.unwrap();
    assert!(before.len() > 5);
    // All but the last are three years old.
    world.let_pass(hours(3 * 365 * 24 - 12)).await;
    until("the end of old looks", || async { administrator.looks(COMMUNITY, "").await.unwrap().len() == 1 }).await;
    wang.on_record().await.unwrap();
    let after = administrator.looks(COMMUNITY, &wang.id).await.unwrap();
    assert_eq!(after[1], before[0]);
    assert_eq!(after[0].sequence, before[0].sequence + 1);
    let said = verify_looks(world.config(), world.data_dir(), None).await.unwrap();
    assert!(said.starts_with("lotus-garden: 2 looks, whole"), "{said}");
}
