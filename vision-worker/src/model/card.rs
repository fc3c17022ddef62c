//! The card of a model folder, `model.toml`: what the networks are, where they come from, how their input is made,
//! and the SHA-256 of every file, which is checked before a file is used.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::embedder::Architecture;
use super::yunet::Form;
use super::{ModelError, minifasnet};

/// The name of the card in its folder.
pub const FILE: &str = "model.toml";

/// What the published networks are called in a model id, by the name of their architecture; others by that name.
const PUBLISHED: [(&str, &str); 2] = [("yunet-s", "yunet-2023mar"), ("sface", "sface-2021dec")];

/// How much larger than the face a liveness network's crop may be, and how many such networks a face is shown to.
const SCALES: std::ops::RangeInclusive<f32> = 1.0..=8.0;
const LIVENESS_MAX: usize = 4;

/// What licences say that forbid commercial use, in small letters without spaces and hyphens.
const NON_COMMERCIAL: [&str; 5] = ["noncommercial", "bync", "researchonly", "researchpurposes", "academic"];

/// What a model folder says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The model's id: embeddings of different ids never meet.
    pub id: String,
    /// Finds faces and their five points.
    pub detector: Detector,
    /// Turns an aligned face into numbers.
    pub embedder: Embedder,
    /// Tell a face from a picture of one; none where nobody named their weights. They are no part of the id: embeddings
    /// are the same with and without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub liveness: Vec<Liveness>,
}

/// The detector's part of the card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detector {
    /// Name of the network.
    pub architecture: String,
    /// What a picture must look like.
    pub input: String,
    /// The weights.
    pub weights: Origin,
}

/// The embedder's part of the card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedder {
    /// Name of the network.
    pub architecture: String,
    /// What a crop must look like.
    pub input: String,
    /// Numbers in an embedding.
    pub dimension: usize,
    /// What is done to the numbers that the network puts out.
    pub normalisation: String,
    /// Where the five points of an aligned face lie in the crop.
    pub template: [[f32; 2]; 5],
    /// The weights.
    pub weights: Origin,
}

/// A network that tells a face from a picture of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Liveness {
    /// Name of the network.
    pub architecture: String,
    /// What a crop must look like.
    pub input: String,
    /// How many times as wide and high as the face's bounds its crop is.
    pub scale: f32,
    /// The weights.
    pub weights: Origin,
}

/// A file of weights and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Name of the safetensors file, in the same folder.
    pub file: String,
    /// SHA-256 of that file, in lower-case hexadecimal digits.
    pub sha256: String,
    /// The licence its publisher gives it.
    pub licence: String,
    /// Whether whoever runs it accepts a licence that forbids commercial use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub non_commercial_accepted: bool,
    /// Who published it, under which name.
    pub source: String,
    /// SHA-256 of the published file that it was converted from.
    pub source_sha256: String,
}

impl Card {
    /// Reads the card of a folder.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ModelError::Missing { path: path.clone() },
            _ => ModelError::Io { path: path.clone(), source: error },
        })?;
        let wrong = |reason| ModelError::Card { path: path.clone(), reason };
        let card: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        card.check().map_err(wrong)?;
        Ok(card)
    }

    /// Reads a card that somebody else wrote: whether a licence that forbids commercial use is accepted is not theirs to
    /// say.
    pub fn parse(text: &str, path: &Path, accept_non_commercial: bool) -> Result<Self, ModelError> {
        let wrong = |reason| ModelError::Card { path: path.to_owned(), reason };
        let mut card: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        for origin in card.origins_mut() {
            origin.non_commercial_accepted = accept_non_commercial && origin.forbids_commercial_use();
        }
        card.check().map_err(|reason| match accept_non_commercial {
            true => wrong(reason),
            false => wrong(reason.replace("say non_commercial_accepted = true", "say --accept-non-commercial")),
        })?;
        Ok(card)
    }

    /// What is wrong with it, if anything.
    pub fn check(&self) -> Result<(), String> {
        let Self { detector, embedder, .. } = self;
        let architecture = self.embedder()?;
        self.detector()?;
        if embedder.dimension != architecture.dimension() {
            return Err(format!("{} dimensions, {architecture} has {}", embedder.dimension, architecture.dimension()));
        }
        let names = [detector.architecture.as_str(), &embedder.architecture];
        if self.id != id(names, [&detector.weights.sha256, &embedder.weights.sha256]) {
            return Err("the id does not belong to these weights".to_owned());
        }
        for network in &self.liveness {
            network.form()?;
            if !SCALES.contains(&network.scale) {
                return Err(format!("{} has a scale of {}: 1 to 8", network.architecture, network.scale));
            }
        }
        if self.liveness.len() > LIVENESS_MAX {
            return Err(format!("{} liveness networks: at most {LIVENESS_MAX}", self.liveness.len()));
        }
        let mut names = BTreeSet::from([FILE]);
        for origin in self.origins() {
            if !is_plain_name(&origin.file) || !names.insert(&origin.file) {
                return Err(format!("{:?} is no name for a file of its own in this folder", origin.file));
            }
            if !(origin.sha256.len() == 64 && origin.sha256.bytes().all(|byte| byte.is_ascii_hexdigit())) {
                return Err(format!("{} has no SHA-256 of 64 hexadecimal digits", origin.file));
            }
            if origin.forbids_commercial_use() && !origin.non_commercial_accepted {
                return Err(format!(
                    "{} may not be used commercially ({}); where that is kept to, say non_commercial_accepted = true",
                    origin.file, origin.licence
                ));
            }
        }
        Ok(())
    }

    /// Every file of weights.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        let liveness = self.liveness.iter().map(|network| &network.weights);
        [&self.detector.weights, &self.embedder.weights].into_iter().chain(liveness)
    }

    fn origins_mut(&mut self) -> impl Iterator<Item = &mut Origin> {
        let liveness = self.liveness.iter_mut().map(|network| &mut network.weights);
        [&mut self.detector.weights, &mut self.embedder.weights].into_iter().chain(liveness)
    }

    /// Which form the detector has.
    pub fn detector(&self) -> Result<Form, String> {
        let name = &self.detector.architecture;
        Form::named(name).ok_or_else(|| format!("there is no detector {name}; there are yunet-s and yunet-n"))
    }

    /// Which network the embedder is.
    pub fn embedder(&self) -> Result<Architecture, String> {
        let name = &self.embedder.architecture;
        let known = "sface, iresnet18, iresnet34, iresnet50 and iresnet100";
        Architecture::named(name).ok_or_else(|| format!("there is no embedder {name}; there are {known}"))
    }
}

