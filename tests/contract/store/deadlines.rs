//! Deadlines on PostgreSQL as a planner and two replicas see them.

use std::sync::Arc;

use gatepost_domain::id::ParcelId;
use gatepost_storage::Store;
use gatepost_tests::{
    crowd::{self, crowd},
    world::until,
};
use jiff::SignedDuration;
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};
use tokio::sync::Barrier;

use super::{
    Bench,
    fixture::{keep, parcel, settle, t, waiting},
};

/// So many parcels that wait, one a second due from T1 on, beside the one they are copies of.
async fn waiting_crowd(bench: &Bench, count: u32) -> DatabaseConnection {
    settle(&bench.store, 1).await;
    keep(&bench.store, &parcel(1, waiting("A1"))).await;
    crowd(&bench.url, count, SignedDuration::from_secs(1)).await;
    Database::connect(&bench.url).await.unwrap()
}

async fn number(database: &DatabaseConnection, sql: &str) -> i64 {
    let row = database.query_one_raw(sea_orm::Statement::from_string(database.get_database_backend(), sql)).await;
    row.unwrap().map_or(0, |row| row.try_get_by_index(0).unwrap())
}

/// In a burst the index over deadlines is full of entries that were just moved, and a plan that walks it takes seconds.
#[tokio::test(flavor = "multi_thread")]
async fn locking_what_is_due_does_not_walk_the_index_of_deadlines() {
    let bench = Bench::postgres().await;
    let database = waiting_crowd(&bench, 20_000).await;
    database.execute_unprepared("ANALYZE parcel").await.unwrap();
    let asked: Vec<ParcelId> = (0..500).map(crowd::parcel).collect();
    let ids: Vec<String> = asked.iter().map(|parcel| format!("'{}'", parcel.0)).collect();
    // Eleven are due: the planner would take that index if it could.
    let due = t(60) + SignedDuration::from_secs(10);
    let plain = format!(
        "EXPLAIN SELECT * FROM parcel WHERE id IN ({}) AND next_due <= {} ORDER BY id FOR UPDATE",
        ids.join(","),
        due.as_millisecond()
    );
    let plan = database.query_all_raw(sea_orm::Statement::from_string(database.get_database_backend(), plain)).await;
    let plan: Vec<String> = plan.unwrap().iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    assert!(plan.iter().any(|line| line.contains("parcel_by_deadline")), "{plan:?}");

    let tx = bench.store.write().await.unwrap();
    let locked = tx.lock_due(&asked, due).await.unwrap();
    assert_eq!(locked.len(), 11);
    tx.commit().await.unwrap();
    // What an index was used for is told when the connections end.
    drop(bench);
    let scans = |index| format!("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = '{index}'");
    until("the statistics of the indexes", || async { number(&database, &scans("parcel_pkey")).await > 0 }).await;
    assert_eq!(number(&database, &scans("parcel_by_deadline")).await, 0);
}

/// Two replicas that were handed the same slot fire the same parcels, each in an order of its own.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_lock_the_same_parcels_never_wait_for_each_other_in_a_circle() {
    const PARCELS: u32 = 400;
    const ROUNDS: usize = 30;
    let bench = Bench::postgres().await;
    waiting_crowd(&bench, PARCELS).await;
    let due = t(60) + SignedDuration::from_hours(1);
    let gate = Arc::new(Barrier::new(2));
    // The copies lie with the highest id first: one finds them by the index, the other as they lie.
    let plans = ["-c enable_seqscan=off", "-c enable_indexscan=off -c enable_bitmapscan=off"];
    let replicas = plans.into_iter().enumerate().map(|(number, plan)| {
        let (url, gate) = (format!("{}&options={}", bench.url, plan.replace(' ', "%20")), Arc::clone(&gate));
        tokio::spawn(async move {
            let store = Store::connect(&url, 1).await.unwrap();
            let mut asked: Vec<ParcelId> = (0..PARCELS).map(crowd::parcel).collect();
            if number == 1 {
                asked.reverse();
            }
            for _ in 0..ROUNDS {
                gate.wait().await;
                let tx = store.write().await.unwrap();
                assert_eq!(tx.lock_due(&asked, due).await.unwrap().len(), asked.len());
                tx.commit().await.unwrap();
            }
        })
    });
    for replica in replicas.collect::<Vec<_>>() {
        replica.await.unwrap();
    }
}
