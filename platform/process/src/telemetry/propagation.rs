//! Trace context across process borders: in gRPC metadata, and as a `traceparent` text that is kept beside saved
//! work or put into a message of a stream.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::{Ascii, KeyRef, MetadataKey, MetadataMap};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";

/// Writes the current span's context into the metadata of an outgoing call.
pub fn inject(metadata: &mut MetadataMap) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut Outgoing(metadata));
}

/// Reads the caller's context from the metadata of an incoming call; empty if there is none.
pub fn extract(metadata: &MetadataMap) -> Context {
    // Not the current context as a base: a stranger's call must not become a child of whatever runs here.
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Incoming(metadata))
}

/// Makes the caller named in the metadata of an incoming call the parent of `span`.
pub fn span_parent_from(span: &Span, metadata: &MetadataMap) {
    adopt(span, extract(metadata));
}

/// The current span's context as text, if the span is recorded.
pub fn traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Makes the span that `traceparent` names the parent of `span`; a text that names none changes nothing. Call it
/// before `span` is entered.
pub fn span_parent(span: &Span, traceparent: &str) {
    adopt(span, context_of(traceparent));
}

/// The context that a text names; an empty one if it names none.
pub(super) fn context_of(traceparent: &str) -> Context {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier)
}

fn adopt(span: &Span, parent: Context) {
    if parent.span().span_context().is_valid() && span.set_parent(parent).is_err() {
        tracing::debug!("span has no place for a parent");
    }
}

struct Outgoing<'a>(&'a mut MetadataMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (key.parse::<MetadataKey<Ascii>>(), value.parse()) {
            self.0.insert(key, value);
        }
    }
}

struct Incoming<'a>(&'a MetadataMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0
            .keys()
            .filter_map(|key| match key {
                KeyRef::Ascii(key) => Some(key.as_str()),
                KeyRef::Binary(_) => None,
            })
            .collect()
    }
}
