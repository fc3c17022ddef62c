//! One turn of one endpoint: what was set aside and is due, then what is new, in order, one call at a time. The first
//! failure ends the turn, and so do time and number, so that others have theirs.

use std::time::{Duration, Instant};

use gatepost_domain::Timestamp;
use gatepost_storage::{Disabled, EndpointLease, Letter, StoredEvent, WebhookEndpoint};
use jiff::SignedDuration;
use opentelemetry::KeyValue;
use rand::Rng as _;
use reqwest::StatusCode;
use tokio_util::sync::CancellationToken;

use super::{gateway::Delivery, schedule};
use crate::{
    api::convert::webhooks::{Message, is_wanted},
    platform::Platform,
    problem::Problem,
};

/// Calls in one turn.
const CALLS_MAX: usize = 50;
/// No call is begun after this much of a turn.
const TIME_MAX: Duration = Duration::from_secs(5);
/// New events looked at in one turn, wanted or not.
const PAGE: u64 = 200;
/// An endpoint that failed so often in a row is called at most once in `REST`.
const FAILURES_IN_A_ROW: u32 = 3;
const REST: SignedDuration = SignedDuration::from_secs(60);
/// An endpoint that fails for so long is disabled.
const FAILING_MAX: SignedDuration = SignedDuration::from_hours(5 * 24);
/// With so many events set aside, new ones wait in the log.
const SET_ASIDE_MAX: u32 = 1_000;
/// Dead letters kept of one endpoint.
const DEAD_LETTERS_MAX: u64 = 10_000;
const ERROR_MAX_CHARS: usize = 200;

/// A turn under way. Nothing of it is kept before its end, when all of it is.
struct Turn {
    platform: Platform,
    endpoint: WebhookEndpoint,
    began: Instant,
    calls: usize,
    /// Letters that were delivered.
    taken: Vec<i64>,
    /// Events that were not.
    failed: Option<Letter>,
    draining: CancellationToken,
}

/// Takes the turn. What goes wrong with our own things is logged, and done again when the lease has run out.
pub async fn take(platform: Platform, endpoint: WebhookEndpoint, lease: EndpointLease, draining: CancellationToken) {
    let id = endpoint.id;
    let (began, calls) = (Instant::now(), 0);
    let mut turn = Turn { platform, endpoint, began, calls, taken: Vec::new(), failed: None, draining };
    let outcome = async {
        turn.work().await?;
        turn.keep(lease).await
    };
    if let Err(error) = outcome.await {
        tracing::error!(endpoint.id = %id, %error, "turn of a webhook endpoint not kept, it will be taken again");
    }
}

impl Turn {
    fn may_call(&self) -> bool {
        self.calls < CALLS_MAX && self.began.elapsed() < TIME_MAX && !self.draining.is_cancelled()
    }

    async fn work(&mut self) -> Result<(), Problem> {
        let (id, now) = (self.endpoint.id, self.platform.now());
        let tx = self.platform.store.read().await?;
        let due = tx.letters_due(id, now, CALLS_MAX as u64).await?;
        let set_aside = tx.letter_counts(&[id]).await?.get(&id).map_or(0, |counts| counts.retrying);
        let events = tx.events(&self.endpoint.courier, self.endpoint.passed, PAGE).await?;
        let newest = tx.event_cursor(&self.endpoint.courier).await?.newest;
        drop(tx);
        for letter in due {
            if !self.may_call() || !self.try_again(letter).await {
                return Ok(());
            }
        }
        if set_aside.saturating_sub(self.taken.len() as u32) >= SET_ASIDE_MAX {
            self.endpoint.not_before = self.platform.now() + REST;
            return Ok(());
        }
        if events.is_empty() {
            // Whatever there was is kept no longer.
            self.endpoint.passed = newest;
        }
        for event in events {
            let sequence = event.sequence;
            if is_wanted(&event, &self.endpoint.kinds) && (!self.may_call() || !self.tell(event).await) {
                return Ok(());
            }
            self.endpoint.passed = sequence;
        }
        Ok(())
    }

