//! `gatepost admin parcels` and `reminders`: what staff see of parcels. Their journey is the courier's to drive.

use clap::Subcommand;
use gatepost_proto::v1::{
    DeliveryState, ExtendStayRequest, HoldStayRequest, ListRemindersRequest, ListUnresolvedParcelsRequest, Parcel,
    ReleaseStayRequest, ResolveParcelRequest,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::connection::Client;
use super::failure::answer;
use super::listing::Listing;
use super::{request_id, timestamp};

const PAGE_SIZE: i32 = 500;

/// What staff do with parcels.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List announced parcels whose recipient could not be resolved, oldest first.
    Unresolved {
        /// The community.
        #[arg(long)]
        community: String,
    },
    /// Say whose an unresolved parcel is.
    Resolve {
        /// The parcel's id.
        parcel: String,
        /// The resident's id.
        #[arg(long)]
        resident: String,
    },
    /// Let a parcel wait longer than the policy says, once.
    Extend {
        /// The parcel's id.
        parcel: String,
        /// The new T2, such as 2026-06-05T18:00:00+08:00; as far as the policy goes when left out.
        #[arg(long)]
        until: Option<Timestamp>,
    },
    /// Let a parcel rest while its resident is away, once: no reminder, no recall.
    Hold {
        /// The parcel's id.
        parcel: String,
        /// Until when, such as 2026-06-05T18:00:00+08:00.
        #[arg(long)]
        until: Timestamp,
    },
    /// End a hold before its time.
    Release {
        /// The parcel's id.
        parcel: String,
    },
}

/// Runs one command.
pub(super) async fn run(client: &Client, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::Unresolved { community } => unresolved(client, &community, json).await,
        Command::Resolve { parcel, resident } => {
            let request = ResolveParcelRequest {
                request_id: request_id::fresh(),
                parcel_id: parcel.clone(),
                resident_id: resident,
            };
            answer(client.residents().resolve_parcel(request).await)?;
            println!("{parcel} resolved");
            Ok(())
        }
        Command::Extend { parcel, until } => {
            let until = until.map(to_wire);
            let request = ExtendStayRequest { request_id: request_id::fresh(), parcel_id: parcel, until };
            told(answer(client.residents().extend_stay(request).await)?.parcel);
            Ok(())
        }
        Command::Hold { parcel, until } => {
            let until = Some(to_wire(until));
            let request = HoldStayRequest { request_id: request_id::fresh(), parcel_id: parcel, until };
            told(answer(client.residents().hold_stay(request).await)?.parcel);
            Ok(())
        }
        Command::Release { parcel } => {
            let request = ReleaseStayRequest { request_id: request_id::fresh(), parcel_id: parcel };
            told(answer(client.residents().release_stay(request).await)?.parcel);
            Ok(())
        }
    }
}

fn to_wire(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// Says how long a parcel waits now.
fn told(parcel: Option<Parcel>) {
    let parcel = parcel.unwrap_or_default();
    let recall_at = timestamp(parcel.recall_at).map_or_else(|| "its courier comes".to_owned(), |at| at.to_string());
    println!("{} waits until {recall_at}", parcel.id);
}

async fn unresolved(client: &Client, community: &str, json: bool) -> anyhow::Result<()> {
    let mut list =
        Listing::new(&["parcel", "courier", "tracking_number", "name", "phone", "building", "unit", "address"]);
    let mut page_token = String::new();
    loop {
        let request = ListUnresolvedParcelsRequest { community_id: community.into(), page_size: PAGE_SIZE, page_token };
        let page = answer(client.residents().list_unresolved_parcels(request).await)?;
        for one in page.parcels {
            let label = one.recipient.unwrap_or_default();
            list.push([
                json!(one.parcel_id),
                json!(one.courier_id),
                json!(one.tracking_number),
                json!(label.name),
                json!(label.phone),
                json!(label.building),
                json!(label.unit),
                json!(label.address),
            ]);
        }
        if page.next_page_token.is_empty() {
            return Ok(list.print(json)?);
        }
        page_token = page.next_page_token;
    }
}

/// Lists the reminders of a resident's parcels.
pub(super) async fn reminders(client: &Client, resident: String, json: bool) -> anyhow::Result<()> {
    let request = ListRemindersRequest { resident_id: resident };
    let response = answer(client.residents().list_reminders(request).await)?;
    let mut list =
        Listing::new(&["decided", "parcel", "channel", "delivery", "attempts", "gate", "similarity", "last_error"]);
    for one in response.reminders {
        let delivery = match one.delivery() {
            DeliveryState::Pending => "pending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "failed",
            DeliveryState::Unspecified => "unknown",
        };
        let similarity = if one.similarity == 0.0 { Value::Null } else { json!(format!("{:.3}", one.similarity)) };
        list.push([
            json!(timestamp(one.decide_time).map(|time| time.to_string())),
            json!(one.parcel_id),
            json!(one.channel),
            json!(delivery),
            json!(one.attempts),
            json!(one.gate_id),
            similarity,
            json!(one.last_error),
        ]);
    }
    Ok(list.print(json)?)
}
