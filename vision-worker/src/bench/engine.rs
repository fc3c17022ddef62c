//! How many frames an engine does that never runs out of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::Pipeline;
use crate::engine::Engine;

/// Frames a second, where there are always `at_once` of them in the engine, over a while of that length.
pub fn rate(pipeline: &Arc<Pipeline>, jpeg: &Bytes, at_once: usize, span: Duration) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
    runtime.block_on(async {
        let engine = Engine::start(Arc::clone(pipeline))?;
        let done = Arc::new(AtomicUsize::new(0));
        let mut senders = JoinSet::new();
        for _ in 0..at_once {
            let (engine, jpeg, done) = (engine.clone(), jpeg.clone(), Arc::clone(&done));
            senders.spawn(async move {
                loop {
                    if let Err(error) = engine.analyse(jpeg.clone()).await {
                        return error;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let counted = async {
            // Until it is in full swing.
            tokio::time::sleep(span / 4).await;
            let (before, begun) = (done.load(Ordering::Relaxed), Instant::now());
            tokio::time::sleep(span).await;
            (done.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64()
        };
        tokio::select! {
            rate = counted => Ok(rate),
            Some(failed) = senders.join_next() => Err(failed?.into()),
        }
    })
}
