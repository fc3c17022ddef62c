//! `gatepost admin resident`: one resident at a time. Whole rosters are in `import`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use gatepost_proto::v1::{
    ConsentPurpose, CreateResidentRequest, DeleteFacesRequest, DeleteResidentRequest, EnrolFaceRequest,
    EnrolmentOutcome, GetCaptureRequest, GetResidentRequest, GetUsualPickupRequest, GrantConsentRequest,
    ListResidentsRequest, OpenCaptureRequest, Resident, UpdateResidentRequest, WithdrawConsentRequest,
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::connection::Client;
use super::failure::{Failure, answer};
use super::listing::Listing;
use super::{communities, import, personal, request_id, timestamp};

const PHOTOGRAPH_MAX_BYTES: u64 = 8 * 1024 * 1024;
const PAGE_SIZE: i32 = 500;
/// How often a capture is asked after, and how many times: it is open for a minute.
const ASK_EVERY: Duration = Duration::from_millis(500);
const ASK_TIMES: usize = 122;

/// What can be done with residents.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a resident.
    Add(AddArgs),
    /// List a community's residents.
    List {
        /// The community.
        #[arg(long)]
        community: String,
        /// Only those who have faces, but none under this model: who are to enrol again before it is the only one.
        #[arg(long, value_name = "MODEL")]
        not_under: Option<String>,
    },
    /// Show a resident.
    Show {
        /// The resident's id.
        id: String,
    },
    /// Delete a resident with faces, consents and pickups. `erase` does the same and has a certificate.
    Delete {
        /// The resident's id.
        id: String,
    },
    /// Record what a resident agrees to.
    #[command(subcommand)]
    Consent(ConsentCommand),
    /// Enrol faces, one from each photograph. The photographs are not kept.
    Enrol {
        /// The resident's id.
        id: String,
        /// JPEG files with exactly one face each.
        #[arg(required = true)]
        photographs: Vec<PathBuf>,
    },
    /// Delete every enrolled face of a resident.
    ForgetFaces {
        /// The resident's id.
        id: String,
    },
    /// Enrol a resident from the frames of one gate's camera, for a minute: have them step up to it alone.
    Capture {
        /// The resident's id.
        id: String,
        /// The gate.
        #[arg(long)]
        gate: String,
        /// How many faces are enough, 1 to 8.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=8))]
        faces: i32,
    },
    /// Record whether a resident's parcels need an accessible height and a way without steps.
    Accessible {
        /// The resident's id.
        id: String,
        /// Whether they do.
        #[arg(action = clap::ArgAction::Set)]
        needed: bool,
    },
    /// Record whether a resident is under 14, so that a guardian has to agree to gate recognition.
    #[command(name = "under-14")]
    Under14 {
        /// The resident's id.
        id: String,
        /// Whether they are.
        #[arg(action = clap::ArgAction::Set)]
        under_14: bool,
    },
    /// Delete a resident, wait until every replica of the platform has cleared its memory, and write a signed certificate
    /// of it, which `gatepost verify-certificate` verifies.
    Erase {
        /// The resident's id.
        id: String,
        /// The new file to write the certificate to.
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
    },
    /// Write the certificate of an erasure that was begun.
    Certificate {
        /// The erasure's id.
        erasure: String,
        /// The new file to write it to.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// List a community's erasures, newest first.
    Erasures {
        /// The community.
        #[arg(long)]
        community: String,
    },
    /// Give a resident everything that is kept about them, as one JSON document.
    Export {
        /// The resident's id.
        id: String,
        /// Write it to this new file, readable by its owner alone, instead of printing it.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Tell when a resident usually picks up.
    Usual {
        /// The resident's id.
        id: String,
    },
}

/// A new resident.
#[derive(Args)]
pub(super) struct AddArgs {
    #[arg(long)]
    community: String,
    #[arg(long)]
    name: String,
    #[arg(long, default_value = "")]
    phone: String,
    /// Reminders go here.
    #[arg(long, default_value = "")]
    email: String,
    /// The building's id in the community's topology.
    #[arg(long)]
    building: String,
    #[arg(long, default_value = "")]
    unit: String,
    /// The person's id in smart cameras and other systems of the property.
    #[arg(long, default_value = "")]
    reference: String,
    /// Parcels need an accessible height and a way without steps.
    #[arg(long)]
    needs_accessible: bool,
    /// Under 14: a guardian has to agree to gate recognition.
    #[arg(long)]
    under_14: bool,
}

impl std::fmt::Debug for AddArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AddArgs(..)")
    }
}