impl Liveness {
    /// What a card says of a form of MiniFASNet.
    pub fn new(form: minifasnet::Form, scale: f32, weights: Origin) -> Self {
        let input = "blue, green, red; 0 to 255; 80x80, cut around the bounds";
        Self { architecture: form.to_string(), input: input.to_owned(), scale, weights }
    }

    /// Which form of MiniFASNet it is.
    pub fn form(&self) -> Result<minifasnet::Form, String> {
        let name = &self.architecture;
        let known = "minifasnet-v2 and minifasnet-v1se";
        minifasnet::Form::named(name).ok_or_else(|| format!("there is no liveness network {name}; there are {known}"))
    }
}

impl Origin {
    fn forbids_commercial_use(&self) -> bool {
        let plain: String = self.licence.to_lowercase().chars().filter(|letter| letter.is_alphanumeric()).collect();
        NON_COMMERCIAL.iter().any(|word| plain.contains(word))
    }

    /// Reads the file and checks its digest.
    pub fn read(&self, folder: &Path) -> Result<Vec<u8>, ModelError> {
        read_checked(&folder.join(&self.file), &self.sha256)
    }
}

/// Whether a name is a file's or folder's own, and leads nowhere else.
pub fn is_plain_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-+@".contains(letter);
    (1..=128).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.')
}

/// The id of a model: the names of both networks, and twelve digits of the SHA-256 over the digests of their weights.
pub fn id(architectures: [&str; 2], sha256s: [&str; 2]) -> String {
    let [detector, embedder] = architectures.map(|name| {
        PUBLISHED.iter().find(|(architecture, _)| *architecture == name).map_or(name, |(_, published)| published)
    });
    let digest = sha256(sha256s.concat().as_bytes());
    format!("{detector}+{embedder}@{}", &digest[..12])
}

/// Reads a whole file and refuses it if its SHA-256 is not the expected one.
pub fn read_checked(path: &Path, expected: &str) -> Result<Vec<u8>, ModelError> {
    let bytes = read(path)?;
    let found = sha256(&bytes);
    if found != expected {
        let path = path.to_owned();
        return Err(ModelError::DigestMismatch { path, expected: expected.to_owned(), found });
    }
    Ok(bytes)
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => ModelError::Missing { path: path.to_owned() },
        _ => ModelError::Io { path: path.to_owned(), source },
    })
}

/// The SHA-256 of some bytes in lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The folder that is used when none is named: `$GATEPOST_MODEL_DIR`, else below the home folder's cache.
pub fn default_folder() -> PathBuf {
    cache_folder("GATEPOST_MODEL_DIR", "models/yunet-sface")
}

/// The folder named by an environment variable, else `inner` in this project's part of the home folder's cache.
pub fn cache_folder(variable: &str, inner: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os(variable).filter(|folder| !folder.is_empty()) {
        return folder.into();
    }
    let home = std::env::var_os("HOME").unwrap_or_else(|| ".".into());
    Path::new(&home).join(".cache/gatepost").join(inner)
}
