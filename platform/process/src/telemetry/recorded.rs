//! Spans kept in memory, for a test that asks what belongs to one trace.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// How many spans are kept; the oldest go first.
const CAPACITY: usize = 65_536;

/// The most recent spans of this process. Clones share them; give one to [`super::init_with`].
#[derive(Clone, Debug, Default)]
pub struct RecordedSpans(Arc<Mutex<VecDeque<SpanData>>>);

impl RecordedSpans {
    /// Nothing recorded yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every recorded span, in the order in which they ended.
    pub fn all(&self) -> Vec<SpanData> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl SpanExporter for RecordedSpans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.extend(batch);
        let surplus = spans.len().saturating_sub(CAPACITY);
        spans.drain(..surplus);
        Ok(())
    }
}
