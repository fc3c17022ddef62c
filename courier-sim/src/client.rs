//! How every actor calls the platform: one channel, a key on each call, the trace context beside it.

use anyhow::{Context, bail};
use gatepost_process::client_tls::ClientTls;
use gatepost_process::clock::Clock;
use gatepost_process::telemetry;
use gatepost_proto::v1::community_service_client::CommunityServiceClient;
use gatepost_proto::v1::courier_service_client::CourierServiceClient;
use gatepost_proto::v1::event_service_client::EventServiceClient;
use gatepost_proto::v1::gate_service_client::GateServiceClient;
use gatepost_proto::v1::parcel_service_client::ParcelServiceClient;
use gatepost_proto::v1::resident_service_client::ResidentServiceClient;
use gatepost_proto::v1::webhook_service_client::WebhookServiceClient;
use jiff::{SignedDuration, Timestamp};
use std::path::Path;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const BETWEEN_ATTEMPTS: SignedDuration = SignedDuration::from_millis(200);

/// A channel that carries a key.
pub type Authorised = InterceptedService<Channel, Key>;

/// A secret that says who calls, or none where a client certificate says it. Has no `Debug`, so that it gets into no log.
#[derive(Clone)]
pub struct Key(Option<MetadataValue<Ascii>>);

impl Key {
    /// From the secret as the platform issued it.
    pub fn new(secret: &str) -> anyhow::Result<Self> {
        let secret = secret.trim();
        if secret.is_empty() {
            bail!("a key is empty");
        }
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {secret}").parse().context("a key has characters that no key has")?;
        value.set_sensitive(true);
        Ok(Key(Some(value)))
    }

    /// From a file, or none for who shows a client certificate.
    pub fn read_or_none(path: Option<&Path>, tls: &ClientTls) -> anyhow::Result<Self> {
        match path {
            Some(path) => Key::read(path),
            None if tls.certificate.is_some() => Ok(Key(None)),
            None => bail!("give --key-file, or a --certificate that says who calls"),
        }
    }

    /// From a file that holds nothing but the secret.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let secret =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the key file {}", path.display()))?;
        Key::new(&secret).with_context(|| format!("in the key file {}", path.display()))
    }
}

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.0 {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        telemetry::inject(request.metadata_mut());
        Ok(request)
    }
}

/// The platform as its callers know it.
#[derive(Clone)]
pub struct Platform {
    channel: Channel,
}

impl Platform {
    /// Names the platform; the connection is made by the first call, and made again whenever it is lost.
    pub fn at(url: &str, tls: &ClientTls) -> anyhow::Result<Self> {
        Ok(Platform { channel: tls.secure(endpoint(url)?)?.connect_lazy() })
    }

    /// Connects, waiting at most `bound` for a platform that is still starting.
    pub async fn connect(url: &str, tls: &ClientTls, clock: &dyn Clock, bound: SignedDuration) -> anyhow::Result<Self> {
        let endpoint = tls.secure(endpoint(url)?)?;
        let until = clock.now() + bound;
        loop {
            match endpoint.connect().await {
                Ok(channel) => return Ok(Platform { channel }),
                Err(error) if clock.now() >= until => {
                    return Err(error).with_context(|| format!("no platform answers at {url}"));
                }
                Err(_) => clock.sleep_until(clock.now() + BETWEEN_ATTEMPTS).await,
            }
        }
    }

    /// For a courier's key.
    pub fn parcels(&self, key: &Key) -> ParcelServiceClient<Authorised> {
        ParcelServiceClient::with_interceptor(self.channel.clone(), key.clone())
    }

    /// For a courier's key.
    pub fn events(&self, key: &Key) -> EventServiceClient<Authorised> {
        EventServiceClient::with_interceptor(self.channel.clone(), key.clone())
    }

    /// For a courier's key.
    pub fn webhooks(&self, key: &Key) -> WebhookServiceClient<Authorised> {
        WebhookServiceClient::with_interceptor(self.channel.clone(), key.clone())
    }

    /// For a camera's key.
    pub fn gates(&self, key: &Key) -> GateServiceClient<Authorised> {
        GateServiceClient::with_interceptor(self.channel.clone(), key.clone())
    }

    /// For an administrator's key.
    pub fn communities(&self, key: &Key) -> CommunityServiceClient<Authorised> {
        CommunityServiceClient::with_interceptor(self.channel.clone(), key.clone())
    }

    /// For an administrator's key.
    pub fn residents(&self, key: &Key) -> ResidentServiceClient<Authorised> {
        ResidentServiceClient::with_interceptor(self.channel.clone(), key.clone())
    }

    /// For an administrator's key.
    pub fn couriers(&self, key: &Key) -> CourierServiceClient<Authorised> {
        CourierServiceClient::with_interceptor(self.channel.clone(), key.clone())
    }
}

/// An endpoint with the manners every actor has: a bound on connecting, and keep-alives so that a dead peer of a
/// quiet stream is noticed.
pub fn endpoint(url: &str) -> anyhow::Result<Endpoint> {
    let endpoint = Endpoint::from_shared(url.to_owned()).with_context(|| format!("{url} is not a URL"))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true))
}

/// A request id that was never used before.
pub fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A time as the wire has it.
pub fn to_wire(at: Timestamp) -> prost_types::Timestamp {
    // jiff lets the nanoseconds of times before 1970 be negative, the wire does not.
    let nanoseconds = at.as_nanosecond();
    let seconds = nanoseconds.div_euclid(1_000_000_000);
    let rest = nanoseconds.rem_euclid(1_000_000_000);
    prost_types::Timestamp {
        seconds: i64::try_from(seconds).unwrap_or_default(),
        nanos: i32::try_from(rest).unwrap_or_default(),
    }
}

/// A time from the wire, if it is one.
pub fn from_wire(at: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    let at = at?;
    Timestamp::new(at.seconds, at.nanos).ok()
}

/// A duration as the wire has it.
pub fn duration_to_wire(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or_default(),
    }
}

/// The reason from the platform's catalogue, if the refusal carries one.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|details| details.reason)
}

/// Waits that double from one failed attempt to the next.
#[derive(Debug)]
pub struct Backoff {
    next: SignedDuration,
}

impl Backoff {
    const FIRST: SignedDuration = SignedDuration::from_millis(200);
    const LONGEST: SignedDuration = SignedDuration::from_secs(5);

    /// Before the first failure.
    pub fn new() -> Self {
        Backoff { next: Self::FIRST }
    }

    /// After a success: the next wait is short again.
    pub fn reset(&mut self) {
        self.next = Self::FIRST;
    }

    /// Waits.
    pub async fn wait(&mut self, clock: &dyn Clock) {
        clock.sleep_until(clock.now() + self.next).await;
        self.next = (self.next * 2).min(Self::LONGEST);
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_wire() {
        for text in ["2026-03-02T08:00:00.123Z", "1969-12-31T23:59:59.5Z"] {
            let at: Timestamp = text.parse().unwrap();
            let wire = to_wire(at);
            assert!(wire.nanos >= 0);
            assert_eq!(from_wire(Some(&wire)), Some(at));
        }
        assert_eq!(from_wire(None), None);
        assert_eq!(from_wire(Some(&prost_types::Timestamp { seconds: i64::MAX, nanos: 0 })), None);
    }

    #[test]
    fn a_key_is_one_line_of_text() {
        assert!(Key::new("secret\n").is_ok());
        assert!(Key::new(" \n").is_err());
        assert!(Key::new("two\nlines").is_err());
    }
}
