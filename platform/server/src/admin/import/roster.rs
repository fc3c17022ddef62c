//! One row of a roster: what must be right about it before anything is sent.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use gatepost_proto::v1::{Resident, Topology};
use indicatif::ProgressBar;

use super::Checked;
use super::table::{Columns, Row, RowError};

/// The header.
pub(super) const COLUMNS: Columns = Columns {
    required: &[
        "person_reference",
        "name",
        "phone",
        "email",
        "building",
        "unit",
        "gate_recognition",
        "locker_deposit",
        "notice",
    ],
    optional: &["needs_accessible", "under_14", "guardian"],
};

const NAME_MAX: usize = 200;
const PHONE_MAX: usize = 32;
const PHONE_DIGITS_MIN: usize = 8;
const TEXT_MAX: usize = 200;

/// A resident as the roster tells it.
pub(super) struct Entry {
    pub(super) line: u64,
    /// Without what the platform alone knows: id, consents, faces.
    pub(super) resident: Resident,
    /// Whether parcels go only where no steps lead; as on record when the file does not say.
    pub(super) needs_accessible: Option<bool>,
    /// Whether the resident is under 14; as on record when the file does not say.
    pub(super) under_14: Option<bool>,
    pub(super) gate_recognition: bool,
    pub(super) locker_deposit: bool,
    pub(super) notice: String,
    /// Who agreed for the resident; empty when the resident did.
    pub(super) guardian: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry(line {})", self.line)
    }
}

/// Checks every row by itself and against the others.
pub(super) fn check(rows: &[Row], topology: &Topology, bar: &ProgressBar) -> Checked<Entry> {
    let buildings = building_ids(topology);
    let mut first_lines: HashMap<&str, u64> = HashMap::new();
    let mut checked = Checked { rows: Vec::new(), rejected: Vec::new() };
    for row in rows {
        bar.inc(1);
        let mut problems = Problems { line: row.line, found: Vec::new() };
        let entry = entry(row, &buildings, &mut problems);
        let reference = row.cells[0].as_str();
        if !reference.is_empty() {
            let first = *first_lines.entry(reference).or_insert(row.line);
            problems.expect(first == row.line, "person_reference", || {
                format!("stands in line {first} already; give every person a reference of their own")
            });
        }
        if problems.found.is_empty() {
            checked.rows.push(entry);
        } else {
            checked.rejected.extend(problems.found);
        }
    }
    checked
}

struct Problems {
    line: u64,
    found: Vec<RowError>,
}

impl Problems {
    fn expect(&mut self, right: bool, field: &'static str, problem: impl FnOnce() -> String) {
        if !right {
            self.found.push(RowError::new(self.line, field, problem()));
        }
    }
}

fn entry(row: &Row, buildings: &BTreeMap<String, String>, problems: &mut Problems) -> Entry {
    let cell = |index: usize| row.cells[index].as_str();
    for (field, index, max) in [("person_reference", 0, TEXT_MAX), ("name", 1, NAME_MAX), ("unit", 5, TEXT_MAX)] {
        check_text(problems, field, cell(index), max);
    }
    for (field, index) in [("person_reference", 0), ("name", 1), ("building", 4)] {
        problems.expect(!cell(index).is_empty(), field, || "is empty; every row needs one".to_owned());
    }
    check_phone(problems, cell(2));
    check_email(problems, cell(3));
    let building = buildings.get(cell(4));
    problems.expect(building.is_some() || cell(4).is_empty(), "building", || {
        let known: Vec<&str> = buildings.keys().take(20).map(String::as_str).collect();
        format!("is no building of the community; there are {}", known.join(", "))
    });
    // Nothing written about a consent is not a no: somebody may have forgotten to ask.
    let gate_recognition = yes_or_no(problems, "gate_recognition", cell(6)).unwrap_or_default();
    let locker_deposit = yes_or_no(problems, "locker_deposit", cell(7)).unwrap_or_default();
    let mut told = |field, index| match cell(index) {
        "" => None,
        told => yes_or_no(problems, field, told),
    };
    let (needs_accessible, under_14) = (told("needs_accessible", 9), told("under_14", 10));
    check_text(problems, "guardian", cell(11), TEXT_MAX);
    let by_guardian = gate_recognition && under_14 == Some(true);
    problems.expect(!by_guardian || !cell(11).is_empty(), "guardian", || {
        "is empty; under 14 a guardian has to agree to gate recognition: write a reference such as a contract's number"
            .to_owned()
    });
    check_text(problems, "notice", cell(8), TEXT_MAX);
    problems.expect(!cell(8).is_empty() || !(gate_recognition || locker_deposit), "notice", || {
        "is empty; a consent needs the notice that was shown for it, by version or hash".to_owned()
    });
    let resident = Resident {
        name: cell(1).to_owned(),
        phone: cell(2).to_owned(),
        email: cell(3).to_owned(),
        building_id: building.cloned().unwrap_or_default(),
        unit: cell(5).to_owned(),
        person_reference: cell(0).to_owned(),
        needs_accessible: needs_accessible.unwrap_or_default(),
        under_14: under_14.unwrap_or_default(),
        ..Resident::default()
    };
    let (notice, guardian) = (cell(8).to_owned(), cell(11).to_owned());
    Entry { line: row.line, resident, needs_accessible, under_14, gate_recognition, locker_deposit, notice, guardian }
}

