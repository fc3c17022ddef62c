//! Brings the residents on record to what a roster says, row by row.
//!
//! The record is fetched first, so a file imported twice sends nothing the second time. Consent is more careful than
//! the rest: a roster is older than a withdrawal made since, so a resident on record keeps the consents in force
//! unless the caller asked for the file's.

use std::collections::HashMap;

use anyhow::Context as _;
use gatepost_proto::v1::{
    ConsentPurpose, CreateResidentRequest, GrantConsentRequest, Resident, UpdateResidentRequest, WithdrawConsentRequest,
};
use indicatif::ProgressBar;

use super::super::connection::Client;
use super::super::failure::{Failure, answer, patiently};
use super::super::{request_id, residents};
use super::roster::Entry;

/// One import's surroundings.
pub(super) struct Sync<'a> {
    pub(super) client: &'a Client,
    pub(super) community: &'a str,
    pub(super) update_consents: bool,
}

/// What an import did.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) added: usize,
    pub(super) changed: usize,
    pub(super) unchanged: usize,
    pub(super) rejected: usize,
    /// A line for each resident whose consents are other than the file's.
    pub(super) consents_differ: Vec<String>,
}

enum Outcome {
    Added,
    Changed,
    Unchanged,
}

impl Sync<'_> {
    /// Sends what differs. A row the platform refuses stops the import, unless the rest is wanted.
    pub(super) async fn run(&self, entries: &[Entry], partial: bool, bar: &ProgressBar) -> anyhow::Result<Tally> {
        let on_record: HashMap<String, Resident> = residents::all(self.client, self.community)
            .await?
            .into_iter()
            .map(|resident| (resident.person_reference.clone(), resident))
            .collect();
        let mut tally = Tally::default();
        for (index, entry) in entries.iter().enumerate() {
            let known = on_record.get(&entry.resident.person_reference);
            match patiently(async || self.one(entry, known, &mut tally).await).await {
                Ok(Outcome::Added) => tally.added += 1,
                Ok(Outcome::Changed) => tally.changed += 1,
                Ok(Outcome::Unchanged) => tally.unchanged += 1,
                Err(failure) if partial && failure.is_about_the_request() => {
                    tally.rejected += 1;
                    bar.suspend(|| eprintln!("{}", refusal(entry.line, &failure)));
                }
                Err(failure) => {
                    let told = refusal(entry.line, &failure);
                    return Err(failure).with_context(|| {
                        format!("{told}; the {index} rows before are imported, so mend the cause and import again")
                    });
                }
            }
            bar.inc(1);
        }
        Ok(tally)
    }

    async fn one(&self, entry: &Entry, known: Option<&Resident>, tally: &mut Tally) -> Result<Outcome, Failure> {
        let Some(known) = known else {
            let created = self.create(entry).await?;
            self.set_consents(entry, &created).await?;
            return Ok(Outcome::Added);
        };
        let changed = self.update(entry, known).await?;
        let consents_differ = differing(entry, known).next().is_some();
        if consents_differ && self.update_consents {
            self.set_consents(entry, known).await?;
            return Ok(Outcome::Changed);
        }
        if consents_differ {
            let note = "consents differ from the record, which was kept; --update-consents takes the file's";
            tally.consents_differ.push(format!("line {}: {note}", entry.line));
        }
        Ok(if changed { Outcome::Changed } else { Outcome::Unchanged })
    }

    async fn create(&self, entry: &Entry) -> Result<Resident, Failure> {
        let wanted = Resident { community_id: self.community.to_owned(), ..entry.resident.clone() };
        let derived = request_id::derived(&[
            "resident",
            self.community,
            &wanted.person_reference,
            &wanted.name,
            &wanted.phone,
            &wanted.email,
            &wanted.building_id,
            &wanted.unit,
            if wanted.needs_accessible { "accessible" } else { "" },
            if wanted.under_14 { "under 14" } else { "" },
        ]);
        let created = self.send_create(derived, wanted.clone()).await?;
        match residents::get(self.client, &created.id).await {
            // The derived id answered for a resident who was deleted since: this one is wanted anew.
            Err(failure) if failure.reason() == Some("RESIDENT_NOT_FOUND") => {
                self.send_create(request_id::fresh(), wanted).await
            }
            other => other,
        }
    }

    async fn send_create(&self, request_id: String, resident: Resident) -> Result<Resident, Failure> {
        let request = CreateResidentRequest { request_id, resident: Some(resident) };
        let response = answer(self.client.residents().create_resident(request).await)?;
        Ok(response.resident.unwrap_or_default())
    }

    async fn update(&self, entry: &Entry, known: &Resident) -> Result<bool, Failure> {
        let paths = differing_fields(entry, known);
        if paths.is_empty() {
            return Ok(false);
        }
        let resident =
            Resident { id: known.id.clone(), community_id: self.community.to_owned(), ..entry.resident.clone() };
        let request = UpdateResidentRequest {
            // Setting the same fields twice is harmless, and a derived id would swallow a change back.
            request_id: request_id::fresh(),
            resident: Some(resident),
            update_mask: Some(prost_types::FieldMask { paths }),
        };
        answer(self.client.residents().update_resident(request).await)?;
        Ok(true)
    }

    async fn set_consents(&self, entry: &Entry, resident: &Resident) -> Result<(), Failure> {
        for (purpose, agreed) in differing(entry, resident) {
            let (request_id, resident_id, purpose) = (request_id::fresh(), resident.id.clone(), purpose.into());
            let mut service = self.client.residents();
            if agreed {
                let (notice, guardian) = (entry.notice.clone(), entry.guardian.clone());
                let request =
                    GrantConsentRequest { request_id, resident_id, purpose, notice, guardian, ..Default::default() };
                answer(service.grant_consent(request).await)?;
            } else {
                let request = WithdrawConsentRequest { request_id, resident_id, purpose, ..Default::default() };
                answer(service.withdraw_consent(request).await)?;
            }
        }
        Ok(())
    }
}

