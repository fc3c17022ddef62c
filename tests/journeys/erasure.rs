//! Who is erased is gone from every store at once, and from every replica's memory soon; and there is a certificate that
//! says how much of what, and can be verified by anybody.

use std::collections::BTreeMap;

use gatepost_proto::v1;
use gatepost_server::{Rotation, rotate_keys, signing_keys, verify_certificate};
use gatepost_tests::{
    clients::{Administrator, Answer, Label, answer, new_request_id, scripted_frames},
    world::{COMMUNITY, NORTH_GATE, Stack, World, hours, minutes, standard_community, until},
};
use jiff::SignedDuration;
use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::Uuid;

on_both_stacks!(
    a_certificate_says_what_went,
    a_certificate_is_signed_by_one_key_whatever_happens,
    erasures_are_listed_in_pages_to_their_community
);

async fn erase(world: &World, request_id: &str, resident_id: &str) -> Answer<v1::Erasure> {
    let request = v1::EraseResidentRequest { request_id: request_id.to_owned(), resident_id: resident_id.to_owned() };
    answer(world.administrator().privacy().erase_resident(request).await).map(|begun| begun.erasure.unwrap())
}

async fn erasure(world: &World, id: &str) -> v1::Erasure {
    let request = v1::GetErasureRequest { erasure_id: id.to_owned() };
    answer(world.administrator().privacy().get_erasure(request).await).unwrap().erasure.unwrap()
}

async fn certificate(world: &World, id: &str) -> String {
    until("the certificate", || async { erasure(world, id).await.state() == v1::ErasureState::Done }).await;
    erasure(world, id).await.certificate
}

async fn list(staff: &Administrator, page_token: &str) -> Answer<v1::ListErasuresResponse> {
    let (community_id, page_token) = (COMMUNITY.to_owned(), page_token.to_owned());
    let request = v1::ListErasuresRequest { community_id, page_size: 2, page_token };
    answer(staff.privacy().list_erasures(request).await)
}

/// What a certificate says.
fn content(file: &str) -> Value {
    let file: Value = serde_json::from_str(file).unwrap();
    serde_json::from_str(file["certificate"].as_str().unwrap()).unwrap()
}

/// How many rows of each table hold an id in any column that is one.
async fn rows_with(world: &World, id: &str) -> BTreeMap<String, i64> {
    let id = Uuid::parse_str(id.split_once('_').unwrap().1).unwrap();
    let database = Database::connect(world.config().database.url_in(world.data_dir()).expose_secret()).await.unwrap();
    let backend = database.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "SELECT table_name::text, column_name::text FROM information_schema.columns
            WHERE table_schema = current_schema() AND data_type = 'uuid'"
        }
        _ => {
            "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c
            WHERE t.type = 'table' AND lower(c.type) = 'uuid'"
        }
    };
    let mut rows = BTreeMap::new();
    for row in database.query_all_raw(Statement::from_string(backend, sql)).await.unwrap() {
        let (table, column): (String, String) = (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap());
        let count = format!("SELECT count(*) FROM \"{table}\" WHERE \"{column}\" = $1");
        let count = Statement::from_sql_and_values(backend, &count, [id.into()]);
        let count: i64 = database.query_one_raw(count).await.unwrap().unwrap().try_get_by_index(0).unwrap();
        if count > 0 {
            *rows.entry(table).or_default() += count;
        }
    }
    rows
}

