//! The gallery's exact search beside faiss's `IndexFlatIP`: 100,000 templates of 128 numbers, one face and sixteen, one
//! thread and all of them. Both search the same templates in turns, and both find the two nearest.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be measured has failed")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Instant,
};

use gatepost_domain::id::ResidentId;
use gatepost_matching::{Embedding, Gallery, ModelId};
use gatepost_tests::benchmark::{Figure, Report, Target, folder};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

const DIMENSION: usize = 128;
const TEMPLATES: usize = 100_000;
/// As many as the largest batch.
const FACES: usize = 16;
/// Faces whose nearest template is checked.
const CHECKED: usize = 256;
const REPEATS: usize = 15;

/// The process that searches with faiss.
struct Peer {
    child: Child,
    tasks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(templates: &Path, faces: &Path) -> Self {
        let python =
            PathBuf::from(env::var_os("GATEPOST_PEERS").expect("run by tests/bench")).join("python/bin/python");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/matching/peer.py");
        let mut child = Command::new(python)
            .args([&script, templates, faces])
            .arg(DIMENSION.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
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

    /// Seconds a search.
    fn seconds(&mut self, threads: usize, batch: usize, times: usize) -> f64 {
        writeln!(self.tasks, "time {threads} {batch} {times}").unwrap();
        self.answer().parse().unwrap()
    }

    /// The nearest template of each face.
    fn nearest(&mut self) -> Vec<usize> {
        writeln!(self.tasks, "nearest").unwrap();
        self.answer().split(' ').map(|number| number.parse().unwrap()).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() {
    let mut rng = StdRng::seed_from_u64(7);
    let templates = vectors(&mut rng, TEMPLATES);
    let faces = vectors(&mut rng, CHECKED);
    let folder = folder().unwrap();
    let files = ["templates", "faces"].map(|name| folder.join(format!("matching-{name}.f32")));
    fs::write(&files[0], bytes(&templates)).unwrap();
    fs::write(&files[1], bytes(&faces)).unwrap();
    let mut peer = Peer::start(&files[0], &files[1]);
    for file in &files {
        fs::remove_file(file).unwrap();
    }

    let model = ModelId::new("benchmark");
    let embedding = |vector: &Vec<f32>| Embedding::new(&model, vector.clone()).unwrap();
    let mut gallery = Gallery::new(model.clone());
    for (number, template) in templates.iter().enumerate() {
        gallery.add(ResidentId(Uuid::from_u128(number as u128)), &embedding(template)).unwrap();
    }
    let embeddings: Vec<Embedding> = faces.iter().map(embedding).collect();

    let mut report = Report::new("matching");
    let all = thread::available_parallelism().unwrap().get();
    for threads in [1, all] {
        for batch in [1, FACES] {
            let what = format!("{batch} of {TEMPLATES}, {threads} thread{}", if threads == 1 { "" } else { "s" });
            report.add(compare(what, &gallery, &embeddings[..batch], threads, &mut peer));
        }
    }
    let raw = (DIMENSION * size_of::<f32>()) as f64;
    let memory = gallery.memory_bytes() as f64 / TEMPLATES as f64 / raw;
    report.add(Figure::alone("memory a template over its vector", "", &[memory], Some(Target::OursAtMost(1.1))));
    let [ours, theirs] = recall(&gallery, &embeddings, &templates, &faces, &peer.nearest());
    report.add(Figure::beside("recall of the nearest", "", &[ours], &[theirs], Target::RatioAtLeast(1.0)));
    assert!((ours - 1.0).abs() < f64::EPSILON, "the search is not exact");
    report.publish().unwrap();
}

/// Milliseconds a search, ours and the peer's in turns.
fn compare(what: String, gallery: &Gallery, faces: &[Embedding], threads: usize, peer: &mut Peer) -> Figure {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let faces: Vec<&Embedding> = faces.iter().collect();
    let times = 48 / faces.len();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        pool.install(|| gallery.search_all(&faces)).unwrap();
        let start = Instant::now();
        for _ in 0..times {
            pool.install(|| gallery.search_all(&faces)).unwrap();
        }
        ours.push(start.elapsed().as_secs_f64() * 1e3 / times as f64);
        theirs.push(peer.seconds(threads, faces.len(), times) * 1e3);
    }
    Figure::beside(what, "ms", &ours, &theirs, Target::RatioAtMost(1.0))
}

/// The share of faces whose nearest template, by a comparison in double precision, was found: by us and by the peer.
fn recall(
    gallery: &Gallery,
    embeddings: &[Embedding],
    templates: &[Vec<f32>],
    faces: &[Vec<f32>],
    peer: &[usize],
) -> [f64; 2] {
    let cosine = |left: &[f32], right: &[f32]| -> f64 {
        left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum()
    };
    let (mut ours, mut theirs) = (0, 0);
    let found = gallery.search_all(&embeddings.iter().collect::<Vec<_>>()).unwrap();
    for (number, face) in faces.iter().enumerate() {
        let nearest = (0..templates.len())
            .max_by(|left, right| cosine(&templates[*left], face).total_cmp(&cosine(&templates[*right], face)))
            .unwrap();
        ours += usize::from(found[number].best.unwrap().0.0.as_u128() == nearest as u128);
        theirs += usize::from(peer[number] == nearest);
    }
    [ours, theirs].map(|hits| hits as f64 / faces.len() as f64)
}

fn vectors(rng: &mut StdRng, count: usize) -> Vec<Vec<f32>> {
    let unit = |vector: Vec<f32>| -> Vec<f32> {
        let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
        vector.iter().map(|number| (f64::from(*number) / length) as f32).collect()
    };
    (0..count).map(|_| unit((0..DIMENSION).map(|_| rng.random_range(-1.0f32..1.0)).collect())).collect()
}

fn bytes(vectors: &[Vec<f32>]) -> Vec<u8> {
    vectors.iter().flatten().flat_map(|number| number.to_le_bytes()).collect()
}
