//! `gatepost admin audit`: who of the staff looked at what is personal.

use clap::Subcommand;
use gatepost_proto::v1::{ListLooksRequest, Look};
use serde_json::{Value, json};

use super::connection::Client;
use super::failure::answer;
use super::listing::Listing;
use super::timestamp;

const PAGE_SIZE: usize = 500;

/// What can be asked.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List looks, newest first. `gatepost verify-ledger --looks` tells whether one was changed or taken out.
    Looks {
        /// Whose residents were looked at; without, looks that found nobody, or reached for another community.
        #[arg(long, default_value = "")]
        community: String,
        /// Only looks at this resident, who may be deleted since.
        #[arg(long, value_name = "ID", default_value = "")]
        resident: String,
        /// At most so many.
        #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
        limit: usize,
    },
}

/// Runs one command.
pub(super) async fn run(client: &Client, command: Command, json: bool) -> anyhow::Result<()> {
    let Command::Looks { community, resident, limit } = command;
    let mut list =
        Listing::new(&["sequence", "time", "principal", "bearer", "rpc", "outcome", "subjects", "request_id"]);
    let (mut listed, mut page_token) = (0, String::new());
    while listed < limit {
        let request = ListLooksRequest {
            community_id: community.clone(),
            resident_id: resident.clone(),
            page_size: PAGE_SIZE.min(limit - listed) as i32,
            page_token,
        };
        let page = answer(client.privacy().list_looks(request).await)?;
        listed += page.looks.len();
        page.looks.into_iter().for_each(|look| push(&mut list, look));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(list.print(json)?)
}

fn push(list: &mut Listing, look: Look) {
    list.push([
        json!(look.sequence),
        json!(timestamp(look.look_time).map(|time| time.to_string())),
        json!(look.principal),
        json!(look.bearer),
        json!(look.rpc),
        json!(look.outcome),
        Value::from(look.subjects),
        json!(look.request_id),
    ]);
}
