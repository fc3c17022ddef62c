//! Everything that is kept about a resident can be had by them: every table that knows of residents, as the schema of the
//! database has them, and nothing about anybody else.

use std::collections::{BTreeMap, BTreeSet};

use gatepost_proto::v1::{self, ConsentPurpose, EventKind};
use gatepost_storage::{Capture, EnrolmentConflict, ResidentKey};
use gatepost_tests::{
    clients::{Answer, Label, Resident, answer, new_request_id, scripted_frames},
    world::{COMMUNITY, NORTH_GATE, World, hours, minutes},
};
use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

const SCHEMA: &str = include_str!("../../proto/resident-export.schema.json");
/// Columns by which a table knows of residents.
const ABOUT: [&str; 4] = ["resident", "other", "subject", "parcel"];
/// Tables that know of residents and are not in the export, with the reason.
const LEFT_OUT: [(&str, &str); 6] = [
    ("consent_in_force", "told as consents_in_force"),
    ("resident_key", "a random key, wrapped: it says nothing about anybody"),
    ("look_subject", "the index of look"),
    ("policy_layer", "its subject is a community or a courier"),
    ("rearm", "its subject is a community or a courier"),
    ("erasure", "of those who are no more: nobody is there to ask"),
];

on_both_stacks!(everything_is_told, nobody_else_is_told_of);

async fn export(world: &World, id: &str) -> Answer<Map<String, Value>> {
    let request = v1::ExportResidentRequest { resident_id: id.to_owned() };
    let exported = answer(world.administrator().privacy().export_resident(request).await)?;
    Ok(serde_json::from_slice(&exported.json).unwrap())
}

/// Something in every table.
async fn live_through(world: &World, chen: &Resident) {
    let _worker = world.scripted_worker().await;
    let courier = world.courier("swift-express").await;
    chen.agree_and_enrol("face 陈伟").await;
    chen.import_pickups(&[world.now() - hours(30)]).await.unwrap();
    courier.bring(&Label::to(chen)).await;
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 12)).await.displays.len(), 1);
    let reminder = chen.reminders().await.remove(0);
    let request = v1::ReportMisidentificationRequest {
        request_id: new_request_id(),
        resident_id: chen.id.clone(),
        decide_time: reminder.decide_time,
    };
    answer(world.administrator().residents().report_misidentification(request).await).unwrap();
    let tx = world.store().await.write().await.unwrap();
    let conflict = EnrolmentConflict {
        resident: world.resident("刘洋").id.parse().unwrap(),
        other: chen.id.parse().unwrap(),
        community: COMMUNITY.parse().unwrap(),
        similarity: 0.5,
        found_at: world.now(),
        settled: None,
    };
    tx.raise_conflict(&conflict).await.unwrap();
    let capture = Capture {
        resident: chen.id.parse().unwrap(),
        community: COMMUNITY.parse().unwrap(),
        gate: NORTH_GATE.parse().unwrap(),
        opened_at: world.now(),
        // Not thrown away before it is asked for.
        ends_at: world.now() + hours(72),
        wanted: 3,
        enrolled: 0,
        frames: 1,
        refused: [("FACE_DARK".to_owned(), 1)].into(),
    };
    tx.save_capture(&capture).await.unwrap();
    tx.commit().await.unwrap();
    world.let_pass(minutes(1)).await;
}

