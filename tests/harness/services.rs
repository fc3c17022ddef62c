//! Real servers for tests: private, on sockets or free ports, gone with the test process however it ends.
//!
//! Each runs under a shell that waits for the end of its standard input. Only the test process holds the other end,
//! so even a SIGKILL of the tests ends the servers and deletes their files. A server that is not installed makes the
//! test fail.

mod postgres;
mod redis;

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

pub use self::{
    postgres::fresh_database,
    redis::{Redis, RedisCluster, RedisPair, redis_cluster},
};

/// Starts a server, waits for the end of its input, ends the server, deletes its folder. By then nobody reads the
/// output any more, and a shell that tells it that the server was killed would be killed too.
const GUARD: &str = r#"exec 2>&1; folder=$1; signal=$2; shift 2; "$@" & server=$!
cat >/dev/null; exec >/dev/null 2>&1; kill -"$signal" $server; wait $server; rm -rf "$folder""#;

/// How long a server may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A server that ends when this is dropped or the process is gone.
#[derive(Debug)]
struct Server {
    guard: Child,
    alive: Option<ChildStdin>,
}

/// How a server is started.
struct Start<'a> {
    /// For messages.
    name: &'a str,
    /// Deleted afterwards.
    folder: &'a Path,
    /// Program and arguments.
    command: Vec<String>,
    /// What ends it at once.
    signal: &'a str,
    /// What it says once it can be used.
    ready: &'static str,
}

impl Server {
    /// Returns once the server says that it is ready; else what it said instead.
    fn start(start: Start<'_>) -> Result<Server, String> {
        let Start { name, folder, command, signal, ready } = start;
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(folder)
            .arg(signal)
            .args(command)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the tests; the guard then sees its input end.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{name} did not start: {error}"))?;
        let alive = guard.stdin.take();
        let output = guard.stdout.take().expect("this is a bug: the output was piped");
        let (said, heard) = mpsc::channel();
        // Reads on after the start, or the server would block on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let server = Server { guard, alive };
        let mut lines = Vec::new();
        loop {
            match heard.recv_timeout(START_LIMIT) {
                Ok(line) if line.contains(ready) => return Ok(server),
                Ok(line) => lines.push(line),
                Err(_) => return Err(format!("{name} did not become ready:\n{}", lines.join("\n"))),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.alive = None;
        let _ = self.guard.wait();
    }
}

/// A folder that the guard deletes, short enough for a socket's path.
fn folder(name: &str) -> PathBuf {
    tempfile::Builder::new().prefix(&format!("gatepost-{name}-")).tempdir().expect("a temporary folder").keep()
}

/// A program from the path or one of the folders.
fn program(name: &str, folders: &[PathBuf]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = folders.iter().cloned().chain(std::env::split_paths(&path)).map(|folder| folder.join(name));
    let mut found = found.filter(|program| program.is_file());
    found.next().unwrap_or_else(|| {
        panic!("{name} is not installed: run tests/run, which installs what the tests need and starts them")
    })
}

/// Runs a program to its end; its output.
fn run(program: &Path, arguments: &[&(impl AsRef<OsStr> + ?Sized)]) -> Result<String, String> {
    let done = Command::new(program)
        .args(arguments.iter().map(|argument| argument.as_ref()))
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} did not start: {error}", program.display()))?;
    let output = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(output);
    }
    Err(format!("{} failed: {output}{}", program.display(), String::from_utf8_lossy(&done.stderr)))
}
