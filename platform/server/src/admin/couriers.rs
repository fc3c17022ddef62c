//! `gatepost admin courier`: the courier companies that may announce parcels.

use clap::Subcommand;
use gatepost_proto::v1::{Courier, CreateCourierRequest, ListCouriersRequest};
use serde_json::json;

use super::connection::Client;
use super::failure::answer;
use super::listing::Listing;
use super::request_id;

const PAGE_SIZE: i32 = 500;

/// What can be done with couriers.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a courier company; then give it a key with `key create --courier ID`.
    Create {
        /// Lower-case letters, digits and hyphens.
        id: String,
        /// For people; the id when left out.
        #[arg(long)]
        name: Option<String>,
    },
    /// List the couriers.
    List,
}

/// Runs one command.
pub(super) async fn run(client: &Client, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::Create { id, name } => {
            let display_name = name.unwrap_or_else(|| id.clone());
            let courier = Some(Courier { id: id.clone(), display_name });
            let request = CreateCourierRequest { request_id: request_id::fresh(), courier };
            answer(client.couriers().create_courier(request).await)?;
            println!("courier {id} created");
            Ok(())
        }
        Command::List => list(client, json).await,
    }
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let mut list = Listing::new(&["id", "display_name"]);
    let mut page_token = String::new();
    loop {
        let request = ListCouriersRequest { page_size: PAGE_SIZE, page_token };
        let page = answer(client.couriers().list_couriers(request).await)?;
        for courier in page.couriers {
            list.push([json!(courier.id), json!(courier.display_name)]);
        }
        if page.next_page_token.is_empty() {
            return Ok(list.print(json)?);
        }
        page_token = page.next_page_token;
    }
}
