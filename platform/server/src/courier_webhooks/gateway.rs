//! The way out to couriers' endpoints: which addresses are taken, and one attempt at one of them.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use gatepost_domain::Timestamp;
use gatepost_storage::WebhookEndpoint;
use jiff::SignedDuration;
use reqwest::{Certificate, StatusCode, Url};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Host;

use crate::{
    api::convert::webhooks::Message,
    config,
    webhook::{Answered, Call, Caller, Reach, SigningKey, is_public},
};

/// How long one call may take; Standard Webhooks recommends 15 to 30 seconds.
pub const TIMEOUT: Duration = Duration::from_secs(15);
const URL_MAX_CHARS: usize = 2_000;
/// Calls on demand at once, so that they do not crowd out anything else.
const TESTS_MAX: usize = 16;

/// Makes calls, as the settings allow.
pub struct Gateway {
    caller: Caller,
    over_http: bool,
    reach: Reach,
    tests: Semaphore,
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// 2xx.
    Taken(StatusCode),
    /// 410: it wants no more.
    Gone,
    /// Anything else.
    Failed {
        /// What happened, without an address.
        text: String,
        /// What it answered, if it did.
        status: Option<StatusCode>,
        /// How long it asks to be left alone.
        retry_after: Option<SignedDuration>,
    },
}

/// Why an address is not taken. The texts do not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    #[error("an https:// address with a host, at most 2,000 characters")]
    NotAnAddress,
    #[error("without user and password: webhooks are signed")]
    Credentials,
    #[error("https://, as this installation does not allow http://")]
    Http,
    #[error("the address of a public host: this installation does not call private ones")]
    NotPublic,
}

impl Gateway {
    /// As the settings say. A machine without certificates can serve couriers without webhooks all the same.
    pub async fn new(config: &config::Events) -> anyhow::Result<Self> {
        let reach = if config.webhooks_to_private_addresses { Reach::Anywhere } else { Reach::Public };
        let trusted = match &config.webhooks_ca {
            Some(file) => certificates(file).await?,
            None => Vec::new(),
        };
        let caller = match Caller::new(reach, TIMEOUT, trusted.clone()) {
            Ok(caller) => caller,
            Err(_) => {
                tracing::warn!("this machine has no trusted certificates: https:// webhooks of couriers will fail");
                Caller::trusting_only(reach, TIMEOUT, trusted).context("webhooks cannot be called")?
            }
        };
        Ok(Self { caller, over_http: config.webhooks_over_http, reach, tests: Semaphore::new(TESTS_MAX) })
    }

    /// Whether this address may be called, as far as can be seen of it.
    pub fn check(&self, url: &str) -> Result<Url, UrlProblem> {
        if url.chars().count() > URL_MAX_CHARS {
            return Err(UrlProblem::NotAnAddress);
        }
        let url = Url::parse(url).ok().filter(Url::has_host).ok_or(UrlProblem::NotAnAddress)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlProblem::Credentials);
        }
        match url.scheme() {
            "https" => {}
            "http" if self.over_http => {}
            "http" => return Err(UrlProblem::Http),
            _ => return Err(UrlProblem::NotAnAddress),
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        match address {
            Some(address) if self.reach == Reach::Public && !is_public(address) => Err(UrlProblem::NotPublic),
            _ => Ok(url),
        }
    }

    /// Leave for one call on demand; `None` while there are too many.
    pub fn begin_test(&self) -> Option<SemaphorePermit<'_>> {
        self.tests.try_acquire().ok()
    }

    /// One attempt at an endpoint.
    pub async fn deliver(&self, endpoint: &WebhookEndpoint, message: &Message, now: Timestamp) -> Delivery {
        let failed = |text: String| Delivery::Failed { text, status: None, retry_after: None };
        // It was taken under settings that may have changed.
        let url = match self.check(&endpoint.url) {
            Ok(url) => url,
            Err(problem) => return failed(format!("the address is no longer taken: {problem}")),
        };
        let keys = keys(endpoint, now);
        let call = Call { url: &url, id: &message.id, body: message.body.clone(), keys: &keys };
        match self.caller.call(call, now).await {
            Ok(answered) => judge(answered),
            Err(unanswered) => failed(unanswered.to_string()),
        }
    }
}

async fn certificates(file: &Path) -> anyhow::Result<Vec<Certificate>> {
    let read = async { anyhow::Ok(Certificate::from_pem_bundle(&tokio::fs::read(file).await?)?) };
    read.await.with_context(|| format!("check events.webhooks_ca: {} holds no certificates", file.display()))
}

/// The present key first.
fn keys(endpoint: &WebhookEndpoint, now: Timestamp) -> Vec<SigningKey> {
    let previous = endpoint.previous_secret.as_ref().filter(|(_, until)| now < *until).map(|(secret, _)| secret);
    std::iter::once(&endpoint.secret).chain(previous).cloned().map(SigningKey::from_bytes).collect()
}

fn judge(answered: Answered) -> Delivery {
    let Answered { status, retry_after } = answered;
    if status.is_success() {
        return Delivery::Taken(status);
    }
    if status == StatusCode::GONE {
        return Delivery::Gone;
    }
    Delivery::Failed { text: answered.refusal(), status: Some(status), retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn gateway(over_http: bool, private: bool) -> Gateway {
        let config = config::Events {
            webhooks_over_http: over_http,
            webhooks_to_private_addresses: private,
            ..config::Events::default()
        };
        Gateway::new(&config).await.unwrap()
    }

    #[tokio::test]
    async fn addresses_are_taken_as_the_settings_say() {
        let strict = gateway(false, false).await;
        let refused = |url: &str| strict.check(url).err();
        assert_eq!(refused("https://hooks.example.org/gatepost?token=1"), None);
        let long = format!("https://hooks.example.org/{}", "a".repeat(2_000));
        for wrong in ["", "hooks.example.org", "ftp://hooks.example.org/", "mailto:a@example.org", &long] {
            assert_eq!(refused(wrong), Some(UrlProblem::NotAnAddress), "{wrong}");
        }
        assert_eq!(refused("https://me:secret@hooks.example.org/"), Some(UrlProblem::Credentials));
        assert_eq!(refused("http://hooks.example.org/"), Some(UrlProblem::Http));
        for private in ["https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://0x7f.1/"] {
            assert_eq!(refused(private), Some(UrlProblem::NotPublic), "{private}");
        }
        let lenient = gateway(true, true).await;
        assert!(lenient.check("http://127.0.0.1:8080/").is_ok());
    }
}
