//! After a whole journey with a resident and a stranger at the gate: who appears where. Names, phones and addresses
//! stand in the roster's and the unresolved labels' columns, and nowhere else. A stranger's face and everybody's
//! pictures are nowhere at all.

use std::{collections::BTreeSet, path::Path};

use bytes::Bytes;
use gatepost_proto::v1::{EventKind, Recipient};
use gatepost_storage::Store;
use gatepost_tests::{
    clients::{Courier, Label, Light, Resident, WEBHOOK_SECRET, WebhookReceiver, passage, photograph},
    collector::Collector,
    live::{Live, quick_policy},
    world::until,
};
use gatepost_vision::{Pipeline, cli::DeviceChoice, model::card::default_folder};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};

const HOUR: i64 = 3_600_000;
const NAME: &str = "欧阳晓燕";
const PHONE: &str = "13877665544";
const EMAIL: &str = "ouyang.xiaoyan@example.org";
/// On a label that nobody's home fits.
const UNKNOWN_NAME: &str = "司马无名";
const UNKNOWN_PHONE: &str = "13955443322";
const UNKNOWN_ADDRESS: &str = "莲花苑隔壁九号院七零七";
/// Where those may stand.
const COLUMNS: [&str; 9] = [
    "resident.name",
    "resident.name_key",
    "resident.phone",
    "resident.phone_key",
    "resident.email",
    "parcel.label_name",
    "parcel.label_phone",
    "parcel.label_address",
    "parcel.label_unit",
];
const DEBUG: &str = "info,gatepost=debug,gatepost_server=debug,gatepost_storage=debug,gatepost_matching=debug,\
                     gatepost_process=debug,gatepost_vision=debug";

