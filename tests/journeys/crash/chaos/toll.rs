//! What it came to, by the database alone: the events of every parcel in the order of their log, each with the time at
//! which the database itself wrote it.

use std::{collections::BTreeMap, fmt};

use gatepost_domain::id::ParcelId;
use jiff::Timestamp;
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, QueryResult, Statement};
use uuid::Uuid;

use super::{fates::Fate, fleet::Lives};

/// The most that a deadline may be late, in milliseconds. Whatever the index missed the sweep finds after two and a half
/// seconds; a reminder is two steps, each of which may be missed; and for a moment no replica may live at all.
pub const LATE_MAX: i64 = 7_000;

/// As its row in the log has it.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    kind: String,
    /// In microseconds since 1970.
    written_at: i64,
}

const REMINDED: &str = "reminded_at_usual_hour";
const RECALLED: &str = "recall_requested";
const PICKED_UP: &str = "picked_up";

/// What happened to the deadlines of all parcels.
#[derive(Debug, Default)]
pub struct Toll {
    effects: u64,
    pickups: u64,
    deaths: u64,
    swept: u64,
    /// How late each effect was, in microseconds.
    late: Vec<i64>,
    /// What must not be, in words.
    lost: Vec<String>,
    doubled: Vec<String>,
    early: Vec<String>,
    after_pickup: Vec<String>,
}

/// The database.
pub struct Record(DatabaseConnection);

impl Record {
    /// From now on it writes into each event's row when that was written.
    pub async fn open(url: &str) -> Record {
        let database = Database::connect(url).await.expect("the database answers");
        let alter = "ALTER TABLE courier_event ADD COLUMN written_at timestamptz NOT NULL DEFAULT clock_timestamp()";
        database.execute_unprepared(alter).await.expect("a column more");
        Record(database)
    }

    async fn ask(&self, sql: &str) -> Vec<QueryResult> {
        let statement = Statement::from_string(self.0.get_database_backend(), sql);
        self.0.query_all_raw(statement).await.expect("an answer")
    }

    /// Whether so many parcels have come to their end.
    pub async fn have_ended(&self, parcels: usize) -> bool {
        let ended = "SELECT count(*) FROM parcel WHERE next_due IS NULL AND state IN ('RECALL_REQUESTED', 'PICKED_UP')";
        self.ask(ended).await[0].try_get_by_index::<i64>(0).expect("a count") == parcels as i64
    }

    /// Judges every parcel.
    pub async fn toll(&self, fates: &[Fate], begin: Timestamp, lives: Lives) -> Toll {
        let sql = "SELECT parcel, kind, (extract(epoch FROM written_at) * 1000000)::bigint
            FROM courier_event ORDER BY courier, sequence";
        let mut events: BTreeMap<ParcelId, Vec<Event>> = BTreeMap::new();
        for row in self.ask(sql).await {
            let parcel = ParcelId(row.try_get_by_index::<Uuid>(0).expect("an id"));
            let kind = row.try_get_by_index(1).expect("a kind");
            let written_at = row.try_get_by_index(2).expect("a time");
            events.entry(parcel).or_default().push(Event { kind, written_at });
        }
        let mut toll = Toll { deaths: lives.deaths, swept: lives.swept, ..Toll::default() };
        for fate in fates {
            toll.judge(fate, begin, events.get(&fate.parcel).map_or(&[], Vec::as_slice));
        }
        toll
    }
}

impl Toll {
    fn judge(&mut self, fate: &Fate, begin: Timestamp, events: &[Event]) {
        let at = |kind: &str| events.iter().position(|event| event.kind == kind);
        let picked_up = at(PICKED_UP);
        self.pickups += u64::from(picked_up.is_some());
        let what = |what: &str| format!("{}: {what}, of T1 {} T2 {}: {events:?}", fate.parcel, fate.t1, fate.t2);
        if fate.pickup.is_some() != picked_up.is_some() {
            self.lost.push(what("pickup"));
        }
        if at(RECALLED).is_some_and(|recalled| at(REMINDED).is_some_and(|reminded| reminded > recalled)) {
            self.doubled.push(what("reminded after the recall"));
        }
        let (_, t1, t2) = fate.deadlines(begin);
        for (kind, due) in [(REMINDED, t1 * 1_000), (RECALLED, t2 * 1_000)] {
            // Who was picked up in time needs neither.
            let needed = picked_up.is_none_or(|at| events[at].written_at >= due + LATE_MAX * 1_000);
            let Some(first) = at(kind) else {
                if needed {
                    self.lost.push(what(kind));
                }
                continue;
            };
            self.effects += 1;
            self.late.push(events[first].written_at - due);
            if events.iter().filter(|event| event.kind == kind).count() > 1 {
                self.doubled.push(what(kind));
            }
            if events[first].written_at < due {
                self.early.push(what(kind));
            }
            if picked_up.is_some_and(|picked_up| picked_up < first) {
                self.after_pickup.push(what(kind));
            }
        }
    }

    /// Of all effects so far, how late the one was that so many thousandths were not later than; in milliseconds.
    fn late(&self, thousandths: usize) -> i64 {
        let mut late = self.late.clone();
        late.sort_unstable();
        let at = (late.len().saturating_sub(1)) * thousandths / 1_000;
        late.get(at).map_or(0, |late| late / 1_000)
    }

    /// Nothing lost, doubled, early or after a pickup, and nothing too late.
    pub fn check(&self, seed: u64) {
        for (what, found) in [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("early", &self.early),
            ("after a pickup", &self.after_pickup),
        ] {
            assert!(found.is_empty(), "seed {seed}: {} {what}: {:#?}", found.len(), &found[..found.len().min(5)]);
        }
        assert!(self.late(1_000) <= LATE_MAX, "seed {seed}: {self}");
    }

    /// Of all seeds together, most came by the index. In one of them the sweep may do more: whoever makes the index anew
    /// and dies is waited for, and meanwhile there is none.
    pub fn check_all(&self) {
        assert!(self.swept * 2 < self.effects, "{self}");
    }

    pub fn add(&mut self, other: Toll) {
        self.effects += other.effects;
        self.pickups += other.pickups;
        self.deaths += other.deaths;
        self.swept += other.swept;
        self.late.extend(other.late);
        self.lost.extend(other.lost);
        self.doubled.extend(other.doubled);
        self.early.extend(other.early);
        self.after_pickup.extend(other.after_pickup);
    }
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [lost, doubled, early, after] = [&self.lost, &self.doubled, &self.early, &self.after_pickup].map(Vec::len);
        write!(
            f,
            "{} effects, {lost} lost, {doubled} doubled, {early} early, {after} after one of {} pickups; late p50 {} p99 {} \
            max {} ms; {} deaths, {} swept",
            self.effects,
            self.pickups,
            self.late(500),
            self.late(990),
            self.late(1_000),
            self.deaths,
            self.swept
        )
    }
}
