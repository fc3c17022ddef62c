//! The property's own system: takes reminders as signed webhooks, and answers as the test wants.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

use crate::world::soon;

/// Of every webhook in tests.
pub const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Answers nothing at all.
const SILENCE: u16 = 0;

/// One call whose signature was good.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Equal for every attempt of one reminder.
    pub id: String,
    /// What was sent.
    pub body: serde_json::Value,
}

struct Desk {
    answer: AtomicU16,
    calls: mpsc::UnboundedSender<Call>,
}

/// A listening receiver; it ends when it is dropped.
pub struct WebhookReceiver {
    url: String,
    desk: Arc<Desk>,
    calls: Mutex<mpsc::UnboundedReceiver<Call>>,
    task: JoinHandle<()>,
}

impl WebhookReceiver {
    /// Listens on a free port and answers 204.
    pub async fn start() -> WebhookReceiver {
        let (sender, calls) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk { answer: AtomicU16::new(204), calls: sender });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/reminders", listener.local_addr().expect("its address"));
        let router = Router::new().route("/reminders", post(take)).with_state(desk.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("the receiver serves") });
        WebhookReceiver { url, desk, calls: Mutex::new(calls), task }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers with this status from now on.
    pub fn answer_with(&self, status: u16) {
        self.desk.answer.store(status, Ordering::Relaxed);
    }

    /// Takes calls from now on and never answers.
    pub fn fall_silent(&self) {
        self.answer_with(SILENCE);
    }

    /// The next call.
    pub async fn next(&self) -> Call {
        let mut calls = self.calls.lock().await;
        soon("a webhook", calls.recv()).await.expect("the receiver is there")
    }

    /// Calls that came and were not looked at yet.
    pub async fn left(&self) -> Vec<Call> {
        let mut calls = self.calls.lock().await;
        std::iter::from_fn(|| calls.try_recv().ok()).collect()
    }
}

impl Drop for WebhookReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Some(id) = verified(&headers, &body) else {
        return StatusCode::UNAUTHORIZED;
    };
    let body = serde_json::from_slice(&body).expect("the body is JSON");
    let _ = desk.calls.send(Call { id, body });
    match desk.answer.load(Ordering::Relaxed) {
        SILENCE => std::future::pending().await,
        status => StatusCode::from_u16(status).expect("a status"),
    }
}

/// The id of a call that was signed with our secret. The library's own check also compares with the time on the
/// wall, which is not the time of these tests.
fn verified(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok();
    let (id, at) = (text(HEADER_WEBHOOK_ID)?, text(HEADER_WEBHOOK_TIMESTAMP)?.parse().ok()?);
    let expected = Webhook::new(WEBHOOK_SECRET).expect("a secret").sign(id, at, body).ok()?;
    (text(HEADER_WEBHOOK_SIGNATURE)? == expected).then(|| id.to_owned())
}
