//! The orderly end of a process: the first signal drains, the second cuts, and every task is tracked.

use std::any::Any;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use futures::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long tasks get to be dropped once they were cut.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

/// A handle on the life of the process; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<Mutex<Option<anyhow::Error>>>,
}

impl Shutdown {
    /// A process that has just begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when work should be finished and none begun.
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Cancelled when work should be dropped where it stands.
    pub fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }

    /// Begins the drain; harmless when repeated.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Runs a task that must end before the process does. It should end by itself soon after `draining()`; when the
    /// process is cut it is dropped. If it fails or panics, the whole process drains and reports that failure.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let shutdown = self.clone();
        self.tasks.spawn(async move {
            let outcome = tokio::select! {
                biased;
                outcome = AssertUnwindSafe(task).catch_unwind() => outcome,
                () = shutdown.cut.cancelled() => {
                    tracing::warn!(task = name, "task cut");
                    return;
                }
            };
            match outcome {
                Ok(Ok(())) => tracing::debug!(task = name, "task ended"),
                Ok(Err(error)) => shutdown.fail(error.context(format!("{name} failed"))),
                Err(panic) => shutdown.fail(anyhow!("{name} panicked: {}", panic_text(&*panic))),
            }
        });
    }

    /// From now on the first SIGTERM or SIGINT drains and the second cuts.
    pub fn listen_to_signals(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        // Not tracked: the process ends without waiting for another signal.
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    () = shutdown.cut.cancelled() => return,
                }
                if shutdown.draining.is_cancelled() {
                    tracing::warn!("second signal, cutting");
                    shutdown.cut.cancel();
                    return;
                }
                tracing::info!("signal, draining; a second one cuts");
                shutdown.drain();
            }
        });
        Ok(())
    }

    /// Returns when every task has ended, or, once draining, after `timeout` or a second signal, which cut what is
    /// left. The first failure of a task is the result, so `main` can return it as exit code 1.
    pub async fn finished(self, timeout: Duration) -> anyhow::Result<()> {
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => return self.outcome(),
            () = self.draining.cancelled() => {}
            () = self.cut.cancelled() => {}
        }
        let drained = tokio::select! {
            biased;
            () = self.tasks.wait() => true,
            () = self.cut.cancelled() => false,
            () = tokio::time::sleep(timeout) => false,
        };
        if !drained {
            tracing::warn!(tasks = self.tasks.len(), "not drained, cutting");
            self.drain();
            self.cut.cancel();
            if tokio::time::timeout(CUT_TIMEOUT, self.tasks.wait()).await.is_err() {
                tracing::error!(tasks = self.tasks.len(), "tasks do not yield, leaving them");
            }
        }
        self.outcome()
    }

    fn fail(&self, error: anyhow::Error) {
        tracing::error!(error = format!("{error:#}"), "task failed, draining");
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
        drop(failure);
        self.drain();
    }

    fn outcome(&self) -> anyhow::Result<()> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), Err)
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn drained_tasks_end_well() {
        let shutdown = Shutdown::new();
        let draining = shutdown.draining();
        shutdown.spawn("listener", async move {
            draining.cancelled().await;
            Ok(())
        });
        shutdown.drain();
        shutdown.finished(LONG).await.unwrap();
    }

    #[tokio::test]
    async fn a_failed_task_drains_the_others_and_is_reported() {
        let shutdown = Shutdown::new();
        let draining = shutdown.draining();
        shutdown.spawn("listener", async move {
            draining.cancelled().await;
            Ok(())
        });
        shutdown.spawn("timers", async { Err(anyhow!("connection lost")) });
        let error = shutdown.finished(LONG).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "timers failed: connection lost");
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let shutdown = Shutdown::new();
        shutdown.spawn("outbox", async { panic!("this is a bug: {}", 7) });
        let error = shutdown.finished(LONG).await.unwrap_err();
        assert_eq!(error.to_string(), "outbox panicked: this is a bug: 7");
    }

    #[tokio::test]
    async fn a_task_that_does_not_drain_is_cut_after_the_timeout() {
        let shutdown = Shutdown::new();
        let cut = shutdown.cut();
        shutdown.spawn("stuck", std::future::pending());
        shutdown.drain();
        shutdown.finished(Duration::ZERO).await.unwrap();
        assert!(cut.is_cancelled());
    }

    #[tokio::test]
    async fn without_tasks_there_is_nothing_to_wait_for() {
        Shutdown::new().finished(LONG).await.unwrap();
    }

    // One test for both signals, because they reach every listener of the test process.
    #[tokio::test]
    async fn the_first_signal_drains_and_the_second_cuts() {
        let shutdown = Shutdown::new();
        shutdown.listen_to_signals().unwrap();
        let (draining, cut) = (shutdown.draining(), shutdown.cut());
        shutdown.spawn("stuck", std::future::pending());

        send_signal("-TERM");
        draining.cancelled().await;
        assert!(!cut.is_cancelled());

        send_signal("-INT");
        cut.cancelled().await;
        shutdown.finished(LONG).await.unwrap();
    }

    fn send_signal(signal: &str) {
        let status = Command::new("kill").args([signal, &std::process::id().to_string()]).status();
        assert!(status.unwrap().success());
    }
}
