//! The processes that run the same weights: with onnxruntime and OpenCV, with PyTorch, and with tract.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// Milliseconds that one piece of work took.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// By the clock.
    pub wall: f64,
    /// On all processors together.
    pub processor: f64,
}

/// A face as the peer found it.
pub struct Face {
    pub corner: [f32; 2],
    pub embedding: Vec<f32>,
}

pub struct Peer {
    child: Child,
    tasks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// onnxruntime and OpenCV, for networks and for whole frames.
    pub fn onnxruntime() -> Self {
        let reference = root().join("../vision-worker/tests/reference");
        Self::start(python().args([root().join("benches/vision/peer.py"), reference, published()]))
    }

    /// PyTorch, for networks.
    pub fn pytorch(graphs: &[PathBuf; 2]) -> Self {
        Self::start(python().arg(root().join("benches/vision/pytorch.py")).args(graphs))
    }

    /// tract, for networks.
    pub fn tract(graphs: &[PathBuf; 2]) -> Self {
        Self::start(python().arg(root().join("benches/vision/with_tract.py")).args(graphs))
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let tasks = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut peer = Self { child, tasks, answers };
        println!("peer: {}", peer.answer());
        peer
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the peer has died");
        line.trim().to_owned()
    }

    fn numbers<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self, task: &str) -> Vec<T> {
        writeln!(self.tasks, "{task}").unwrap();
        self.answer().split_whitespace().map(|number| number.parse().unwrap()).collect()
    }

    fn taken(&mut self, task: &str) -> Taken {
        let [wall, processor] = self.numbers(task)[..] else { panic!("the peer answers otherwise") };
        Taken { wall, processor }
    }

    /// Writes the published graphs of detector and embedder, with plain weights, for the other peers.
    pub fn graphs(&mut self) -> [PathBuf; 2] {
        let graphs = ["detector.onnx", "embedder.onnx"].map(|file| peers().join(file));
        let [detector, embedder] = graphs.each_ref().map(|graph| graph.display());
        let saved: Vec<usize> = self.numbers(&format!("save {detector} {embedder}"));
        assert_eq!(saved.len(), 2, "the peer answers otherwise");
        graphs
    }

    /// One picture or crop, in batches.
    pub fn network(&mut self, name: &str, threads: usize, batch: usize, times: usize) -> Taken {
        self.taken(&format!("network {name} {threads} {batch} {times}"))
    }

    /// The same on a GPU, in one of PyTorch's modes.
    #[cfg(feature = "cuda")]
    pub fn cuda(&mut self, mode: &str, name: &str, batch: usize, times: usize) -> Taken {
        self.taken(&format!("cuda {mode} {name} {batch} {times}"))
    }

    /// One frame, `threads` at once.
    pub fn frame(&mut self, jpeg: &Path, threads: usize, times: usize) -> Taken {
        self.taken(&format!("frame {threads} {times} {}", jpeg.display()))
    }

    /// What it finds on a frame.
    pub fn faces(&mut self, jpeg: &Path) -> Vec<Face> {
        let numbers: Vec<f32> = self.numbers(&format!("faces 1 1 {}", jpeg.display()));
        let face = |numbers: &[f32]| Face { corner: [numbers[0], numbers[1]], embedding: numbers[2..].to_vec() };
        numbers.chunks_exact(130).map(face).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where `tests/bench` has installed them.
fn peers() -> PathBuf {
    PathBuf::from(env::var_os("GATEPOST_PEERS").expect("run by tests/bench"))
}

fn python() -> Command {
    let mut python = Command::new(peers().join("python/bin/python"));
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// The folder of the published files, fetched if they are not at hand.
fn published() -> PathBuf {
    let fetch = root().join("../vision-worker/models/fetch");
    let fetched = Command::new(fetch).stderr(Stdio::inherit()).output().unwrap();
    assert!(fetched.status.success(), "the published networks cannot be fetched");
    PathBuf::from(String::from_utf8(fetched.stdout).unwrap().lines().last().unwrap())
}
