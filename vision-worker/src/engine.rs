//! The thread that owns the device. Everyone else sends it frames through an `Engine` and waits for the answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rayon::prelude::*;
use tokio::sync::oneshot;
use tracing::Span;

use crate::batcher::{self, Limits};
use crate::metrics::Metrics;
use crate::pipeline::{Analysis, FrameError, Pipeline};

/// How long a frame waits for company where a device wants full batches. On the CPU batching gains nothing.
const LINGER: Duration = Duration::from_millis(2);

/// A frame on its way to the device.
struct Waiting {
    jpeg: Bytes,
    since: Instant,
    /// The frame's own span, entered while the device works on it.
    span: Span,
    reply: oneshot::Sender<Result<Analysis, FrameError>>,
}

/// A handle on the engine; clones share it, and its thread ends with the last of them.
#[derive(Clone)]
pub struct Engine {
    frames: Sender<Waiting>,
}

impl Engine {
    /// Starts the thread. How many frames may wait is the caller's to bound: a session takes no more than it offered.
    pub fn start(pipeline: Arc<Pipeline>) -> std::io::Result<Self> {
        let (frames, waiting) = channel();
        std::thread::Builder::new()
            .name("vision-engine".to_owned())
            .spawn(move || Service { pipeline, metrics: Metrics::new() }.serve(&waiting))?;
        Ok(Self { frames })
    }

    /// The faces of a frame. A caller that stops waiting takes its frame back, if the device has not begun it.
    pub async fn analyse(&self, jpeg: Bytes) -> Result<Analysis, FrameError> {
        let (reply, answer) = oneshot::channel();
        let frame = Waiting { jpeg, since: Instant::now(), span: Span::current(), reply };
        let gone = || FrameError::Internal("the engine has ended".to_owned());
        self.frames.send(frame).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// What the thread owns.
struct Service {
    pipeline: Arc<Pipeline>,
    metrics: Metrics,
}

impl Service {
    fn serve(&self, waiting: &Receiver<Waiting>) {
        let on_cpu = self.pipeline.runs_on_cpu();
        let count = rayon::current_num_threads();
        let age = if on_cpu { Duration::ZERO } else { LINGER };
        while let Some(batch) = batcher::gather(waiting, Limits { count, age }) {
            // One image is one thread's work on the CPU; a device is asked by one thread at a time.
            if on_cpu {
                batch.into_par_iter().for_each(|frame| self.answer(frame));
            } else {
                batch.into_iter().for_each(|frame| self.answer(frame));
            }
        }
    }

    fn answer(&self, frame: Waiting) {
        let Waiting { jpeg, since, span, reply } = frame;
        let _entered = span.enter();
        if reply.is_closed() {
            self.metrics.skipped();
            return;
        }
        let begun = Instant::now();
        let analysis = catch_unwind(AssertUnwindSafe(|| self.pipeline.analyse(&jpeg)))
            .unwrap_or_else(|_| Err(FrameError::Internal("the pipeline panicked".to_owned())));
        if let Err(error @ FrameError::Internal(_)) = &analysis {
            tracing::error!(%error, "frame failed");
        }
        self.metrics.answered(&analysis, begun - since, begun.elapsed());
        // The caller may have gone in the meantime; nobody else wants the answer.
        let _ = reply.send(analysis);
    }
}
