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
    let columns: Vec<String> = columns(&database).await;
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

async fn columns(database: &DatabaseConnection) -> Vec<String> {
    let backend = database.get_database_backend();
    let sql = match backend {
        DbBackend::Sqlite => "SELECT name FROM pragma_table_info('parcel')",
        _ => "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'parcel'",
    };
    let rows = database.query_all_raw(Statement::from_string(backend, sql)).await.expect("the columns");
    rows.iter().map(|row| row.try_get_by_index(0).expect("a name")).collect()
}
