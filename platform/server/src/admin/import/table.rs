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

/// The header that an import wants, in any order.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub(super) required: &'static [&'static str],
    /// Empty cells in every row of a file that does not have them.
    pub(super) optional: &'static [&'static str],
}

impl Columns {
    fn all(self) -> impl Iterator<Item = &'static str> {
        self.required.iter().chain(self.optional).copied()
    }

    fn header(self) -> String {
        self.all().collect::<Vec<_>>().join(",")
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

/// Reads a CSV file whose header has these columns and no others.
pub(super) fn read(bytes: &[u8], columns: Columns) -> anyhow::Result<Table> {
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
        bail!("the file is empty; its first line is {}", columns.header());
    }
    let (order, width) = (order(&record, columns)?, record.len());
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
        if record.len() != width {
            let problem = format!(
                "the row has {} cells where the header has {width}; put quotes around text that contains a comma",
                record.len()
            );
            table.rejected.push(RowError::new(line, "row", problem));
            continue;
        }
        let cell = |place: &Option<usize>| place.map_or_else(String::new, |index| record[index].trim().to_owned());
        let cells = order.iter().map(cell).collect();
        table.rows.push(Row { line, cells });
    }
}

/// The reader tells where the previous row ended; line ends that follow belong to lines without a row.
fn blank_lines(text: &str, from: u64) -> u64 {
    let rest = usize::try_from(from).ok().and_then(|from| text.as_bytes().get(from..)).unwrap_or_default();
    let breaks = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    breaks.filter(|byte| **byte == b'\n').count() as u64
}

/// Where in the header each column stands; nowhere, for an optional one that was left out.
fn order(header: &StringRecord, columns: Columns) -> anyhow::Result<Vec<Option<usize>>> {
    let found: Vec<&str> = header.iter().map(str::trim).collect();
    let wanted = columns.header();
    if let Some(unknown) = found.iter().find(|name| !columns.all().any(|column| column == **name)) {
        bail!("line 1: {unknown:?} is no column of this import; its header is {wanted}");
    }
    let missing: Vec<&str> = columns.required.iter().copied().filter(|name| !found.contains(name)).collect();
    if !missing.is_empty() {
        bail!("line 1: without the column {}; the header is {wanted}", missing.join(", "));
    }
    let order: Vec<Option<usize>> = columns.all().map(|name| found.iter().position(|other| *other == name)).collect();
    if order.iter().flatten().count() != found.len() {
        bail!("line 1: a column stands twice; the header is {wanted}");
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns = Columns { required: &["name", "unit"], optional: &["note"] };

    #[test]
    fn rows_know_their_lines() {
        for end in ["\n", "\r\n"] {
            let text = ["unit,name", "", "1502, 王芳 ", "\"15", "03\",李伟", ",", "", "1,2,3", "9,Ada"].join(end);
            let table = read(text.as_bytes(), COLUMNS).unwrap();
            let rows: Vec<_> = table.rows.iter().map(|row| (row.line, row.cells[0].as_str())).collect();
            assert_eq!(rows, [(3, "王芳"), (4, "李伟"), (9, "Ada")]);
            assert_eq!(table.rows[0].cells[1], "1502");
            let rejected: Vec<_> = table.rejected.iter().map(ToString::to_string).collect();
            assert_eq!(rejected.len(), 1);
            assert!(rejected[0].starts_with("line 8, field row: the row has 3 cells"), "{}", rejected[0]);
        }
    }

    #[test]
    fn an_optional_column_may_be_left_out() {
        let cells = |text: &str| read(text.as_bytes(), COLUMNS).unwrap().rows.remove(0).cells;
        assert_eq!(cells("name,unit\n王芳,1\n"), ["王芳", "1", ""]);
        assert_eq!(cells("note,name,unit\nb,王芳,1\n"), ["王芳", "1", "b"]);
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let table = read("\u{feff}name,unit\n王芳,1\n".as_bytes(), COLUMNS).unwrap();
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
            let error = read(bytes, COLUMNS).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