/// Giving and taking back consent.
#[derive(Debug, Subcommand)]
pub(super) enum ConsentCommand {
    /// Record that the resident agrees.
    Grant {
        /// The resident's id.
        id: String,
        /// To what.
        #[arg(long)]
        purpose: Purpose,
        /// Which notice text the resident was shown: its version.
        #[arg(long)]
        notice: String,
        /// The text that was shown, whose hash is kept.
        #[arg(long, value_name = "FILE")]
        notice_file: Option<PathBuf>,
        /// A guardian agreed for the resident, as is needed under 14.
        #[arg(long)]
        by_guardian: bool,
        /// Which guardian: the id of a resident, or a reference of yours without a name.
        #[arg(long, default_value = "")]
        guardian: String,
    },
    /// Record that the resident no longer agrees. Withdrawing gate-recognition deletes the enrolled faces; a channel of
    /// reminders can be refused without having been agreed to.
    Withdraw {
        /// The resident's id.
        id: String,
        /// To what.
        #[arg(long)]
        purpose: Purpose,
        /// A guardian speaks for the resident.
        #[arg(long)]
        by_guardian: bool,
    },
}

/// What a resident can agree to, each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Purpose {
    /// Recognition at the gates, for parcel reminders and nothing else.
    GateRecognition,
    /// Parcels may be put into a locker.
    LockerDeposit,
    /// Reminders on a gate's display.
    ReminderGateDisplay,
    /// Reminders through the residents' app.
    ReminderWebhook,
    /// Reminders by e-mail.
    ReminderEmail,
}

impl From<Purpose> for ConsentPurpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::GateRecognition => ConsentPurpose::GateRecognition,
            Purpose::LockerDeposit => ConsentPurpose::LockerDeposit,
            Purpose::ReminderGateDisplay => ConsentPurpose::ReminderGateDisplay,
            Purpose::ReminderWebhook => ConsentPurpose::ReminderWebhook,
            Purpose::ReminderEmail => ConsentPurpose::ReminderEmail,
        }
    }
}

/// Runs one command.
pub(super) async fn run(client: &Client, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::Add(new) => add(client, new).await,
        Command::List { community, not_under } => {
            let mut residents = all(client, &community).await?;
            if let Some(model) = not_under {
                residents.retain(|resident| resident.faces > 0 && !resident.face_models.contains(&model));
            }
            Ok(listing(&residents).print(json)?)
        }
        Command::Show { id } => listing(&[get(client, &id).await?]).print(json).map_err(Into::into),
        Command::Delete { id } => {
            let request = DeleteResidentRequest { request_id: request_id::fresh(), resident_id: id.clone() };
            answer(client.residents().delete_resident(request).await)?;
            println!("{id} deleted");
            Ok(())
        }
        Command::Consent(command) => consent(client, command).await,
        Command::Enrol { id, photographs } => enrol(client, &id, &photographs).await,
        Command::ForgetFaces { id } => {
            let request = DeleteFacesRequest { request_id: request_id::fresh(), resident_id: id.clone() };
            answer(client.residents().delete_faces(request).await)?;
            println!("{id}: faces deleted");
            Ok(())
        }
        Command::Capture { id, gate, faces } => capture(client, id, gate, faces).await,
        Command::Accessible { id, needed } => {
            let resident = Resident { id, needs_accessible: needed, ..Resident::default() };
            update(client, resident, "needs_accessible").await
        }
        Command::Under14 { id, under_14 } => {
            update(client, Resident { id, under_14, ..Resident::default() }, "under_14").await
        }
        Command::Erase { id, certificate } => personal::erase(client, id, &certificate).await,
        Command::Certificate { erasure, output } => personal::finish(client, &erasure, &output).await,
        Command::Erasures { community } => personal::erasures(client, &community, json).await,
        Command::Export { id, output } => personal::export(client, id, output).await,
        Command::Usual { id } => usual(client, id, json).await,
    }
}

