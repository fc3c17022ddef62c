//! Enrols a roster's photographs, several at a time. What became of each is written to a results file at once, so that
//! an import that was interrupted goes on where it was, and every refusal can be looked into.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, stream};
use gatepost_proto::v1::{EnrolFaceRequest, EnrolmentOutcome};
use sha2::{Digest as _, Sha256};

use super::super::connection::Client;
use super::super::failure::{Failure, answer};
use super::super::{request_id, residents};
use super::album::{Album, LIST};
use super::progress;
use super::table::{self, Columns};

const COLUMNS: Columns = Columns { required: &["person_reference", "photograph"], optional: &[] };
const RESULTS: Columns = Columns { required: &["person_reference", "photograph", "outcome", "reason"], optional: &[] };
/// As the interface limits one.
const PHOTOGRAPH_MAX_BYTES: u64 = 8 * 1024 * 1024;
const LIST_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Photographs on their way: enough to keep a worker busy.
const AT_ONCE: usize = 8;

/// One import.
pub(super) struct Import<'a> {
    pub(super) client: &'a Client,
    pub(super) album: &'a Path,
    pub(super) community: &'a str,
    pub(super) results: PathBuf,
    pub(super) again: bool,
}

/// What became of a photograph.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    person_reference: String,
    photograph: String,
    outcome: Outcome,
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Enrolled,
    NearDuplicate,
    Refused,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::Enrolled => "enrolled",
            Outcome::NearDuplicate => "near_duplicate",
            Outcome::Refused => "refused",
        }
    }

    fn read(word: &str) -> Option<Self> {
        [Outcome::Enrolled, Outcome::NearDuplicate, Outcome::Refused].into_iter().find(|one| one.word() == word)
    }
}

/// Whose photograph, and which.
type Entry = (String, String);

impl Import<'_> {
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let mut album = Album::open(self.album)?;
        let list = album.read(LIST, LIST_MAX_BYTES).with_context(|| format!("{} in {}", LIST, self.album.display()))?;
        let list = table::read(&list, COLUMNS).with_context(|| LIST.to_owned())?;
        if let Some(rejected) = list.rejected.first() {
            bail!("{LIST}: {rejected}; nothing was enrolled");
        }
        let entries: Vec<Entry> =
            list.rows.into_iter().map(|row| (row.cells[0].clone(), row.cells[1].clone())).collect();
        let mut known = read_results(&self.results)?;
        if self.again {
            known.retain(|_, row| row.outcome != Outcome::Refused);
        }
        let ids: BTreeMap<String, String> = residents::all(self.client, self.community)
            .await?
            .into_iter()
            .map(|resident| (resident.person_reference, resident.id))
            .collect();
        let left: Vec<Entry> = entries.iter().filter(|entry| !known.contains_key(*entry)).cloned().collect();
        let mut results = append(&self.results)?;
        let bar = progress(entries.len());
        bar.inc((entries.len() - left.len()) as u64);
        let mut sent = stream::iter(left)
            .map(|entry| {
                // Read one by one, and not before its turn: an album does not fit into memory.
                let photograph = album.read(&entry.1, PHOTOGRAPH_MAX_BYTES).map_err(|error| error.to_string());
                self.one(entry, &ids, photograph)
            })
            .buffer_unordered(AT_ONCE);
        while let Some(row) = sent.next().await {
            let row = row?;
            if row.outcome == Outcome::Refused {
                bar.suspend(|| eprintln!("{}: {}", row.photograph, row.reason));
            }
            write(&mut results, &row).with_context(|| format!("cannot write {}", self.results.display()))?;
            known.insert((row.person_reference.clone(), row.photograph.clone()), row);
            bar.inc(1);
        }
        drop(sent);
        bar.finish_and_clear();
        self.tell(&entries, &known)
    }

    /// Only what would befall the next one too stops the import.
    async fn one(
        &self,
        (person_reference, photograph): Entry,
        ids: &BTreeMap<String, String>,
        bytes: Result<Vec<u8>, String>,
    ) -> anyhow::Result<Row> {
        let row = |outcome, reason: String| Row {
            person_reference: person_reference.clone(),
            photograph: photograph.clone(),
            outcome,
            reason,
        };
        let Some(resident_id) = ids.get(&person_reference).filter(|_| !person_reference.is_empty()) else {
            return Ok(row(Outcome::Refused, "RESIDENT_NOT_FOUND: import the roster first".to_owned()));
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => return Ok(row(Outcome::Refused, error)),
        };
        let hash = hex::encode(Sha256::digest(&bytes));
        let request = EnrolFaceRequest {
            // The same photograph sent again after a broken connection is the same request. One that was refused may
            // be sent anew: refusals are not remembered by the platform.
            request_id: request_id::derived(&["photograph", resident_id, &photograph, &hash]),
            resident_id: resident_id.clone(),
            photograph: bytes.into(),
        };
        match answer(self.client.residents().enrol_face(request).await) {
            Ok(face) if face.outcome() == EnrolmentOutcome::NearDuplicate => {
                Ok(row(Outcome::NearDuplicate, String::new()))
            }
            Ok(_) => Ok(row(Outcome::Enrolled, String::new())),
            Err(failure) if failure.is_about_the_request() => Ok(row(Outcome::Refused, in_one_line(&failure))),
            Err(failure) => {
                Err(failure).with_context(|| format!("{photograph}; run the import again, and it goes on from here"))
            }
        }
    }

    fn tell(&self, entries: &[Entry], known: &HashMap<Entry, Row>) -> anyhow::Result<()> {
        let count =
            |outcome| entries.iter().filter_map(|entry| known.get(entry)).filter(|row| row.outcome == outcome).count();
        let refused = count(Outcome::Refused);
        println!(
            "photographs: {} enrolled, {} told nothing new, {refused} refused; see {}",
            count(Outcome::Enrolled),
            count(Outcome::NearDuplicate),
            self.results.display()
        );
        if refused > 0 {
            bail!("{refused} of {} photographs refused: replace them and import with --again", entries.len());
        }
        Ok(())
    }
}

