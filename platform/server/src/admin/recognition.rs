//! `gatepost admin recognition`: how sure the gates have to be, and what they mistook.

use std::path::PathBuf;

mod model;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use gatepost_matching::calibration::Calibration;
use gatepost_proto::v1::{
    self, ConflictResolution, GetRecognitionPolicyRequest, ListEnrolmentConflictsRequest,
    ListMisidentificationsRequest, LivenessCheck, MisidentificationReason, RecognitionPolicy,
    ReportMisidentificationRequest, SearchScope, SetRecognitionPolicyRequest, SettleEnrolmentConflictRequest,
    SettleMisidentificationRequest,
};
use jiff::Timestamp;
use serde_json::json;

use super::connection::Client;
use super::failure::answer;
use super::listing::Listing;
use super::{request_id, timestamp};

/// What can be done about recognition.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Choose the threshold of a community's gates by a rate of false alarms and a measurement.
    Set {
        /// The community.
        #[arg(long)]
        community: String,
        /// How often a stranger's face may find somebody among those searched: 0.000001 to 0.1.
        #[arg(long, value_name = "RATE", default_value_t = 0.01)]
        false_alarms: f64,
        /// What `gatepost-vision evaluate --calibration` wrote; without, the measurement that comes with Gatepost.
        #[arg(long, value_name = "FILE")]
        calibration: Option<PathBuf>,
        /// Compare with the faces of all consenting residents, not only of those with a parcel due.
        #[arg(long)]
        all_consenting: bool,
        /// What to do about pictures of faces held before a camera; works with a vision worker that can tell them.
        #[arg(long, value_enum, default_value = "flag")]
        liveness: LivenessChoice,
    },
    /// Show a community's policy, and the threshold in force for as many faces as are searched now.
    Show {
        /// The community.
        #[arg(long)]
        community: String,
    },
    /// Record that a reminder at a gate was for somebody else, and take it back.
    NotMe {
        /// The resident's id.
        resident: String,
        /// When the reminder was decided, as `gatepost admin reminders` tells.
        #[arg(long)]
        decided: Timestamp,
    },
    /// Record that a mistaken sighting was looked into.
    Settle {
        /// The resident's id.
        resident: String,
        /// When the resident was seen, as `mistaken` tells.
        #[arg(long)]
        seen: Timestamp,
    },
    /// List photographs that were not enrolled because they resemble somebody else, newest first.
    Conflicts {
        /// The community.
        #[arg(long)]
        community: String,
    },
    /// Settle such a conflict: both are different people, and may be enrolled from now on.
    TellApart {
        /// Who was to be enrolled.
        resident: String,
        /// Whom the face resembles.
        other: String,
        /// They are one person, or the photograph was of the wrong one: it stays refused.
        #[arg(long)]
        same_person: bool,
    },
    /// Run another model of faces beside the one in use, or end that.
    #[command(subcommand)]
    Model(model::Command),
    /// List what a community's gates are known to have mistaken, newest first.
    Mistaken {
        /// The community.
        #[arg(long)]
        community: String,
    },
}

/// What to do about a picture of a resident.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LivenessChoice {
    /// Nothing.
    Off,
    /// Remind, and list it under `mistaken`.
    Flag,
    /// List it, and do not remind.
    Suppress,
}

impl From<LivenessChoice> for LivenessCheck {
    fn from(choice: LivenessChoice) -> Self {
        match choice {
            LivenessChoice::Off => Self::Off,
            LivenessChoice::Flag => Self::Flag,
            LivenessChoice::Suppress => Self::Suppress,
        }
    }
}

