//! `gatepost admin community`: import from one file, list, show, and what the compartments hold.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use gatepost_proto::v1::policy_layer::Layer;
use gatepost_proto::v1::{
    Community, CreateCommunityRequest, DisplayPolicy, GetCommunityRequest, ListCommunitiesRequest,
    ListCompartmentsRequest, ParcelSize, PolicyLayer, UpdateCommunityRequest,
};
use serde_json::{Value, json};

use super::community_file;
use super::connection::Client;
use super::failure::{Failure, answer};
use super::listing::Listing;
use super::{policies, request_id, timestamp};

const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;
const PAGE_SIZE: i32 = 500;

/// What can be done with communities.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a community from a TOML file, or bring it to what the file says.
    Import {
        /// The community file; `platform/server/examples/lotus-garden.toml` is one.
        file: PathBuf,
        /// Change the community if it exists and differs.
        #[arg(long)]
        update: bool,
    },
    /// List the communities.
    List,
    /// Show a community and its places.
    Show {
        /// The community.
        id: String,
    },
    /// List the compartments with what they hold now.
    Compartments {
        /// The community.
        id: String,
    },
}

/// Runs one command.
pub(super) async fn run(client: &Client, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::Import { file, update } => import(client, &file, update).await,
        Command::List => list(client, json).await,
        Command::Show { id } => {
            let community = get(client, &id).await?;
            if !json {
                let display = match community.display_policy() {
                    DisplayPolicy::Locker => "displays tell that a parcel waits, and where",
                    DisplayPolicy::Silent => "displays are silent",
                    DisplayPolicy::ParcelWaits | DisplayPolicy::Unspecified => "displays tell that a parcel waits",
                };
                println!("{}: {}, {}, {display}", community.id, community.display_name, community.time_zone);
            }
            Ok(places(&community).print(json)?)
        }
        Command::Compartments { id } => compartments(client, id, json).await,
    }
}

/// Fetches one community.
pub(super) async fn get(client: &Client, id: &str) -> Result<Community, Failure> {
    let response = answer(client.communities().get_community(GetCommunityRequest { community_id: id.into() }).await)?;
    Ok(response.community.unwrap_or_default())
}

async fn import(client: &Client, file: &Path, update: bool) -> anyhow::Result<()> {
    let size = std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
    if size > FILE_MAX_BYTES {
        bail!("{} has {size} bytes; a community file has at most {FILE_MAX_BYTES}", file.display());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (community, policy) = community_file::parse(&text).with_context(|| file.display().to_string())?;
    let id = community.id.clone();
    let outcome = match get(client, &id).await {
        Ok(stored) if community_file::sorted(stored.clone()) == community_file::sorted(community.clone()) => {
            "unchanged"
        }
        Ok(_) if update => {
            let paths = ["display_name", "time_zone", "topology", "display_policy"].map(String::from);
            let request = UpdateCommunityRequest {
                request_id: request_id::fresh(),
                community: Some(community),
                update_mask: Some(prost_types::FieldMask { paths: paths.into() }),
            };
            answer(client.communities().update_community(request).await)?;
            "updated"
        }
        Ok(_) => bail!("community {id} exists and differs from the file; say --update to change it"),
        Err(failure) if failure.reason() == Some("COMMUNITY_NOT_FOUND") => {
            let request = CreateCommunityRequest {
                request_id: request_id::derived(&["community", &text]),
                community: Some(community),
            };
            answer(client.communities().create_community(request).await)?;
            "created"
        }
        Err(failure) => return Err(failure.into()),
    };
    if let Some(policy) = policy {
        let layer = PolicyLayer { layer: Some(Layer::CommunityId(id.clone())) };
        policies::set(client, layer, policy)
            .await
            .with_context(|| format!("community {id} {outcome}, but not its policy"))?;
    }
    println!("community {id} {outcome}");
    Ok(())
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let mut list = Listing::new(&["id", "display_name", "time_zone", "buildings", "gates", "lockers"]);
    let mut page_token = String::new();
    loop {
        let request = ListCommunitiesRequest { page_size: PAGE_SIZE, page_token };
        let page = answer(client.communities().list_communities(request).await)?;
        for one in page.communities {
            let places = one.topology.unwrap_or_default();
            let [buildings, gates, lockers] = [places.buildings.len(), places.gates.len(), places.lockers.len()];
            list.push([
                json!(one.id),
                json!(one.display_name),
                json!(one.time_zone),
                json!(buildings),
                json!(gates),
                json!(lockers),
            ]);
        }
        if page.next_page_token.is_empty() {
            return Ok(list.print(json)?);
        }
        page_token = page.next_page_token;
    }
}

fn places(community: &Community) -> Listing {
    let mut list = Listing::new(&["kind", "id", "name", "detail"]);
    let Some(topology) = &community.topology else { return list };
    for building in &topology.buildings {
        list.push([json!("building"), json!(building.id), json!(building.name), Value::Null]);
    }
    for gate in &topology.gates {
        list.push([json!("gate"), json!(gate.id), json!(gate.name), Value::Null]);
    }
    for locker in &topology.lockers {
        let offline = if locker.offline { ", offline" } else { "" };
        let hours = if locker.opening_hours.is_empty() { "" } else { ", not always open" };
        let accessible = locker.compartments.iter().filter(|compartment| compartment.accessible).count();
        let detail = format!("{} compartments, {accessible} accessible{hours}{offline}", locker.compartments.len());
        list.push([json!("locker"), json!(locker.id), json!(locker.name), json!(detail)]);
    }
    for junction in &topology.junctions {
        list.push([json!("junction"), json!(junction.id), Value::Null, Value::Null]);
    }
    for walkway in &topology.walkways {
        let ends = format!("{} - {}", walkway.from, walkway.to);
        let steps = if walkway.steps { ", steps" } else { "" };
        list.push([json!("walkway"), json!(ends), Value::Null, json!(format!("{} m{steps}", walkway.metres))]);
    }
    list
}

async fn compartments(client: &Client, community_id: String, json: bool) -> anyhow::Result<()> {
    let request = ListCompartmentsRequest { community_id };
    let response = answer(client.communities().list_compartments(request).await)?;
    let mut list = Listing::new(&["locker", "compartment", "size", "state", "parcel", "reserved_until"]);
    for one in response.compartments {
        let until = timestamp(one.reserved_until);
        let state = match (one.parcel_id.is_empty(), until) {
            (true, _) => "free",
            (false, Some(_)) => "reserved",
            (false, None) => "occupied",
        };
        let size = size_name(one.size());
        list.push([
            json!(one.locker_id),
            json!(one.compartment_id),
            json!(size),
            json!(state),
            json!(one.parcel_id),
            json!(until.map(|until| until.to_string())),
        ]);
    }
    Ok(list.print(json)?)
}

fn size_name(size: ParcelSize) -> &'static str {
    match size {
        ParcelSize::Small => "small",
        ParcelSize::Medium => "medium",
        ParcelSize::Large => "large",
        ParcelSize::Unspecified => "unknown",
    }
}
