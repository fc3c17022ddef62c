//! How fast this machine is: each step of the pipeline and whole frames, on one thread and on all, beside what the
//! machine can do at most.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use candle_core::Device;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use serde::Serialize;

use crate::Pipeline;
use crate::align::Crop;
use crate::cli::Decoding;
use crate::image::Picture;
use crate::model::Model;

pub mod engine;
pub mod frame;
pub mod machine;

use machine::Machine;

/// Faces of the frames that are measured.
const FACES: [usize; 3] = [1, 4, 16];

/// What a device is given at once: pictures to search, faces to embed, and frames in the engine.
const SEARCHED: [usize; 2] = [8, 32];
const EMBEDDED: [usize; 2] = [16, 128];
const AT_ONCE: [usize; 2] = [16, 64];

/// What to measure.
#[derive(Debug)]
pub struct Options {
    /// The model folder.
    pub models: PathBuf,
    /// Where the networks run.
    pub device: Device,
    /// Who decodes the frames that are worked on together.
    pub decoding: Decoding,
    /// A JPEG file that shows one face.
    pub photograph: PathBuf,
    /// How long each line is measured.
    pub each: Duration,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// What was done.
    pub what: String,
    /// Threads that did it, each its own pictures.
    pub threads: usize,
    /// The median time that one took on its thread.
    pub ms: f64,
    /// The machine's limit for that time, where it is known.
    pub limit_ms: Option<f64>,
    /// How many all threads together did in a second.
    pub per_second: f64,
}

/// The table.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The model that ran.
    pub model: String,
    /// Multiply-adds of one core in a second, in thousands of millions.
    pub multiply_adds_giga: f64,
    /// Bytes that one core reads from memory in a second, in thousands of millions.
    pub bytes_giga: f64,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// Measures, and shows how far it is on a terminal.