/// Fetches one resident.
pub(super) async fn get(client: &Client, id: &str) -> Result<Resident, Failure> {
    let response = answer(client.residents().get_resident(GetResidentRequest { resident_id: id.into() }).await)?;
    Ok(response.resident.unwrap_or_default())
}

/// Fetches every resident of a community.
pub(super) async fn all(client: &Client, community: &str) -> Result<Vec<Resident>, Failure> {
    let mut residents = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListResidentsRequest { community_id: community.into(), page_size: PAGE_SIZE, page_token };
        let page = answer(client.residents().list_residents(request).await)?;
        residents.extend(page.residents);
        if page.next_page_token.is_empty() {
            return Ok(residents);
        }
        page_token = page.next_page_token;
    }
}

async fn update(client: &Client, resident: Resident, field: &str) -> anyhow::Result<()> {
    let id = resident.id.clone();
    let request = UpdateResidentRequest {
        request_id: request_id::fresh(),
        resident: Some(resident),
        update_mask: Some(prost_types::FieldMask { paths: vec![field.to_owned()] }),
    };
    answer(client.residents().update_resident(request).await)?;
    println!("{id}: recorded");
    Ok(())
}

async fn add(client: &Client, new: AddArgs) -> anyhow::Result<()> {
    let resident = Resident {
        community_id: new.community,
        name: new.name,
        phone: new.phone,
        email: new.email,
        building_id: new.building,
        unit: new.unit,
        person_reference: new.reference,
        needs_accessible: new.needs_accessible,
        under_14: new.under_14,
        ..Resident::default()
    };
    let request = CreateResidentRequest { request_id: request_id::fresh(), resident: Some(resident) };
    let response = answer(client.residents().create_resident(request).await)?;
    println!("{}", response.resident.unwrap_or_default().id);
    Ok(())
}

async fn consent(client: &Client, command: ConsentCommand) -> anyhow::Result<()> {
    let request_id = request_id::fresh();
    match command {
        ConsentCommand::Grant { id, purpose, notice, notice_file, by_guardian, guardian } => {
            let purpose = ConsentPurpose::from(purpose).into();
            let read = |file: PathBuf| std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()));
            let text = notice_file.map(read).transpose()?;
            let notice_sha256 = text.map_or_else(Vec::new, |text| Sha256::digest(text).to_vec()).into();
            let resident_id = id.clone();
            let request =
                GrantConsentRequest { request_id, resident_id, purpose, notice, notice_sha256, by_guardian, guardian };
            answer(client.residents().grant_consent(request).await)?;
            println!("{id}: consent granted");
        }
        ConsentCommand::Withdraw { id, purpose, by_guardian } => {
            let purpose = ConsentPurpose::from(purpose).into();
            let request = WithdrawConsentRequest { request_id, resident_id: id.clone(), purpose, by_guardian };
            answer(client.residents().withdraw_consent(request).await)?;
            println!("{id}: consent withdrawn");
        }
    }
    Ok(())
}

