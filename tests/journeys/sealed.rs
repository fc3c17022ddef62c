//! Enrolled faces at rest: no vector is in any file of the database, a deleted key makes every copy worthless, and keys
//! are rotated while gates look.

use std::path::{Path, PathBuf};

use gatepost_domain::id::{ResidentId, TemplateId};
use gatepost_proto::{v1::ConsentPurpose, vision};
use gatepost_server::{Rotation, rotate_keys};
use gatepost_storage::Template;
use gatepost_tests::{
    clients::{Face, Label, ManualWorker, Seen, scripted_frames},
    world::{COMMUNITY, NORTH_GATE, World, hours, minutes},
};
use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};
use secrecy::ExposeSecret as _;
use tonic::Code;
use uuid::Uuid;

on_both_stacks!(
    no_vector_is_in_a_file_of_the_database,
    a_deleted_key_makes_every_copy_unreadable,
    keys_are_rotated_while_gates_look,
    without_the_master_key_everything_else_goes_on,
);

/// A face like no other, whose bytes are worth looking for.
fn planted(number: u32) -> Vec<f32> {
    let numbers: Vec<f64> = (0..128u32).map(|at| f64::from((at * 2_654_435 + number * 40_503) % 997) - 498.0).collect();
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    numbers.iter().map(|number| (number / length) as f32).collect()
}

fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

async fn no_vector_is_in_a_file_of_the_database(world: World) {
    let vector = planted(1);
    let mut worker = world.manual_worker(8).await;
    let chen = world.resident("陈伟");
    chen.consent(ConsentPurpose::GateRecognition).await;
    let (enrolled, ()) = tokio::join!(chen.enrol("a photograph"), answer_one(&mut worker, vector.clone()));
    assert_eq!(enrolled.unwrap().resident.unwrap().faces, 1);

    // What was not sealed would be found: this one is put there to show it.
    let control = planted(2);
    let tx = world.store().await.write().await.unwrap();
    let unsealed = Template {
        id: TemplateId(Uuid::from_u128(77)),
        resident: chen.id.parse::<ResidentId>().unwrap(),
        model: "test".to_owned(),
        embedding: bytes(&control),
        enrolled_at: world.now(),
    };
    tx.insert_template(&unsealed).await.unwrap();
    let kept = tx.templates_of(unsealed.resident).await.unwrap();
    tx.commit().await.unwrap();
    let sealed = kept.iter().find(|template| template.id != unsealed.id).expect("the enrolled face").embedding.clone();

    let files = database_files(&world).await;
    let with = |needle: &[u8]| -> Vec<&PathBuf> {
        let holds = |held: &[u8]| held.windows(needle.len()).any(|window| window == needle);
        files.iter().filter(|(_, held)| holds(held)).map(|(path, _)| path).collect()
    };
    assert!(!with(&bytes(&control)[..64]).is_empty(), "this test looks in the wrong place");
    assert!(!with(&sealed[..64]).is_empty(), "this test looks in the wrong place");
    for part in bytes(&vector).chunks(128) {
        assert_eq!(with(&part[..32]), Vec::<&PathBuf>::new(), "a part of the enrolled face is there to read");
    }
    for key in std::fs::read_to_string(world.data_dir().join("master.key")).unwrap().split_whitespace() {
        assert_eq!(with(key.as_bytes()), Vec::<&PathBuf>::new(), "the master key is beside what it opens");
    }
}

/// Answers one frame with one good face.
async fn answer_one(worker: &mut ManualWorker, embedding: Vec<f32>) {
    let frame = worker.frame().await;
    let bounds = vision::Box { x: 100.0, y: 100.0, width: 120.0, height: 150.0 };
    let face = Face { r#box: Some(bounds), score: 0.95, quality: 0.9, embedding, ..Default::default() };
    let result = vision::FrameResult {
        frame_id: frame.frame_id,
        width: 1280,
        height: 720,
        faces: vec![face],
        ..Default::default()
    };
    worker.answer(result).await;
}

/// Every file of the database, logs included, as it is on the disk now.
async fn database_files(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let folders = if world.redis().is_none() {
        vec![world.data_dir().to_owned()]
    } else {
        let url = world.config().database.url.expose_secret();
        let database = Database::connect(url).await.unwrap();
        database.execute_unprepared("CHECKPOINT").await.unwrap();
        let path = "SELECT current_setting('data_directory'), pg_relation_filepath('template')";
        let row = database.query_one_raw(Statement::from_string(DbBackend::Postgres, path)).await.unwrap().unwrap();
        let (cluster, table): (String, String) = (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap());
        let cluster = PathBuf::from(cluster);
        let relations = cluster.join(table).parent().expect("a table lies in a folder").to_owned();
        vec![relations, cluster.join("pg_wal")]
    };
    folders.iter().flat_map(|folder| files(folder)).collect()
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let databases = entries.filter(|path| path.is_file() && path.file_name().is_some_and(|name| name != "master.key"));
    databases.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

async fn a_deleted_key_makes_every_copy_unreadable(world: World) {
    let _worker = world.scripted_worker().await;
    let courier = world.courier("swift-express").await;
    let chen = world.resident("陈伟");
    chen.agree_and_enrol("face 陈伟").await;
    courier.bring(&Label::to(&chen)).await;
    let id: ResidentId = chen.id.parse().unwrap();
    let backup = world.store().await.read().await.unwrap().templates_of(id).await.unwrap();
    assert_eq!(backup.len(), 1);
    chen.withdraw(ConsentPurpose::GateRecognition).await;
    assert_eq!(world.store().await.read().await.unwrap().resident_key(id).await.unwrap(), None);

    // The resident comes back with another photograph; the old template is restored from a copy.
    chen.agree_and_enrol("face 刘洋").await;
    let tx = world.store().await.write().await.unwrap();
    tx.insert_template(&backup[0]).await.unwrap();
    tx.commit().await.unwrap();
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 12)).await, Seen::default(), "the copy opens nothing");
    world.let_pass(minutes(1)).await;
    assert_eq!(camera.sees(&scripted_frames("face 刘洋", 12)).await.displays.len(), 1, "what is enrolled does");
}

