//! One way to reach a single server and a cluster, opened when first used, with limits on how long an answer may take.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use gatepost_domain::ports::TimersError;
use redis::{
    Client, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};
use tokio::{sync::OnceCell, time::Instant};

/// How long one answer may take. The sweep over the rows goes on meanwhile, so waiting longer gains nothing.
const RESPONSE_LIMIT: Duration = Duration::from_secs(2);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// A failover takes seconds; a call may outlive a short one.
const CLUSTER_LIMIT: Duration = Duration::from_secs(10);
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);
/// How long a server that did not answer is left alone.
const REST: Duration = Duration::from_secs(1);

/// Where the index is.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// `redis://host:port`, `rediss://..` or `redis+unix:///socket`; of a cluster any of its nodes, else exactly one.
    pub urls: Vec<String>,
    /// Whether it is a cluster.
    pub cluster: bool,
    /// Over how many keys the timers are spread, 1 to 1024. More than the nodes a cluster may ever have.
    pub shards: u16,
    /// What all keys begin with; no braces.
    pub key_prefix: String,
    /// How long a slot is, 1 ms to 1 h. Best is what makes a slot hold 32 to 100 timers.
    pub slot_width: Duration,
    /// Whether Redis's own clock decides which slots are due, so that replicas with wrong clocks agree.
    pub server_time: bool,
    /// A shard whose slots are all known to be later is asked at least this often all the same.
    pub look_every: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            cluster: false,
            shards: 16,
            key_prefix: "gatepost".to_owned(),
            slot_width: Duration::from_secs(20),
            server_time: true,
            look_every: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for RedisOptions {
    /// Without the URLs: they may carry a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("nodes", &self.urls.len())
            .field("cluster", &self.cluster)
            .field("shards", &self.shards)
            .field("key_prefix", &self.key_prefix)
            .field("slot_width", &self.slot_width)
            .finish_non_exhaustive()
    }
}

/// Either kind of connection, opened when it is first needed: the platform starts and works without it.
pub(super) struct Connection {
    options: RedisOptions,
    opened: OnceCell<Opened>,
    /// By shard, until when nobody asks it: a caller that waits for a server which is away gains nothing.
    resting: Vec<Mutex<Option<Instant>>>,
}

#[derive(Clone)]
enum Opened {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) fn new(options: RedisOptions) -> Self {
        // One server is away as a whole; of a cluster, the nodes of some shards.
        let parts = if options.cluster { usize::from(options.shards) } else { 1 };
        Self { options, opened: OnceCell::new(), resting: (0..parts).map(|_| Mutex::new(None)).collect() }
    }

    /// Runs one command on the node of its keys.
    pub(super) async fn query<T: FromRedisValue>(&self, shard: u16, command: &Cmd) -> Result<T, TimersError> {
        self.send(shard, command).await?.map_err(unavailable)
    }

    /// Runs a script on the node of its keys. A node that does not know it, be it new, promoted or restarted, is sent
    /// the whole text: loading it everywhere first would fail whenever any node is away.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        shard: u16,
        script: &Script,
        call: &Call,
    ) -> Result<T, TimersError> {
        match self.send(shard, &call.command("EVALSHA", script.hash.get_hash())).await? {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.query(shard, &call.command("EVAL", script.text)).await
            }
            answer => answer.map_err(unavailable),
        }
    }

    /// Asks every server that takes writes, for no shard's sake: whoever does not answer is not left alone for it, and
    /// nobody waits for longer than one answer may take.
    pub(super) async fn ask_all<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, TimersError> {
        let asked = tokio::time::timeout(RESPONSE_LIMIT, async {
            match self.opened.get_or_try_init(|| open(&self.options)).await?.clone() {
                Opened::Single(mut connection) => command.query_async(&mut connection).await,
                Opened::Cluster(mut connection) => command.query_async(&mut connection).await,
            }
        });
        let answer = asked.await.unwrap_or_else(|_| Err((ErrorKind::Io, "no answer in time").into()));
        answer.map_err(unavailable)
    }

    /// The outer error: nobody was asked.
    async fn send<T: FromRedisValue>(&self, shard: u16, command: &Cmd) -> Result<Result<T, RedisError>, TimersError> {
        let resting = &self.resting[usize::from(shard) % self.resting.len()];
        if resting.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| Instant::now() < until) {
            return Err(TimersError::Unavailable("it did not answer a moment ago".to_owned()));
        }
        let limit = if self.options.cluster { CLUSTER_LIMIT } else { RESPONSE_LIMIT };
        let asked = tokio::time::timeout(limit, async {
            match self.opened.get_or_try_init(|| open(&self.options)).await?.clone() {
                Opened::Single(mut connection) => command.query_async(&mut connection).await,
                Opened::Cluster(mut connection) => command.query_async(&mut connection).await,
            }
        });
        let answer = asked.await.unwrap_or_else(|_| Err((ErrorKind::Io, "no answer in time").into()));
        let away = answer.as_ref().is_err_and(|error: &RedisError| {
            error.is_io_error() || error.is_timeout() || error.is_connection_dropped() || error.is_connection_refusal()
        });
        let until = away.then(|| Instant::now() + REST);
        *resting.lock().unwrap_or_else(PoisonError::into_inner) = until;
        Ok(answer)
    }
}

async fn open(options: &RedisOptions) -> Result<Opened, RedisError> {
    if options.cluster {
        let client = ClusterClientBuilder::new(options.urls.iter().map(String::as_str))
            .connection_timeout(CONNECT_LIMIT)
            .response_timeout(RESPONSE_LIMIT)
            .overall_response_timeout(Some(CLUSTER_LIMIT))
            .build()?;
        return client.get_async_connection().await.map(Opened::Cluster);
    }
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_LIMIT))
        .set_response_timeout(Some(RESPONSE_LIMIT))
        .set_max_delay(RECONNECT_DELAY_MAX);
    let client = Client::open(options.urls.first().map(String::as_str).unwrap_or_default())?;
    ConnectionManager::new_lazy_with_config(client, config).map(Opened::Single)
}

/// A script and its hash.
pub(super) struct Script {
    text: &'static str,
    hash: redis::Script,
}

impl Script {
    pub(super) fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text) }
    }
}

/// The keys and arguments of one run of a script.
#[derive(Default)]
pub(super) struct Call {
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn on(keys: Vec<String>) -> Self {
        Self { keys, arguments: Vec::new() }
    }

    pub(super) fn with(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(super) fn key(&mut self, key: String) {
        self.keys.push(key);
    }

    pub(super) fn add(&mut self, argument: impl Into<Vec<u8>>) {
        self.arguments.push(argument.into());
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.arguments);
        command
    }
}

pub(super) fn unavailable(error: RedisError) -> TimersError {
    TimersError::Unavailable(error.to_string())
}
