//! How often the liveness networks are wrong, in the words of ISO/IEC 30107-3: FOLDER/live holds photographs of living
//! people, every other FOLDER/ATTACKTYPE photographs of one kind of attack.

use std::fmt;
use std::path::{Path, PathBuf};

use candle_core::Device;
use rayon::prelude::*;
use serde::Serialize;

use super::EvaluateError;
use super::embed::{Failure, central, progress};
use super::folder::LabelledFolder;
use super::report::{self, Failed};
use super::statistics::{Interval, wilson};
use crate::Pipeline;
use crate::image::Picture;

/// The folder of living people.
const LIVE: &str = "live";

/// What to evaluate.
#[derive(Debug, Clone)]
pub struct Options {
    /// FOLDER/live/*.jpg and FOLDER/ATTACKTYPE/*.jpg.
    pub folder: PathBuf,
    /// The model folder.
    pub models: PathBuf,
    /// Where the networks run.
    pub device: Device,
    /// As many as the machine has, if not given.
    pub threads: Option<usize>,
    /// From this liveness on, a face is taken for a living one.
    pub threshold: f32,
}

/// An evaluation's figures. What could not be measured with these photographs is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LivenessReport {
    /// The networks that judged.
    pub networks: Vec<String>,
    /// From this liveness on, a face was taken for a living one.
    pub threshold: f32,
    /// Attack presentation classification error rate: the largest of the attack types', as the standard has it.
    pub apcer: Option<f64>,
    /// Bona fide presentation classification error rate.
    pub bpcer: Option<f64>,
    /// The mean of both.
    pub acer: Option<f64>,
    /// The living people; wrong are those taken for pictures.
    pub live: Kind,
    /// Each type of attack by its folder's name; wrong are those taken for living people.
    pub attacks: Vec<Kind>,
    /// Photographs that were not judged.
    pub failed: Vec<Failed>,
}

/// The photographs of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kind {
    /// The folder.
    pub name: String,
    /// All photographs.
    pub photographs: u64,
    /// Those whose face was judged.
    pub judged: u64,
    /// Those that were judged wrongly.
    pub wrong: u64,
    /// Their share of the judged ones.
    pub error_rate: Option<f64>,
    /// Wilson's interval of that share, as if every photograph were of another person or instrument.
    pub interval: Option<Interval>,
    /// The share of photographs in which no face was found or which could not be judged: the standard's non-response rate.
    pub non_response: Option<f64>,
    /// The mean liveness of the judged ones.
    pub mean_liveness: Option<f64>,
}

/// Evaluates a folder.
pub fn evaluate(options: &Options) -> Result<LivenessReport, EvaluateError> {
    let folder = LabelledFolder::read(&options.folder)?;
    let pipeline = Pipeline::load(&options.models, &options.device)?;
    let card = pipeline.card();
    if card.liveness.is_empty() {
        return Err(EvaluateError::NoLiveness { path: options.models.clone() });
    }
    let networks = card.liveness.iter().map(|network| network.architecture.clone()).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.unwrap_or(0)).build()?;
    let outcomes: Vec<Result<f32, Failure>> = pool.install(|| {
        let bar = progress(folder.photographs.len() as u64);
        let one = |path: &Path| {
            let outcome = photograph(&pipeline, &folder.root.join(path));
            bar.inc(1);
            outcome
        };
        let outcomes = folder.photographs.par_iter().map(|photograph| one(&photograph.path)).collect();
        bar.finish_and_clear();
        outcomes
    });
    Ok(report(&folder, &outcomes, networks, options.threshold))
}

/// The liveness of the face nearest the photograph's centre.
fn photograph(pipeline: &Pipeline, path: &Path) -> Result<f32, Failure> {
    let jpeg = std::fs::read(path).map_err(|_| Failure::UnreadableFile)?;
    let picture = Picture::decode(&jpeg)?;
    let faces = pipeline.detect(&picture)?;
    let face = central(&faces, &picture).ok_or(Failure::NoFace)?;
    pipeline.liveness(&picture, &[face.bounds])?.swap_remove(0).ok_or(Failure::NoColours)
}