    /// Whether to go on.
    async fn tell(&mut self, event: StoredEvent) -> bool {
        let sequence = event.sequence;
        match self.attempt(&event).await {
            Delivery::Taken(_) => true,
            Delivery::Gone => false,
            Delivery::Failed { retry_after, .. } => {
                self.endpoint.passed = sequence;
                self.set_aside(event, 1, retry_after);
                false
            }
        }
    }

    /// Whether to go on.
    async fn try_again(&mut self, letter: Letter) -> bool {
        match self.attempt(&letter.event).await {
            Delivery::Taken(_) => {
                self.taken.push(letter.event.sequence);
                true
            }
            Delivery::Gone => false,
            Delivery::Failed { retry_after, .. } => {
                self.set_aside(letter.event, letter.attempts + 1, retry_after);
                false
            }
        }
    }

    async fn attempt(&mut self, event: &StoredEvent) -> Delivery {
        self.calls += 1;
        let message = Message::of_event(&self.endpoint.courier, event);
        let began = Instant::now();
        let delivery = self.platform.courier_webhooks.deliver(&self.endpoint, &message, self.platform.now()).await;
        self.platform.metrics.webhook_duration.record(began.elapsed().as_secs_f64(), &[]);
        let now = self.platform.now();
        match &delivery {
            Delivery::Taken(_) => {
                self.endpoint.failures = 0;
                self.endpoint.failing_since = None;
                self.endpoint.last_error.clear();
                self.count("delivered");
            }
            Delivery::Gone => {
                self.endpoint.last_error = "the webhook answered 410".to_owned();
                self.count("gone");
                self.disable(Disabled::Gone);
            }
            Delivery::Failed { text, status, retry_after } => {
                self.endpoint.last_error = text.chars().take(ERROR_MAX_CHARS).collect();
                self.endpoint.failures = self.endpoint.failures.saturating_add(1);
                let failing_since = *self.endpoint.failing_since.get_or_insert(now);
                let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT];
                let overloaded = status.is_some_and(|status| busy.contains(&status));
                let rest =
                    if overloaded || self.endpoint.failures >= FAILURES_IN_A_ROW { REST } else { SignedDuration::ZERO };
                self.endpoint.not_before = now + rest.max(retry_after.unwrap_or_default());
                if now.duration_since(failing_since) >= FAILING_MAX {
                    self.disable(Disabled::Failing);
                }
            }
        }
        delivery
    }

    fn set_aside(&mut self, event: StoredEvent, attempts: u32, retry_after: Option<SignedDuration>) {
        let now = self.platform.now();
        let wait = schedule::wait_after(attempts, rand::rng().random());
        let next_attempt_at = wait.map(|wait| now + wait.max(retry_after.unwrap_or_default()));
        self.count(if next_attempt_at.is_some() { "failed" } else { "dead" });
        let last_error = self.endpoint.last_error.clone();
        let endpoint = self.endpoint.id;
        self.failed = Some(Letter { endpoint, event, attempts, next_attempt_at, last_attempt_at: now, last_error });
    }

    fn disable(&mut self, why: Disabled) {
        self.endpoint.disabled = Some(why);
        let (id, courier) = (self.endpoint.id, &self.endpoint.courier);
        tracing::warn!(endpoint.id = %id, courier.id = %courier, why = ?why, "webhook endpoint disabled");
    }

    fn count(&self, outcome: &'static str) {
        self.platform.metrics.webhooks.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// Keeps what came of the turn, unless the courier changed the endpoint meanwhile.
    async fn keep(self, lease: EndpointLease) -> Result<(), Problem> {
        let (endpoint, now): (_, Timestamp) = (&self.endpoint, self.platform.now());
        let tx = self.platform.store.write().await?;
        if !tx.holds_endpoint(endpoint.id, lease).await? {
            return Ok(());
        }
        tx.delete_letters(endpoint.id, &self.taken).await?;
        if let Some(letter) = &self.failed {
            tx.save_letter(&endpoint.courier, letter).await?;
            if letter.next_attempt_at.is_none() {
                tx.trim_dead_letters(endpoint.id, DEAD_LETTERS_MAX).await?;
            }
        }
        tx.release_endpoint(endpoint, now).await?;
        tx.commit().await?;
        Ok(())
    }
}
