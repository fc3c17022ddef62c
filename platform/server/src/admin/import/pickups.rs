//! One row of a record of pickups: whose, and when on the community's clock.

use std::collections::BTreeMap;

use indicatif::ProgressBar;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Checked;
use super::table::{Columns, Row, RowError};

/// The header.
pub(super) const COLUMNS: Columns = Columns { required: &["person_reference", "picked_up_at"], optional: &[] };

/// What rows are held against.
pub(super) struct Known<'a> {
    /// Resident ids by person reference.
    pub(super) ids: &'a BTreeMap<String, String>,
    /// The community's.
    pub(super) zone: TimeZone,
    pub(super) now: Timestamp,
}

/// One pickup of one resident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pickup {
    pub(super) line: u64,
    pub(super) resident_id: String,
    pub(super) at: Timestamp,
}

impl Pickup {
    /// The time as it is sent.
    pub(super) fn to_wire(&self) -> prost_types::Timestamp {
        prost_types::Timestamp { seconds: self.at.as_second(), nanos: self.at.subsec_nanosecond() }
    }
}

/// Checks every row by itself.
pub(super) fn check(rows: &[Row], known: &Known<'_>, bar: &ProgressBar) -> Checked<Pickup> {
    let mut checked = Checked { rows: Vec::new(), rejected: Vec::new() };
    for row in rows {
        bar.inc(1);
        let resident = match (row.cells[0].as_str(), known.ids.get(&row.cells[0])) {
            ("", _) => Err("is empty; every row needs one".to_owned()),
            (_, None) => Err("is no resident of the community; import the roster first, or correct it".to_owned()),
            (_, Some(id)) => Ok(id.clone()),
        };
        let time = instant(&row.cells[1], &known.zone).and_then(|at| {
            if at > known.now { Err("is in the future; only past pickups are imported".to_owned()) } else { Ok(at) }
        });
        match (resident, time) {
            (Ok(resident_id), Ok(at)) => checked.rows.push(Pickup { line: row.line, resident_id, at }),
            (resident, time) => {
                let problems = [("person_reference", resident.err()), ("picked_up_at", time.err())];
                checked.rejected.extend(
                    problems.into_iter().filter_map(|(field, problem)| Some(RowError::new(row.line, field, problem?))),
                );
            }
        }
    }
    checked
}

/// Reads RFC 3339, or a local time in `zone` that stands for exactly one instant.
fn instant(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    let local: DateTime = text
        .parse()
        .ok()
        // A date alone parses as midnight, which is nobody's pickup.
        .filter(|_| text.contains(':'))
        .ok_or("is no time; write 2026-03-02 18:40, or with an offset 2026-03-02T18:40:00+08:00")?;
    zone.to_ambiguous_timestamp(local).unambiguous().map_err(|_| {
        "is a local time that the change of the clocks skips or repeats; write it with its offset".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_cells(reference: &str, time: &str, zone: &str) -> Checked<Pickup> {
        let ids = BTreeMap::from([("P1".to_owned(), "res_1".to_owned())]);
        let zone = TimeZone::get(zone).unwrap();
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let rows = [Row { line: 2, cells: vec![reference.to_owned(), time.to_owned()] }];
        check(&rows, &Known { ids: &ids, zone, now }, &ProgressBar::hidden())
    }

    #[test]
    fn local_times_are_the_communitys() {
        for (time, zone, expected) in [
            ("2026-03-02T18:40:00+08:00", "Europe/Berlin", "2026-03-02T10:40:00Z"),
            ("2026-03-02T10:40:00Z", "Asia/Shanghai", "2026-03-02T10:40:00Z"),
            ("2026-03-02 18:40", "Asia/Shanghai", "2026-03-02T10:40:00Z"),
            ("2026-03-02T18:40:30", "Asia/Shanghai", "2026-03-02T10:40:30Z"),
            ("2026-03-28 18:40", "Europe/Berlin", "2026-03-28T17:40:00Z"),
            ("2026-03-29 18:40", "Europe/Berlin", "2026-03-29T16:40:00Z"),
        ] {
            let checked = check_cells("P1", time, zone);
            assert_eq!(checked.rejected, [], "{time}");
            assert_eq!(checked.rows[0].at, expected.parse().unwrap(), "{time}");
            assert_eq!(checked.rows[0].to_wire().seconds, checked.rows[0].at.as_second());
        }
    }

    #[test]
    fn every_field_tells_what_is_wrong() {
        for (reference, time, expected) in [
            ("", "2026-03-02 18:40", "person_reference: is empty"),
            ("P9", "2026-03-02 18:40", "person_reference: is no resident"),
            ("P1", "", "picked_up_at: is no time"),
            ("P1", "2026-03-02", "picked_up_at: is no time"),
            ("P1", "02.03.2026 18:40", "picked_up_at: is no time"),
            ("P1", "2026-06-02 18:40", "picked_up_at: is in the future"),
            ("P1", "2026-03-29 02:30", "picked_up_at: is a local time that the change"),
            ("P1", "2025-10-26 02:30", "picked_up_at: is a local time that the change"),
        ] {
            let checked = check_cells(reference, time, "Europe/Berlin");
            assert_eq!(checked.rejected.len(), 1, "{time}");
            let error = checked.rejected[0].to_string();
            assert!(error.starts_with(&format!("line 2, field {expected}")), "{error}");
        }
        assert_eq!(check_cells("P9", "x", "UTC").rejected.len(), 2);
    }
}
