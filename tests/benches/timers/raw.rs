//! Redis itself: what it can do at best, and what it says of itself.

use std::time::{Duration, Instant};

use gatepost_domain::ports::{Timer, millis_up};
use gatepost_tests::services::Redis;
use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};

/// Commands in one pipeline.
pub const PIPELINE: usize = 1000;
/// The sorted set of the plainest timers there can be.
const PLAIN: &str = "plain";
const POPPED: usize = 500;
/// To forget a million timers takes Redis about half a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection of its own.
pub struct Raw(MultiplexedConnection);

impl Raw {
    pub async fn connect(redis: &Redis) -> Raw {
        Raw::at(redis.url()).await
    }

    pub async fn at(url: &str) -> Raw {
        let client = redis::Client::open(url).unwrap();
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        Raw(client.get_multiplexed_async_connection_with_config(&patient).await.unwrap())
    }

    pub async fn flush(&mut self) {
        redis::cmd("FLUSHALL").arg("SYNC").query_async::<()>(&mut self.0).await.unwrap();
    }

    pub async fn has(&mut self, key: &str) -> bool {
        redis::cmd("EXISTS").arg(key).query_async(&mut self.0).await.unwrap()
    }

    pub async fn ping(&mut self) {
        redis::cmd("PING").query_async::<()>(&mut self.0).await.unwrap();
    }

    /// Seconds that all of the server's threads worked since it started.
    pub async fn cpu(&mut self) -> f64 {
        self.told("cpu", "used_cpu_sys:").await + self.told("cpu", "used_cpu_user:").await
    }

    /// Bytes in use.
    pub async fn memory(&mut self) -> f64 {
        self.told("memory", "used_memory:").await
    }

    async fn told(&mut self, section: &str, field: &str) -> f64 {
        let told: String = redis::cmd("INFO").arg(section).query_async(&mut self.0).await.unwrap();
        told.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().parse().unwrap()
    }

    /// Sets every timer by a ZADD of its own, in pipelines, and answers how many seconds that took.
    pub async fn add(&mut self, timers: &[Timer]) -> f64 {
        let began = Instant::now();
        for some in timers.chunks(PIPELINE) {
            let mut pipeline = redis::pipe();
            for timer in some {
                pipeline.cmd("ZADD").arg(PLAIN).arg(millis_up(timer.due)).arg(timer.parcel.0.as_bytes()).ignore();
            }
            pipeline.query_async::<()>(&mut self.0).await.unwrap();
        }
        began.elapsed().as_secs_f64()
    }

    /// Takes so many timers out and forgets them; a client that dies then loses them.
    pub async fn pop(&mut self, count: usize) {
        for _ in 0..count.div_ceil(POPPED) {
            let popped: Vec<(Vec<u8>, f64)> =
                redis::cmd("ZPOPMIN").arg(PLAIN).arg(POPPED).query_async(&mut self.0).await.unwrap();
            assert_eq!(popped.len(), POPPED);
        }
    }
}