async fn keys_are_rotated_while_gates_look(world: World) {
    let _worker = world.scripted_worker().await;
    let courier = world.courier("swift-express").await;
    let residents = ["陈伟", "刘洋", "王芳"].map(|name| world.resident(name));
    for resident in &residents {
        resident.agree_and_enrol(format!("face {}", resident.name)).await;
        courier.bring(&Label::to(resident)).await;
    }
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 12)).await.displays.len(), 1);
    let [chen, liu, wang] = residents.each_ref().map(|resident| resident.id.parse::<ResidentId>().unwrap());
    let before = world.store().await.read().await.unwrap().templates_of(chen).await.unwrap();

    let rotate = async |rotation: Rotation| {
        rotate_keys(world.config(), world.data_dir(), &rotation, world.now()).await.expect("the keys are rotated")
    };
    // In the middle of a passage: its first frame was compared under the old keys.
    assert_eq!(camera.sees(&scripted_frames("face 刘洋", 1)).await, Seen::default());
    let said = rotate(Rotation::Community(COMMUNITY.parse().unwrap())).await;
    assert_eq!(said, "4 new keys in 1 communities, 3 faces sealed anew");
    assert_eq!(camera.sees(&scripted_frames("face 刘洋", 12)).await.displays.len(), 1);
    let store = world.store().await;
    let tx = store.read().await.unwrap();
    assert_ne!(tx.templates_of(chen).await.unwrap()[0].embedding, before[0].embedding);
    let generations = tx.community_keys(&COMMUNITY.parse().unwrap()).await.unwrap();
    assert_eq!(generations.iter().map(|key| key.generation).collect::<Vec<_>>(), [2], "the old key is gone");
    for resident in [chen, liu, wang] {
        assert_eq!(tx.resident_key(resident).await.unwrap().unwrap().generation, 2);
    }
    drop(tx);

    let master = std::fs::read_to_string(world.data_dir().join("master.key")).unwrap();
    rotate(Rotation::Master).await;
    let next = std::fs::read_to_string(world.data_dir().join("master.key")).unwrap();
    assert!(!next.contains(master.trim()) && next.lines().count() == 1, "the old master key is gone");
    world.let_pass(minutes(1)).await;
    assert_eq!(camera.sees(&scripted_frames("face 王芳", 12)).await.displays.len(), 1);
    rotate(Rotation::Communities).await;
    // Both kinds of keys are read from the beginning by a new process.
    world.drain().await;
    world.start().await;
    let _worker = world.scripted_worker().await;
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    // A new worker gives the same faces in the order in which it meets them.
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 12)).await.displays.len(), 1);
}

async fn without_the_master_key_everything_else_goes_on(world: World) {
    let worker = world.scripted_worker().await;
    let courier = world.courier("swift-express").await;
    let chen = world.resident("陈伟");
    chen.agree_and_enrol("face 陈伟").await;
    let parcel = courier.bring(&Label::to(&chen)).await;
    drop(worker);
    world.drain().await;
    std::fs::rename(world.data_dir().join("master.key"), world.data_dir().join("lost")).unwrap();
    world.start().await;
    assert!(!world.data_dir().join("master.key").exists(), "another master key would open nothing");
    let _worker = world.scripted_worker().await;
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 12)).await, Seen::default());
    let refused = chen.enrol("face 陈伟").await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "FACE_KEYS_UNUSABLE"));
    std::fs::rename(world.data_dir().join("lost"), world.data_dir().join("master.key")).unwrap();
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 12)).await.displays.len(), 1, "found again without a restart");
    assert!(courier.pick_up(&parcel.id).await.is_ok());
}
