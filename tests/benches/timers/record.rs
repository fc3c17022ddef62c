//! A database of parcels that wait, and the platform on it.

use gatepost_domain::{
    Parcel, State, Timestamp,
    community::{Community, DisplayPolicy},
    consent::DepositConsent,
    id::{ParcelId, ResidentId},
    parcel::{Facts, RecallBasis, ReminderPlan, Stay},
    ports::Timer,
    recipient::Addressee,
    resident::Resident,
    topology::{Building, Compartment, Locker, Size, Topology},
};
use gatepost_process::clock::{ManualClock, SystemClock};
use gatepost_server::{
    config::{Config, TimersKind},
    timers::Ground,
    wiring,
};
use gatepost_storage::{Courier, Store};
use gatepost_tests::{
    crowd::{self, crowd},
    services::{Redis, fresh_database},
};
use jiff::{SignedDuration, tz::TimeZone};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, QueryResult, Statement};
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

use super::{ours, raw::Raw};

const COURIER: &str = "swift";
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Record {
    url: String,
    database: DatabaseConnection,
    folder: TempDir,
}

impl Record {
    /// So many parcels, the first to be recalled at an instant and each other one so much after the one before.
    pub async fn waiting(count: usize, due: Timestamp, between: SignedDuration) -> Record {
        let url = tokio::task::spawn_blocking(fresh_database).await.unwrap();
        let store = Store::connect(&url, 1).await.unwrap();
        store.migrate().await.unwrap();
        let (resident, tx) = (resident(), store.write().await.unwrap());
        tx.insert_community(&community()).await.unwrap();
        let courier = Courier { id: COURIER.parse().unwrap(), display_name: "快递 Express".to_owned() };
        tx.insert_courier(&courier).await.unwrap();
        tx.insert_resident(&resident).await.unwrap();
        tx.insert_parcel(&parcel(&resident, due), due).await.unwrap();
        tx.commit().await.unwrap();
        crowd(&url, u32::try_from(count - 1).unwrap(), between).await;
        let database = Database::connect(&url).await.unwrap();
        database.execute_unprepared("VACUUM ANALYZE").await.unwrap();
        Record { url, database, folder: tempfile::tempdir().unwrap() }
    }

    /// The platform, by the machine's clock or one that is set by hand.
    pub async fn platform(
        &self,
        redis: &Redis,
        slot_width: Duration,
        connections: u32,
        clock: Option<ManualClock>,
    ) -> impl Ground {
        let mut config = Config::default();
        config.database.url = self.url.clone().into();
        config.database.connections_max = connections;
        config.timers.kind = TimersKind::Redis;
        config.timers.redis_urls = vec![redis.url().to_owned().into()];
        config.timers.shards = ours::SHARDS;
        config.timers.slot_width = slot_width;
        // Redis has no clock but the machine's.
        config.timers.server_time = clock.is_none();
        let clock = clock.map_or_else(SystemClock::shared, |clock| clock.shared());
        wiring::platform(config, self.folder.path(), clock).await.unwrap()
    }

    /// Returns when the index is made, which must be in time for what is due.
    pub async fn ready(&self, redis: &Redis, due: Timestamp) {
        loaded(redis).await;
        assert!(ours::now() + SignedDuration::from_millis(1_200) < due, "not ready in time");
    }

    /// Returns when so many parcels were recalled: each has an event.
    pub async fn recalled(&self, count: usize) {
        let sql = format!("SELECT newest_sequence FROM courier WHERE id = '{COURIER}'");
        let mut look = tokio::time::interval(LOOK_EVERY);
        let recalled = async |row: QueryResult| row.try_get_by_index::<i64>(0).unwrap() >= count as i64;
        while !recalled(self.rows(&sql).await.remove(0)).await {
            look.tick().await;
        }
    }

    /// From when each parcel was due to the commit of its event, in milliseconds.
    pub async fn late(&self) -> Vec<f64> {
        let sql = "SELECT (extract(epoch FROM pg_xact_commit_timestamp(courier_event.xmin)) * 1000 - recall_at)::float8
            FROM courier_event JOIN parcel ON parcel.id = courier_event.parcel";
        self.rows(sql).await.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }

    async fn rows(&self, sql: &str) -> Vec<QueryResult> {
        self.database.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap()
    }
}

/// Returns when every shard of the index was made from the rows.
pub async fn loaded(redis: &Redis) {
    let mut raw = Raw::connect(redis).await;
    let mut look = tokio::time::interval(Duration::from_millis(2));
    for shard in 0..ours::SHARDS {
        while !raw.has(&format!("{{gatepost:{shard}/{}}}:g", ours::SHARDS)).await {
            look.tick().await;
        }
    }
}

/// The timers of the copies among the parcels of a record.
pub fn timers(count: usize, due: Timestamp, between: SignedDuration) -> Vec<Timer> {
    let timer = |number: u32| Timer {
        due: Timestamp::from_millisecond(
            due.as_millisecond() + i64::from(number) * i64::try_from(between.as_micros()).unwrap() / 1000,
        )
        .unwrap(),
        parcel: crowd::parcel(number),
    };
    (0..u32::try_from(count - 1).unwrap()).map(timer).collect()
}

fn community() -> Community {
    let compartment = Compartment { id: "A1".parse().unwrap(), size: Size::Medium, accessible: false };
    Community {
        id: "lotus".parse().unwrap(),
        display_name: "莲花苑".to_owned(),
        time_zone: TimeZone::get("Asia/Shanghai").unwrap(),
        topology: Topology {
            buildings: vec![Building { id: "b3".parse().unwrap(), name: "3号楼".to_owned() }],
            gates: Vec::new(),
            lockers: vec![Locker {
                id: "east".parse().unwrap(),
                name: "东柜".to_owned(),
                offline: false,
                opening_hours: Vec::new(),
                compartments: vec![compartment],
            }],
            junctions: Vec::new(),
            walkways: Vec::new(),
        },
        display: DisplayPolicy::Locker,
    }
}

fn resident() -> Resident {
    Resident {
        id: ResidentId(Uuid::from_u128(1)),
        community: "lotus".parse().unwrap(),
        name: "王芳".to_owned(),
        phone: "13800010001".to_owned(),
        email: String::new(),
        building: "b3".parse().unwrap(),
        unit: "802".to_owned(),
        person_reference: String::new(),
        needs_accessible: false,
        under_14: false,
        consents: Vec::new(),
        faces: 0,
        face_models: Vec::new(),
    }
}

/// It has been reminded as often as it may, and is to be recalled.
fn parcel(resident: &Resident, due: Timestamp) -> Parcel {
    let facts = Facts {
        id: ParcelId(Uuid::from_u128(1)),
        courier: COURIER.parse().unwrap(),
        community: "lotus".parse().unwrap(),
        tracking_number: "SF1000000001".to_owned(),
        size: Size::Medium,
        deposit_consent: DepositConsent::Given,
        announced_at: due - SignedDuration::from_hours(80),
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
    };
    let stay = Stay {
        locker: "east".parse().unwrap(),
        compartment: "A1".parse().unwrap(),
        deposited_at: due - SignedDuration::from_hours(72),
        remind_from: due - SignedDuration::from_hours(48),
        recall_at: due,
        recall_basis: RecallBasis::Deposit,
        extended: false,
        hold: None,
        door_attempts: 0,
        recalls: 0,
        reminders_sent: 1,
        last_reminded_at: Some(due - SignedDuration::from_hours(24)),
    };
    let state = State::Waiting { stay, plan: ReminderPlan::Never };
    Parcel::restore(facts, Addressee::resident(resident), state, due - SignedDuration::from_hours(72), 0)
}
