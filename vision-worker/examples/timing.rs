//! Times each part of the pipeline on one thread, in milliseconds, the mean of many rounds:
//! `RAYON_NUM_THREADS=1 cargo run --release -p gatepost-vision --example timing -- FILE..`
//! On Linux this is the thread's own processor time, which other processes do not disturb much, but which does not count
//! what the stock way hands to other threads; elsewhere it is wall time.

use std::time::Instant;

use candle_core::{Device, Tensor};
use gatepost_vision::Pipeline;
use gatepost_vision::align::Crop;
use gatepost_vision::image::Picture;
use gatepost_vision::model::Model;
use gatepost_vision::model::card::default_folder;
use gatepost_vision::model::layers::Backend;

const ROUNDS: usize = 30;

fn mean<T>(mut work: impl FnMut() -> T) -> f64 {
    std::hint::black_box(work());
    let (begun, used) = (Instant::now(), processor_ms());
    for _ in 0..ROUNDS {
        std::hint::black_box(work());
    }
    let total = match (used, processor_ms()) {
        (Some(before), Some(after)) => after - before,
        _ => begun.elapsed().as_secs_f64() * 1000.0,
    };
    total / ROUNDS as f64
}

/// Processor time of this thread so far.
fn processor_ms() -> Option<f64> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(statistics.split(' ').next()?.parse::<f64>().ok()? / 1e6)
}

fn main() -> anyhow::Result<()> {
    let device = Device::Cpu;
    // The stock way takes minutes in a build without optimisation.
    let backends: &[Backend] =
        if cfg!(debug_assertions) { &[Backend::Kernels] } else { &[Backend::Kernels, Backend::Stock] };
    for &backend in backends {
        let model = Model::load_with(&default_folder(), &device, backend)?;
        let picture = |width: usize, height: usize| Picture { width, height, rgb: vec![90; width * height * 3] };
        let (frame, quarter) = (picture(1280, 720), picture(320, 180));
        let crop = Tensor::zeros((1, 3, 112, 112), candle_core::DType::F32, &device)?;
        println!(
            "{backend:?}: detector 1280x736 {:.1}, 320x192 {:.2}, embedder {:.1}",
            mean(|| model.detector.cells(&frame, &device)),
            mean(|| model.detector.cells(&quarter, &device)),
            mean(|| model.embedder.forward(&crop)),
        );
    }
    let pipeline = Pipeline::load(&default_folder(), &device)?;
    for file in std::env::args().skip(1) {
        let jpeg = std::fs::read(&file)?;
        let picture = Picture::decode(&jpeg)?;
        let faces = pipeline.detect(&picture)?;
        println!(
            "{file}: {}x{}, {} faces: decode {:.1}, detect {:.1}, align one {:.1}",
            picture.width,
            picture.height,
            faces.len(),
            mean(|| Picture::decode(&jpeg)),
            mean(|| pipeline.detect(&picture)),
            faces.first().map_or(0.0, |face| mean(|| Crop::cut(&picture, &face.landmarks))),
        );
    }
    Ok(())
}