pub fn bench(options: &Options) -> anyhow::Result<Report> {
    let name = || options.photograph.display().to_string();
    let photograph = Picture::decode(&std::fs::read(&options.photograph).with_context(name)?).with_context(name)?;
    let model = Model::load(&options.models, &options.device)?;
    let limits = Limits::of(&model, Machine::measure());
    let on_cpu = options.device.is_cpu();
    // A core's limits are no device's.
    let limit = |ms: f64| on_cpu.then_some(ms);
    let pipeline = Arc::new(options.decoding.of(Pipeline::new(model))?);
    let faces = pipeline.detect(&photograph)?;
    anyhow::ensure!(faces.len() == 1, "{}: {} faces, one is needed", name(), faces.len());

    let frames: Vec<(usize, Vec<u8>)> = FACES
        .into_iter()
        .map(|count| frame::compose(&photograph, count).map(|jpeg| (count, jpeg)))
        .collect::<Result<_, _>>()?;
    for (count, jpeg) in &frames {
        let found = pipeline.faces(jpeg)?.len();
        anyhow::ensure!(found == *count, "{}: {found} of {count} copies found at 720p; take another", name());
    }
    let one = &frames[0].1;
    let picture = Picture::decode(one)?;
    let face = pipeline.detect(&picture)?.into_iter().next().context("no face")?;
    let (landmarks, bounds) = (face.landmarks, [face.bounds]);
    let judges = !pipeline.card().liveness.is_empty();
    let crop = Crop::cut(&picture, &landmarks).context("the face's points are one")?;

    let most = std::thread::available_parallelism()?.get();
    let mut counts = vec![1, most];
    counts.dedup();
    let together = if on_cpu { 0 } else { SEARCHED.len() + EMBEDDED.len() + AT_ONCE.len() * frames.len() };
    let bar = progress((counts.len() * (4 + usize::from(judges) + frames.len()) + together) as u64);
    let mut report = Report {
        model: pipeline.card().id.clone(),
        multiply_adds_giga: limits.machine.multiply_adds / 1e9,
        bytes_giga: limits.machine.bytes / 1e9,
        lines: Vec::new(),
    };
    for threads in counts {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let mut measure = |what: String, limit: Option<f64>, work: &(dyn Fn() + Sync)| {
            bar.set_message(what.clone());
            let times = pool.install(|| repeat(options.each, threads, work));
            report.lines.push(Line::new(what, threads, &times, limit));
            bar.inc(1);
        };
        measure("decode 720p".to_owned(), None, &|| drop(black_box(Picture::decode(one))));
        // A device does one thing at a time, and does it for every thread.
        if !on_cpu && threads > 1 {
            continue;
        }
        measure("detect at 720p".to_owned(), limit(limits.detect), &|| drop(black_box(pipeline.detect(&picture))));
        measure("align a face".to_owned(), None, &|| drop(black_box(Crop::cut(&picture, &landmarks))));
        measure("embed a face".to_owned(), limit(limits.embed), &|| drop(black_box(pipeline.embed(&[&crop]))));
        if judges {
            let judge = || drop(black_box(pipeline.liveness(&picture, &bounds)));
            measure("judge a face's liveness".to_owned(), None, &judge);
        }
        for (count, jpeg) in &frames {
            let what = format!("whole frame, {count} face{}", if *count == 1 { "" } else { "s" });
            measure(what, None, &|| drop(black_box(pipeline.analyse(jpeg))));
        }
    }
    if !on_cpu {
        let mut measure = |what: String, count: usize, work: &(dyn Fn() + Sync)| {
            bar.set_message(what.clone());
            let taken: f64 = repeat(options.each, 1, work).concat().iter().copied().fold(f64::INFINITY, f64::min);
            let ms = taken / count as f64;
            report.lines.push(Line { what, threads: 1, ms, limit_ms: None, per_second: 1e3 / ms });
            bar.inc(1);
        };
        let seen = pipeline.see(one)?;
        for count in SEARCHED {
            let pictures = vec![&seen; count];
            measure(format!("search, {count} together"), count, &|| drop(black_box(pipeline.search(&pictures))));
        }
        for count in EMBEDDED {
            let crops = vec![&crop; count];
            measure(format!("embed, {count} together"), count, &|| drop(black_box(pipeline.embed(&crops))));
        }
        for (faces, jpeg) in &frames {
            let jpeg = Bytes::from(jpeg.clone());
            for count in AT_ONCE {
                let what = format!("{faces} faces, {count} at once");
                bar.set_message(what.clone());
                let per_second = engine::rate(&pipeline, &jpeg, count, options.each)?;
                report.lines.push(Line { what, threads: most, ms: 1e3 / per_second, limit_ms: None, per_second });
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(report)
}

/// The least times of the two networks on one core.
struct Limits {
    machine: Machine,
    detect: f64,
    embed: f64,
}

impl Limits {
    fn of(model: &Model, machine: Machine) -> Self {
        let (width, height) = (usize::from(frame::WIDTH), usize::from(frame::HEIGHT));
        // The second pass over a quarter is part of detecting.
        let adds = model.detector.multiply_adds(width, height) + model.detector.multiply_adds(width / 4, height / 4);
        let detect = machine.seconds(adds, width * height * 3);
        let embed = machine.seconds(model.embedder.multiply_adds(), model.embedder.bytes());
        Self { machine, detect: detect * 1e3, embed: embed * 1e3 }
    }
}

/// Does the work on every thread again and again for that long, and says what each time took on its thread.
fn repeat(each: Duration, threads: usize, work: &(dyn Fn() + Sync)) -> Vec<Vec<f64>> {
    let one_thread = |_| {
        work();
        let (begun, mut times) = (Instant::now(), Vec::new());
        while begun.elapsed() < each || times.is_empty() {
            let start = Instant::now();
            work();
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times
    };
    (0..threads).into_par_iter().with_max_len(1).map(one_thread).collect()
}

impl Line {
    fn new(what: String, threads: usize, times: &[Vec<f64>], limit_ms: Option<f64>) -> Self {
        let per_second = times.iter().map(|times| 1e3 * times.len() as f64 / times.iter().sum::<f64>()).sum();
        let mut sorted = times.concat();
        sorted.sort_by(f64::total_cmp);
        let ms = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
        Self { what, threads, ms, limit_ms, per_second }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "model          {}", self.model)?;
        writeln!(f, "one core       {:.1} G multiply-adds/s, {:.1} GB/s", self.multiply_adds_giga, self.bytes_giga)?;
        writeln!(f, "{:<24} {:>7} {:>9} {:>9} {:>9}", "", "threads", "ms", "limit ms", "per s")?;
        for Line { what, threads, ms, limit_ms, per_second } in &self.lines {
            let limit = limit_ms.map_or_else(String::new, |limit| format!("{limit:.2}"));
            writeln!(f, "{what:<24} {threads:>7} {ms:>9.2} {limit:>9} {per_second:>9.1}")?;
        }
        Ok(())
    }
}

fn progress(count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")
        .expect("this is a bug: a template that cannot be understood");
    ProgressBar::new(count).with_style(style)
}
