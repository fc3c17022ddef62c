//! One private PostgreSQL a test process, with a database for every test. Nothing of it is kept, so it never waits
//! for a disk.

use std::{
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{Server, Start, folder, program, run};

/// Whom the server runs as when the tests run as root, whom it refuses.
const ACCOUNT: &str = "postgres";

struct Postgres {
    /// Ends with the process.
    _server: Server,
    folder: PathBuf,
    psql: PathBuf,
}

static POSTGRES: OnceLock<Postgres> = OnceLock::new();

/// The URL of an empty database of the test's own.
pub fn fresh_database() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let postgres = POSTGRES.get_or_init(|| Postgres::start().unwrap_or_else(|error| panic!("{error}")));
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let socket = postgres.folder.display().to_string();
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy");
    let arguments = ["-h", &socket, "-U", ACCOUNT, "-d", "postgres", "-qXc", &create];
    run(&postgres.psql, &arguments).unwrap_or_else(|error| panic!("{error}"));
    format!("postgres://{ACCOUNT}@localhost/{name}?host={socket}")
}

impl Postgres {
    fn start() -> Result<Postgres, String> {
        let programs = programs();
        let folder = folder("postgres");
        let cluster = folder.join("cluster");
        let mut as_account = Vec::new();
        if run(Path::new("id"), &["-u"])?.trim() == "0" {
            run(Path::new("chown"), &[ACCOUNT, &folder.display().to_string()])?;
            as_account = vec![
                "setpriv".to_owned(),
                format!("--reuid={ACCOUNT}"),
                format!("--regid={ACCOUNT}"),
                "--init-groups".to_owned(),
                "--".to_owned(),
            ];
        }
        let command = |name: &str, arguments: &[&str]| {
            let mut command = as_account.clone();
            command.push(programs.join(name).display().to_string());
            command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
            command
        };
        let path = cluster.display().to_string();
        let initdb =
            command("initdb", &["-D", &path, "-U", ACCOUNT, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]);
        run(Path::new(&initdb[0]), &initdb[1..].iter().map(String::as_str).collect::<Vec<_>>())?;
        let socket = format!("unix_socket_directories={}", folder.display());
        let settings = [
            "listen_addresses=",
            &socket,
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            "max_connections=300",
            "shared_buffers=32MB",
            // So that a benchmark can tell when each row was there for others to see.
            "track_commit_timestamp=on",
        ];
        let mut arguments = vec!["-D", &path];
        for setting in &settings {
            arguments.extend(["-c", setting]);
        }
        let server = Server::start(Start {
            name: "postgres",
            folder: &folder,
            command: command("postgres", &arguments),
            signal: "QUIT",
            ready: "ready to accept connections",
        })?;
        Ok(Postgres { _server: server, folder, psql: programs.join("psql") })
    }
}

/// The folder of the server's programs: Debian and Homebrew keep them off the path, by version.
fn programs() -> PathBuf {
    let mut folders = Vec::new();
    for versions in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        folders.extend(std::fs::read_dir(versions).into_iter().flatten().flatten().map(|version| version.path()));
    }
    folders.retain(|folder| folder.to_string_lossy().contains("postgresql"));
    // The newest first; two digits sort well for longer than these tests will live.
    folders.sort();
    folders.reverse();
    let folders: Vec<PathBuf> = folders.into_iter().map(|folder| folder.join("bin")).collect();
    let initdb = program("initdb", &folders);
    // A link into the path lies beside none of the others.
    let initdb = initdb.canonicalize().unwrap_or(initdb);
    initdb.parent().map(Path::to_owned).unwrap_or_default()
}
