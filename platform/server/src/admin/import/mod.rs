//! Whole files: a roster of residents, with or without photographs, and a record of past pickups, as CSV.
//!
//! Every row is checked before the first is sent. One rejected row stops the import, unless the rest is asked for
//! with `--partial`. Importing a file again changes only what differs from it.

mod album;
mod photographs;
mod pickups;
mod roster;
mod roster_sync;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use gatepost_process::clock::{Clock as _, SystemClock};
use gatepost_proto::v1::ImportPickupsRequest;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;

use super::connection::Client;
use super::failure::{answer, patiently};
use super::{communities, request_id, residents};
use table::RowError;

const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// As the interface limits one call.
const PICKUPS_A_CALL: usize = 1000;

/// What can be done with rosters.
#[derive(Debug, Subcommand)]
pub(super) enum RosterCommand {
    /// Add the residents of a CSV file, and change those it tells otherwise.
    ///
    /// Columns: person_reference,name,phone,email,building,unit,gate_recognition,locker_deposit,notice. The last
    /// three are consents (yes or no) and the notice text that was shown for them, by version or hash. A column
    /// needs_accessible (yes or no) may be added, for residents whose way to a locker must have no steps, and under_14
    /// (yes or no) with guardian, the reference of who agreed for them; where these are missing or empty, the record is
    /// kept. A resident is known again by person_reference.
    Import {
        #[command(flatten)]
        import: ImportArgs,
        /// Also grant and withdraw consents of residents on record, where the file tells otherwise. Without this, a
        /// consent withdrawn since the file was written is not given again.
        #[arg(long)]
        update_consents: bool,
    },
    /// Enrol the photographs of a folder or zip archive, whose photographs.csv says whose they are.
    ///
    /// Columns: person_reference,photograph; a person may have several rows. What became of each photograph is written
    /// to a results file; interrupted, the import goes on where it was.
    Enrol {
        /// The folder or zip archive.
        album: PathBuf,
        /// The community.
        #[arg(long)]
        community: String,
        /// Where results go [default: ALBUM.results.csv]
        #[arg(long, value_name = "FILE")]
        results: Option<PathBuf>,
        /// Also send what was refused before.
        #[arg(long)]
        again: bool,
    },
}

/// What can be done with records of pickups.
#[derive(Debug, Subcommand)]
pub(super) enum PickupsCommand {
    /// Add past pickups from a CSV file, for usual hours to be known from the first day.
    ///
    /// Columns: person_reference,picked_up_at. Times are RFC 3339, or local (2026-03-02 18:40) in the community's
    /// time zone.
    Import {
        #[command(flatten)]
        import: ImportArgs,
    },
}

/// What both imports take.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The CSV file, in UTF-8.
    file: PathBuf,
    /// The community.
    #[arg(long)]
    community: String,
    /// Import the other rows when some are rejected.
    #[arg(long)]
    partial: bool,
}

/// Imports a roster.
pub(super) async fn run_roster(client: &Client, command: RosterCommand) -> anyhow::Result<()> {
    let (import, update_consents) = match command {
        RosterCommand::Import { import, update_consents } => (import, update_consents),
        RosterCommand::Enrol { album, community, results, again } => {
            let results = results.unwrap_or_else(|| beside(&album));
            return photographs::Import { client, album: &album, community: &community, results, again }.run().await;
        }
    };
    let rows = read(&import.file, roster::COLUMNS)?;
    let community = communities::get(client, &import.community).await?;
    let bar = progress(rows.rows.len());
    let mut checked = roster::check(&rows.rows, &community.topology.unwrap_or_default(), &bar);
    bar.finish_and_clear();
    checked.rejected.extend(rows.rejected);
    let rows = accepted(checked, import.partial)?;

    let sync = roster_sync::Sync { client, community: &import.community, update_consents };
    let bar = progress(rows.rows.len());
    let outcome = sync.run(&rows.rows, import.partial, &bar).await;
    bar.finish_and_clear();
    let tally = outcome?;
    tally.consents_differ.iter().for_each(|note| eprintln!("{note}"));
    println!(
        "residents: {} added, {} changed, {} unchanged, {} rows rejected",
        tally.added,
        tally.changed,
        tally.unchanged,
        rows.rejected + tally.rejected
    );
    Ok(())
}

