//! Private Redis servers, one by one on a socket, and one cluster a test process.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tempfile::TempDir;

use crate::world::until;

use super::{Server, Start, folder, program, run};

/// Three masters with a replica each.
const CLUSTER_NODES: usize = 6;
/// Ports are free only at the moment they are looked for.
const CLUSTER_ATTEMPTS: u32 = 3;
const POLL: Duration = Duration::from_millis(50);
const POLLS_MAX: u32 = 1200;

/// A server of the test's own. It ends when this is dropped.
#[derive(Debug)]
pub struct Redis {
    _server: Server,
    socket: PathBuf,
    url: String,
}

impl Redis {
    /// An empty server on a socket.
    pub fn start() -> Redis {
        Redis::start_with(&["--port", "0"])
    }

    fn start_with(settings: &[&str]) -> Redis {
        let folder = folder("redis");
        let socket = folder.join("redis.sock");
        let mut address = vec!["--unixsocket".to_owned(), socket.display().to_string()];
        address.extend(settings.iter().map(|setting| (*setting).to_owned()));
        let server = start(&folder, &address).unwrap_or_else(|error| panic!("{error}"));
        Redis { _server: server, url: url_of(&socket), socket }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// As settings have it.
    pub fn urls(&self) -> String {
        format!("[\"{}\"]", self.url)
    }

    /// Has one command done on a connection of its own; what it answered, or why it did not.
    pub async fn ask(&self, words: &[&str]) -> Result<redis::Value, redis::RedisError> {
        let client = redis::Client::open(self.url.as_str())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
    }

    async fn replication(&self) -> String {
        let info = self.ask(&["INFO", "replication"]).await.expect("it answers");
        redis::from_redis_value(info).expect("a text")
    }
}

fn url_of(socket: &Path) -> String {
    format!("redis+unix://{}", socket.display())
}

/// A primary and its replica behind one address, as a proxy or a name has it: it leads to the primary until the failover.
#[derive(Debug)]
pub struct RedisPair {
    primary: Option<Redis>,
    replica: Redis,
    folder: TempDir,
}

impl RedisPair {
    /// Both, and in step.
    pub async fn start() -> RedisPair {
        let (primary, replica) = tokio::task::spawn_blocking(|| {
            let port = free_ports(1)[0].to_string();
            let primary =
                Redis::start_with(&["--bind", "127.0.0.1", "--port", &port, "--repl-diskless-sync-delay", "0"]);
            (primary, Redis::start_with(&["--port", "0", "--replicaof", &format!("127.0.0.1 {port}")]))
        })
        .await
        .expect("both start");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::os::unix::fs::symlink(&primary.socket, folder.path().join("address")).expect("an address");
        let pair = RedisPair { primary: Some(primary), replica, folder };
        pair.in_step().await;
        pair
    }

    /// The one address.
    pub fn url(&self) -> String {
        url_of(&self.folder.path().join("address"))
    }

    /// Returns when the replica has everything that was written so far.
    pub async fn in_step(&self) {
        let primary = self.primary.as_ref().expect("before the failover");
        until("a replica in step", || async {
            let offset = |info: &str, field: &str| {
                info.lines().find_map(|line| line.strip_prefix(field)?.trim().parse::<u64>().ok())
            };
            let (ahead, behind) = (primary.replication().await, self.replica.replication().await);
            let written = offset(&ahead, "master_repl_offset:");
            behind.contains("master_link_status:up")
                && offset(&behind, "slave_repl_offset:").is_some_and(|got| Some(got) >= written)
        })
        .await;
    }

    /// From now on the replica hears nothing any more, and the primary does not know.
    pub async fn cut(&self) {
        self.replica.ask(&["REPLICAOF", "NO", "ONE"]).await.expect("the replica is promoted");
    }