fn in_one_line(failure: &Failure) -> String {
    failure.to_string().replace('\n', " ")
}

/// What is known of earlier runs; the last word on a photograph counts.
fn read_results(path: &Path) -> anyhow::Result<HashMap<Entry, Row>> {
    let Ok(bytes) = std::fs::read(path) else { return Ok(HashMap::new()) };
    if bytes.is_empty() {
        return Ok(HashMap::new());
    }
    let told = table::read(&bytes, RESULTS).with_context(|| format!("{} is no results file", path.display()))?;
    // A line that a dying process left half is rejected, and its photograph is sent again.
    let rows = told.rows.into_iter().filter_map(|row| {
        let [person_reference, photograph, outcome, reason] = row.cells.try_into().ok()?;
        let entry = (person_reference, photograph);
        let row = Row {
            person_reference: entry.0.clone(),
            photograph: entry.1.clone(),
            outcome: Outcome::read(&outcome)?,
            reason,
        };
        Some((entry, row))
    });
    Ok(rows.collect())
}

fn append(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
    if file.metadata()?.len() == 0 {
        writeln!(file, "{}", RESULTS.required.join(","))?;
    } else {
        // After a line that a dying process left half.
        writeln!(file)?;
    }
    Ok(file)
}

fn write(file: &mut File, row: &Row) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([&*row.person_reference, &*row.photograph, row.outcome.word(), &*row.reason])?;
    file.write_all(&writer.into_inner()?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(photograph: &str, outcome: Outcome) -> Row {
        Row {
            person_reference: "P1".into(),
            photograph: photograph.into(),
            outcome,
            reason: "FACE_DARK: \"a, b\"".into(),
        }
    }

    #[test]
    fn results_are_read_as_they_were_written_and_the_last_word_counts() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("results.csv");
        assert!(read_results(&path).unwrap().is_empty());
        let mut file = append(&path).unwrap();
        write(&mut file, &row("a.jpg", Outcome::Refused)).unwrap();
        write(&mut file, &row("b.jpg", Outcome::NearDuplicate)).unwrap();
        // As a process leaves it that dies while it writes.
        file.write_all(b"P1,c.jpg,enro").unwrap();
        drop(file);
        let mut file = append(&path).unwrap();
        write(&mut file, &row("a.jpg", Outcome::Enrolled)).unwrap();
        let known = read_results(&path).unwrap();
        assert_eq!(known.len(), 2);
        assert_eq!(known[&("P1".into(), "a.jpg".into())], row("a.jpg", Outcome::Enrolled));
        assert_eq!(known[&("P1".into(), "b.jpg".into())], row("b.jpg", Outcome::NearDuplicate));
    }
}
