//! The worker's networks and whole frames beside onnxruntime and OpenCV on the same weights: one thread and all of them,
//! alone and in batches, measured in turns; the networks on one thread beside PyTorch and tract as well. `--quick`
//! takes fewer turns, for a first look. `--device cuda` measures on a GPU instead; see `cuda.rs`.
//!
//! Ours runs several pictures on several threads, one each. onnxruntime runs a network on all threads together, and
//! whole frames the way that serves it better: as many at once as there are threads, each on one.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be measured has failed")]

use std::{env, fs, path::PathBuf, thread, time::Instant};

use gatepost_tests::benchmark::{Figure, Report, Target, folder};
use gatepost_vision::{
    Pipeline,
    align::Crop,
    bench::{
        frame::{HEIGHT, WIDTH, compose},
        machine::Machine,
    },
    cli::DeviceChoice,
    image::Picture,
    model::{
        Model,
        card::{cache_folder, default_folder},
    },
};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
mod cuda;
mod peer;

use peer::{Peer, Taken};

const BATCHES: [usize; 2] = [1, 8];
const FACES: [usize; 3] = [1, 4, 16];

/// Milliseconds that one turn of a side should take, so that a clock's steps do not matter.
const TURN_MS: f64 = 300.0;

/// Both sides' turns.
#[derive(Default)]
struct Turns {
    ours: Vec<Taken>,
    theirs: Vec<Taken>,
}

impl Turns {
    fn figures(&self, what: &str, wanted: f64, limit: Option<f64>) -> [Figure; 2] {
        let side = |turns: &[Taken], part: fn(&Taken) -> f64| turns.iter().map(part).collect::<Vec<_>>();
        [("CPU", (|taken| taken.processor) as fn(&Taken) -> f64), ("wall", |taken| taken.wall)].map(|(kind, part)| {
            let target = Target::RatioAtMost(wanted);
            let figure = Figure::beside(
                format!("{what}, {kind}"),
                "ms",
                &side(&self.ours, part),
                &side(&self.theirs, part),
                target,
            );
            match limit {
                Some(limit) => figure.with_limit(limit),
                None => figure,
            }
        })
    }
}

fn main() {
    let turns = if env::args().any(|argument| argument == "--quick") { 3 } else { 11 };
    #[cfg(feature = "cuda")]
    if env::args().any(|argument| argument == "cuda") {
        return cuda::measure(turns);
    }
    let mut peer = Peer::onnxruntime();
    let graphs = peer.graphs();
    let mut peers =
        [("", peer), (", beside PyTorch", Peer::pytorch(&graphs)), (", beside tract", Peer::tract(&graphs))];
    let machine = Machine::measure();
    println!("one core: {:.1} G multiply-adds/s, {:.1} GB/s", machine.multiply_adds / 1e9, machine.bytes / 1e9);
    let cpu = DeviceChoice::Cpu.open().unwrap();
    let model = Model::load(&default_folder(), &cpu).unwrap();
    let (width, height) = (usize::from(WIDTH), usize::from(HEIGHT));
    let detector_limit = machine.seconds(model.detector.multiply_adds(width, height), width * height * 3) * 1e3;
    let embedder_adds = model.embedder.multiply_adds();
    let embedder_limit =
        |batch: usize| machine.seconds(batch * embedder_adds, model.embedder.bytes()) * 1e3 / batch as f64;

    let photograph = cache_folder("GATEPOST_PHOTOGRAPHS", "photographs").join("obama.jpg");
    let photograph = Picture::decode(&fs::read(photograph).unwrap()).unwrap();
    let frames: Vec<(usize, PathBuf, Vec<u8>)> = FACES
        .into_iter()
        .map(|faces| {
            let jpeg = compose(&photograph, faces).unwrap();
            let path = folder().unwrap().join(format!("vision-{faces}.jpg"));
            fs::write(&path, &jpeg).unwrap();
            (faces, path, jpeg)
        })
        .collect();
    let picture = Picture::decode(&frames[2].2).unwrap();
    let pipeline = Pipeline::new(Model::load(&default_folder(), &cpu).unwrap());
    let landmarks = pipeline.detect(&picture).unwrap()[0].landmarks;
    let crop = Crop::cut(&picture, &landmarks).unwrap();
    let limits = |faces: usize| {
        let quarter = model.detector.multiply_adds(width / 4, height / 4);
        detector_limit + machine.seconds(quarter, 0) * 1e3 + faces as f64 * embedder_limit(faces)
    };

    let mut report = Report::new("vision");
    let all = thread::available_parallelism().unwrap().get();
    let mut rates = Vec::new();
    for threads in [1, all] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let on = format!("{threads} thread{}", if threads == 1 { "" } else { "s" });
        for batch in BATCHES {
            let detect = || {
                (0..batch).into_par_iter().with_max_len(1).for_each(|_| {
                    std::hint::black_box(model.detector.cells(&picture, &cpu).unwrap());
                });
            };
            let crops = vec![&crop; batch];
            let embed = || drop(std::hint::black_box(pipeline.embed(&crops).unwrap()));
            let networks: [(&str, f64, &(dyn Fn() + Sync)); 2] =
                [("detector", detector_limit, &detect), ("embedder", embedder_limit(batch), &embed)];
            for (network, limit, work) in networks {
                // PyTorch and tract are measured on one thread only.
                for (beside, peer) in peers.iter_mut().take(if threads == 1 { usize::MAX } else { 1 }) {
                    let sides = in_turns(
                        turns,
                        batch,
                        |times| ours(&pool, batch, times, work),
                        |times| peer.network(network, threads, batch, times),
                    );
                    let what = format!("{network}, batch {batch}, {on}{beside}");
                    sides.figures(&what, 1.0, Some(limit)).into_iter().for_each(|figure| report.add(figure));
                }
            }
        }
        let peer = &mut peers[0].1;
        for (faces, path, jpeg) in &frames {
            assert_same(&pipeline, peer, path, jpeg, *faces);
            let analyse = || {
                (0..threads).into_par_iter().with_max_len(1).for_each(|_| {
                    std::hint::black_box(pipeline.analyse(jpeg).unwrap());
                });
            };
            let sides = in_turns(
                turns,
                threads,
                |times| ours(&pool, threads, times, &analyse),
                |times| peer.frame(path, threads, times * threads),
            );
            let what = format!("frame of {faces} face{}, {on}", if *faces == 1 { "" } else { "s" });
            sides.figures(&what, 0.8, Some(limits(*faces))).into_iter().for_each(|figure| report.add(figure));
            rates.push(sides.ours.iter().map(|taken| 1e3 / taken.wall).collect::<Vec<_>>());
        }
    }
    for (index, faces) in FACES.into_iter().enumerate() {
        let what = format!("frames of {faces} on {all} threads over one");
        let target = Target::RatioAtLeast(0.85 * all as f64);
        report.add(Figure::beside(what, "/s", &rates[FACES.len() + index], &rates[index], target));
    }
    for (_, path, _) in &frames {
        fs::remove_file(path).unwrap();
    }
    report.publish().unwrap();
}