/// Everything that left the platform or stayed in it.
struct Left {
    /// What was written or sent, by where: every byte as a character, because texts are searched fast.
    places: Vec<(String, String)>,
    /// Columns of the database that hold a text, by the text.
    columns: Vec<(&'static str, BTreeSet<String>)>,
}

impl Left {
    /// Where these bytes are.
    fn places_with(&self, bytes: &[u8]) -> Vec<&str> {
        let wanted = characters(bytes);
        let places = self.places.iter().filter(|(_, held)| held.contains(&wanted));
        places.map(|(place, _)| place.as_str()).collect()
    }
}

fn characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[tokio::test]
async fn names_stay_in_their_columns_and_strangers_leave_no_trace() {
    let resident_frames = passage("obama2", 8, Light::Day);
    let stranger_frames = passage("biden", 8, Light::Day);
    let left = journey(&resident_frames, &stranger_frames).await;
    let in_files = |place: &&str| place.starts_with("gatepost.db");

    for (text, columns) in &left.columns {
        assert!(!columns.is_empty(), "{text} must be somewhere, or this test looks in the wrong place");
        let elsewhere: Vec<_> = columns.iter().filter(|column| !COLUMNS.contains(&column.as_str())).collect();
        assert!(elsewhere.is_empty(), "{text} is in {elsewhere:?}");
        let outside: Vec<_> = left.places_with(text.as_bytes()).into_iter().filter(|place| !in_files(place)).collect();
        assert!(outside.is_empty(), "{text} is in {outside:?}");
    }
    let mut pictures = vec![photograph("obama")];
    pictures.extend(resident_frames.iter().chain(&stranger_frames).cloned());
    for picture in &pictures {
        let middle = picture.len() / 2;
        assert_eq!(left.places_with(&picture[middle..middle + 64]), Vec::<&str>::new(), "a picture was kept");
    }
    let mut faces = vec![photograph("obama")];
    faces.extend(stranger_frames);
    // The enrolled one's too: it is kept, and sealed. That a vector would be found is shown in sealed.rs.
    for face in tokio::task::spawn_blocking(move || embeddings(&faces)).await.unwrap() {
        assert_eq!(left.places_with(&first_bytes(&face)), Vec::<&str>::new(), "a face was kept to be read");
        for number in face.iter().map(f32::to_string).filter(|number| number.len() > 9) {
            assert_eq!(left.places_with(number.as_bytes()), Vec::<&str>::new(), "{number} of a face");
        }
    }
}

#[tokio::test]
async fn who_is_deleted_is_gone_from_the_disk_with_the_next_sweep() {
    let live = Live::serve(&[("GATEPOST_TIMERS__SWEEP_EVERY", "300ms")]).await;
    let personal = somebody_came_and_went(&live).await;
    until("the overwriting of what was deleted", || async { left_on_disk(&live, &personal).is_empty() }).await;
}

#[tokio::test]
async fn who_is_deleted_is_gone_from_the_disk_when_the_platform_ends() {
    let mut live = Live::serve(&[]).await;
    let personal = somebody_came_and_went(&live).await;
    live.terminate().await;
    assert_eq!(live.ended().await.code, Some(0));
    assert_eq!(left_on_disk(&live, &personal), Vec::<String>::new());
}

/// Enrols somebody and deletes them again; what was personal about them.
async fn somebody_came_and_went(live: &Live) -> Vec<Vec<u8>> {
    let _worker = live.worker(&[]).await;
    live.community(quick_policy(HOUR, 72 * HOUR)).await;
    let ouyang = live.resident(NAME, PHONE, EMAIL).await;
    ouyang.agree_and_enrol(photograph("obama")).await;
    let mut personal: Vec<Vec<u8>> = [NAME, PHONE, EMAIL].map(|text| text.as_bytes().to_vec()).into();
    personal.extend(sealed_face(live, &ouyang).await);
    let found = left_on_disk(live, &personal).len();
    assert!(found >= personal.len(), "all of it must be there before, or this test looks in the wrong place");
    ouyang.delete().await;
    personal
}

/// The enrolled face and its key, as they are kept.
async fn sealed_face(live: &Live, resident: &Resident) -> [Vec<u8>; 2] {
    let url = format!("sqlite://{}", live.data_dir().join("gatepost.db").display());
    let tx = Store::connect(&url, 1).await.unwrap().read().await.unwrap();
    let resident = resident.id.parse().unwrap();
    let face = tx.templates_of(resident).await.unwrap().remove(0).embedding;
    // The middle of each: what follows the nonce.
    [face, tx.resident_key(resident).await.unwrap().unwrap().wrapped].map(|sealed| sealed[25..57].to_vec())
}

/// Files that hold any of these, once for each.
fn left_on_disk(live: &Live, personal: &[Vec<u8>]) -> Vec<String> {
    let places = files(live.data_dir()).into_iter().map(|(place, held)| (place, characters(&held))).collect();
    let left = Left { places, columns: Vec::new() };
    personal.iter().flat_map(|personal| left.places_with(personal)).map(str::to_owned).collect()
}

/// The best face of each picture, as the worker would have found it.
fn embeddings(pictures: &[Bytes]) -> Vec<Vec<f32>> {
    let device = DeviceChoice::Cpu.open().unwrap();
    let pipeline = Pipeline::load(&default_folder(), &device).unwrap();
    pictures.iter().map(|jpeg| pipeline.faces(jpeg).unwrap().remove(0).embedding).collect()
}

fn first_bytes(embedding: &[f32]) -> Vec<u8> {
    embedding[..8].iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Lives through a journey and gathers what is left of it.
async fn journey(resident_frames: &[Bytes], stranger_frames: &[Bytes]) -> Left {
    let (collector, receiver) = (Collector::start().await, WebhookReceiver::start().await);
    let mut live = Live::serve(&[
        ("GATEPOST_TELEMETRY__LOG_FILTER", DEBUG),
        ("GATEPOST_TELEMETRY__OTLP_ENDPOINT", collector.endpoint()),
        ("GATEPOST_WEBHOOK__URL", receiver.url()),
        ("GATEPOST_WEBHOOK__SECRET", WEBHOOK_SECRET),
    ])
    .await;
    live.community(quick_policy(0, 72 * HOUR)).await;
    let settings = [("GATEPOST_LOG_FILTER", DEBUG), ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())];
    let mut worker = live.worker(&settings).await;
    let ouyang = live.resident(NAME, PHONE, EMAIL).await;
    let swift = live.courier("swift-express").await;
    let events = live_through(&live, &swift, &ouyang, &receiver, [resident_frames, stranger_frames]).await;

    let mut places = vec![
        ("events".to_owned(), events.into_bytes()),
        ("metrics".to_owned(), live.http("/metrics").await.1.into_bytes()),
    ];
    worker.terminate().await;
    places.push(("log of the worker".to_owned(), worker.ended().await.said.into_bytes()));
    // What a running database keeps beside its file counts too.
    places.extend(files(live.data_dir()));
    let database = database(live.data_dir()).await;
    let answers = columns(&database, &ouyang.id).await;
    assert!(answers.contains("request.answer"), "remembered answers are looked into: {answers:?}");
    let mut found = Vec::new();
    for text in [NAME, PHONE, EMAIL, UNKNOWN_NAME, UNKNOWN_PHONE, UNKNOWN_ADDRESS] {
        found.push((text, columns(&database, text).await));
    }
    database.close().await.unwrap();
    live.terminate().await;
    assert_eq!(live.ended().await.code, Some(0));
    places.extend(files(live.data_dir()));
    places.push(("log of the platform".to_owned(), live.log().into_bytes()));
    places.push(("spans".to_owned(), format!("{:?}", collector.all()).into_bytes()));
    let calls = receiver.left().await;
    places.push(("webhooks".to_owned(), format!("{calls:?}").into_bytes()));
    assert!(collector.all().len() > 20 && live.log().contains("DEBUG"), "there was something to look at");
    let places = places.into_iter().map(|(place, held)| (place, characters(&held))).collect();
    Left { places, columns: found }
}

/// A parcel for somebody unknown, a stranger at the gate, the resident, a webhook, a pickup, and some mistakes, whose
/// answers may repeat nothing either. Returns what the courier was told.
async fn live_through(
    live: &Live,
    swift: &Courier,
    ouyang: &Resident,
    receiver: &WebhookReceiver,
    [resident_frames, stranger_frames]: [&[Bytes]; 2],
) -> String {
    ouyang.agree_and_enrol(photograph("obama")).await;
    let unknown = Recipient {
        name: UNKNOWN_NAME.to_owned(),
        phone: UNKNOWN_PHONE.to_owned(),
        address: UNKNOWN_ADDRESS.to_owned(),
        ..Recipient::default()
    };
    let mut told = format!("{:?}", swift.announce(&Label::to(ouyang).recipient(unknown)).await.unwrap());
    let parcel = swift.bring(&Label::to(ouyang)).await;
    let mut mistaken = Label::to(ouyang).request();
    mistaken.size = 77;
    told += &format!("{:?}", swift.announce_as(mistaken.clone()).await.unwrap_err());
    mistaken.size = 1;
    mistaken.tracking_number = parcel.tracking_number.clone();
    told += &format!("{:?}", swift.announce_as(mistaken).await.unwrap_err());

    let camera = live.camera_key().await;
    let seen = live.pass(&camera, stranger_frames).await;
    assert_eq!((seen.displays.len(), seen.refused.len()), (0, 0));
    let seen = live.pass(&camera, resident_frames).await;
    assert_eq!((seen.displays.len(), seen.refused.len()), (1, 0));
    told += &format!("{seen:?} {:?}", receiver.next().await);
    told += &format!("{:?}", swift.pick_up(&parcel.id).await.unwrap());
    for kind in [EventKind::Deposited, EventKind::ReminderSent, EventKind::PickedUp] {
        told += &format!("{:?}", swift.expect_event(kind).await);
    }
    told
}

/// Every file below the folder, by its name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        files.push((name, std::fs::read(path).unwrap()));
    }
    files
}

async fn database(data_dir: &Path) -> DatabaseConnection {
    let url = format!("sqlite://{}?mode=ro", data_dir.join("gatepost.db").display());
    Database::connect(url).await.unwrap()
}

/// Which columns hold a text, looked for in every column of every table, as text and as bytes.
async fn columns(database: &DatabaseConnection, text: &str) -> BTreeSet<String> {
    let ask = async |sql: &str, values: Vec<sea_orm::Value>| {
        let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values);
        database.query_all_raw(statement).await.unwrap()
    };
    let all = "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'";
    let mut found = BTreeSet::new();
    for row in ask(all, Vec::new()).await {
        let (table, column): (String, String) = (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap());
        let holds =
            format!("SELECT 1 FROM \"{table}\" WHERE instr(CAST(\"{column}\" AS BLOB), CAST(? AS BLOB)) > 0 LIMIT 1");
        if !ask(&holds, vec![text.into()]).await.is_empty() {
            found.insert(format!("{table}.{column}"));
        }
    }
    found
}