async fn a_certificate_says_what_went(world: World) {
    let _worker = world.scripted_worker().await;
    let (courier, chen) = (world.courier("swift-express").await, world.resident("陈伟"));
    chen.agree_and_enrol("face 陈伟").await;
    chen.agree_and_enrol("face 陈伟 again").await;
    chen.import_pickups(&[world.now() - hours(30), world.now() - hours(60)]).await.unwrap();
    let recalled = courier.bring(&Label::to(&chen)).await;
    world.let_pass(hours(72)).await;
    courier.bring(&Label::to(&chen)).await;
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 12)).await.displays.len(), 1);
    let shown = |records: &[v1::ReminderRecord]| records.iter().any(|it| it.delivery() == v1::DeliveryState::Delivered);
    chen.reminders_when("the display's receipt", shown).await;
    let before = rows_with(&world, &chen.id).await;
    assert!(["notice", "template", "parcel", "pickup", "last_sighting"].iter().all(|it| before.contains_key(*it)));

    let request_id = new_request_id();
    let begun = erase(&world, &request_id, &chen.id).await.unwrap();
    assert_eq!((begun.state(), &*begun.resident_id), (v1::ErasureState::Running, &*chen.id));
    assert_eq!(chen.on_record().await.unwrap_err().reason, "RESIDENT_NOT_FOUND");
    assert_eq!(erase(&world, &request_id, &chen.id).await.unwrap().id, begun.id, "repeated, it is the same one");
    let again = erase(&world, &new_request_id(), &chen.id).await.unwrap_err();
    assert_eq!(again.reason, "RESIDENT_NOT_FOUND");
    let file = certificate(&world, &begun.id).await;
    assert_eq!(erasure(&world, &begun.id).await.replicas_waited_for, 0);

    let said = content(&file);
    let rows: BTreeMap<String, i64> = serde_json::from_value(said["rows_deleted"].clone()).unwrap();
    for (table, count) in &before {
        match table.as_str() {
            "parcel" | "courier_event" => assert_eq!(said["rows_cleared"][table], *count, "{table}"),
            "consent_ledger" => assert_eq!(said["rows_kept"][table], json!(count + 2), "and that both consents ended"),
            _ => assert_eq!(rows.get(table), Some(count), "{table}"),
        }
    }
    assert_eq!(said["rows_cleared"]["courier_event"], 1, "the door of the recall");
    assert_eq!(
        (&said["keys_destroyed"], &said["timers_kept"]),
        (&json!(1), &json!(1)),
        "of the one that is not recalled"
    );
    assert_eq!(said["reminders_told_before"]["gate_display"], json!(1));
    assert_eq!(said["replicas"].as_array().unwrap().len(), 1);
    assert_eq!(
        said["replicas"][0]["faces_cleared"],
        json!(2 + 1),
        "at the gates both, and the one that the second was compared with"
    );
    let left: Vec<String> = rows_with(&world, &chen.id).await.into_keys().collect();
    assert_eq!(left, ["consent_ledger", "erasure"]);
    for secret in [&chen.name, &chen.phone, &chen.person_reference] {
        assert!(!file.contains(secret.as_str()));
    }

    // The parcels go on, and the gates know nobody.
    assert!(courier.pick_up(&recalled.id).await.is_ok());
    world.let_pass(minutes(1)).await;
    assert!(camera.sees(&scripted_frames("face 陈伟", 12)).await.displays.is_empty());
    let request = v1::GetErasureRequest { erasure_id: "ers_0190a5b0c0de7000800000000000beef".to_owned() };
    let nothing = answer(world.administrator().privacy().get_erasure(request).await).unwrap_err();
    assert_eq!(nothing.reason, "ERASURE_NOT_FOUND");
}

async fn erasures_are_listed_in_pages_to_their_community(world: World) {
    let staff = world.administrator();
    assert_eq!(list(&staff, "").await.unwrap(), v1::ListErasuresResponse::default());
    let mut erased = Vec::new();
    for name in ["王芳", "刘洋", "陈伟"] {
        world.let_pass(minutes(1)).await;
        erased.insert(0, erase(&world, &new_request_id(), &world.resident(name).id).await.unwrap().id);
    }
    certificate(&world, &erased[0]).await;
    let first = list(&staff, "").await.unwrap();
    assert_eq!(first.erasures.iter().map(|it| &*it.id).collect::<Vec<_>>(), erased[..2]);
    assert_eq!((first.erasures[0].state(), &*first.erasures[0].certificate), (v1::ErasureState::Done, ""));
    let second = list(&staff, &first.next_page_token).await.unwrap();
    assert_eq!(second.erasures.iter().map(|it| &*it.id).collect::<Vec<_>>(), erased[2..]);
    assert_eq!(second.next_page_token, "");
    assert_eq!(list(&staff, "nonsense").await.unwrap_err().reason, "INVALID_PAGE_TOKEN");

    let elsewhere = v1::Community { id: "elsewhere".to_owned(), ..standard_community() };
    let request = v1::CreateCommunityRequest { request_id: new_request_id(), community: Some(elsewhere) };
    answer(staff.communities().create_community(request).await).unwrap();
    let neighbours = v1::principal::Administrator { community_id: "elsewhere".to_owned() };
    let (_, key) = staff.issue_key(v1::principal::Principal::Administrator(neighbours)).await.unwrap();
    let neighbours = Administrator::new(world.line().clone(), key);
    assert_eq!(list(&neighbours, "").await.unwrap_err().reason, "COMMUNITY_NOT_FOUND");
}