/// Ours and the peer's alternately, each turn as many times as fill it.
fn in_turns(
    turns: usize,
    batch: usize,
    mut ours: impl FnMut(usize) -> Taken,
    mut theirs: impl FnMut(usize) -> Taken,
) -> Turns {
    let times = |taken: Taken| ((TURN_MS / (taken.wall * batch as f64)) as usize).max(1);
    let (our_times, their_times) = (times(ours(1)), times(theirs(1)));
    let mut both = Turns::default();
    for _ in 0..turns {
        both.ours.push(ours(our_times));
        both.theirs.push(theirs(their_times));
    }
    both
}

/// What one of `batch` pieces takes on a pool.
fn ours(pool: &rayon::ThreadPool, batch: usize, times: usize, work: &(dyn Fn() + Sync)) -> Taken {
    let (begun, used) = (Instant::now(), processor_ms());
    for _ in 0..times {
        pool.install(work);
    }
    let pieces = (times * batch) as f64;
    let wall = begun.elapsed().as_secs_f64() * 1e3;
    Taken { wall: wall / pieces, processor: (processor_ms() - used) / pieces }
}

/// Processor time of all threads of this process, as Linux counts it in nanoseconds.
fn processor_ms() -> f64 {
    let mut total = 0.0;
    for entry in fs::read_dir("/proc/self/task").expect("processor time is read as Linux tells it") {
        // A thread that has just ended has no file any more.
        let statistics = fs::read_to_string(entry.unwrap().path().join("schedstat")).unwrap_or_default();
        total += statistics.split(' ').next().and_then(|time| time.parse::<f64>().ok()).unwrap_or_default();
    }
    total / 1e6
}

/// Both sides must have done the same: as many faces, each with its counterpart.
fn assert_same(pipeline: &Pipeline, peer: &mut Peer, path: &std::path::Path, jpeg: &[u8], faces: usize) {
    let (ours, theirs) = (pipeline.faces(jpeg).unwrap(), peer.faces(path));
    assert_eq!((ours.len(), theirs.len()), (faces, faces), "the two sides see different faces");
    for face in &ours {
        let near = |other: &&peer::Face| {
            (other.corner[0] - face.bounds.x).abs().max((other.corner[1] - face.bounds.y).abs()) < 2.0
        };
        let other = theirs.iter().find(near).expect("the peer has no such face");
        let cosine: f32 = face.embedding.iter().zip(&other.embedding).map(|(ours, theirs)| ours * theirs).sum();
        assert!(cosine > 0.99, "the two sides' embeddings differ: cosine {cosine}");
    }
}
