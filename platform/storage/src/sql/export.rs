//! Everything that is kept about a resident, table by table and column by column as the schema has them: what a later step
//! of the schema adds to one of these tables is in the export without being thought of.

use gatepost_domain::id::ResidentId;
use sea_orm::{ConnectionTrait as _, QueryResult};
use serde_json::{Map, Value};

use super::{
    failure::failure,
    store::Tx,
    word::{corrupt, from_millis},
};
use crate::StoreError;

/// A table with rows about residents.
struct Table {
    name: &'static str,
    /// Which rows: `$1` is the resident.
    about: &'static str,
    /// Columns that say nothing of the resident, or are not the resident's to know.
    left_out: &'static [&'static str],
}

/// In the order in which they are told.
const TABLES: [Table; 13] = [
    // The keys are made from the columns beside them.
    Table { name: "resident", about: "id = $1", left_out: &["name_key", "phone_key"] },
    // Which guardian it was is somebody else.
    Table { name: "consent_ledger", about: "resident = $1", left_out: &["guardian"] },
    // A vector says nothing to its owner, and whoever gets hold of it could be taken for them, or see them: that there is
    // one, when it was enrolled and by which model is what can be understood.
    Table { name: "template", about: "resident = $1", left_out: &["embedding"] },
    Table { name: "pickup", about: "resident = $1", left_out: &[] },
    Table {
        name: "parcel",
        about: "resident = $1",
        left_out: &[
            "traceparent",
            "version",
            "held_locker",
            "held_compartment",
            // Of parcels that are nobody's.
            "label_name",
            "label_phone",
            "label_building",
            "label_unit",
            "label_address",
        ],
    },
    Table { name: "courier_event", about: "parcel IN (SELECT id FROM parcel WHERE resident = $1)", left_out: &[] },
    Table { name: "notice", about: "resident = $1", left_out: &["traceparent"] },
    Table { name: "last_sighting", about: "resident = $1", left_out: &[] },
    Table { name: "misidentification", about: "resident = $1", left_out: &[] },
    Table {
        name: "decision",
        // Both halves by an index. A recall is about its parcel; what was decided about a neighbour is theirs.
        about: "id IN (SELECT id FROM decision WHERE resident = $1 UNION ALL
            SELECT decision.id FROM decision JOIN parcel ON parcel.id = decision.parcel
            WHERE decision.resident IS NULL AND parcel.resident = $1)",
        left_out: &[],
    },
    Table { name: "capture", about: "resident = $1", left_out: &[] },
    // Whom a photograph resembled is somebody else's.
    Table { name: "enrolment_conflict", about: "resident = $1 OR other = $1", left_out: &["resident", "other"] },
    // That somebody looked, when and how is the resident's to know; which of the staff it was is not, as the Court of
    // Justice of the European Union decided of bank employees (C-579/21). Who else was on a list neither.
    Table {
        name: "look",
        about: "(community, sequence) IN (SELECT community, sequence FROM look_subject WHERE subject = $1)",
        left_out: &["bearer", "subjects"],
    },
];

impl Tx {
    /// Every row about a resident, by table. Instants are written as in RFC 3339, ids as everywhere, bytes as hexadecimal
    /// digits. Empty lists where there is nothing.
    pub async fn export_resident(&self, resident: ResidentId) -> Result<Map<String, Value>, StoreError> {
        let mut tables = Map::new();
        for table in &TABLES {
            let rows = self.rows_about(table, resident).await?;
            tables.insert(table.name.to_owned(), Value::Array(rows));
        }
        Ok(tables)
    }

