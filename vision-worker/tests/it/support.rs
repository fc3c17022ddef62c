//! The model and the photographs, and JPEG files made from them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use candle_core::{Device, Tensor};
use gatepost_vision::cli::DeviceChoice;
use gatepost_vision::image::Picture;
use gatepost_vision::model::card::{cache_folder, default_folder};
use gatepost_vision::{Face, Pipeline};
use jpeg_encoder::{ColorType, Encoder};

/// The model folder; says how to get it if it is not there.
pub fn model_folder() -> PathBuf {
    let folder = default_folder();
    assert!(
        folder.join("model.toml").is_file(),
        "no model in {}: run `gatepost-vision models import --from $(vision-worker/models/fetch)`, \
         or set GATEPOST_MODEL_DIR",
        folder.display()
    );
    folder
}

/// Where the networks run: on the first CUDA device in a build for one, otherwise on the CPU.
pub fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    let choice = if cfg!(feature = "cuda") { DeviceChoice::Cuda } else { DeviceChoice::Cpu };
    DEVICE.get_or_init(|| choice.open().unwrap())
}

/// The pipeline on that device, loaded once.
pub fn pipeline() -> &'static Arc<Pipeline> {
    static PIPELINE: OnceLock<Arc<Pipeline>> = OnceLock::new();
    PIPELINE.get_or_init(|| Arc::new(Pipeline::load(&model_folder(), device()).unwrap()))
}

/// A photograph's JPEG file; says how to get it if it is not there.
pub fn photograph(name: &str) -> Vec<u8> {
    let path = cache_folder("GATEPOST_PHOTOGRAPHS", "photographs").join(format!("{name}.jpg"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}: run vision-worker/photographs/fetch, or set GATEPOST_PHOTOGRAPHS", path.display())
    })
}

/// The only face of a photograph.
pub fn only_face(name: &str) -> Face {
    let mut faces = pipeline().faces(&photograph(name)).unwrap();
    assert_eq!(faces.len(), 1, "{name}");
    faces.remove(0)
}

/// A JPEG file of a picture.
pub fn jpeg(picture: &Picture) -> Vec<u8> {
    let mut file = Vec::new();
    let side = |length: usize| u16::try_from(length).unwrap();
    Encoder::new(&mut file, 90)
        .encode(&picture.rgb, side(picture.width), side(picture.height), ColorType::Rgb)
        .unwrap();
    file
}

/// A grey picture.
pub fn grey(width: usize, height: usize) -> Picture {
    Picture { width, height, rgb: vec![120; width * height * 3] }
}

/// Puts a picture onto another one, with its upper left corner at `(x, y)`.
pub fn paste(onto: &mut Picture, picture: &Picture, x: usize, y: usize) {
    for (row, source) in picture.rgb.chunks_exact(picture.width * 3).enumerate() {
        let start = ((y + row) * onto.width + x) * 3;
        onto.rgb[start..start + source.len()].copy_from_slice(source);
    }
}

/// The dot product: 1 for equal embeddings.
pub fn similarity(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Copies the files of a folder into another one.
pub fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Numbers without a pattern, the same in every run.
pub fn noise(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = std::iter::repeat_with(next).take(shape.iter().product()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}
