//! Many parcels at once, as copies of the only one there is, written past the platform: a hundred thousand would take
//! their time to be brought one by one.

use gatepost_domain::id::ParcelId;
use jiff::SignedDuration;
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use uuid::Uuid;

/// The `number`th copy, from 0.
pub fn parcel(number: u32) -> ParcelId {
    ParcelId(Uuid::from_u128(0xC000_0000 + u128::from(number)))
}

/// Copies the one parcel of a database so many times, each with deadlines so much later than the one before, and in a
/// compartment of its own. The last copy is written first.
pub async fn crowd(url: &str, count: u32, between: SignedDuration) {
    let database = Database::connect(url).await.expect("the database answers");
    let columns: Vec<String> = columns(&database, "parcel").await;
    let step = between.as_micros();
    let values = columns.iter().map(|column| match column.as_str() {
        "id" if database.get_database_backend() == DbBackend::Sqlite => {
            "unhex(printf('%032x', 3221225472 + n))".to_owned()
        }
        "id" => "lpad(to_hex(3221225472 + n), 32, '0')::uuid".to_owned(),
        "tracking_number" | "compartment" => "'C' || n".to_owned(),
        "held_locker" | "held_compartment" => "NULL".to_owned(),
        "next_due" | "remind_from" | "recall_at" => format!("{column} + n * {step} / 1000"),
        _ => column.clone(),
    });
    let (names, values) = (columns.join(","), values.collect::<Vec<_>>().join(","));
    // A bigint from the start: PostgreSQL would take the product for an integer.
    let insert = format!(
        "WITH RECURSIVE numbers(n) AS (SELECT CAST({count} - 1 AS bigint) UNION ALL SELECT n - 1 FROM numbers WHERE n > 0)
        INSERT INTO parcel ({names}) SELECT {values} FROM parcel, numbers ORDER BY n DESC"
    );
    let done = database.execute_unprepared(&insert).await.expect("the copies are written");
    assert_eq!(done.rows_affected(), u64::from(count), "there was one parcel");
}

/// Gives parcels of a crowd on PostgreSQL a T1 and a T2 of their own, as milliseconds since 1970, and each a resident of
/// its own, so that no pickup of one is a habit of another.
pub async fn set_deadlines(url: &str, deadlines: &[(ParcelId, i64, i64)]) {
    let database = Database::connect(url).await.expect("the database answers");
    let columns = columns(&database, "resident").await;
    let values =
        columns.iter().map(|column| if column == "id" { "parcel.id".to_owned() } else { format!("it.{column}") });
    let values = values.collect::<Vec<_>>().join(",");
    let residents = format!(
        "INSERT INTO resident ({}) SELECT {values} FROM parcel, resident it WHERE parcel.id = ANY (ARRAY[{}]::uuid[])",
        columns.join(","),
        deadlines.iter().map(|(parcel, ..)| format!("'{}'", parcel.0)).collect::<Vec<_>>().join(",")
    );
    let made = database.execute_unprepared(&residents).await.expect("the residents are written");
    assert_eq!(made.rows_affected(), deadlines.len() as u64, "there was one resident");
    let rows = deadlines.iter().map(|(parcel, t1, t2)| format!("('{}'::uuid,{t1}::bigint,{t2}::bigint)", parcel.0));
    let update = format!(
        "UPDATE parcel SET resident = parcel.id, remind_from = v.t1, recall_at = v.t2, next_due = v.t1
        FROM (VALUES {}) AS v (id, t1, t2) WHERE parcel.id = v.id",
        rows.collect::<Vec<_>>().join(",")
    );
    let moved = database.execute_unprepared(&update).await.expect("the deadlines are written");
    assert_eq!(moved.rows_affected(), deadlines.len() as u64, "they are there");
}

async fn columns(database: &DatabaseConnection, table: &str) -> Vec<String> {
    let backend = database.get_database_backend();
    let sql = match backend {
        DbBackend::Sqlite => format!("SELECT name FROM pragma_table_info('{table}')"),
        _ => format!("SELECT column_name::text FROM information_schema.columns WHERE table_name = '{table}'"),
    };
    let rows = database.query_all_raw(Statement::from_string(backend, sql)).await.expect("the columns");
    rows.iter().map(|row| row.try_get_by_index(0).expect("a name")).collect()
}
