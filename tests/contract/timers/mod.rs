//! The timers' promises, in this process, on Redis and on a Redis cluster.

mod model;
mod promises;

use std::sync::atomic::{AtomicU32, Ordering};

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
        let options = RedisOptions {
            urls: vec![server.url().to_owned()],
            cluster: false,
            shards: 4,
            key_prefix: "gatepost".to_owned(),
        };
        let timers = RedisTimers::connect(&options).await.unwrap();
        Bench { timers: Box::new(timers), redis: Some((Some(server), options)) }
    }

    async fn cluster() -> Bench {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let options = RedisOptions {
            urls: redis_cluster().urls(),
            cluster: true,
            shards: 16,
            key_prefix: format!("gatepost-{number}"),
        };
        let timers = RedisTimers::connect(&options).await.unwrap();
        Bench { timers: Box::new(timers), redis: Some((None, options)) }
    }

    /// Whole and empty.
    async fn whole(self) -> Bench {
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
                    let key = |what| format!("{{{}:{shard}/{}}}:{what}", options.key_prefix, options.shards);
                    command(&mut connection, &["DEL", &key("due"), &key("whole"), &key("rebuilders")]).await;
                }
            }
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
    timers_are_claimed_when_due_and_in_order,
    a_claim_keeps_to_its_limit,
    a_timer_moves_and_is_cleared,
    a_lease_comes_back_unless_acknowledged,
    an_acknowledgement_leaves_alone_what_was_set_anew,
    an_old_lease_acknowledges_nothing,
    an_emptied_index_is_noticed,
    an_index_emptied_during_its_rebuild_is_noticed,
    a_rebuild_keeps_the_earlier_time,
    scripts_may_be_forgotten,
    a_burst_is_claimed_page_by_page,
}
