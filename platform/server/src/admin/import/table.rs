//! CSV as the imports read it: UTF-8 with a header, columns in any order, and the line of every row.

use std::fmt;

use anyhow::{Context as _, bail};
use csv::{ReaderBuilder, StringRecord};

const ROWS_MAX: usize = 200_000;

/// Why a row cannot be imported: where, what is wrong, and how to mend it. Holds no value of the row, since those
/// are names and numbers of people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowError {
    pub(super) line: u64,
    pub(super) field: &'static str,
    pub(super) problem: String,
}

impl RowError {
    pub(super) fn new(line: u64, field: &'static str, problem: String) -> Self {
        RowError { line, field, problem }
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, field {}: {}", self.line, self.field, self.problem)
    }
}

/// One row: its cells in the order of the columns asked for, without surrounding white space.
pub(super) struct Row {
    /// Where it begins, counted from one.
    pub(super) line: u64,
    pub(super) cells: Vec<String>,
}

/// A file's rows, and those that have too many or too few cells.
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    pub(super) rejected: Vec<RowError>,
}

/// Reads a CSV file whose header has exactly these columns.
pub(super) fn read(bytes: &[u8], columns: &'static [&'static str]) -> anyhow::Result<Table> {
    let text = match std::str::from_utf8(bytes) {
        // Spreadsheets put a byte order mark before the first column's name.
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            bail!("line {line} is not UTF-8; save the file again as \"CSV UTF-8\"");
        }
    };
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    if !reader.read_record(&mut record).context("the header cannot be read")? {
        bail!("the file is empty; its first line is {}", columns.join(","));
    }
    let order = order(&record, columns)?;
    let mut table = Table { rows: Vec::new(), rejected: Vec::new() };
    loop {
        let start = reader.position().clone();
        if !reader.read_record(&mut record).context("the file cannot be read")? {
            return Ok(table);
        }
        if table.rows.len() + table.rejected.len() == ROWS_MAX {
            bail!("more than {ROWS_MAX} rows; split the file");
        }
        let line = start.line() + blank_lines(text, start.byte());
        if record.iter().all(|cell| cell.trim().is_empty()) {
            // What a spreadsheet leaves of a row that was cleared.
            continue;
        }
        if record.len() != columns.len() {
            let problem = format!(
                "the row has {} cells where the header has {}; put quotes around text that contains a comma",
                record.len(),
                columns.len()
            );
            table.rejected.push(RowError::new(line, "row", problem));
            continue;
        }
        let cells = order.iter().map(|&index| record[index].trim().to_owned()).collect();
        table.rows.push(Row { line, cells });
    }
}

/// The reader tells where the previous row ended; line ends that follow belong to lines without a row.
fn blank_lines(text: &str, from: u64) -> u64 {
    let rest = usize::try_from(from).ok().and_then(|from| text.as_bytes().get(from..)).unwrap_or_default();
    let breaks = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    breaks.filter(|byte| **byte == b'\n').count() as u64
}

/// Where in the header each wanted column stands.
fn order(header: &StringRecord, columns: &'static [&'static str]) -> anyhow::Result<Vec<usize>> {
    let found: Vec<&str> = header.iter().map(str::trim).collect();
    if let Some(unknown) = found.iter().find(|name| !columns.contains(name)) {
        bail!("line 1: {unknown:?} is no column of this import; its header is {}", columns.join(","));
    }
    let order: Option<Vec<usize>> = columns.iter().map(|name| found.iter().position(|other| other == name)).collect();
    match order {
        Some(order) if found.len() == columns.len() => Ok(order),
        Some(_) => bail!("line 1: a column stands twice; the header is {}", columns.join(",")),
        None => {
            let missing: Vec<&str> = columns.iter().copied().filter(|name| !found.contains(name)).collect();
            bail!("line 1: without the column {}; the header is {}", missing.join(", "), columns.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 2] = ["name", "unit"];

    #[test]
    fn rows_know_their_lines() {
        for end in ["\n", "\r\n"] {
            let text = ["unit,name", "", "1502, 王芳 ", "\"15", "03\",李伟", ",", "", "1,2,3", "9,Ada"].join(end);
            let table = read(text.as_bytes(), &COLUMNS).unwrap();
            let rows: Vec<_> = table.rows.iter().map(|row| (row.line, row.cells[0].as_str())).collect();
            assert_eq!(rows, [(3, "王芳"), (4, "李伟"), (9, "Ada")]);
            assert_eq!(table.rows[0].cells[1], "1502");
            let rejected: Vec<_> = table.rejected.iter().map(ToString::to_string).collect();
            assert_eq!(rejected.len(), 1);
            assert!(rejected[0].starts_with("line 8, field row: the row has 3 cells"), "{}", rejected[0]);
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let table = read("\u{feff}name,unit\n王芳,1\n".as_bytes(), &COLUMNS).unwrap();
        assert_eq!((table.rows.len(), table.rows[0].line), (1, 2));
    }

    #[test]
    fn wrong_headers_say_what_is_wrong() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "the file is empty"),
            (b"name\n", "without the column unit"),
            (b"name,unit,colour\n", "\"colour\" is no column"),
            (b"name,unit,name\n", "stands twice"),
            (b"name,unit\n\xcd\xf5\xb7\xbc,1\n", "line 2 is not UTF-8"),
        ];
        for (bytes, expected) in cases {
            let error = read(bytes, &COLUMNS).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
