//! The people and machines around the platform, each on the real wire, one verb a step.

mod administrator;
mod camera;
mod courier;
mod endpoint;
mod events;
mod photographs;
mod resident;
mod scripted;
mod vision;
mod webhook;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use tonic_types::StatusExt as _;

pub use self::{
    administrator::Administrator,
    camera::{Camera, Seen},
    courier::{Announced, Courier, Label},
    events::Events,
    photographs::{Light, passage, photograph},
    resident::Resident,
    scripted::{Face, ManualWorker, SCRIPTED_MODEL, ScriptedWorker, scripted_frames},
    vision::VisionWorker,
    webhook::{Call, WEBHOOK_SECRET, WebhookReceiver},
};

/// A channel that carries a key.
pub type Authorised = InterceptedService<Channel, Key>;

/// What an rpc answered.
pub type Answer<T> = Result<T, Refused>;

/// A key's secret on every call.
#[derive(Clone)]
pub struct Key(MetadataValue<Ascii>);

impl Key {
    /// From the secret.
    pub fn new(secret: &str) -> Key {
        let mut value: MetadataValue<Ascii> = format!("Bearer {secret}").parse().expect("a secret is ASCII");
        value.set_sensitive(true);
        Key(value)
    }

    /// The secret itself, for programs that are handed it.
    pub fn secret(&self) -> String {
        let value = self.0.to_str().expect("a secret is ASCII");
        value.strip_prefix("Bearer ").expect("made with it").to_owned()
    }
}

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// The way to the platform as it runs now: after a restart everybody is connected to the new one.
#[derive(Clone, Default)]
pub struct Line {
    channel: Arc<Mutex<Option<Channel>>>,
    tls: Option<ClientTlsConfig>,
}

impl Line {
    /// By TLS, when that is given.
    pub(crate) fn over(tls: Option<ClientTlsConfig>) -> Line {
        Line { channel: Arc::default(), tls }
    }

    pub(crate) fn connect(&self, address: SocketAddr) {
        let channel = endpoint(address, self.tls.clone()).connect_lazy();
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = Some(channel);
    }

    /// A channel without a key.
    pub fn channel(&self) -> Channel {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner).clone();
        channel.expect("the platform was started")
    }

    /// A channel with a key.
    pub fn authorised(&self, key: &Key) -> Authorised {
        InterceptedService::new(self.channel(), key.clone())
    }
}

/// Where the platform is, in plain text or by TLS.
pub fn endpoint(address: SocketAddr, tls: Option<ClientTlsConfig>) -> Endpoint {
    let endpoint = match tls {
        None => Endpoint::from_shared(format!("http://{address}")).expect("an address"),
        Some(tls) => Endpoint::from_shared(format!("https://{address}"))
            .and_then(|endpoint| endpoint.tls_config(tls))
            .expect("an address and certificates"),
    };
    // The library closes a connection after so many answers that came for a call it had given up. A test gives up more.
    endpoint.http2_max_local_error_reset_streams(None)
}

/// Why an rpc said no.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The gRPC code.
    pub code: Code,
    /// The reason of the catalogue.
    pub reason: String,
    /// What goes with the reason.
    pub metadata: BTreeMap<String, String>,
    /// The fields that cannot be read.
    pub fields: Vec<String>,
    /// For people.
    pub message: String,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let (reason, metadata) = details
            .error_info()
            .map_or_else(Default::default, |info| (info.reason.clone(), info.metadata.clone().into_iter().collect()));
        let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
        Refused {
            code: status.code(),
            reason,
            metadata,
            fields: violations.into_iter().map(|violation| violation.field).collect(),
            message: status.message().to_owned(),
        }
    }
}

/// An answer without its envelope.
pub fn answer<T>(answer: Result<tonic::Response<T>, Status>) -> Answer<T> {
    answer.map(tonic::Response::into_inner).map_err(Refused::from)
}

/// A request id that was never used.
pub fn new_request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// An instant as the wire has it.
pub fn to_wire(at: Timestamp) -> prost_types::Timestamp {
    let nanoseconds = at.as_nanosecond();
    prost_types::Timestamp {
        seconds: nanoseconds.div_euclid(1_000_000_000).try_into().expect("within the wire's range"),
        nanos: nanoseconds.rem_euclid(1_000_000_000).try_into().expect("below a thousand million"),
    }
}

/// An instant from the wire.
pub fn from_wire(at: prost_types::Timestamp) -> Timestamp {
    Timestamp::new(at.seconds, at.nanos).expect("an instant")
}

/// A duration as the wire has it.
pub fn duration_to_wire(span: jiff::SignedDuration) -> prost_types::Duration {
    prost_types::Duration { seconds: span.as_secs(), nanos: span.subsec_nanos() }
}
