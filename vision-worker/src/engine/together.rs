//! The way of a device, which wants many frames at once. Frames are decoded on all of the CPU's threads as they come, then
//! searched together, then their faces are embedded together. A batch is what waits when a thread of the
//! device is free, however many that are: while it is busy the next one gathers, and nobody waits for company.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use super::{Waiting, Worker};
use crate::batcher;
use crate::pipeline::{Cut, Seen};

/// The most frames of one batch.
const BATCH_MAX: usize = 32;

/// Frames whose pixels are in memory: batches on the device, one that gathers, and those being decoded.
pub const FRAMES_MAX: usize = 4 * BATCH_MAX;

/// Threads that search. Each has its own queue of work on the device: while one brings its results home and the next
/// batch out, the device works for the other.
const SEARCHING: usize = 3;

/// A frame, and how far it is.
struct Frame<T> {
    at: T,
    begun: Instant,
    waiting: Waiting,
    /// For what comes next; the last of them ends the device's threads.
    line: Line,
}

/// Where frames are given to.
#[derive(Clone)]
pub struct Line {
    worker: Arc<Worker>,
    search: Sender<Frame<Seen>>,
    embed: Sender<Frame<Cut>>,
}

impl Line {
    /// Starts the device's threads.
    pub fn start(worker: Arc<Worker>) -> std::io::Result<Self> {
        let (search, to_search) = channel();
        let (embed, to_embed) = channel();
        let to_search = Arc::new(Mutex::new(to_search));
        for index in 0..SEARCHING {
            let (worker, waiting) = (Arc::clone(&worker), Arc::clone(&to_search));
            std::thread::Builder::new()
                .name(format!("vision-search-{index}"))
                .spawn(move || searches(&worker, &waiting))?;
        }
        let of_embedder = Arc::clone(&worker);
        std::thread::Builder::new().name("vision-embed".to_owned()).spawn(move || embeds(&of_embedder, &to_embed))?;
        Ok(Self { worker, search, embed })
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
            match worker.step("decode", 1, || worker.pipeline.see(&jpeg)) {
                Ok(seen) => {
                    let search = line.search.clone();
                    // If the threads have ended, so does the wait for the answer.
                    let _ = search.send(Frame { at: seen, begun, waiting, line });
                }
                Err(error) => worker.answer(waiting, begun, Err(error)),
            }
        });
    }
}

/// A thread that finds faces and cuts them out.
fn searches(worker: &Worker, waiting: &Mutex<Receiver<Frame<Seen>>>) {
    let gather = || batcher::gather(&waiting.lock().unwrap_or_else(PoisonError::into_inner), BATCH_MAX);
    while let Some(mut frames) = gather() {
        frames.retain(|frame| !worker.is_skipped(&frame.waiting));
        let seen: Vec<&Seen> = frames.iter().map(|frame| &frame.at).collect();
        let cut = worker.step("search", seen.len(), || Ok(worker.pipeline.search(&seen)));
        let cut = cut.unwrap_or_else(|error| frames.iter().map(|_| Err(error.clone())).collect());
        for (Frame { begun, waiting, line, .. }, cut) in frames.into_iter().zip(cut) {
            match cut {
                Ok(at) => {
                    let embed = line.embed.clone();
                    let _ = embed.send(Frame { at, begun, waiting, line });
                }
                Err(error) => worker.answer(waiting, begun, Err(error)),
            }
        }
    }
}

/// The thread that embeds faces and answers their frames.
fn embeds(worker: &Worker, waiting: &Receiver<Frame<Cut>>) {
    while let Some(frames) = batcher::gather(waiting, BATCH_MAX) {
        let (cut, rest): (Vec<Cut>, Vec<(Instant, Waiting)>) =
            frames.into_iter().map(|Frame { at, begun, waiting, .. }| (at, (begun, waiting))).unzip();
        let analyses = worker.step("embed", rest.len(), || Ok(worker.pipeline.recognise(cut)));
        let analyses = analyses.unwrap_or_else(|error| vec![Err(error); rest.len()]);
        for ((begun, waiting), analysis) in rest.into_iter().zip(analyses) {
            worker.answer(waiting, begun, analysis);
        }
    }
}