async fn enrol(client: &Client, id: &str, photographs: &[PathBuf]) -> anyhow::Result<()> {
    let bar = import::progress(photographs.len());
    let mut refused = 0;
    for file in photographs {
        let request = EnrolFaceRequest {
            request_id: request_id::fresh(),
            resident_id: id.into(),
            photograph: photograph(file)?.into(),
        };
        match answer(client.residents().enrol_face(request).await) {
            Ok(face) => bar.suspend(|| {
                let outcome = match face.outcome() {
                    EnrolmentOutcome::NearDuplicate => "tells nothing new, not added",
                    EnrolmentOutcome::Enrolled | EnrolmentOutcome::Unspecified => "enrolled",
                };
                println!(
                    "{}: {outcome}; quality {:.2}, score {:.3}, {:.0} pixels wide",
                    file.display(),
                    face.quality,
                    face.score,
                    face.face_width
                );
            }),
            Err(failure) if failure.is_about_the_request() => {
                refused += 1;
                bar.suspend(|| eprintln!("{}: {failure}", file.display()));
            }
            Err(failure) => return Err(anyhow::Error::new(failure).context(file.display().to_string())),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if refused > 0 {
        bail!("{refused} of {} photographs refused", photographs.len());
    }
    Ok(())
}

fn photograph(file: &Path) -> anyhow::Result<Vec<u8>> {
    let size = std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
    if size > PHOTOGRAPH_MAX_BYTES {
        bail!("{} has {size} bytes; a photograph has at most {PHOTOGRAPH_MAX_BYTES}", file.display());
    }
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

async fn usual(client: &Client, id: String, json: bool) -> anyhow::Result<()> {
    let resident = get(client, &id).await?;
    let community = communities::get(client, &resident.community_id).await?;
    let request = GetUsualPickupRequest { resident_id: id };
    let response = answer(client.residents().get_usual_pickup(request).await)?;
    // Shown as the resident's own clock shows it.
    let zone = TimeZone::get(&community.time_zone).unwrap_or(TimeZone::UTC);
    let next = timestamp(response.next_time).map(|time| time.to_zoned(zone).to_string());
    let source = if response.pickups > 0 { "record of pickups" } else { "policy" };
    let mut list = Listing::new(&["next_time", "known_from", "pickups"]);
    list.push([json!(next), json!(source), json!(response.pickups)]);
    Ok(list.print(json)?)
}

/// Opens a capture and waits for its end.
async fn capture(client: &Client, resident_id: String, gate_id: String, faces: i32) -> anyhow::Result<()> {
    let request =
        OpenCaptureRequest { request_id: request_id::fresh(), resident_id: resident_id.clone(), gate_id, faces };
    let mut capture = answer(client.residents().open_capture(request).await)?.capture.unwrap_or_default();
    let end_time = capture.end_time;
    eprintln!("open until {}", timestamp(end_time).map(|time| time.to_string()).unwrap_or_default());
    // A capture that has enough, or can have no more, ends earlier than it was to.
    let mut asked = tokio::time::interval(ASK_EVERY);
    for _ in 0..ASK_TIMES {
        asked.tick().await;
        let request = GetCaptureRequest { resident_id: resident_id.clone() };
        let got = answer(client.residents().get_capture(request).await)?;
        capture = got.capture.unwrap_or_default();
        if capture.end_time != end_time {
            break;
        }
    }
    for refused in &capture.refused {
        println!("{}: {} frames", refused.reason, refused.frames);
    }
    println!("{resident_id}: {} faces enrolled from {} frames with a face", capture.enrolled, capture.frames);
    anyhow::ensure!(capture.enrolled > 0, "nobody was enrolled");
    Ok(())
}

fn listing(residents: &[Resident]) -> Listing {
    let mut list = Listing::new(&[
        "id",
        "person_reference",
        "name",
        "phone",
        "email",
        "building",
        "unit",
        "needs_accessible",
        "under_14",
        "consents",
        "faces",
    ]);
    for one in residents {
        let consents: Vec<&str> = one.consents().map(purpose_name).collect();
        list.push([
            json!(one.id),
            json!(one.person_reference),
            json!(one.name),
            json!(one.phone),
            json!(one.email),
            json!(one.building_id),
            json!(one.unit),
            json!(one.needs_accessible),
            json!(one.under_14),
            Value::from(consents),
            json!(one.faces),
        ]);
    }
    list
}

fn purpose_name(purpose: ConsentPurpose) -> &'static str {
    match purpose {
        ConsentPurpose::GateRecognition => "gate-recognition",
        ConsentPurpose::LockerDeposit => "locker-deposit",
        ConsentPurpose::ReminderGateDisplay => "reminder-gate-display",
        ConsentPurpose::ReminderWebhook => "reminder-webhook",
        ConsentPurpose::ReminderEmail => "reminder-email",
        ConsentPurpose::Unspecified => "unknown",
    }
}
