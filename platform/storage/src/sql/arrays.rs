//! Many rows in one statement. A list of places, `$1, $2, ..`, is another statement for every number of rows, which
//! PostgreSQL parses and plans anew; with one array a column it is the same one whatever the number, and is prepared
//! once. SQLite has neither arrays nor round trips to save.

use sea_orm::{ColumnTrait, Value, sea_query::Expr};
use uuid::Uuid;

use super::store::Tx;

/// Stands for no number: arrays are bound without NULLs. No instant and no count is so low.
const NONE: i64 = i64::MIN;

/// One column of these rows.
pub(super) fn column<R, T>(rows: &[R], read: impl FnMut(&R) -> T) -> Value
where
    Vec<T>: Into<Value>,
{
    rows.iter().map(read).collect::<Vec<T>>().into()
}

/// As [`column()`], of numbers that may be missing; [`number`] reads them back.
pub(super) fn numbers<R>(rows: &[R], mut read: impl FnMut(&R) -> Option<i64>) -> Value {
    column(rows, |row| read(row).unwrap_or(NONE))
}

/// As [`column()`], of texts that may be missing and are never empty; [`text`] reads them back.
pub(super) fn texts<R>(rows: &[R], mut read: impl FnMut(&R) -> Option<&String>) -> Value {
    column(rows, |row| read(row).cloned().unwrap_or_default())
}

/// In SQL, a number of an array that may be missing.
pub(super) fn number(name: &str) -> String {
    format!("NULLIF({name}, '{NONE}'::bigint)")
}

/// In SQL, a text of an array that may be missing.
pub(super) fn text(name: &str) -> String {
    format!("NULLIF({name}, '')")
}

impl Tx {
    /// Rows whose column is one of these.
    pub(super) fn among(&self, column: impl ColumnTrait, ids: impl IntoIterator<Item = Uuid>) -> Expr {
        if self.is_postgres() { column.eq_any(ids) } else { column.is_in(ids) }
    }
}