fn check_text(problems: &mut Problems, field: &'static str, text: &str, max: usize) {
    let length = text.chars().count();
    problems.expect(length <= max, field, || format!("has {length} characters; at most {max}"));
    problems.expect(!text.chars().any(char::is_control), field, || {
        "has a line break or another control character; write it in one line".to_owned()
    });
}

fn check_phone(problems: &mut Problems, phone: &str) {
    check_text(problems, "phone", phone, PHONE_MAX);
    let digits = phone.chars().filter(char::is_ascii_digit).count();
    problems.expect(phone.is_empty() || digits >= PHONE_DIGITS_MIN, "phone", || {
        format!("has {digits} digits; write at least {PHONE_DIGITS_MIN}, or leave it empty")
    });
    // Opened as a number and saved again, a long phone becomes 1.38E+10.
    let exponent = phone.contains(['E', 'e']);
    problems.expect(!exponent, "phone", || {
        "is a number in scientific notation; format the column as text and enter it again".to_owned()
    });
}

fn check_email(problems: &mut Problems, email: &str) {
    check_text(problems, "email", email, TEXT_MAX);
    let parts: Vec<&str> = email.split('@').collect();
    let right = parts.len() == 2 && parts.iter().all(|part| !part.is_empty()) && !email.contains(char::is_whitespace);
    problems.expect(right || email.is_empty(), "email", || {
        "is no address such as name@example.org; correct it, or leave it empty".to_owned()
    });
}

fn yes_or_no(problems: &mut Problems, field: &'static str, text: &str) -> Option<bool> {
    let answer = match text.to_ascii_lowercase().as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    };
    problems.expect(answer.is_some(), field, || "is neither yes nor no".to_owned());
    answer
}

