//! Works frames off. Everyone sends them through an [`Engine`] and waits for the answer. On the CPU each frame is one
//! thread's work (`apart.rs`); a device is given many at once (`together.rs`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::metrics::Metrics;
use crate::pipeline::{Analysis, FrameError, Pipeline};

mod apart;
mod together;

/// So many frames in a row that fail without being at fault themselves are no chance any more: a device that was lost, or
/// whose memory is spoilt, fails every one until its process starts anew.
const FAILURES_MAX: u32 = 32;

/// A frame on its way, and who waits for its answer.
struct Waiting {
    since: Instant,
    /// The frame's own span, entered while it is worked on.
    span: Span,
    reply: oneshot::Sender<Result<Analysis, FrameError>>,
}

/// A handle on the engine; clones share it, and its threads end with the last of them.
#[derive(Clone)]
pub struct Engine {
    line: Line,
    /// Of frames whose pixels are in memory.
    room: Arc<Semaphore>,
    broken: CancellationToken,
}

#[derive(Clone)]
enum Line {
    Apart(apart::Line),
    Together(together::Line),
}

impl Engine {
    /// Starts its threads. How many frames may wait is the caller's to bound: a session takes no more than it offered.
    pub fn start(pipeline: Arc<Pipeline>) -> std::io::Result<Self> {
        if pipeline.runs_on_cpu() {
            let worker = Worker::new(pipeline);
            let broken = worker.broken.clone();
            let line = Line::Apart(apart::Line::start(worker)?);
            return Ok(Self { line, room: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), broken });
        }
        Self::start_together(pipeline)
    }

    /// As [`Engine::start`], with the frames given to the networks together, whatever they run on.
    pub fn start_together(pipeline: Arc<Pipeline>) -> std::io::Result<Self> {
        let worker = Worker::new(pipeline);
        let broken = worker.broken.clone();
        let line = Line::Together(together::Line::start(worker)?);
        Ok(Self { line, room: Arc::new(Semaphore::new(together::FRAMES_MAX)), broken })
    }

    /// Ends when the engine fails all frames and only a new process may help.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// The faces of a frame. A caller that stops waiting takes its frame back, if work on it has not begun.
    pub async fn analyse(&self, jpeg: Bytes) -> Result<Analysis, FrameError> {
        let gone = || FrameError::Internal("the engine has ended".to_owned());
        let since = Instant::now();
        let _room = self.room.acquire().await.map_err(|_| gone())?;
        let (reply, answer) = oneshot::channel();
        let frame = Waiting { since, span: Span::current(), reply };
        match &self.line {
            Line::Apart(line) => line.take(jpeg, frame),
            Line::Together(line) => line.take(jpeg, frame),
        }
        answer.await.map_err(|_| gone())?
    }
}

/// What the threads share.
struct Worker {
    pipeline: Arc<Pipeline>,
    metrics: Metrics,
    /// Frames that failed, since the last that did not.
    failures: AtomicU32,
    broken: CancellationToken,
}

impl Worker {
    fn new(pipeline: Arc<Pipeline>) -> Arc<Self> {
        let broken = CancellationToken::new();
        Arc::new(Self { pipeline, metrics: Metrics::new(), failures: AtomicU32::new(0), broken })
    }

    /// A step of the pipeline for so many frames. A panic is an error of those frames, and ends no thread.
    fn step<T>(
        &self,
        step: &'static str,
        frames: usize,
        work: impl FnOnce() -> Result<T, FrameError>,
    ) -> Result<T, FrameError> {
        let begun = Instant::now();
        let done = guarded(work);
        self.metrics.step(step, frames, begun.elapsed());
        done
    }

    /// Whether nobody waits for a frame any more.
    fn is_skipped(&self, frame: &Waiting) -> bool {
        let gone = frame.reply.is_closed();
        if gone {
            self.metrics.skipped();
        }
        gone
    }

    fn answer(&self, frame: Waiting, begun: Instant, analysis: Result<Analysis, FrameError>) {
        let _entered = frame.span.enter();
        match &analysis {
            Err(error @ FrameError::Internal(_)) => {
                tracing::error!(%error, "frame failed");
                if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_MAX {
                    self.broken.cancel();
                }
            }
            Ok(_) => self.failures.store(0, Ordering::Relaxed),
            // Says nothing about the networks.
            Err(FrameError::NotAJpeg | FrameError::TooLarge { .. }) => {}
        }
        self.metrics.answered(&analysis, begun - frame.since, begun.elapsed());
        // The caller may have gone in the meantime; nobody else wants the answer.
        let _ = frame.reply.send(analysis);
    }
}

fn guarded<T>(work: impl FnOnce() -> Result<T, FrameError>) -> Result<T, FrameError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(FrameError::Internal("the pipeline panicked".to_owned())))
}