async fn everything_is_told(world: World) {
    let chen = world.resident("陈伟");
    live_through(&world, &chen).await;
    let courier = world.courier("swift-express").await;
    let before = export(&world, &chen.id).await.unwrap();
    assert_eq!(before["last_sighting"][0]["gate"], NORTH_GATE);
    world.let_pass(hours(48)).await;
    courier.await_event(EventKind::RecallRequested).await;
    let told = export(&world, &chen.id).await.unwrap();

    let known = tables(&world).await;
    let left_out: BTreeSet<String> = LEFT_OUT.iter().map(|(table, _)| (*table).to_owned()).collect();
    let about: BTreeSet<String> = known
        .iter()
        .filter(|(_, columns)| ABOUT.iter().any(|about| columns.contains(*about)))
        .map(|it| it.0.clone())
        .collect();
    for table in about.difference(&left_out) {
        assert!(told.contains_key(table), "{table} knows of residents: export it, or say here why not");
        assert!(
            told[table].as_array().is_some_and(|rows| !rows.is_empty()) || table == "last_sighting",
            "{table} is empty"
        );
    }
    assert!(left_out.is_subset(&about) && about.len() > 10, "{about:?}");

    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for document in [&before, &told] {
        check(&schema, &Value::Object(document.clone()), "");
    }
    // Whatever the schema of the database gains is in the published one too.
    let rows = |table: &str| told[table].as_array().unwrap().clone();
    assert_eq!(rows("resident")[0]["name"], "陈伟");
    assert_eq!(rows("resident")[0]["id"], *chen.id);
    let purposes: Vec<_> = rows("consent_ledger").iter().map(|entry| entry["purpose"].clone()).collect();
    assert_eq!(purposes, ["locker_deposit", "gate_recognition"]);
    assert_eq!(rows("consent_ledger")[1]["notice"], "notice-2026-01");
    assert_eq!(rows("consent_ledger")[1]["hash"].as_str().unwrap().len(), 64);
    assert_eq!(told["consents_in_force"], serde_json::json!(["gate_recognition", "locker_deposit"]));
    assert_eq!(rows("template").len(), 1);
    let recall = rows("courier_event").into_iter().find(|event| event["kind"] == "recall_requested").unwrap();
    assert_eq!(recall["unit"], *chen.unit);
    assert!(rows("look").iter().any(|look| look["rpc"] == "gatepost.v1.ResidentService/EnrolFace"));
    assert!(
        rows("look").iter().any(|look| look["rpc"] == "gatepost.v1.PrivacyService/ExportResident"),
        "the first one"
    );

    let nobody = export(&world, "res_0190a5b0c0de7000800000000000beef").await.unwrap_err();
    assert_eq!(nobody.reason, "RESIDENT_NOT_FOUND");
}

async fn nobody_else_is_told_of(world: World) {
    let [chen, liu, wang] = ["陈伟", "刘洋", "王芳"].map(|name| world.resident(name));
    live_through(&world, &chen).await;
    wang.consent(ConsentPurpose::GateRecognition).await;
    let request = v1::ListResidentsRequest { community_id: COMMUNITY.to_owned(), ..Default::default() };
    answer(world.administrator().residents().list_residents(request).await).unwrap();
    let tx = world.store().await.read().await.unwrap();
    let id = chen.id.parse().unwrap();
    let sealed = tx.templates_of(id).await.unwrap().remove(0).embedding;
    let ResidentKey { wrapped, .. } = tx.resident_key(id).await.unwrap().unwrap();
    let keys = tx.keys(None, 100).await.unwrap();
    let told = Value::Object(export(&world, &chen.id).await.unwrap()).to_string();
    for other in [&liu, &wang] {
        for secret in [&other.id, &other.name, &other.phone, &other.person_reference] {
            assert!(!told.contains(secret.as_str()), "{secret} of {}", other.name);
        }
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(!told.contains(&hex(&sealed[..16])) && !told.contains(&hex(&wrapped[..16])));
    for key in keys {
        assert!(!told.contains(&key.id.to_string()), "which of the staff looked");
    }
}

/// Every table with its columns.
async fn tables(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let database = Database::connect(world.config().database.url_in(world.data_dir()).expose_secret()).await.unwrap();
    let (backend, sql) = match database.get_database_backend() {
        DbBackend::Postgres => (
            DbBackend::Postgres,
            "SELECT table_name::text, column_name::text FROM information_schema.columns
            WHERE table_schema = current_schema()",
        ),
        _ => (
            DbBackend::Sqlite,
            "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'",
        ),
    };
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in database.query_all_raw(Statement::from_string(backend, sql)).await.unwrap() {
        let (table, column): (String, String) = (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap());
        tables.entry(table).or_default().insert(column);
    }
    tables
}

/// Holds a value against the few words that the published schema uses.
fn check(schema: &Value, value: &Value, place: &str) {
    if let Some(constant) = schema.get("const") {
        assert_eq!(value, constant, "{place}");
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        other => panic!("{place}: no type but {other}"),
    };
    let fits = types.iter().any(|kind| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{place}: {other}"),
    });
    assert!(fits, "{place}: {value} is none of {types:?}");
    if schema.get("format").is_some() && value.is_string() {
        value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
    match value {
        Value::Object(fields) => {
            let properties = schema["properties"].as_object().unwrap();
            let names = |map: &Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(names(fields), names(properties), "{place}");
            fields.iter().for_each(|(name, value)| check(&properties[name], value, &format!("{place}.{name}")));
        }
        Value::Array(values) => values.iter().for_each(|value| check(&schema["items"], value, place)),
        _ => {}
    }
}
