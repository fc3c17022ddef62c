//! Every metric of the worker: name, unit and meaning.

use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};

use crate::pipeline::{Analysis, FrameError};

/// The instruments.
pub struct Metrics {
    frames: Counter<u64>,
    faces: Counter<u64>,
    waited: Histogram<f64>,
    worked: Histogram<f64>,
    step: Histogram<f64>,
    batch: Histogram<u64>,
}

/// Upper bounds of the buckets, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// The same of batches, in frames.
const BATCHES: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

impl Metrics {
    /// Registers the instruments with the process's meter.
    pub fn new() -> Self {
        let meter = global::meter("gatepost-vision");
        let seconds = |name: &'static str, meaning: &'static str| {
            meter.f64_histogram(name).with_unit("s").with_description(meaning).with_boundaries(BUCKETS.to_vec()).build()
        };
        Self {
            frames: meter
                .u64_counter("vision_frames")
                .with_description("Frames by outcome: ok, not_a_jpeg, too_large, internal, skipped (caller gone)")
                .build(),
            faces: meter.u64_counter("vision_faces").with_description("Faces found").build(),
            waited: seconds("vision_frame_wait", "Time from a frame's arrival until work on it began"),
            step: seconds(
                "vision_step",
                "Time that a step took for its batch, by step: decode, search, embed; on a device",
            ),
            batch: meter
                .u64_histogram("vision_batch")
                .with_description("Frames of a batch, by step; on a device")
                .with_boundaries(BATCHES.to_vec())
                .build(),
            worked: seconds("vision_frame_work", "Time that a frame took to decode, search and embed"),
        }
    }

    /// A frame whose caller had gone.
    pub fn skipped(&self) {
        self.frames.add(1, &[KeyValue::new("outcome", "skipped")]);
    }

    /// A step that was done for so many frames.
    pub fn step(&self, step: &'static str, frames: usize, took: Duration) {
        let step = [KeyValue::new("step", step)];
        self.step.record(took.as_secs_f64(), &step);
        self.batch.record(frames as u64, &step);
    }

    /// A frame that was worked on.
    pub fn answered(&self, analysis: &Result<Analysis, FrameError>, waited: Duration, worked: Duration) {
        let outcome = match analysis {
            Ok(_) => "ok",
            Err(FrameError::NotAJpeg) => "not_a_jpeg",
            Err(FrameError::TooLarge { .. }) => "too_large",
            Err(FrameError::Internal(_)) => "internal",
        };
        self.frames.add(1, &[KeyValue::new("outcome", outcome)]);
        self.faces.add(analysis.as_ref().map_or(0, |analysis| analysis.faces.len() as u64), &[]);
        self.waited.record(waited.as_secs_f64(), &[]);
        self.worked.record(worked.as_secs_f64(), &[]);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
