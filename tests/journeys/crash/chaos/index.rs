//! The index of deadlines, and what it suffers.

use std::sync::Arc;

use gatepost_tests::{
    services::{Redis, RedisCluster},
    world::until,
};

use super::{REPLICAS, fates::END};
use crate::crash::seeded::Seeded;

/// The shards whose slots are moved and whose primary dies; all replicas have the default number of shards.
const MOVED: &str = "{gatepost:3/16}:i";
const KILLED: &str = "{gatepost:7/16}:i";

/// SIGKILLs to replicas, beside those that die at a place inside.
const KILLS: usize = 5;

/// Where the deadlines are indexed.
pub enum Index {
    Single(Redis),
    Cluster(Arc<RedisCluster>),
}

/// What happens.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// SIGKILL to a replica of the platform.
    Kill(u64),
    /// FLUSHALL; of a cluster, one primary is emptied.
    Empty,
    /// SCRIPT FLUSH on all.
    ForgetScripts,
    /// Every connection ends.
    Cut,
    /// Nobody is answered for most of a second.
    Block,
    /// A slot moves to another primary.
    MoveSlot,
    /// SIGKILL to a primary; its replica takes over.
    KillPrimary,
}

impl Index {
    pub fn single() -> Index {
        Index::Single(Redis::start())
    }

    pub fn cluster() -> Index {
        Index::Cluster(Arc::new(RedisCluster::private()))
    }

    /// As the settings name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Index::Single(_) => "redis",
            Index::Cluster(_) => "redis_cluster",
        }
    }

    /// As the settings have them.
    pub fn urls(&self) -> String {
        match self {
            Index::Single(redis) => redis.urls(),
            Index::Cluster(cluster) => format!("{:?}", cluster.urls()),
        }
    }

    /// What happens when, in milliseconds after the beginning.
    pub fn script(&self, seeded: &mut Seeded) -> Vec<(i64, Fault)> {
        let mut script = Vec::new();
        for _ in 0..KILLS {
            script.push((-1_000, END, Fault::Kill(seeded.below(REPLICAS))));
        }
        script.extend_from_slice(match self {
            Index::Single(_) => &[
                (0, END / 2, Fault::Empty),
                (END / 2, END, Fault::Empty),
                (0, END, Fault::ForgetScripts),
                (0, END, Fault::ForgetScripts),
                (0, END, Fault::Cut),
                (0, END, Fault::Block),
            ],
            // One after the other: a slot cannot move while its primary is dead.
            Index::Cluster(_) => &[
                (0, 2_000, Fault::MoveSlot),
                (2_000, 3_000, Fault::ForgetScripts),
                (3_000, 5_000, Fault::Empty),
                (5_000, END - 3_000, Fault::KillPrimary),
            ],
        });
        let when = |(first, last, fault)| (first + seeded.below((last - first) as u64) as i64, fault);
        let mut script: Vec<(i64, Fault)> = script.into_iter().map(when).collect();
        script.sort_by_key(|(at, _)| *at);
        script
    }

    /// Everything is gone.
    pub async fn empty(&self) {
        match self {
            Index::Single(_) => self.suffer(Fault::Empty).await,
            Index::Cluster(cluster) => on(cluster, |cluster| cluster.tell_primaries(usize::MAX, &["flushall"])).await,
        }
    }

    pub async fn suffer(&self, fault: Fault) {
        match self {
            Index::Single(redis) => suffer_alone(redis, fault).await,
            Index::Cluster(cluster) => {
                on(cluster, move |cluster| match fault {
                    Fault::Empty => cluster.tell_primaries(1, &["flushall"]),
                    Fault::ForgetScripts => cluster.tell_primaries(usize::MAX, &["script", "flush"]),
                    Fault::MoveSlot => cluster.move_slot(cluster.slot_of(MOVED)),
                    Fault::KillPrimary => cluster.kill_primary_of(cluster.slot_of(KILLED)),
                    Fault::Kill(_) | Fault::Cut | Fault::Block => panic!("{fault:?} does not happen to a cluster"),
                })
                .await;
            }
        }
    }
}

async fn suffer_alone(redis: &Redis, fault: Fault) {
    let words: &[&str] = match fault {
        Fault::Empty => &["FLUSHALL"],
        Fault::ForgetScripts => &["SCRIPT", "FLUSH"],
        Fault::Cut => &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
        Fault::Block => {
            // Whoever asks for it is not answered either.
            let _ = redis.ask(&["DEBUG", "SLEEP", "0.8"]).await;
            return;
        }
        Fault::Kill(_) | Fault::MoveSlot | Fault::KillPrimary => panic!("{fault:?} does not happen to one Redis"),
    };
    until("a Redis that is not blocked", || async { redis.ask(words).await.is_ok() }).await;
}

async fn on(cluster: &Arc<RedisCluster>, act: impl FnOnce(&RedisCluster) + Send + 'static) {
    let cluster = Arc::clone(cluster);
    tokio::task::spawn_blocking(move || act(&cluster)).await.expect("the cluster obeys");
}
