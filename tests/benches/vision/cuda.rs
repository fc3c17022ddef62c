//! On a GPU: the networks beside PyTorch in its own forms there, with the batches in the device's memory; frames through
//! the worker's engine, decoding included; and frames of 64 cameras through the real platform and the real worker. What
//! the last two reach is compared with what the networks alone would do. `--only networks`, `engine` or `platform` leaves
//! the others out.

use std::{
    env, fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use candle_core::{Device, Tensor};
use gatepost_tests::{
    benchmark::{Figure, Report, Target, median},
    live::{Live, LiveCamera, quick_policy},
};
use gatepost_vision::{
    Pipeline,
    align::Crop,
    bench::{engine::rate, frame::compose},
    cli::{Decoding, DeviceChoice},
    image::Picture,
    model::{
        Model,
        card::{cache_folder, default_folder},
        cuda::shrink,
    },
};

use super::{FACES, TURN_MS, peer::Peer};

/// Batches that are measured, and PyTorch's forms. Compiling takes it half a minute a batch.
const BATCHES: [(&str, usize, &[&str]); 6] = [
    ("detector", 1, &["eager16", "compiled16"]),
    ("detector", 8, &["eager16"]),
    ("detector", 32, &["eager32", "eager16", "compiled16"]),
    ("embedder", 1, &["eager16", "compiled16"]),
    ("embedder", 16, &["eager16"]),
    ("embedder", 128, &["eager32", "eager16", "compiled16"]),
];

/// Who decodes, and the name of the choice.
const DECODINGS: [(Decoding, &str); 2] = [(Decoding::Cpu, "cpu"), (Decoding::Device, "device")];

/// Frames that are in the engine at once.
const AT_ONCE: [usize; 3] = [1, 16, 64];
const CAMERAS: usize = 64;
const SPAN: Duration = Duration::from_secs(3);

/// Measures everything and writes the report.
pub fn measure(turns: usize) {
    let turns = turns.min(5);
    let device = DeviceChoice::Cuda.open().unwrap();
    println!("{}", text("nvidia-smi", &["--query-gpu=name,driver_version", "--format=csv,noheader"]));
    let model = Model::load(&default_folder(), &device).unwrap();
    let photograph = cache_folder("GATEPOST_PHOTOGRAPHS", "photographs").join("obama.jpg");
    let photograph = Picture::decode(&fs::read(photograph).unwrap()).unwrap();
    let frames = FACES.map(|faces| (faces, Bytes::from(compose(&photograph, faces).unwrap())));
    let picture = Picture::decode(&frames[2].1).unwrap();
    let pipelines = DECODINGS.map(|(decoding, name)| {
        let pipeline = Pipeline::load(&default_folder(), &device).unwrap();
        (Arc::new(decoding.of(pipeline).unwrap()), name)
    });
    let landmarks = pipelines[0].0.faces(&frames[2].1).unwrap()[0].landmarks;
    let crop = Crop::cut(&picture, &landmarks).unwrap();
    let bench = Bench { model, device, picture, crop };

    let mut report = Report::new("vision-cuda");
    if wanted("networks") {
        let graphs = Peer::onnxruntime().graphs();
        let mut pytorch = Peer::pytorch(&graphs);
        for (network, batch, modes) in BATCHES {
            for mode in modes {
                report.add(bench.beside(&mut pytorch, network, batch, mode, turns));
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for (faces, jpeg) in &frames {
        let networks: Vec<f64> = (0..turns).map(|_| bench.frames_a_second(*faces)).collect();
        report.add(Figure::alone(format!("networks alone, frames of {faces} faces"), "/s", &networks, None));
        for (pipeline, decoding) in pipelines.iter().filter(|_| wanted("engine")) {
            for at_once in AT_ONCE {
                let busy = Busy::start();
                let rates: Vec<f64> = (0..turns / 2).map(|_| rate(pipeline, jpeg, at_once, SPAN).unwrap()).collect();
                let what = format!("engine, frames of {faces} faces decoded by the {decoding}, {at_once} at once");
                println!("{what}: {:.0}/s", median(&rates));
                report.add(Figure::beside(what.clone(), "/s", &rates, &networks[..rates.len()], None));
                report.add(Figure::alone(format!("{what}: device busy"), "%", &[busy.share()], None));
            }
        }
    }
    drop((pipelines, bench));
    for (faces, jpeg) in frames.iter().filter(|_| wanted("platform")) {
        let networks = report.ours(&format!("networks alone, frames of {faces} faces")).unwrap();
        for (_, decoding) in DECODINGS {
            let busy = Busy::start();
            let rate = runtime.block_on(through_the_platform(jpeg, decoding));
            let target = Target::RatioAtLeast(0.85);
            let what = format!("platform, {CAMERAS} cameras, frames of {faces} faces decoded by the {decoding}");
            println!("{what}: {rate:.0}/s");
            report.add(Figure::beside(what.clone(), "/s", &[rate], &[networks], target));
            report.add(Figure::alone(format!("{what}: device busy"), "%", &[busy.share()], None));
        }
    }
    report.publish().unwrap();
}

/// Whether a part of the measurements is to be done.
fn wanted(part: &str) -> bool {
    let arguments: Vec<String> = env::args().collect();
    let only = arguments.iter().position(|argument| argument == "--only").and_then(|at| arguments.get(at + 1));
    only.is_none_or(|only| only == part)
}

struct Bench {
    model: Model,
    device: Device,
    picture: Picture,
    crop: Crop,
}

impl Bench {
    fn pictures(&self, batch: usize) -> Tensor {
        let picture = self.picture.tensor(&self.device).unwrap();
        Tensor::stack(&vec![picture; batch], 0).unwrap()
    }

    fn crops(&self, batch: usize) -> Tensor {
        Crop::tensor_of(&vec![&self.crop; batch], &self.device).unwrap()
    }

    /// A network on a batch in the device's memory, again and again, beside PyTorch's; microseconds a piece.
    fn beside(&self, peer: &mut Peer, network: &str, batch: usize, mode: &str, turns: usize) -> Figure {
        let (pictures, crops) = (self.pictures(batch), self.crops(batch));
        let work = || match network {
            "detector" => drop(self.model.detector.cells_together(&pictures).unwrap()),
            _ => drop(self.model.embedder.forward(&crops).unwrap()),
        };
        let ours = |times: usize| self.microseconds(times, batch, &work);
        let mut theirs = |times: usize| peer.cuda(mode, network, batch, times).wall * 1e3;
        let times = |taken: f64| ((TURN_MS * 1e3 / (taken * batch as f64)) as usize).clamp(3, 5_000);
        let (our_times, their_times) = (times(ours(10)), times(theirs(10)));
        let pairs: Vec<(f64, f64)> = (0..turns).map(|_| (ours(our_times), theirs(their_times))).collect();
        let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        println!("{network}, batch {batch}: {:.1} us, PyTorch {mode} {:.1} us", median(&ours), median(&theirs));
        let target = (mode == "compiled16").then_some(Target::RatioAtMost(1.0));
        Figure::beside(format!("{network}, batch {batch}, beside PyTorch {mode}"), "us", &ours, &theirs, target)
    }

    fn microseconds(&self, times: usize, batch: usize, work: &dyn Fn()) -> f64 {
        work();
        self.device.synchronize().unwrap();
        let begun = Instant::now();
        (0..times).for_each(|_| work());
        self.device.synchronize().unwrap();
        begun.elapsed().as_secs_f64() * 1e6 / (times * batch) as f64
    }

    /// Frames whose networks the device would do in a second: both passes of the detector, and the embedder.
    fn frames_a_second(&self, faces: usize) -> f64 {
        const BATCH: usize = 32;
        let pictures = self.pictures(BATCH);
        let quarters = shrink(&pictures, (self.picture.height / 4, self.picture.width / 4)).unwrap();
        let crops: Vec<Tensor> =
            (0..BATCH * faces).step_by(128).map(|_| self.crops((BATCH * faces).min(128))).collect();
        let work = || {
            drop(self.model.detector.cells_together(&pictures).unwrap());
            drop(self.model.detector.cells_together(&quarters).unwrap());
            crops.iter().for_each(|crops| drop(self.model.embedder.forward(crops).unwrap()));
        };
        1e6 / self.microseconds(100, BATCH, &work)
    }
}

/// What is counted in a second, after a while to begin.
async fn rate_of(done: &AtomicUsize) -> f64 {
    let mut quarters = tokio::time::interval(SPAN / 4);
    for _ in 0..2 {
        quarters.tick().await;
    }
    let (before, begun) = (done.load(Ordering::Relaxed), Instant::now());
    for _ in 0..4 {
        quarters.tick().await;
    }
    (done.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64()
}

/// Frames a second of 64 cameras, each of which sends as its credit allows.
async fn through_the_platform(jpeg: &Bytes, decoding: &str) -> f64 {
    let live = Live::serve(&[]).await;
    live.community(quick_policy(3_600_000, 7_200_000)).await;
    let worker = live.worker(&[("GATEPOST_DEVICE", "cuda"), ("GATEPOST_DECODING", decoding)]).await;
    let key = live.camera_key().await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut cameras = Vec::new();
    for _ in 0..CAMERAS {
        let mut camera = LiveCamera::open(&live, &key).await;
        let (jpeg, done) = (jpeg.clone(), Arc::clone(&done));
        cameras.push(tokio::spawn(async move {
            for _ in 0..camera.credit() {
                camera.send(jpeg.clone()).await;
            }
            let mut seen = gatepost_tests::clients::Seen::default();
            loop {
                camera.answered(&mut seen).await;
                assert!(seen.refused.is_empty(), "refused: {:?}", seen.refused);
                done.fetch_add(1, Ordering::Relaxed);
                camera.send(jpeg.clone()).await;
            }
        }));
    }
    let rate = rate_of(&done).await;
    for camera in cameras {
        camera.abort();
        let Err(error) = camera.await;
        assert!(error.is_cancelled(), "a camera: {error}");
    }
    drop(worker);
    rate
}

/// Looks how much of the time the device works for anybody.
struct Busy {
    over: mpsc::Sender<()>,
    looking: JoinHandle<Vec<f64>>,
}

impl Busy {
    fn start() -> Self {
        let (over, ended) = mpsc::channel();
        let looking = thread::spawn(move || {
            let mut shares = Vec::new();
            while ended.recv_timeout(Duration::from_millis(500)) == Err(RecvTimeoutError::Timeout) {
                let said = text("nvidia-smi", &["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]);
                shares.extend(said.trim().parse::<f64>());
            }
            shares
        });
        Self { over, looking }
    }

    /// The median, in percent.
    fn share(self) -> f64 {
        drop(self.over);
        median(&self.looking.join().unwrap())
    }
}

fn text(program: &str, arguments: &[&str]) -> String {
    String::from_utf8(Command::new(program).args(arguments).output().unwrap().stdout).unwrap()
}
