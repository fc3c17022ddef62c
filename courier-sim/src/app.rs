//! The residents' app: where Gatepost's reminders arrive as signed webhooks (Standard Webhooks 1.0). What is not signed
//! with the shared secret is turned away.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Router, serve};
use serde::Deserialize;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;

/// A reminder is a few ids.
const BODY_MAX_BYTES: usize = 16 * 1024;

/// A reminder as the app reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Reminder {
    /// Which parcel waits.
    pub parcel_id: String,
    /// Whom to tell.
    pub resident_id: String,
    /// "seen_at_gate" or "usual_hour".
    pub cause: String,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    data: Reminder,
}

#[derive(Clone)]
struct App {
    webhook: Arc<Webhook>,
    reminders: Journal<Reminder>,
}

/// Listens on `address`; reminders go to the journal. Returns the task that serves until `draining`.
pub async fn start(
    address: SocketAddr,
    secret: &str,
    reminders: Journal<Reminder>,
    draining: CancellationToken,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + 'static> {
    let webhook = Webhook::new(secret).context("the webhook secret must be whsec_ and base64")?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("{address} cannot be listened on"))?;
    let router = Router::new()
        .route("/reminders", post(receive))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(App { webhook: Arc::new(webhook), reminders });
    Ok(async move {
        serve(listener, router).with_graceful_shutdown(draining.cancelled_owned()).await?;
        Ok(())
    })
}

async fn receive(State(app): State<App>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if app.webhook.verify(&body, &headers).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    match serde_json::from_slice::<Envelope>(&body) {
        Ok(envelope) if envelope.kind == "parcel.reminder" => app.reminders.note(envelope.data),
        // Events that a later platform may send are none of ours.
        Ok(_) => {}
        Err(_) => return StatusCode::BAD_REQUEST,
    }
    StatusCode::NO_CONTENT
}
