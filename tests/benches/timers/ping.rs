//! Another client of the same Redis, who asks for nothing and waits for the answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use gatepost_tests::{benchmark::percentile, services::Redis};
use tokio::runtime::Builder;

use super::raw::Raw;

/// Asks on a thread of its own until it is stopped.
pub struct Pinger {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Instant, f64)>>,
}

impl Pinger {
    /// One question after the other, with a pause in between or none.
    pub fn start(redis: &Redis, pause: Option<Duration>) -> Pinger {
        let stopped = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stopped);
        let url = redis.url().to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut raw = Raw::at(&url).await;
                let mut pings = Vec::new();
                let mut pauses = pause.map(tokio::time::interval);
                while !until.load(Ordering::Relaxed) {
                    if let Some(pauses) = &mut pauses {
                        pauses.tick().await;
                    }
                    let began = Instant::now();
                    raw.ping().await;
                    pings.push((began, began.elapsed().as_secs_f64() * 1e3));
                }
                pings
            })
        });
        Pinger { stopped, thread }
    }

    /// The 99th percentile in milliseconds of what was asked since an instant.
    pub fn stop(self, since: Instant) -> f64 {
        self.stopped.store(true, Ordering::Relaxed);
        let pings = self.thread.join().unwrap();
        let taken: Vec<f64> = pings.iter().filter(|(began, _)| *began >= since).map(|(_, took)| *took).collect();
        percentile(&taken, 0.99)
    }
}