    /// The primary dies, and the address leads to the replica.
    pub async fn fail_over(&mut self) {
        self.cut().await;
        let (address, next) = (self.folder.path().join("address"), self.folder.path().join("next"));
        std::os::unix::fs::symlink(&self.replica.socket, &next).expect("an address");
        std::fs::rename(next, address).expect("the address leads elsewhere");
        let primary = self.primary.take();
        tokio::task::spawn_blocking(move || drop(primary)).await.expect("it ends");
    }
}

/// A cluster of three masters and three replicas.
#[derive(Debug)]
pub struct RedisCluster {
    servers: Mutex<Vec<Option<Server>>>,
    ports: Vec<u16>,
}

impl RedisCluster {
    /// Every node.
    pub fn urls(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect()
    }

    fn start() -> Result<RedisCluster, String> {
        let ports = free_ports(2 * CLUSTER_NODES);
        let (ports, bus_ports) = ports.split_at(CLUSTER_NODES);
        let mut servers = Vec::new();
        for (port, bus_port) in ports.iter().zip(bus_ports) {
            let address = [
                ["--bind", "127.0.0.1"],
                ["--port", &port.to_string()],
                ["--cluster-port", &bus_port.to_string()],
                ["--cluster-enabled", "yes"],
                ["--cluster-node-timeout", "1500"],
                // A replica that never synced is never elected, and syncing waits five seconds by default.
                ["--repl-diskless-sync-delay", "0"],
            ]
            .concat()
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect::<Vec<_>>();
            servers.push(Some(start(&folder("redis-node"), &address)?));
        }
        let cluster = RedisCluster { servers: Mutex::new(servers), ports: ports.to_vec() };
        cluster.form()?;
        Ok(cluster)
    }

    /// A cluster of the test's own, to do harm to. Blocks until it has formed.
    pub fn private() -> RedisCluster {
        let mut last = String::new();
        for _ in 0..CLUSTER_ATTEMPTS {
            match RedisCluster::start() {
                Ok(cluster) => return cluster,
                Err(error) => last = error,
            }
        }
        panic!("{last}")
    }

    /// Every key of every primary, with the cluster's slot of each.
    pub fn keys(&self) -> Vec<(String, u16)> {
        let mut keys = Vec::new();
        for (port, _) in self.primaries() {
            // One that has none of them answers an empty line.
            for key in self.told(port, &["--raw", "keys", "*"]).lines().filter(|key| !key.is_empty()) {
                let slot = self.told(port, &["cluster", "keyslot", key]).trim().parse().expect("a slot");
                keys.push((key.to_owned(), slot));
            }
        }
        keys
    }

    /// Moves a slot with all its keys from the primary that has it to another one, as a resharding does.
    pub fn move_slot(&self, slot: u16) {
        let slot = slot.to_string();
        let primaries = self.primaries();
        let owned = |port: u16| {
            let key = self.told(port, &["cluster", "countkeysinslot", &slot]);
            key.trim().parse::<u32>().expect("a count") > 0
        };
        let (from, from_id) = primaries.iter().find(|(port, _)| owned(*port)).expect("somebody has the slot");
        let (to, to_id) = primaries.iter().find(|(port, _)| port != from).expect("there are three");
        self.told(*to, &["cluster", "setslot", &slot, "importing", from_id]);
        self.told(*from, &["cluster", "setslot", &slot, "migrating", to_id]);
        loop {
            let keys = self.told(*from, &["--raw", "cluster", "getkeysinslot", &slot, "100"]);
            let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
            if keys.is_empty() {
                break;
            }
            let to = to.to_string();
            self.told(*from, &[&["migrate", "127.0.0.1", &to, "", "0", "5000", "keys"], &keys[..]].concat());
        }
        for port in [to, from].into_iter().chain(primaries.iter().map(|(port, _)| port)) {
            self.told(*port, &["cluster", "setslot", &slot, "node", to_id]);
        }
    }

