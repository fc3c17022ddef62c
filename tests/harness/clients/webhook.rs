//! Somebody's web server: takes signed webhooks, and answers as the test wants.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as Locked, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Response, StatusCode, header::RETRY_AFTER},
    routing::post,
};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

use crate::world::soon;

/// Of the residents' webhooks in tests.
pub const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Answers nothing at all.
const SILENCE: u16 = 0;

/// One call whose signature was good.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Equal for every attempt of one message.
    pub id: String,
    /// When the attempt was made, in seconds since 1970.
    pub at: i64,
    /// How many signatures it carried.
    pub signatures: usize,
    /// What was sent.
    pub body: serde_json::Value,
}

impl Call {
    /// The type of the message.
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }

    /// The number of the event in the message.
    pub fn sequence(&self) -> i64 {
        self.body["data"]["sequence"].as_i64().unwrap_or_default()
    }
}

/// What the receiver knows and does.
struct Conduct {
    status: u16,
    /// Another status for messages of a type.
    by_type: HashMap<String, u16>,
    retry_after: Option<String>,
    secrets: Vec<String>,
}

struct Desk {
    conduct: Locked<Conduct>,
    calls: mpsc::UnboundedSender<Call>,
}

impl Desk {
    fn conduct(&self) -> MutexGuard<'_, Conduct> {
        self.conduct.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let conduct =
            Conduct { status: 204, by_type: HashMap::new(), retry_after: None, secrets: vec![WEBHOOK_SECRET.into()] };
        let desk = Arc::new(Desk { conduct: Locked::new(conduct), calls: sender });
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

    /// Knows this secret from now on, and no other.
    pub fn trust(&self, secret: &str) {
        self.desk.conduct().secrets = vec![secret.to_owned()];
    }

    /// Knows this secret too.
    pub fn also_trust(&self, secret: &str) {
        self.desk.conduct().secrets.push(secret.to_owned());
    }

    /// Answers with this status from now on.
    pub fn answer_with(&self, status: u16) {
        let mut conduct = self.desk.conduct();
        conduct.status = status;
        conduct.retry_after = None;
    }

    /// Answers messages of a type with this status from now on.
    pub fn answer_type_with(&self, kind: &str, status: u16) {
        self.desk.conduct().by_type.insert(kind.to_owned(), status);
    }

    /// Answers 503 from now on and asks to be left alone.
    pub fn ask_to_wait(&self, retry_after: &str) {
        let mut conduct = self.desk.conduct();
        conduct.status = 503;
        conduct.retry_after = Some(retry_after.to_owned());
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

async fn take(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Response<String> {
    let answer = |status| Response::builder().status(status);
    let Some(call) = verified(&desk.conduct().secrets, &headers, &body) else {
        return answer(StatusCode::UNAUTHORIZED).body(String::new()).expect("an answer");
    };
    let (status, retry_after) = {
        let conduct = desk.conduct();
        (conduct.by_type.get(call.kind()).copied().unwrap_or(conduct.status), conduct.retry_after.clone())
    };
    let _ = desk.calls.send(call);
    if status == SILENCE {
        std::future::pending::<()>().await;
    }
    let answer = answer(StatusCode::from_u16(status).expect("a status"));
    let answer = retry_after.into_iter().fold(answer, |answer, after| answer.header(RETRY_AFTER, after));
    answer.body(String::new()).expect("an answer")
}

/// A call that one of our secrets signed. The library's own check also compares with the time on the wall, which is
/// not the time of these tests.
fn verified(secrets: &[String], headers: &HeaderMap, body: &[u8]) -> Option<Call> {
    let text = |name| headers.get(name)?.to_str().ok();
    let (id, at) = (text(HEADER_WEBHOOK_ID)?, text(HEADER_WEBHOOK_TIMESTAMP)?.parse().ok()?);
    let signatures: Vec<&str> = text(HEADER_WEBHOOK_SIGNATURE)?.split(' ').collect();
    let ours = |secret: &String| Webhook::new(secret).expect("a secret").sign(id, at, body).ok();
    if !secrets.iter().filter_map(ours).any(|ours| signatures.contains(&&*ours)) {
        return None;
    }
    let body = serde_json::from_slice(body).expect("the body is JSON");
    Some(Call { id: id.to_owned(), at, signatures: signatures.len(), body })
}
