//! Networks that are not the default ones, on weights that tests can make: random ones, the same on both sides.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use gatepost_vision::image::Picture;
use gatepost_vision::model::import::{Foreign, Import, import};
use gatepost_vision::model::layers::Backend;
use gatepost_vision::model::weights::Weights;
use gatepost_vision::model::yunet::{Form, Yunet, convolutions_in_graph_order};
use gatepost_vision::model::{self, ModelError, iresnet};
use gatepost_vision::{Pipeline, model::card};

use crate::reference::pattern;
use crate::support::{device, model_folder, noise, similarity};

/// What `tests/reference/iresnet.py` makes out of a tensor's name.
fn hashed(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let seed = name.bytes().fold(2_166_136_261_u32, |seed, byte| (seed ^ u32::from(byte)).wrapping_mul(16_777_619));
    (1..=count as u32).map(move |place| {
        let mut x = place.wrapping_mul(0x9E37_79B1) ^ seed;
        x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
        x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
        x ^= x >> 16;
        (x >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// The tensors of a network as training names them.
pub struct Training {
    tensors: BTreeMap<String, Tensor>,
    /// How much larger the numbers of matrices are than one over the root of their inputs.
    gain: f32,
}

impl Training {
    /// None yet.
    pub fn with_gain(gain: f32) -> Self {
        Self { tensors: BTreeMap::new(), gain }
    }

    fn add(&mut self, name: &str, shape: &[usize], change: impl Fn(f32) -> f32) {
        let values: Vec<f32> = hashed(name, shape.iter().product()).map(change).collect();
        self.tensors.insert(name.to_owned(), Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    }

    pub fn matrix(&mut self, name: &str, shape: &[usize]) {
        let inputs: usize = shape[1..].iter().product();
        let scale = self.gain / (inputs as f32).sqrt();
        self.add(&format!("{name}.weight"), shape, |value| value * scale);
    }

    pub fn norm(&mut self, name: &str, channels: usize) {
        for (part, middle) in [("running_mean", 0.0), ("running_var", 1.0), ("weight", 1.0), ("bias", 0.0)] {
            self.add(&format!("{name}.{part}"), &[channels], |value| value / 8.0 + middle);
        }
    }

    pub fn prelu(&mut self, name: &str, channels: usize) {
        self.add(&format!("{name}.weight"), &[channels], |value| value / 8.0 + 0.25);
    }

    fn iresnet(layers: usize) -> Self {
        let mut all = Self::with_gain(1.0);
        all.matrix("conv1", &[64, 3, 3, 3]);
        all.norm("bn1", 64);
        all.prelu("prelu", 64);
        let mut inputs = 64;
        for (stage, (count, channels)) in
            iresnet::blocks(layers).unwrap().into_iter().zip(iresnet::CHANNELS).enumerate()
        {
            for block in 0..count {
                let part = |part: &str| format!("layer{}.{block}.{part}", stage + 1);
                all.norm(&part("bn1"), inputs);
                all.matrix(&part("conv1"), &[channels, inputs, 3, 3]);
                all.norm(&part("bn2"), channels);
                all.prelu(&part("prelu"), channels);
                all.matrix(&part("conv2"), &[channels, channels, 3, 3]);
                all.norm(&part("bn3"), channels);
                if block == 0 {
                    all.matrix(&part("downsample.0"), &[channels, inputs, 1, 1]);
                    all.norm(&part("downsample.1"), channels);
                }
                inputs = channels;
            }
        }
        all.norm("bn2", inputs);
        all.matrix("fc", &[iresnet::DIMENSION, inputs * 49]);
        all.add("fc.bias", &[iresnet::DIMENSION], |value| value / 8.0);
        all.norm("features", iresnet::DIMENSION);
        all
    }

    pub fn write(self, path: &Path) {
        candle_core::safetensors::save(&self.tensors.into_iter().collect(), path).unwrap();
    }
}

/// An import of weights that somebody trained, beside the detector of the default model.
fn foreign(path: &Path, layers: usize, licence: &str) -> Import {
    let embedder = Foreign {
        path: path.to_owned(),
        layers,
        licence: licence.to_owned(),
        source: "a test".to_owned(),
        non_commercial_accepted: false,
    };
    Import { from: model_folder(), detector: None, embedder: Some(embedder), liveness: None }
}

fn check_iresnet(layers: usize) {
    let expected: BTreeMap<String, Vec<f32>> = serde_json::from_str(include_str!("../reference/iresnet.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("training.safetensors");
    Training::iresnet(layers).write(&weights);
    let to = folder.path().join("model");
    let card = import(&foreign(&weights, layers, "MIT"), &to).unwrap();
    assert!(card.id.starts_with(&format!("yunet-2023mar+iresnet{layers}@")), "{}", card.id);
    assert_eq!((card.embedder.dimension, model::verify(&to).unwrap()), (iresnet::DIMENSION, card.clone()));
    let found = Pipeline::load(&to, device()).unwrap().embed(&[&pattern(1)]).unwrap().remove(0);
    let cosine = similarity(&found, &expected[&layers.to_string()]);
    println!("iresnet{layers}: cosine {cosine}");
    assert!(cosine >= 0.9999, "{cosine}");
}

#[test]
fn an_iresnet_of_18_layers_agrees_with_pytorch() {
    check_iresnet(18);
}

#[test]
fn an_iresnet_of_50_layers_agrees_with_pytorch() {
    check_iresnet(50);
}

#[test]
fn an_iresnet_of_100_layers_agrees_with_pytorch() {
    check_iresnet(100);
}

#[test]
fn weights_for_research_only_are_not_taken_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("training.safetensors");
    Training::iresnet(18).write(&weights);
    let to = folder.path().join("model");
    for licence in ["non-commercial research purposes only", "CC BY-NC 4.0"] {
        let error = import(&foreign(&weights, 18, licence), &to).unwrap_err();
        assert!(error.to_string().contains("non_commercial_accepted"), "{error}");
    }
    assert!(!to.exists());
    let mut accepted = foreign(&weights, 18, "CC BY-NC 4.0");
    accepted.embedder.as_mut().unwrap().non_commercial_accepted = true;
    let card = import(&accepted, &to).unwrap();
    assert_eq!(card::Card::read(&to).unwrap(), card);
}

#[test]
fn weights_of_another_network_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("training.safetensors");
    Training::iresnet(18).write(&weights);
    let error = import(&foreign(&weights, 50, "MIT"), &folder.path().join("model")).unwrap_err();
    assert!(matches!(&error, ModelError::Onnx(_)), "{error}");
    assert!(error.to_string().contains("layer1.2"), "{error}");
}

/// The normal form of the detector has other channels and one more unit a level: both ways to run it agree.
#[test]
fn the_normal_form_of_the_detector_agrees_with_stock_candle() {
    let file = safetensors::serialize(normal_form(), None).unwrap();
    let numbers = ((noise(&[70 * 150 * 3], 9) + 1.0).unwrap() * 127.5).unwrap().to_vec1::<f32>().unwrap();
    let picture = Picture { width: 150, height: 70, rgb: numbers.into_iter().map(|number| number as u8).collect() };
    let cells = |backend| {
        let weights = Weights::from_bytes(&file, &Device::Cpu, backend).unwrap();
        Yunet::load(&weights, Form::Normal).unwrap().cells(&picture, &Device::Cpu).unwrap()
    };
    for (found, expected) in cells(Backend::Kernels).iter().zip(cells(Backend::Stock)) {
        let largest = expected.values.iter().fold(1e-3_f32, |largest, value| largest.max(value.abs()));
        let apart = found.values.iter().zip(&expected.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-4 * largest, "{apart} of {largest}");
    }
}

/// Random weights of the normal form by the names of a model folder.
pub fn normal_form() -> Vec<(String, Tensor)> {
    let channels = |name: &str| match name {
        "stem" | "backbone.00" | "backbone.01" => 16,
        name if name.ends_with("cls") || name.ends_with("obj") => 1,
        name if name.ends_with("bbox") => 4,
        name if name.ends_with("kps") => 10,
        _ => 64,
    };
    let mut tensors = Vec::new();
    for name in convolutions_in_graph_order(Form::Normal) {
        let unit = name.trim_end_matches(".pointwise").trim_end_matches(".depthwise");
        let outputs = channels(unit);
        let shape = match name.rsplit('.').next() {
            Some("depthwise") => [outputs, 1, 3, 3],
            Some("pointwise") => {
                let inputs = if ["backbone.00", "backbone.01", "backbone.02"].contains(&unit) { 16 } else { 64 };
                [outputs, inputs, 1, 1]
            }
            _ => [outputs, 3, 3, 3],
        };
        let inputs: usize = shape[1..].iter().product();
        let scale = (inputs as f64).sqrt().recip();
        let seed = tensors.len() as u32;
        tensors.push((format!("{name}.weight"), (noise(&shape, seed) * scale).unwrap()));
        tensors.push((format!("{name}.bias"), noise(&[outputs], seed + 1)));
    }
    tensors
}
