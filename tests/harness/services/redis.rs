//! Private Redis servers, one by one on a socket, and one cluster a test process.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

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
    url: String,
}

impl Redis {
    /// An empty server on a socket.
    pub fn start() -> Redis {
        let folder = folder("redis");
        let socket = folder.join("redis.sock");
        let address = ["--port", "0", "--unixsocket", &socket.display().to_string()].map(str::to_owned);
        let server = start(&folder, &address).unwrap_or_else(|error| panic!("{error}"));
        Redis { _server: server, url: format!("redis+unix://{}", socket.display()) }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A cluster of three masters and three replicas.
#[derive(Debug)]
pub struct RedisCluster {
    _servers: Vec<Server>,
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
            servers.push(start(&folder("redis-node"), &address)?);
        }
        let cluster = RedisCluster { _servers: servers, ports: ports.to_vec() };
        cluster.form()?;
        Ok(cluster)
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
        run(&client(), &[&["-p", &port], question].concat())
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
    CLUSTER.get_or_init(|| {
        let mut last = String::new();
        for _ in 0..CLUSTER_ATTEMPTS {
            match RedisCluster::start() {
                Ok(cluster) => return cluster,
                Err(error) => last = error,
            }
        }
        panic!("{last}")
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