    /// SIGKILL to the primary that has a slot. Its replica takes over when the others agree that it is gone.
    pub fn kill_primary_of(&self, slot: u16) {
        let owner = self.told(self.primaries()[0].0, &["cluster", "nodes"]);
        let port = owner.lines().find(|line| has_slot(line, slot)).and_then(port_of).expect("somebody has the slot");
        let at = self.ports.iter().position(|known| *known == port).expect("a node of ours");
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers[at] = None;
    }

    /// Has one command done on every primary that is known to live; one is enough for what every node tells.
    pub fn tell_primaries(&self, most: usize, words: &[&str]) {
        self.primaries().iter().take(most).for_each(|(port, _)| drop(self.told(*port, words)));
    }

    /// The cluster's slot of a key.
    pub fn slot_of(&self, key: &str) -> u16 {
        let (port, _) = &self.primaries()[0];
        self.told(*port, &["cluster", "keyslot", key]).trim().parse().expect("a slot")
    }

    /// Port and id of each primary.
    fn primaries(&self) -> Vec<(u16, String)> {
        let alive = self.ports.iter().find_map(|port| self.ask(*port, &["cluster", "nodes"]).ok());
        let nodes = alive.expect("a node answers");
        let primaries = nodes.lines().filter(|line| line.contains("master") && !line.contains("fail"));
        primaries.filter_map(|line| Some((port_of(line)?, line.split(' ').next()?.to_owned()))).collect()
    }

    fn told(&self, port: u16, question: &[&str]) -> String {
        self.ask(port, question).unwrap_or_else(|error| panic!("{error}"))
    }

    fn form(&self) -> Result<(), String> {
        let nodes: Vec<String> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(nodes.iter().map(String::as_str));
        create.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        run(&client(), &create)?;
        // That returns before every node agrees and before the replicas have synced.
        for port in &self.ports {
            self.until(*port, &["cluster", "info"], "cluster_state:ok")?;
            let role = self.ask(*port, &["info", "replication"])?;
            if role.contains("role:slave") {
                self.until(*port, &["info", "replication"], "master_link_status:up")?;
            }
        }
        Ok(())
    }

    fn ask(&self, port: u16, question: &[&str]) -> Result<String, String> {
        let port = port.to_string();
        run(&client(), &[&["-e", "-p", &port], question].concat())
    }

    #[expect(clippy::disallowed_methods, reason = "a cluster tells nobody when it has formed")]
    fn until(&self, port: u16, question: &[&str], answer: &str) -> Result<(), String> {
        let mut said = String::new();
        for _ in 0..POLLS_MAX {
            said = self.ask(port, question)?;
            if said.contains(answer) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err(format!("no {answer} from a node of the cluster:\n{said}"))
    }
}

/// The cluster of this test process. Tests share it, so each needs a key prefix of its own.
pub fn redis_cluster() -> &'static RedisCluster {
    static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
    CLUSTER.get_or_init(RedisCluster::private)
}

/// Of a line of `CLUSTER NODES`: `ID IP:PORT@BUS FLAGS PRIMARY PING PONG EPOCH LINK SLOT..`.
fn port_of(line: &str) -> Option<u16> {
    line.split(' ').nth(1)?.split('@').next()?.rsplit(':').next()?.parse().ok()
}

fn has_slot(line: &str, slot: u16) -> bool {
    line.contains("master")
        && line.split(' ').skip(8).any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let range = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
            range.is_some_and(|(first, last)| (first..=last).contains(&slot))
        })
}

fn start(folder: &Path, address: &[String]) -> Result<Server, String> {
    let mut command = vec![program("redis-server", &[]).display().to_string()];
    command.extend_from_slice(address);
    let path = folder.display().to_string();
    let settings =
        ["--dir", &path, "--save", "", "--appendonly", "no", "--daemonize", "no", "--enable-debug-command", "yes"];
    command.extend(settings.map(str::to_owned));
    Server::start(Start { name: "redis-server", folder, command, signal: "KILL", ready: "eady to accept connections" })
}

fn client() -> PathBuf {
    program("redis-cli", &[])
}

/// Ports that nobody listens on. All are looked for at once, so that they differ.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("its address").port()).collect()
}