/// Consents that the file tells otherwise than the record, as the file tells them.
fn differing<'a>(entry: &'a Entry, resident: &'a Resident) -> impl Iterator<Item = (ConsentPurpose, bool)> + 'a {
    [(ConsentPurpose::GateRecognition, entry.gate_recognition), (ConsentPurpose::LockerDeposit, entry.locker_deposit)]
        .into_iter()
        .filter(|(purpose, agreed)| resident.consents().any(|in_force| in_force == *purpose) != *agreed)
}

fn differing_fields(entry: &Entry, known: &Resident) -> Vec<String> {
    let wanted = &entry.resident;
    let fields = [
        ("name", wanted.name != known.name),
        ("phone", wanted.phone != known.phone),
        ("email", wanted.email != known.email),
        ("building_id", wanted.building_id != known.building_id),
        ("unit", wanted.unit != known.unit),
        ("needs_accessible", entry.needs_accessible.is_some_and(|told| told != known.needs_accessible)),
        ("under_14", entry.under_14.is_some_and(|told| told != known.under_14)),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}

/// The refused row in the words of the rows that were refused here.
fn refusal(line: u64, failure: &Failure) -> String {
    let fields: Vec<String> = failure
        .violations()
        .iter()
        .map(|(field, problem)| format!("line {line}, field {}: {problem}", field.rsplit('.').next().unwrap_or(field)))
        .collect();
    if fields.is_empty() {
        let reason = failure.reason().unwrap_or("the platform did not take it");
        return format!("line {line}, field row: {reason}");
    }
    fields.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::{ErrorDetails, StatusExt as _};

    fn resident(name: &str, unit: &str, consents: &[ConsentPurpose]) -> Resident {
        Resident {
            name: name.into(),
            unit: unit.into(),
            consents: consents.iter().map(|purpose| (*purpose).into()).collect(),
            ..Resident::default()
        }
    }

    fn entry(gate_recognition: bool, locker_deposit: bool) -> Entry {
        Entry {
            line: 2,
            resident: resident("王芳", "1502", &[]),
            needs_accessible: None,
            under_14: None,
            gate_recognition,
            locker_deposit,
            notice: "v1".into(),
            guardian: String::new(),
        }
    }

    #[test]
    fn only_what_differs_is_sent() {
        let known = resident("王芳", "1503", &[ConsentPurpose::LockerDeposit]);
        assert_eq!(differing_fields(&entry(true, true), &known), ["unit"]);
        let accessible = |told, on_record| {
            let known = Resident { needs_accessible: on_record, ..resident("王芳", "1502", &[]) };
            differing_fields(&Entry { needs_accessible: told, ..entry(true, true) }, &known)
        };
        assert_eq!(accessible(Some(false), true), ["needs_accessible"]);
        assert_eq!([accessible(None, true), accessible(Some(true), true)].concat(), [""; 0]);
        let child = Entry { under_14: Some(true), ..entry(true, true) };
        assert_eq!(differing_fields(&child, &resident("王芳", "1502", &[])), ["under_14"]);
        assert_eq!(
            differing(&entry(true, true), &known).collect::<Vec<_>>(),
            [(ConsentPurpose::GateRecognition, true)]
        );
        assert_eq!(
            differing(&entry(false, false), &known).collect::<Vec<_>>(),
            [(ConsentPurpose::LockerDeposit, false)]
        );
        assert_eq!(differing(&entry(false, true), &known).count(), 0);
    }

    #[test]
    fn a_refusal_of_the_platform_names_line_and_field() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("resident.phone", "has fewer than 8 digits");
        let status = tonic::Status::with_error_details(tonic::Code::InvalidArgument, "", details);
        assert_eq!(refusal(7, &Failure::from(status)), "line 7, field phone: has fewer than 8 digits");
        let bare = Failure::from(tonic::Status::already_exists("RESIDENT_EXISTS"));
        assert_eq!(refusal(7, &bare), "line 7, field row: the platform did not take it");
    }
}
