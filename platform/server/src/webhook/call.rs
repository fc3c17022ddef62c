//! One call: signed, bounded in time and size, never redirected, and told about by its status alone.

use std::{error::Error, time::Duration};

use gatepost_domain::Timestamp;
use jiff::{SignedDuration, fmt::rfc2822};
use reqwest::{
    Certificate, Client, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
    redirect,
};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP};
use url::Host;

use super::{
    guard::{NotPublic, PublicOnly, is_public},
    signing::{SigningKey, sign},
};

/// Whoever asks us to wait longer than this is asked again after it.
const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(24);
/// An answer's body means nothing to us. So much of it is read and thrown away, so that the connection serves again.
const BODY_MAX: usize = 16 * 1024;

/// Which addresses may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Any: whoever runs the platform chose the address.
    Anywhere,
    /// Public ones: somebody else chose it.
    Public,
}

/// A call to be made.
pub struct Call<'a> {
    /// Where to.
    pub url: &'a Url,
    /// The `webhook-id`: equal for every attempt.
    pub id: &'a str,
    /// JSON.
    pub body: String,
    /// Sign it.
    pub keys: &'a [SigningKey],
}

/// An answer, whatever it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// How long it asks us to wait, at most a day.
    pub retry_after: Option<SignedDuration>,
}

impl Answered {
    /// For the record of an attempt that failed.
    pub fn refusal(self) -> String {
        format!("the webhook answered {}", self.status.as_u16())
    }
}

/// Why there was no answer. The texts hold no address: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It took too long.
    #[error("the webhook gave no answer in time")]
    TimedOut,
    /// No connection.
    #[error("the webhook cannot be reached")]
    Unreachable,
    /// We do not call there.
    #[error("the webhook's address is not public")]
    NotPublic,
    /// In the middle of it.
    #[error("the call of the webhook broke off")]
    BrokeOff,
    /// A body that cannot be signed, which is none we make.
    #[error("the call could not be signed")]
    Unsigned,
}

/// Makes calls. Clones share its connections.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    reach: Reach,
}

impl Caller {
    /// Loads what TLS needs; an error means a machine without trusted certificates. A call may take `timeout`, from
    /// the resolution of the name to the end of the answer.
    pub fn new(reach: Reach, timeout: Duration, trusted: Vec<Certificate>) -> Result<Self, reqwest::Error> {
        Ok(Self { client: builder(reach, timeout).tls_certs_merge(trusted).build()?, reach })
    }

    /// Speaks TLS with nobody but those whose authorities are given.
    pub fn trusting_only(reach: Reach, timeout: Duration, trusted: Vec<Certificate>) -> Result<Self, reqwest::Error> {
        Ok(Self { client: builder(reach, timeout).tls_certs_only(trusted).build()?, reach })
    }

    /// Makes one call.
    pub async fn call(&self, call: Call<'_>, now: Timestamp) -> Result<Answered, Unanswered> {
        // An address that is written out is never resolved, so it is looked at here.
        if self.reach == Reach::Public && !is_name_or_public(call.url) {
            return Err(Unanswered::NotPublic);
        }
        let signature = sign(call.keys, call.id, now, &call.body).ok_or(Unanswered::Unsigned)?;
        let request = self
            .client
            .post(call.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(HEADER_WEBHOOK_ID, call.id)
            .header(HEADER_WEBHOOK_TIMESTAMP, now.as_second())
            .header(HEADER_WEBHOOK_SIGNATURE, signature)
            .body(call.body);
        let answer = request.send().await.map_err(|error| unanswered(&error))?;
        let answered = Answered { status: answer.status(), retry_after: retry_after(answer.headers(), now) };
        empty(answer).await;
        Ok(answered)
    }
}

fn builder(reach: Reach, timeout: Duration) -> reqwest::ClientBuilder {
    // An error means that a provider is installed already, and there is only this one in the graph.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("gatepost/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .pool_max_idle_per_host(1)
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy();
    match reach {
        Reach::Anywhere => builder,
        Reach::Public => builder.dns_resolver(PublicOnly),
    }
}

fn is_name_or_public(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_public(address.into()),
        Some(Host::Ipv6(address)) => is_public(address.into()),
        Some(Host::Domain(_)) => true,
        None => false,
    }
}

async fn empty(mut answer: Response) {
    let mut left = BODY_MAX;
    while let Ok(Some(chunk)) = answer.chunk().await {
        match left.checked_sub(chunk.len()) {
            Some(less) => left = less,
            // Too much: the connection ends with the answer.
            None => return,
        }
    }
}

/// The error itself names the address, so only its kind is told.
fn unanswered(error: &reqwest::Error) -> Unanswered {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if inner.is::<NotPublic>() {
            return Unanswered::NotPublic;
        }
        cause = inner.source();
    }
    if error.is_timeout() {
        Unanswered::TimedOut
    } else if error.is_connect() {
        Unanswered::Unreachable
    } else {
        Unanswered::BrokeOff
    }
}

/// `Retry-After` in either form, seconds or a date; what cannot be read is left out.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match text.parse::<u32>() {
        Ok(seconds) => SignedDuration::from_secs(i64::from(seconds)),
        Err(_) => rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?.duration_since(now),
    };
    Some(after.clamp(SignedDuration::ZERO, RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_to_wait_for_counts_from_now() {
        let now: Timestamp = "2026-06-01T10:30:00Z".parse().unwrap();
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "Mon, 01 Jun 2026 10:31:30 GMT".parse().unwrap())]);
        assert_eq!(retry_after(&headers, now), Some(SignedDuration::from_secs(90)));
    }

    #[tokio::test]
    async fn what_is_not_public_is_not_called() {
        let now = "2026-06-01T10:30:00Z".parse().unwrap();
        let caller = Caller::trusting_only(Reach::Public, Duration::from_secs(10), Vec::new()).unwrap();
        for url in [
            "http://127.0.0.1:9/",
            "http://localhost:9/",
            "http://2130706433:9/",
            "http://0x7f.1:9/",
            "http://[::1]:9/",
            "http://[::ffff:127.0.0.1]:9/",
            "http://169.254.169.254/latest/",
            "http://10.0.0.1/",
        ] {
            let url = Url::parse(url).unwrap();
            let call = Call { url: &url, id: "evt_1", body: "{}".into(), keys: &[SigningKey::new()] };
            assert_eq!(caller.call(call, now).await, Err(Unanswered::NotPublic), "{url}");
        }
    }
}
