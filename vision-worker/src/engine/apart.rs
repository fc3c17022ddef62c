//! The way of the CPU, where batches gain nothing: each frame is one thread's work from its bytes to its answer.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use bytes::Bytes;
use rayon::prelude::*;

use super::{Waiting, Worker, guarded};
use crate::batcher;

/// Where frames are given to.
#[derive(Clone)]
pub struct Line {
    frames: Sender<(Bytes, Waiting)>,
}

impl Line {
    /// Starts the thread that hands frames to as many threads as there are.
    pub fn start(worker: Arc<Worker>) -> std::io::Result<Self> {
        let (frames, waiting) = channel();
        std::thread::Builder::new().name("vision-engine".to_owned()).spawn(move || serve(&worker, &waiting))?;
        Ok(Self { frames })
    }

    /// Has a frame answered. If the thread has ended, so does the wait for the answer.
    pub fn take(&self, jpeg: Bytes, frame: Waiting) {
        let _ = self.frames.send((jpeg, frame));
    }
}

fn serve(worker: &Worker, waiting: &Receiver<(Bytes, Waiting)>) {
    while let Some(frames) = batcher::gather(waiting, rayon::current_num_threads()) {
        frames.into_par_iter().for_each(|(jpeg, frame)| {
            if worker.is_skipped(&frame) {
                return;
            }
            let begun = Instant::now();
            let entered = frame.span.clone().entered();
            let analysis = guarded(|| worker.pipeline.analyse(&jpeg));
            drop(entered);
            worker.answer(frame, begun, analysis);
        });
    }
}