fn report(
    folder: &LabelledFolder,
    outcomes: &[Result<f32, Failure>],
    networks: Vec<String>,
    threshold: f32,
) -> LivenessReport {
    let mut kinds: Vec<Kind> = Vec::new();
    for group in folder.by_person() {
        let Some(&first) = group.first() else { continue };
        let parent = folder.photographs[first].path.parent();
        let name = parent.map_or_else(String::new, |parent| parent.display().to_string());
        kinds.push(Kind::of(name, group.iter().map(|&index| &outcomes[index]), threshold));
    }
    let (live, attacks): (Vec<Kind>, Vec<Kind>) = kinds.into_iter().partition(|kind| kind.name == LIVE);
    let live = live.into_iter().next().unwrap_or_else(|| Kind::of(LIVE.to_owned(), std::iter::empty(), threshold));
    let apcer = attacks.iter().filter_map(|kind| kind.error_rate).reduce(f64::max);
    let bpcer = live.error_rate;
    let failure = |(index, outcome): (usize, &Result<f32, Failure>)| {
        Some(Failed { path: report::path(folder, index), reason: (*outcome).err()? })
    };
    LivenessReport {
        networks,
        threshold,
        apcer,
        bpcer,
        acer: apcer.zip(bpcer).map(|(apcer, bpcer)| (apcer + bpcer) / 2.0),
        live,
        attacks,
        failed: outcomes.iter().enumerate().filter_map(failure).collect(),
    }
}

impl Kind {
    fn of<'a>(name: String, outcomes: impl Iterator<Item = &'a Result<f32, Failure>>, threshold: f32) -> Self {
        let is_wrong = |liveness: f32| (liveness >= threshold) != (name == LIVE);
        let (mut photographs, mut judged, mut wrong, mut sum) = (0, 0, 0, 0.0);
        for outcome in outcomes {
            photographs += 1;
            if let Ok(liveness) = outcome {
                judged += 1;
                wrong += u64::from(is_wrong(*liveness));
                sum += f64::from(*liveness);
            }
        }
        let share = |part: f64, whole: u64| (whole > 0).then(|| part / whole as f64);
        Self {
            photographs,
            judged,
            wrong,
            error_rate: share(wrong as f64, judged),
            interval: wilson(wrong, judged),
            non_response: share((photographs - judged) as f64, photographs),
            mean_liveness: share(sum, judged),
            name,
        }
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, rate: &str) -> fmt::Result {
        let Self { name, photographs, judged, wrong, .. } = self;
        write!(f, "{rate} {name:<16} ")?;
        match (self.error_rate, self.interval, self.mean_liveness) {
            (Some(error), Some(Interval { low, high }), Some(mean)) => {
                let [error, low, high] = [error, low, high].map(|share| share * 100.0);
                write!(f, "{error:.2} % ({low:.2} % to {high:.2} %), {wrong} of {judged}, mean liveness {mean:.3}")?;
            }
            _ => write!(f, "not measured")?,
        }
        match photographs - judged {
            0 => writeln!(f),
            none => writeln!(f, ", no response to {none} of {photographs}"),
        }
    }
}

impl fmt::Display for LivenessReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "networks      {}", self.networks.join(", "))?;
        writeln!(f, "threshold     {}", self.threshold)?;
        self.live.line(f, "BPCER")?;
        self.attacks.iter().try_for_each(|kind| kind.line(f, "APCER"))?;
        let percent =
            |rate: Option<f64>| rate.map_or("not measured".to_owned(), |rate| format!("{:.2} %", rate * 100.0));
        let [apcer, acer] = [self.apcer, self.acer].map(percent);
        writeln!(f, "APCER         {apcer}, of the worst attack type")?;
        writeln!(f, "ACER          {acer}")
    }
}