/// Imports past pickups.
pub(super) async fn run_pickups(client: &Client, command: PickupsCommand) -> anyhow::Result<()> {
    let PickupsCommand::Import { import } = command;
    let rows = read(&import.file, pickups::COLUMNS)?;
    let community = communities::get(client, &import.community).await?;
    let zone = TimeZone::get(&community.time_zone)
        .with_context(|| format!("this program does not know the community's time zone {}", community.time_zone))?;
    let residents = residents::all(client, &import.community).await?;
    let ids: BTreeMap<String, String> = residents
        .into_iter()
        .filter(|resident| !resident.person_reference.is_empty())
        .map(|resident| (resident.person_reference, resident.id))
        .collect();
    let bar = progress(rows.rows.len());
    let mut checked = pickups::check(&rows.rows, &pickups::Known { ids: &ids, zone, now: SystemClock.now() }, &bar);
    bar.finish_and_clear();
    checked.rejected.extend(rows.rejected);
    let rows = accepted(checked, import.partial)?;

    let total = rows.rows.len();
    let added = send_pickups(client, rows.rows).await?;
    println!("pickups: {added} added, {} on record before, {} rows rejected", total - added, rows.rejected);
    Ok(())
}

async fn send_pickups(client: &Client, rows: Vec<pickups::Pickup>) -> anyhow::Result<usize> {
    let bar = progress(rows.len());
    let mut by_resident: BTreeMap<String, Vec<pickups::Pickup>> = BTreeMap::new();
    for pickup in rows {
        by_resident.entry(pickup.resident_id.clone()).or_default().push(pickup);
    }
    let mut added = 0;
    for (resident_id, pickups) in by_resident {
        for chunk in pickups.chunks(PICKUPS_A_CALL) {
            let request = ImportPickupsRequest {
                // Times on record change nothing, so sending them again is harmless. A derived id would only have the
                // platform repeat the count of the first import.
                request_id: request_id::fresh(),
                resident_id: resident_id.clone(),
                pickup_times: chunk.iter().map(pickups::Pickup::to_wire).collect(),
            };
            let lines = (chunk.first().map(|one| one.line), chunk.last().map(|one| one.line));
            let sent = patiently(async || answer(client.residents().import_pickups(request.clone()).await));
            let response = sent.await.with_context(|| {
                let (first, last) = (lines.0.unwrap_or_default(), lines.1.unwrap_or_default());
                format!("pickups of lines {first} to {last} were not taken; those before were, so import again")
            })?;
            added += usize::try_from(response.added).unwrap_or_default();
            bar.inc(chunk.len() as u64);
        }
    }
    bar.finish_and_clear();
    Ok(added)
}

/// Not inside of a folder, where the next one who counts the photographs would stumble over it.
fn beside(album: &Path) -> PathBuf {
    let mut name = album.file_name().unwrap_or_default().to_owned();
    name.push(".results.csv");
    album.with_file_name(name)
}

fn read(file: &Path, columns: table::Columns) -> anyhow::Result<table::Table> {
    let size = std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
    if size > FILE_MAX_BYTES {
        bail!("{} has {size} bytes; an import takes at most {FILE_MAX_BYTES}: split the file", file.display());
    }
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    table::read(&bytes, columns).with_context(|| file.display().to_string())
}

/// Rows that passed, and errors of those that did not.
struct Checked<R> {
    rows: Vec<R>,
    rejected: Vec<RowError>,
}

/// Rows to send, and how many stay behind.
struct Accepted<R> {
    rows: Vec<R>,
    rejected: usize,
}

/// Tells every rejected row; goes on with the others only if asked to.
fn accepted<R>(mut checked: Checked<R>, partial: bool) -> anyhow::Result<Accepted<R>> {
    checked.rejected.sort_by_key(|error| error.line);
    checked.rejected.iter().for_each(|error| eprintln!("{error}"));
    let mut lines: Vec<u64> = checked.rejected.iter().map(|error| error.line).collect();
    lines.dedup();
    if !lines.is_empty() && !partial {
        bail!(
            "{} of {} rows rejected, nothing imported; mend them, or import the others with --partial",
            lines.len(),
            checked.rows.len() + lines.len()
        );
    }
    Ok(Accepted { rows: checked.rows, rejected: lines.len() })
}

/// A progress bar on standard error; hidden when that is no terminal.
pub(super) fn progress(length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta}");
    let bar = ProgressBar::new(length as u64);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked() -> Checked<u8> {
        let rejected = [7, 3, 3].map(|line| RowError::new(line, "name", "is empty".to_owned()));
        Checked { rows: vec![1, 2], rejected: rejected.into() }
    }

    #[test]
    fn one_rejected_row_stops_the_import() {
        let error = accepted(checked(), false).err().unwrap().to_string();
        assert!(error.starts_with("2 of 4 rows rejected, nothing imported"), "{error}");
    }

    #[test]
    fn partial_goes_on_with_the_others() {
        let accepted = accepted(checked(), true).unwrap();
        assert_eq!((accepted.rows, accepted.rejected), (vec![1, 2], 2));
    }
}
