//! `gatepost admin webhook`: where couriers want their events, and stopping an endpoint that does harm.

use clap::Subcommand;
use gatepost_proto::v1::{
    CourierWebhook, DisableCourierWebhookRequest, DisabledReason, EnableCourierWebhookRequest,
    ListCourierWebhooksRequest,
};
use serde_json::json;

use super::connection::Client;
use super::failure::answer;
use super::listing::Listing;
use super::{request_id, timestamp};

const PAGE_SIZE: i32 = 500;

/// What can be done with webhook endpoints.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the endpoints, how far each came, and what it did not take.
    List {
        /// Only this courier's.
        #[arg(long, value_name = "ID", default_value = "")]
        courier: String,
        /// Only those that are not called.
        #[arg(long)]
        disabled: bool,
    },
    /// Stop calling an endpoint, until it is enabled here again.
    Disable {
        /// The endpoint's id, as `webhook list` shows it.
        id: String,
    },
    /// Call an endpoint again, from where it stopped.
    Enable {
        /// The endpoint's id.
        id: String,
    },
}

/// Runs one command.
pub(super) async fn run(client: &Client, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::List { courier, disabled } => list(client, courier, disabled, json).await,
        Command::Disable { id } => {
            let request = DisableCourierWebhookRequest { request_id: request_id::fresh(), endpoint_id: id.clone() };
            answer(client.couriers().disable_courier_webhook(request).await)?;
            println!("{id} disabled");
            Ok(())
        }
        Command::Enable { id } => {
            let request = EnableCourierWebhookRequest { request_id: request_id::fresh(), endpoint_id: id.clone() };
            answer(client.couriers().enable_courier_webhook(request).await)?;
            println!("{id} enabled");
            Ok(())
        }
    }
}

async fn list(client: &Client, courier_id: String, disabled_only: bool, json: bool) -> anyhow::Result<()> {
    let mut list = Listing::new(&[
        "id",
        "courier",
        "host",
        "state",
        "passed",
        "retrying",
        "dead_letters",
        "failing_since",
        "last_error",
    ]);
    let mut page_token = String::new();
    loop {
        let courier_id = courier_id.clone();
        let request = ListCourierWebhooksRequest { courier_id, disabled_only, page_size: PAGE_SIZE, page_token };
        let page = answer(client.couriers().list_courier_webhooks(request).await)?;
        for webhook in page.webhooks {
            push(&mut list, webhook);
        }
        if page.next_page_token.is_empty() {
            return Ok(list.print(json)?);
        }
        page_token = page.next_page_token;
    }
}

fn push(list: &mut Listing, webhook: CourierWebhook) {
    let endpoint = webhook.endpoint.unwrap_or_default();
    let state = match endpoint.disabled_reason() {
        _ if endpoint.enabled => "enabled",
        DisabledReason::Courier => "disabled by its courier",
        DisabledReason::Administrator => "disabled by staff",
        DisabledReason::Gone => "gone",
        DisabledReason::Failing => "disabled after failures",
        DisabledReason::Unspecified => "disabled",
    };
    let failing_since = timestamp(endpoint.failing_since).map(|time| time.to_string());
    list.push([
        json!(endpoint.id),
        json!(webhook.courier_id),
        json!(endpoint.url),
        json!(state),
        json!(endpoint.passed_sequence),
        json!(endpoint.retrying),
        json!(endpoint.dead_letters),
        json!(failing_since),
        json!(endpoint.last_error),
    ]);
}
