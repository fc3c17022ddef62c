//! Spans of what is over: work whose place in a trace becomes known only after it was done.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use opentelemetry::trace::{Link, Span as _, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, global};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::propagation::context_of;

/// A piece of work that is over.
#[derive(Debug, Clone)]
pub struct PastWork {
    /// What was done.
    pub name: &'static str,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

/// Records `works` below the current span, each as the child of the one before, and links the first to the span that
/// `traceparent` names: the trace in which the work was done at its time.
pub fn record_past(works: &[PastWork], traceparent: &str) {
    let tracer = global::tracer("gatepost");
    let mut parent = Span::current().context();
    if !parent.span().span_context().is_valid() {
        return;
    }
    let mut links: Vec<Link> = Vec::new();
    let done_in = context_of(traceparent).span().span_context().clone();
    if done_in.is_valid() {
        links.push(Link::with_context(done_in));
    }
    let mut open = Vec::new();
    for work in works {
        let builder = tracer.span_builder(work.name).with_start_time(system_time(work.began));
        let span = builder.with_links(std::mem::take(&mut links)).start_with_context(&tracer, &parent);
        parent = Context::new().with_remote_span_context(span.span_context().clone());
        open.push((span, work.ended));
    }
    for (mut span, ended) in open.into_iter().rev() {
        span.end_with_timestamp(system_time(ended));
    }
}

fn system_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::try_from(at.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default()
}
