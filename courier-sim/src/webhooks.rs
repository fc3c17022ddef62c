//! A courier without gRPC streams: a web server that takes its events as Standard Webhooks, checks their signatures,
//! and prints them.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Router, serve};
use gatepost_process::shutdown::Shutdown;
use gatepost_proto::v1::webhook_service_client::WebhookServiceClient;
use gatepost_proto::v1::{
    CreateWebhookEndpointRequest, DeleteWebhookEndpointRequest, ListWebhookEndpointsRequest,
    RotateWebhookSecretRequest, UpdateWebhookEndpointRequest,
};
use serde::Deserialize;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

use crate::client::{Authorised, Key, Platform, request_id};

const BODY_MAX_BYTES: usize = 64 * 1024;

/// What the server needs to know.
pub struct WebhooksConfig {
    /// Where to register.
    pub platform: Platform,
    /// The courier's.
    pub key: Key,
    /// Where to listen.
    pub listen: SocketAddr,
    /// How the platform reaches it, when not under the address it listens on.
    pub url: Option<String>,
}

/// The envelope, as far as it is printed.
#[derive(Deserialize)]
struct Envelope {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: serde_json::Value,
}

/// The secret is known once the endpoint is registered, and nobody calls before.
type Verifier = Arc<OnceLock<Webhook>>;

/// Registers an endpoint, prints what comes until the process drains, and deletes the endpoint again.
pub async fn run(config: WebhooksConfig, shutdown: &Shutdown) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("{} cannot be listened on", config.listen))?;
    let url = match config.url {
        Some(url) => url,
        None => format!("http://{}/events", listener.local_addr()?),
    };
    let verifier = Verifier::default();
    let router = Router::new()
        .route("/events", post(receive))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(verifier.clone());
    let draining = shutdown.draining();
    shutdown.spawn("webhooks", async move {
        serve(listener, router).with_graceful_shutdown(draining.cancelled_owned()).await?;
        Ok(())
    });
    let mut webhooks = config.platform.webhooks(&config.key);
    let (endpoint_id, secret) = register(&mut webhooks, &url).await.context("the endpoint cannot be registered")?;
    let verify = Webhook::new(&secret).context("the secret cannot be read")?;
    // Nobody else sets it.
    let _ = verifier.set(verify);
    println!("{endpoint_id} takes events at {url}; Ctrl-C ends and deletes it");
    shutdown.draining().cancelled().await;
    let request = DeleteWebhookEndpointRequest { request_id: request_id(), endpoint_id };
    webhooks.delete_webhook_endpoint(request).await.context("the endpoint cannot be deleted")?;
    Ok(())
}

/// The endpoint of this address and its secret. One that a killed run left behind goes on where it stopped, with a new
/// secret, so that nothing is missed.
async fn register(
    webhooks: &mut WebhookServiceClient<Authorised>,
    url: &str,
) -> Result<(String, String), tonic::Status> {
    let endpoints = webhooks.list_webhook_endpoints(ListWebhookEndpointsRequest {}).await?.into_inner().endpoints;
    let Some(mut left) = endpoints.into_iter().find(|endpoint| endpoint.url == url) else {
        let request = CreateWebhookEndpointRequest { request_id: request_id(), url: url.to_owned(), kinds: Vec::new() };
        let made = webhooks.create_webhook_endpoint(request).await?.into_inner();
        return Ok((made.endpoint.unwrap_or_default().id, made.secret));
    };
    let endpoint_id = left.id.clone();
    let request = RotateWebhookSecretRequest {
        request_id: request_id(),
        endpoint_id: endpoint_id.clone(),
        overlap: Some(prost_types::Duration::default()),
    };
    let secret = webhooks.rotate_webhook_secret(request).await?.into_inner().secret;
    // Also forgets what it failed while nobody was there.
    left.enabled = true;
    let request = UpdateWebhookEndpointRequest {
        request_id: request_id(),
        endpoint: Some(left),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".to_owned()] }),
    };
    webhooks.update_webhook_endpoint(request).await?;
    Ok((endpoint_id, secret))
}

async fn receive(State(verifier): State<Verifier>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Some(webhook) = verifier.get() else { return StatusCode::SERVICE_UNAVAILABLE };
    if webhook.verify(&body, &headers).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    match serde_json::from_slice::<Envelope>(&body) {
        Ok(Envelope { id, kind, data }) => println!("{id} {kind} {data}"),
        Err(_) => return StatusCode::BAD_REQUEST,
    }
    StatusCode::NO_CONTENT
}
