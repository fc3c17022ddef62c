//! Lists on the terminal: a table for people, JSON for scripts, from the same rows.

use std::io::{self, Write};

use serde_json::{Map, Value};

/// Rows under named columns.
pub(super) struct Listing {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Listing {
    /// An empty list with these columns, named as JSON keys.
    pub(super) fn new(columns: &'static [&'static str]) -> Self {
        Listing { columns, rows: Vec::new() }
    }

    /// Appends a row; it has a value for every column.
    pub(super) fn push<const N: usize>(&mut self, row: [Value; N]) {
        debug_assert_eq!(N, self.columns.len(), "a row has a value for every column");
        self.rows.push(row.into());
    }

    /// Writes the list to standard output.
    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        let text = if json { self.to_json() } else { self.to_table() };
        io::stdout().lock().write_all(text.as_bytes())
    }

    fn to_json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let pairs = self.columns.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned());
            Value::Object(pairs.collect::<Map<String, Value>>())
        });
        format!("{:#}\n", Value::Array(rows.collect()))
    }

    /// The list as a table.
    pub(super) fn to_table(&self) -> String {
        if self.rows.is_empty() {
            return "(none)\n".to_owned();
        }
        let mut lines = vec![self.columns.iter().map(|name| name.to_uppercase().replace('_', " ")).collect()];
        lines.extend(self.rows.iter().map(|row| row.iter().map(plain).collect::<Vec<String>>()));
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| lines.iter().map(|line| width(&line[column])).max().unwrap_or_default())
            .collect();
        lines.iter().map(|line| padded(line, &widths)).collect()
    }
}

pub(super) fn plain(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    // What others wrote must neither break the table nor speak to the terminal.
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn padded(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, wanted) in cells.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', wanted - width(cell) + 2));
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

/// Columns that the text takes on a terminal, where Chinese, Japanese and Korean characters take two.
fn width(text: &str) -> usize {
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

fn is_wide(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xac00..=0xd7a3
        | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn residents() -> Listing {
        let mut list = Listing::new(&["name", "unit", "faces", "consents"]);
        list.push([json!("王芳"), json!("1502"), json!(1), json!(["locker_deposit"])]);
        list.push([json!("Ada"), json!(""), json!(null), json!([])]);
        list
    }

    #[test]
    fn wide_characters_stay_in_line() {
        let expected = "\
NAME  UNIT  FACES  CONSENTS
王芳  1502  1      locker_deposit
Ada   -     -      -
";
        assert_eq!(residents().to_table(), expected);
    }

    #[test]
    fn json_keeps_types_and_names() {
        let parsed: Value = serde_json::from_str(&residents().to_json()).unwrap();
        assert_eq!(parsed[0]["faces"], 1);
        assert_eq!(parsed[1]["consents"], json!([]));
    }

    #[test]
    fn an_empty_list_says_so_and_control_characters_do_not_pass() {
        assert_eq!(Listing::new(&["id"]).to_table(), "(none)\n");
        assert_eq!(plain(&json!("a\u{1b}[2Jb\nc")), "a [2Jb c");
    }
}
