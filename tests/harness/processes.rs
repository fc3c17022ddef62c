//! The real programs as child processes: started with settings of the test's own, listened to line by line, signalled
//! and killed. They end with the value that holds them.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
};

use crate::world::soon;

/// The process's environment is not the tests': only these pass, and what a test sets.
const INHERITED: [&str; 7] =
    ["PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "GATEPOST_CACHE_DIR", "GATEPOST_MODEL_DIR", "LLVM_PROFILE_FILE"];

/// A running program and everything it has said.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    said: Said,
    listening: [Option<JoinHandle<()>>; 2],
}

/// What a program wrote to its outputs; kept after its end.
#[derive(Debug, Clone, Default)]
pub struct Said {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Sender<usize>,
}

/// How a program ended before it was asked to.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// Both outputs.
    pub said: String,
}

/// A program of this workspace, built beside the tests. Refused when a source is newer than the program: the tests
/// would be about yesterday's.
fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("this is a bug: the tests have a path");
    let folder = tests.parent().and_then(Path::parent).expect("this is a bug: the tests lie in target/PROFILE/deps");
    let program = folder.join(name);
    let built = modified(&program).unwrap_or_else(|| panic!("{name} was not built: cargo build --workspace --bins"));
    let sources = std::fs::read_to_string(folder.join(format!("{name}.d"))).unwrap_or_default();
    let sources = sources.split_once(": ").map_or("", |(_, sources)| sources);
    for source in sources.split_whitespace() {
        let newer = modified(Path::new(source)).is_some_and(|changed| changed > built);
        assert!(!newer, "{source} is newer than {name}: cargo build --workspace --bins");
    }
    program
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

impl Process {
    /// Starts a program of this workspace.
    pub fn start(name: &'static str, arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        let mut command = Command::new(program(name));
        command.args(arguments);
        Process::spawn(name, command, environment)
    }

    /// Runs commands as a user's shell does, in this folder. On the path are this workspace's programs, and before the
    /// system's those that `tests/run --tools` sets up.
    pub fn shell(commands: &str, folder: &Path, environment: &[(&str, &str)]) -> Process {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin");
        assert!(tools.exists(), "{} is missing: run tests/run, which sets it up", tools.display());
        let programs = program("gatepost").parent().map(Path::to_owned);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [tools].into_iter().chain(programs).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(path).expect("no path has a colon").into_string().expect("a path in UTF-8");
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", commands]).current_dir(folder);
        Process::spawn("bash", command, &[environment, &[("PATH", &path)]].concat())
    }

    fn spawn(name: &'static str, mut command: Command, environment: &[(&str, &str)]) -> Process {
        let inherited = INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let mut child = command
            .env_clear()
            .envs(inherited.collect::<Vec<(&str, OsString)>>())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} did not start: {error}"));
        let said = Said::default();
        let outputs = said.listen(child.stdout.take().expect("this is a bug: the output was piped"));
        let errors = said.listen(child.stderr.take().expect("this is a bug: the output was piped"));
        Process { name, child, said, listening: [Some(outputs), Some(errors)] }
    }

    /// What the program says; outlives it.
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// How much of it is in memory, in bytes, as the kernel counts.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells the resident set");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    }

    /// What it holds in memory and may write to, as a core dump would have it: each stretch by itself.
    pub fn memory_itself(&self) -> Vec<Vec<u8>> {
        use std::os::unix::fs::FileExt as _;
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.id())).expect("the process runs");
        let memory = std::fs::File::open(format!("/proc/{}/mem", self.id())).expect("it is a child of this one");
        let stretch = |line: &str| {
            let (range, rest) = line.split_once(' ')?;
            let (start, end) = range.split_once('-')?;
            let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
            if !rest.starts_with("rw") {
                return None;
            }
            let mut held = vec![0; usize::try_from(end - start).ok()?];
            // What the kernel keeps to itself, or was given back meanwhile, cannot be read.
            memory.read_exact_at(&mut held, start).ok().map(|()| held)
        };
        maps.lines().filter_map(stretch).collect()
    }

    /// How many files it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).expect("the process runs").count()
    }

    fn id(&self) -> u32 {
        self.child.id().unwrap_or_else(|| panic!("{} was gone already", self.name))
    }

    /// The rest of the first line that has these words, or how the program ended before it said them.
    pub async fn says(&mut self, words: &str) -> Result<String, Ended> {
        let (said, name) = (self.said.clone(), self.name);
        let what = format!("{name} saying {words:?}");
        let heard = tokio::select! {
            biased;
            rest = said.rest_of_line(words) => Some(rest),
            _ = self.child.wait() => None,
            () = soon(&what, std::future::pending()) => None,
        };
        match heard {
            Some(rest) => Ok(rest),
            None => Err(self.ended().await),
        }
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> Ended {
        let status: ExitStatus =
            soon(&format!("the end of {}", self.name), self.child.wait()).await.expect("a child of ours");
        for listening in self.listening.iter_mut().filter_map(Option::take) {
            soon("the end of its output", listening).await.expect("listening does not panic");
        }
        Ended { code: status.code(), said: self.said.text() }
    }

    /// Waits for the end, however long that takes.
    pub async fn gone(&mut self) {
        self.child.wait().await.expect("a child of ours");
    }

    /// Asks the program to end.
    pub async fn terminate(&self) {
        assert!(self.child.id().is_some(), "{} was gone already", self.name);
        self.terminate_if_running().await;
    }

    /// Asks the program to end if it has not already.
    pub async fn terminate_if_running(&self) {
        let Some(id) = self.child.id() else { return };
        Command::new("kill").args(["-TERM", &id.to_string()]).status().await.expect("kill is installed");
    }

    /// Stops the program wherever it stands; it lives on and does nothing.
    pub async fn pause(&self) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-STOP", &id]).status().await.expect("kill is installed");
        assert!(sent.success(), "{} was gone already", self.name);
    }

    /// Ends the program wherever it stands.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child of ours");
    }
}

impl Said {
    fn listen(&self, output: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<()> {
        let said = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                said.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                said.count.send_modify(|count| *count += 1);
            }
        })
    }

    async fn rest_of_line(&self, words: &str) -> String {
        let mut count = self.count.subscribe();
        loop {
            count.mark_unchanged();
            let found = self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().find_map(|line| {
                let (_, rest) = line.split_once(words)?;
                Some(rest.trim().to_owned())
            });
            if let Some(rest) = found {
                return rest;
            }
            // The sender is ours, so the channel cannot close while we wait.
            let _ = count.changed().await;
        }
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

/// An address out of what a program says of itself.
pub(crate) fn address(text: &str) -> SocketAddr {
    let text = text.trim_start_matches("http://").trim_end_matches("/metrics");
    text.parse().unwrap_or_else(|_| panic!("{text} is not an address"))
}