/// Ids by what may stand for a building: its id, or its name if only one has that name.
fn building_ids(topology: &Topology) -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    for building in &topology.buildings {
        let same_name = topology.buildings.iter().filter(|other| other.name == building.name).count();
        if same_name == 1 {
            ids.insert(building.name.clone(), building.id.clone());
        }
    }
    ids.extend(topology.buildings.iter().map(|building| (building.id.clone(), building.id.clone())));
    ids
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;
    use gatepost_proto::v1::Building;

    fn check_lines(lines: &[&str]) -> Checked<Entry> {
        check_file(&format!("{}\n{}", COLUMNS.required.join(","), lines.join("\n")))
    }

    fn check_file(text: &str) -> Checked<Entry> {
        let table = table::read(text.as_bytes(), COLUMNS).unwrap();
        let buildings = [("b1", "1号楼"), ("b3", "3号楼")];
        let buildings = buildings.map(|(id, name)| Building { id: id.into(), name: name.into() });
        let topology = Topology { buildings: buildings.into(), ..Topology::default() };
        check(&table.rows, &topology, &ProgressBar::hidden())
    }

    #[test]
    fn a_right_row_is_a_resident() {
        let checked = check_lines(&[
            "P1,王芳,+86 138 0013 8000,fang@example.org,3号楼,1502,yes,YES,2026-01",
            "P2,Ada Lovelace,,,b1,,no,no,",
        ]);
        assert_eq!(checked.rejected, []);
        let first = &checked.rows[0];
        assert_eq!((first.resident.building_id.as_str(), first.gate_recognition, first.line), ("b3", true, 2));
        assert_eq!((checked.rows[1].resident.building_id.as_str(), checked.rows[1].locker_deposit), ("b1", false));
        assert_eq!(format!("{first:?}"), "Entry(line 2)");
    }

    #[test]
    fn under_14_a_guardian_is_told_who_agreed() {
        let header = [COLUMNS.required, COLUMNS.optional].concat().join(",");
        let row = |reference: &str, told: &str| format!("{reference},王芳,,,b1,1,yes,no,v1,,{told}");
        let checked = check_file(
            &[header, row("P1", "yes,lease-7"), row("P2", "yes,"), row("P3", "no,"), row("P4", ",")].join("\n"),
        );
        let told: Vec<_> = checked.rows.iter().map(|row| (row.under_14, row.guardian.as_str())).collect();
        assert_eq!(told, [(Some(true), "lease-7"), (Some(false), ""), (None, "")]);
        let errors: Vec<String> = checked.rejected.iter().map(ToString::to_string).collect();
        assert!(errors.len() == 1 && errors[0].starts_with("line 3, field guardian: is empty"), "{errors:?}");
    }

    #[test]
    fn who_needs_a_way_without_steps_may_be_told() {
        let header = [COLUMNS.required, &COLUMNS.optional[..1]].concat().join(",");
        let row = |reference: &str, told: &str| format!("{reference},王芳,,,b1,1,no,no,,{told}");
        let checked =
            check_file(&[header, row("P1", "Yes"), row("P2", "no"), row("P3", ""), row("P4", "1")].join("\n"));
        let told: Vec<_> =
            checked.rows.iter().map(|row| (row.needs_accessible, row.resident.needs_accessible)).collect();
        assert_eq!(told, [(Some(true), true), (Some(false), false), (None, false)]);
        let errors: Vec<String> = checked.rejected.iter().map(ToString::to_string).collect();
        assert_eq!(errors, ["line 5, field needs_accessible: is neither yes nor no"]);
        assert_eq!(
            check_lines(&["P1,王芳,,,b1,1,no,no,"]).rows[0].needs_accessible,
            None,
            "the column may be left out"
        );
    }

    #[test]
    fn every_field_tells_what_is_wrong() {
        let cases = [
            (",王芳,,,b1,1,no,no,", "person_reference: is empty"),
            ("P1,,,,b1,1,no,no,", "name: is empty"),
            ("P1,王芳,1380,,b1,1,no,no,", "phone: has 4 digits; write at least 8"),
            ("P1,王芳,1.3800138E+10,,b1,1,no,no,", "phone: is a number in scientific notation"),
            ("P1,王芳,,fang,b1,1,no,no,", "email: is no address"),
            ("P1,王芳,,,,1,no,no,", "building: is empty"),
            ("P1,王芳,,,9号楼,1,no,no,", "building: is no building of the community; there are 1号楼, 3号楼, b1, b3"),
            ("P1,王芳,,,b1,1,maybe,no,", "gate_recognition: is neither yes nor no"),
            ("P1,王芳,,,b1,1,no,,", "locker_deposit: is neither yes nor no"),
            ("P1,王芳,,,b1,1,yes,no,", "notice: is empty"),
            ("P1,\"王\n芳\",,,b1,1,no,no,", "name: has a line break"),
        ];
        for (line, expected) in cases {
            let checked = check_lines(&[line]);
            let errors: Vec<String> = checked.rejected.iter().map(ToString::to_string).collect();
            assert_eq!(errors.len(), 1, "{line}: {errors:?}");
            assert!(errors[0].starts_with(&format!("line 2, field {expected}")), "{}", errors[0]);
            assert!(!errors[0].contains('王') && checked.rows.is_empty());
        }
    }

    #[test]
    fn all_mistakes_of_a_row_are_told_and_others_pass() {
        let long = "长".repeat(201);
        let checked =
            check_lines(&[&format!("P1,{long},12,,b1,1,x,no,"), "P2,李伟,,,b1,1,no,no,", "P2,何静,,,b1,2,no,no,"]);
        let errors: Vec<String> = checked.rejected.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 4, "{errors:?}");
        assert!(errors[0].contains("name: has 201 characters; at most 200"), "{}", errors[0]);
        assert!(errors[3].starts_with("line 4, field person_reference: stands in line 3 already"), "{}", errors[3]);
        assert_eq!(checked.rows.len(), 1);
    }
}
