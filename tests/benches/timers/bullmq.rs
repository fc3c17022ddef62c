//! BullMQ in a Node.js of its own.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use gatepost_domain::Timestamp;
use gatepost_tests::services::Redis;
use serde_json::Value;

/// Killed when it is dropped.
pub struct BullMq {
    child: Child,
    tasks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What became of jobs.
pub struct Worked {
    /// From the instant they were due to the last completed.
    pub seconds: f64,
    /// How late each handler was called, in milliseconds.
    pub late: Vec<f64>,
}

impl BullMq {
    pub fn start(redis: &Redis) -> BullMq {
        let peers = PathBuf::from(env::var_os("GATEPOST_PEERS").expect("run by tests/bench"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/timers/peer.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .arg(redis.url().trim_start_matches("redis+unix://"))
            .env("GATEPOST_PEERS", peers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node.js is installed");
        let tasks = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut peer = BullMq { child, tasks, answers };
        println!("peer: BullMQ {}", peer.answer()["version"].as_str().unwrap());
        peer
    }

    /// Adds jobs for one instant; how many seconds it took.
    pub fn add(&mut self, count: usize, due: Timestamp) -> f64 {
        writeln!(self.tasks, "add {count} {}", due.as_millisecond()).unwrap();
        self.answer()["seconds"].as_f64().unwrap()
    }

    /// Works until so many jobs that were due at one instant have completed.
    pub fn work(&mut self, count: usize, due: Timestamp) -> Worked {
        writeln!(self.tasks, "work {count} {}", due.as_millisecond()).unwrap();
        let answer = self.answer();
        let late = answer["late"].as_array().unwrap().iter().map(|late| late.as_f64().unwrap()).collect();
        Worked { seconds: answer["seconds"].as_f64().unwrap(), late }
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the peer has died");
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for BullMq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