    async fn rows_about(&self, table: &Table, resident: ResidentId) -> Result<Vec<Value>, StoreError> {
        let columns = self.columns(table.name).await?;
        let told: Vec<_> = columns.iter().filter(|(name, _)| !table.left_out.contains(&name.as_str())).collect();
        let selected: Vec<String> =
            told.iter().map(|(name, kind)| format!("{} AS {name}", kind.written(name))).collect();
        let order: Vec<String> = (1..=selected.len()).map(|place| place.to_string()).collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {}",
            selected.join(", "),
            table.name,
            table.about,
            order.join(", ")
        );
        let subject = match table.name {
            "look" => resident.to_string().into(),
            _ => resident.0.into(),
        };
        let rows = self.transaction.query_all_raw(self.statement(&sql, vec![subject])).await.map_err(failure)?;
        rows.iter().map(|row| Ok(Value::Object(object(table.name, &told, row)?))).collect()
    }

    /// A table's columns with what they hold, in their order.
    async fn columns(&self, table: &str) -> Result<Vec<(String, Kind)>, StoreError> {
        let sql = if self.is_postgres() {
            "SELECT column_name::text, data_type::text FROM information_schema.columns
            WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
        } else {
            "SELECT name, type FROM pragma_table_info($1) ORDER BY cid"
        };
        let rows = self.transaction.query_all_raw(self.statement(sql, vec![table.into()])).await.map_err(failure)?;
        let column = |row: &QueryResult| {
            let name: String = row.try_get_by_index(0).map_err(failure)?;
            let declared: String = row.try_get_by_index(1).map_err(failure)?;
            let kind = Kind::of(&declared).ok_or_else(|| corrupt(&format!("{table}.{name}")))?;
            Ok((name, kind))
        };
        rows.iter().map(column).collect()
    }
}

/// What a column holds, as both databases declare it.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Real,
    Truth,
    Bytes,
    Id,
}

impl Kind {
    fn of(declared: &str) -> Option<Kind> {
        Some(match declared.to_ascii_lowercase().as_str() {
            "text" => Kind::Text,
            "bigint" => Kind::Number,
            "real" | "double precision" => Kind::Real,
            "boolean" => Kind::Truth,
            "bytea" => Kind::Bytes,
            "uuid" => Kind::Id,
            _ => return None,
        })
    }

    /// The column in SQL, such as both databases give it alike.
    fn written(self, name: &str) -> String {
        match self {
            // One is four bytes wide and the other eight.
            Kind::Real => format!("CAST({name} AS double precision)"),
            Kind::Text | Kind::Number | Kind::Truth | Kind::Bytes | Kind::Id => name.to_owned(),
        }
    }
}

fn object(table: &str, columns: &[&(String, Kind)], row: &QueryResult) -> Result<Map<String, Value>, StoreError> {
    let mut object = Map::new();
    for (place, (name, kind)) in columns.iter().enumerate() {
        let value = match kind {
            Kind::Text => row.try_get_by_index::<Option<String>>(place).map_err(failure)?.map(Value::String),
            Kind::Real => row.try_get_by_index::<Option<f64>>(place).map_err(failure)?.map(Value::from),
            Kind::Truth => row.try_get_by_index::<Option<bool>>(place).map_err(failure)?.map(Value::Bool),
            Kind::Bytes => {
                row.try_get_by_index::<Option<Vec<u8>>>(place).map_err(failure)?.map(|bytes| hex::encode(&bytes).into())
            }
            Kind::Id => {
                let id = row.try_get_by_index::<Option<uuid::Uuid>>(place).map_err(failure)?;
                id.map(|id| format!("{}{}", prefix(table, name), id.simple()).into())
            }
            Kind::Number => {
                let number = row.try_get_by_index::<Option<i64>>(place).map_err(failure)?;
                number.map(|number| told(name, number)).transpose()?
            }
        };
        object.insert(name.clone(), value.unwrap_or(Value::Null));
    }
    Ok(object)
}

/// How ids of this column begin everywhere else; a request's is a UUID.
fn prefix(table: &str, column: &str) -> &'static str {
    match (table, column) {
        ("resident", "id") | (_, "resident" | "other") => "res_",
        ("parcel", "id") | (_, "parcel") => "pcl_",
        ("decision", "id") => "dec_",
        ("template", "id") => "tpl_",
        ("notice", "id") => "ntc_",
        _ => "",
    }
}

/// A number, or the instant that it stands for.
fn told(column: &str, number: i64) -> Result<Value, StoreError> {
    let instant = ["_at", "_since", "_until", "_from", "_due"].iter().any(|ending| column.ends_with(ending));
    if instant { Ok(from_millis(number)?.to_string().into()) } else { Ok(number.into()) }
}
