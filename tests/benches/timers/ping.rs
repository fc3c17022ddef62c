//! Another client of the same Redis, who asks for nothing and waits for the answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use gatepost_tests::services::Redis;
use tokio::{runtime::Builder, time::MissedTickBehavior};

use super::raw::Raw;

/// Who asks without a pause takes half of two cores, and measures that.
const EVERY: Duration = Duration::from_millis(1);

/// Asks on a thread of its own until it is stopped.
pub struct Pinger {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Instant, f64)>>,
}

impl Pinger {
    pub fn start(redis: &Redis) -> Pinger {
        let stopped = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stopped);
        let url = redis.url().to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut raw = Raw::at(&url).await;
                let (mut pings, mut pauses) = (Vec::new(), tokio::time::interval(EVERY));
                pauses.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !until.load(Ordering::Relaxed) {
                    pauses.tick().await;
                    let began = Instant::now();
                    raw.ping().await;
                    pings.push((began, began.elapsed().as_secs_f64() * 1e3));
                }
                pings
            })
        });
        Pinger { stopped, thread }
    }

    /// What was asked since an instant, in milliseconds.
    pub fn stop(self, since: Instant) -> Vec<f64> {
        self.stopped.store(true, Ordering::Relaxed);
        let pings = self.thread.join().unwrap();
        pings.into_iter().filter(|(began, _)| *began >= since).map(|(_, took)| took).collect()
    }
}