/// Runs one command.
pub(super) async fn run(client: &Client, command: Command, json: bool) -> anyhow::Result<()> {
    let request_id = request_id::fresh();
    match command {
        Command::Set { community, false_alarms, calibration, all_consenting, liveness } => {
            let calibration = calibration.map(read).transpose()?;
            let scope = if all_consenting { SearchScope::AllConsenting } else { SearchScope::WaitingOnly };
            let policy = Some(RecognitionPolicy {
                false_alarm_rate: false_alarms,
                calibration,
                search_scope: scope.into(),
                liveness_check: LivenessCheck::from(liveness).into(),
            });
            let request = SetRecognitionPolicyRequest { request_id, community_id: community, policy };
            answer(client.communities().set_recognition_policy(request).await)?;
            println!("recognition policy set");
        }
        Command::Show { community } => show(client, community, json).await?,
        Command::NotMe { resident, decided } => {
            let decide_time = Some(wire(decided));
            let request = ReportMisidentificationRequest { request_id, resident_id: resident, decide_time };
            let done = answer(client.residents().report_misidentification(request).await)?;
            println!(
                "recorded; reminders of {} parcels taken back, {} notices withdrawn",
                done.parcels.len(),
                done.notices_withdrawn
            );
        }
        Command::Settle { resident, seen } => {
            let request =
                SettleMisidentificationRequest { request_id, resident_id: resident, see_time: Some(wire(seen)) };
            answer(client.residents().settle_misidentification(request).await)?;
            println!("settled");
        }
        Command::Conflicts { community } => conflicts(client, community, json).await?,
        Command::TellApart { resident, other, same_person } => {
            let resolution =
                if same_person { ConflictResolution::SamePerson } else { ConflictResolution::DifferentPeople };
            let request = SettleEnrolmentConflictRequest {
                request_id,
                resident_id: resident,
                other_resident_id: other,
                resolution: resolution.into(),
            };
            answer(client.residents().settle_enrolment_conflict(request).await)?;
            println!("settled");
        }
        Command::Model(command) => model::run(client, command, json).await?,
        Command::Mistaken { community } => mistaken(client, community, json).await?,
    }
    Ok(())
}

fn read(file: PathBuf) -> anyhow::Result<v1::Calibration> {
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let calibration: Calibration = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    let point = |point: &gatepost_matching::calibration::CalibrationPoint| v1::CalibrationPoint {
        similarity: point.similarity,
        false_match_rate: point.false_match_rate,
    };
    Ok(v1::Calibration {
        points: calibration.points.iter().map(point).collect(),
        comparisons: i64::try_from(calibration.comparisons)?,
        model: calibration.model,
        source: calibration.source,
    })
}

fn wire(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

async fn show(client: &Client, community: String, json: bool) -> anyhow::Result<()> {
    let request = GetRecognitionPolicyRequest { community_id: community };
    let shown = answer(client.communities().get_recognition_policy(request).await)?;
    let policy = shown.policy.unwrap_or_default();
    let liveness = match policy.liveness_check() {
        LivenessCheck::Off => "off",
        LivenessCheck::Unspecified | LivenessCheck::Flag => "flag",
        LivenessCheck::Suppress => "suppress",
    };
    let mut list = Listing::new(&[
        "false_alarms",
        "faces_searched",
        "similarity",
        "false_match_rate",
        "extrapolated",
        "measured_on",
        "mistake_stands",
        "liveness",
    ]);
    list.push([
        json!(policy.false_alarm_rate),
        json!(shown.templates),
        json!(shown.similarity),
        json!(shown.false_match_rate),
        json!(shown.extrapolated),
        json!(shown.source),
        json!(shown.misidentification_stands),
        json!(liveness),
    ]);
    Ok(list.print(json)?)
}

async fn conflicts(client: &Client, community: String, json: bool) -> anyhow::Result<()> {
    let request = ListEnrolmentConflictsRequest { community_id: community };
    let listed = answer(client.residents().list_enrolment_conflicts(request).await)?;
    let mut list = Listing::new(&["resident", "other", "similarity", "found", "resolution", "settled"]);
    let told = |time| json!(timestamp(time).map(|time| time.to_string()));
    for one in &listed.conflicts {
        let resolution = match one.resolution() {
            ConflictResolution::DifferentPeople => json!("different people"),
            ConflictResolution::SamePerson => json!("same person"),
            ConflictResolution::Unspecified => json!(null),
        };
        list.push([
            json!(one.resident_id),
            json!(one.other_resident_id),
            json!(one.similarity),
            told(one.find_time),
            resolution,
            told(one.settle_time),
        ]);
    }
    Ok(list.print(json)?)
}

async fn mistaken(client: &Client, community: String, json: bool) -> anyhow::Result<()> {
    let request = ListMisidentificationsRequest { community_id: community };
    let listed = answer(client.residents().list_misidentifications(request).await)?;
    let mut list =
        Listing::new(&["resident", "seen", "gate", "reason", "similarity", "other_gate", "reported", "settled"]);
    let told = |time| json!(timestamp(time).map(|time| time.to_string()));
    for one in &listed.misidentifications {
        let reason = match one.reason() {
            MisidentificationReason::NotMe => "not me",
            MisidentificationReason::TwoGates => "two gates",
            MisidentificationReason::NotLive => "not live",
            MisidentificationReason::Unspecified => "unknown",
        };
        list.push([
            json!(one.resident_id),
            told(one.see_time),
            json!(one.gate_id),
            json!(reason),
            json!(one.similarity),
            json!(one.other_gate_id),
            told(one.report_time),
            told(one.settle_time),
        ]);
    }
    Ok(list.print(json)?)
}
