//! The way of a device, which wants many frames at once. Frames are decoded on all of the CPU's threads as they come. The
//! device's own threads take what has been decoded as one batch, however many that are: while they are busy the next one
//! gathers, and nobody waits for company. Crops are cut on the CPU's threads again, while the device searches the next
//! batch, and go back to it to be embedded.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use rayon::prelude::*;

use super::{Waiting, Worker, guarded};
use crate::batcher;
use crate::pipeline::{Analysis, Cut, FrameError, Seen};

/// The most frames of one batch.
const BATCH_MAX: usize = 32;

/// Frames whose pixels are in memory: a batch on the device, one that gathers, and those being decoded or cut.
pub const FRAMES_MAX: usize = 4 * BATCH_MAX;

/// Each has its own queue of work on the device: while one waits for its results, the device works for the other.
const DEVICE_THREADS: usize = 2;

/// A frame, and how far it is.
struct Frame<T> {
    at: T,
    begun: Instant,
    waiting: Waiting,
    /// For what comes next; the last of them ends the device's threads.
    line: Line,
}

/// What the device is to do.
enum Work {
    Search(Frame<Seen>),
    Embed(Vec<Frame<Cut>>),
}

/// Where frames are given to.
#[derive(Clone)]
pub struct Line {
    worker: Arc<Worker>,
    work: Sender<Work>,
}

impl Line {
    /// Starts the device's threads.
    pub fn start(worker: Arc<Worker>) -> std::io::Result<Self> {
        let (work, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for index in 0..DEVICE_THREADS {
            let (worker, waiting) = (Arc::clone(&worker), Arc::clone(&waiting));
            std::thread::Builder::new()
                .name(format!("vision-device-{index}"))
                .spawn(move || serve(&worker, &waiting))?;
        }
        Ok(Self { worker, work })
    }

    /// Has a frame answered.
    pub fn take(&self, jpeg: Bytes, waiting: Waiting) {
        let line = self.clone();
        rayon::spawn(move || {
            let worker = Arc::clone(&line.worker);
            if worker.is_skipped(&waiting) {
                return;
            }
            let begun = Instant::now();
            match guarded(|| worker.pipeline.see(&jpeg)) {
                Ok(seen) => {
                    let work = line.work.clone();
                    // If the threads have ended, so does the wait for the answer.
                    let _ = work.send(Work::Search(Frame { at: seen, begun, waiting, line }));
                }
                Err(error) => worker.answer(waiting, begun, Err(error)),
            }
        });
    }
}

/// A device's thread.
fn serve(worker: &Arc<Worker>, waiting: &Mutex<Receiver<Work>>) {
    let gather = || batcher::gather(&waiting.lock().unwrap_or_else(PoisonError::into_inner), BATCH_MAX);
    while let Some(batch) = gather() {
        let (mut seen, mut cut) = (Vec::new(), Vec::new());
        for work in batch {
            match work {
                Work::Search(frame) if worker.is_skipped(&frame.waiting) => {}
                Work::Search(frame) => seen.push(frame),
                Work::Embed(frames) => cut.extend(frames),
            }
        }
        // The older ones first.
        embed(worker, cut);
        search(worker, seen);
    }
}

/// Finds the faces of frames and has them cut out.
fn search(worker: &Arc<Worker>, frames: Vec<Frame<Seen>>) {
    let Some(work) = frames.first().map(|frame| frame.line.work.clone()) else { return };
    let seen: Vec<&Seen> = frames.iter().map(|frame| &frame.at).collect();
    let found = match guarded(|| worker.pipeline.find(&seen)) {
        Ok(found) => found,
        Err(error) => return fail(worker, frames, &error),
    };
    let worker = Arc::clone(worker);
    rayon::spawn(move || {
        let cut = frames.into_par_iter().zip(found).filter_map(|(frame, found)| {
            let Frame { at, begun, waiting, line } = frame;
            match guarded(|| worker.pipeline.cut(&at, found)) {
                Ok(at) => Some(Frame { at, begun, waiting, line }),
                Err(error) => {
                    worker.answer(waiting, begun, Err(error));
                    None
                }
            }
        });
        // Frames without a face need no device any more.
        let (faces, empty): (Vec<_>, Vec<_>) = cut.partition(|frame| frame.at.has_faces());
        embed(&worker, empty);
        if !faces.is_empty() {
            let _ = work.send(Work::Embed(faces));
        }
    });
}

/// Embeds the faces of frames and answers them.
fn embed(worker: &Worker, frames: Vec<Frame<Cut>>) {
    let (at, rest): (Vec<Cut>, Vec<_>) =
        frames.into_iter().map(|Frame { at, begun, waiting, line }| (at, (begun, waiting, line))).unzip();
    let analyses: Vec<Result<Analysis, FrameError>> = match guarded(|| worker.pipeline.recognise(at)) {
        Ok(analyses) => analyses.into_iter().map(Ok).collect(),
        Err(error) => rest.iter().map(|_| Err(error.clone())).collect(),
    };
    for ((begun, waiting, _), analysis) in rest.into_iter().zip(analyses) {
        worker.answer(waiting, begun, analysis);
    }
}

fn fail<T>(worker: &Worker, frames: Vec<Frame<T>>, error: &FrameError) {
    for frame in frames {
        worker.answer(frame.waiting, frame.begun, Err(error.clone()));
    }
}
