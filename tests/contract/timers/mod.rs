//! The timers' promises, in this process, on Redis and on a Redis cluster.

mod failover;
mod faults;
mod model;
mod promises;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use gatepost_domain::ports::Timers;
use gatepost_storage::{EmbeddedTimers, RedisOptions, RedisTimers};
use gatepost_tests::services::{Redis, redis_cluster};
use redis::aio::ConnectionLike;

/// An index under test, and a way to empty it behind its back.
struct Bench {
    timers: Box<dyn Timers>,
    redis: Option<(Option<Redis>, RedisOptions)>,
}

impl Bench {
    fn embedded() -> Bench {
        Bench { timers: Box::new(EmbeddedTimers::new()), redis: None }
    }

    async fn redis() -> Bench {
        let server = Redis::start();
        let options = options(vec![server.url().to_owned()], "gatepost".to_owned());
        Bench::on(Some(server), options)
    }

    async fn cluster() -> Bench {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let options = options(redis_cluster().urls(), format!("gatepost-{number}"));
        Bench::on(None, RedisOptions { cluster: true, shards: 16, ..options })
    }

    fn on(server: Option<Redis>, options: RedisOptions) -> Bench {
        Bench { timers: Box::new(RedisTimers::new(options.clone()).unwrap()), redis: Some((server, options)) }
    }

    /// Another replica's.
    fn another(&self) -> Option<RedisTimers> {
        let (_, options) = self.redis.as_ref()?;
        Some(RedisTimers::new(options.clone()).unwrap())
    }

    /// Whole and empty.
    async fn whole(self) -> Bench {
        self.timers.begin_rebuild().await.unwrap();
        self.timers.rebuild(&[], true).await.unwrap();
        self
    }

    /// Empties the index as an operator or a failed server would. In this process that is a restart.
    async fn empty(&mut self) {
        match &self.redis {
            None => self.timers = Box::new(EmbeddedTimers::new()),
            Some((Some(server), _)) => {
                let client = redis::Client::open(server.url()).unwrap();
                command(&mut client.get_multiplexed_async_connection().await.unwrap(), &["FLUSHALL"]).await;
            }
            // Others use the cluster too, so only this test's keys go.
            Some((None, options)) => {
                let client = redis::cluster::ClusterClient::new(options.urls.iter().map(String::as_str)).unwrap();
                let mut connection = client.get_async_connection().await.unwrap();
                for shard in 0..options.shards {
                    for what in ["g", "i", "n", "r", "b", "m"] {
                        let key = format!("{{{}:{shard}/{}}}:{what}", options.key_prefix, options.shards);
                        command(&mut connection, &["DEL", &key]).await;
                    }
                }
            }
        }
    }

    /// As if whoever rebuilds had died long ago.
    async fn forget_rebuilder(&self) {
        let Some((server, options)) = &self.redis else { return };
        let key = format!("{{{}:0/{}}}:b", options.key_prefix, options.shards);
        if server.is_some() {
            let client = redis::Client::open(options.urls[0].as_str()).unwrap();
            command(&mut client.get_multiplexed_async_connection().await.unwrap(), &["DEL", &key]).await;
        } else {
            let client = redis::cluster::ClusterClient::new(options.urls.iter().map(String::as_str)).unwrap();
            command(&mut client.get_async_connection().await.unwrap(), &["DEL", &key]).await;
        }
    }

    /// Makes the servers forget every script, as a restart or a promoted replica would.
    async fn forget_scripts(&self) {
        match &self.redis {
            None => {}
            Some((Some(server), _)) => {
                let client = redis::Client::open(server.url()).unwrap();
                command(&mut client.get_multiplexed_async_connection().await.unwrap(), &["SCRIPT", "FLUSH"]).await;
            }
            Some((None, options)) => {
                let client = redis::cluster::ClusterClient::new(options.urls.iter().map(String::as_str)).unwrap();
                command(&mut client.get_async_connection().await.unwrap(), &["SCRIPT", "FLUSH"]).await;
            }
        }
    }
}

fn options(urls: Vec<String>, key_prefix: String) -> RedisOptions {
    RedisOptions {
        urls,
        key_prefix,
        shards: 4,
        slot_width: Duration::from_secs(1),
        // The tests' time is their own, and every claim asks.
        server_time: false,
        look_every: Duration::ZERO,
        ..RedisOptions::default()
    }
}

async fn command(connection: &mut impl ConnectionLike, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async::<redis::Value>(connection).await.unwrap();
}

macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $promise() {
                super::promises::$promise(super::Bench::embedded()).await;
            })+
        }
        mod on_redis {
            $(#[tokio::test]
            async fn $promise() {
                super::promises::$promise(super::Bench::redis().await).await;
            })+
        }
        /// One test, because a cluster takes seconds to form.
        #[tokio::test]
        async fn a_redis_cluster_keeps_every_promise() {
            $(promises::$promise(Bench::cluster().await).await;)+
        }
    };
}

promises! {
    an_index_is_lost_until_it_is_rebuilt,
    slots_are_leased_when_they_begin,
    a_claim_keeps_to_its_limit,
    a_timer_moves_and_is_cleared,
    a_lease_comes_back_unless_acknowledged,
    leases_are_renewed_while_they_stand,
    released_slots_are_free_at_once,
    an_acknowledgement_leaves_alone_what_was_put_anew,
    an_old_lease_ends_nothing,
    an_emptied_index_is_noticed,
    an_index_emptied_during_its_rebuild_is_noticed,
    a_rebuild_goes_on_where_it_was_left,
    a_rebuild_keeps_the_earlier_time,
    missing_timers_are_told,
    scripts_may_be_forgotten,
    a_burst_is_read_and_acknowledged_page_by_page,
    a_due_time_between_two_milliseconds_is_the_later_one,
}
