//! One way to reach a single server and a cluster, with limits on how long an answer may take.

use std::{fmt, time::Duration};

use gatepost_domain::ports::TimersError;
use redis::{
    Client, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};

/// How long one answer may take. The sweep over the rows goes on meanwhile, so waiting longer gains nothing.
const RESPONSE_LIMIT: Duration = Duration::from_secs(2);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// A failover takes seconds; a call may outlive a short one.
const CLUSTER_LIMIT: Duration = Duration::from_secs(10);
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);

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
}

impl fmt::Debug for RedisOptions {
    /// Without the URLs: they may carry a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("nodes", &self.urls.len())
            .field("cluster", &self.cluster)
            .field("shards", &self.shards)
            .field("key_prefix", &self.key_prefix)
            .finish()
    }
}

/// Either kind of connection; clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) async fn open(options: &RedisOptions) -> Result<Self, TimersError> {
        if options.cluster {
            let client = ClusterClientBuilder::new(options.urls.iter().map(String::as_str))
                .connection_timeout(CONNECT_LIMIT)
                .response_timeout(RESPONSE_LIMIT)
                .overall_response_timeout(Some(CLUSTER_LIMIT))
                .build()
                .map_err(unavailable)?;
            return client.get_async_connection().await.map(Connection::Cluster).map_err(unavailable);
        }
        let [url] = &options.urls[..] else {
            return Err(TimersError::Unavailable("a single server has exactly one url".to_owned()));
        };
        let client = Client::open(url.as_str()).map_err(unavailable)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(RESPONSE_LIMIT))
            .set_max_delay(RECONNECT_DELAY_MAX);
        let manager = ConnectionManager::new_with_config(client, config).await.map_err(unavailable)?;
        Ok(Connection::Single(manager))
    }

    /// Runs one command.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, TimersError> {
        self.send(command).await.map_err(unavailable)
    }

    /// Runs a script on the node of its keys. A node that does not know it, be it new, promoted or restarted, is sent
    /// the whole text: loading it everywhere first would fail whenever any node is away.
    pub(super) async fn run<T: FromRedisValue>(&self, script: &Script, call: &Call) -> Result<T, TimersError> {
        match self.send(&call.command("EVALSHA", script.hash.get_hash())).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.query(&call.command("EVAL", script.text)).await
            }
            answer => answer.map_err(unavailable),
        }
    }

    async fn send<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        match self {
            Connection::Single(connection) => command.query_async(&mut connection.clone()).await,
            Connection::Cluster(connection) => command.query_async(&mut connection.clone()).await,
        }
    }
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
    pub(super) fn on(keys: &[&String]) -> Self {
        Self { keys: keys.iter().map(|key| (*key).clone()).collect(), arguments: Vec::new() }
    }

    pub(super) fn with(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.arguments.push(argument.into());
        self
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

fn unavailable(error: RedisError) -> TimersError {
    TimersError::Unavailable(error.to_string())
}