async fn a_certificate_is_signed_by_one_key_whatever_happens(world: World) {
    let file = async |name: &str| {
        let begun = erase(&world, &new_request_id(), &world.resident(name).id).await.unwrap();
        certificate(&world, &begun.id).await
    };
    let first = file("王芳").await;
    let key = signing_keys(world.config(), world.data_dir()).await.unwrap();
    assert!(verify_certificate(&first, Some(&key)).unwrap().contains("unchanged"));
    let forged = first.replace("lotus-garden", "rose-garden");
    assert!(verify_certificate(&forged, None).unwrap_err().to_string().contains("signature is wrong"));
    let other = verify_certificate(&first, Some("c29tZWJvZHkgZWxzZSdzIGtleSBvZiAzMiBieXRlcyE=")).unwrap_err();
    assert!(other.to_string().contains("not by the one expected"));

    rotate_keys(world.config(), world.data_dir(), &Rotation::Master, world.now()).await.unwrap();
    let second = file("刘洋").await;
    world.drain().await;
    world.start().await;
    let third = file("陈伟").await;
    for file in [second, third] {
        verify_certificate(&file, Some(&key)).unwrap();
    }
}

/// The other replica holds the face in its memory until it looks, and is waited for.
#[tokio::test]
async fn every_replica_confirms_or_has_ended() {
    let world = World::on(Stack::Servers).await;
    let replica = world.replica().await;
    let _worker = replica.scripted_worker().await;
    let courier = world.courier("swift-express").await;
    let [chen, liu] = ["陈伟", "刘洋"].map(|name| replica.resident(name));
    for resident in [&chen, &liu] {
        resident.agree_and_enrol(format!("face {}", resident.name)).await;
        courier.bring(&Label::to(resident)).await;
    }
    world.let_pass(hours(24)).await;
    let mut camera = replica.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 12)).await.displays.len(), 1);
    let both = || async {
        world.store().await.read().await.unwrap().replicas(world.now() - minutes(1)).await.unwrap().len() == 2
    };
    until("both to be heard of", both).await;

    let begun = erase(&world, &new_request_id(), &chen.id).await.unwrap();
    let one_waits = || async { erasure(&world, &begun.id).await.replicas_waited_for == 1 };
    until("the confirmation of the replica that was asked", one_waits).await;
    assert_eq!(erasure(&world, &begun.id).await.state(), v1::ErasureState::Running);
    world.let_pass(SignedDuration::from_secs(10)).await;
    let said = content(&certificate(&world, &begun.id).await);
    let mut cleared: Vec<_> =
        said["replicas"].as_array().unwrap().iter().map(|it| it["faces_cleared"].clone()).collect();
    cleared.sort_by_key(Value::as_u64);
    assert_eq!(cleared, [json!(0), json!(2)]);

    // One that died says nothing any more, and is waited for no longer than a silence means that.
    replica.kill();
    let begun = erase(&world, &new_request_id(), &liu.id).await.unwrap();
    until("the one that lives", || async { erasure(&world, &begun.id).await.replicas_waited_for == 1 }).await;
    for _ in 0..4 {
        world.let_pass(SignedDuration::from_secs(30)).await;
        let heard =
            || async { world.store().await.read().await.unwrap().replicas(world.now()).await.unwrap().len() == 1 };
        until("the one that lives to be heard of", heard).await;
    }
    let said = content(&certificate(&world, &begun.id).await);
    assert_eq!(said["replicas"].as_array().unwrap().len(), 1);
    liu.on_record().await.unwrap_err();
    assert_eq!(said["rows_deleted"]["consent_in_force"], json!(2));
}
