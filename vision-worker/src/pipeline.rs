//! From the bytes of a frame to its faces: decode, detect, align, embed. Knows nothing of where frames come from.

use std::path::Path;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::align::Crop;
use crate::detect::{self, Detection};
use crate::geometry::{Point, Rectangle};
use crate::image::Picture;
use crate::liveness;
use crate::model::card::Card;
use crate::model::{Model, ModelError};
use crate::quality::{Measures, quality};

/// Why a frame has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not a JPEG, or a truncated one.
    #[error("not a JPEG, or a truncated one")]
    NotAJpeg,
    /// More pixels than are decoded.
    #[error("{width}x{height} is over 20 megapixels")]
    TooLarge {
        /// Pixels in a row, as the header says.
        width: usize,
        /// Rows, as the header says.
        height: usize,
    },
    /// The worker itself failed.
    #[error("the worker failed: {0}")]
    Internal(String),
}

impl From<candle_core::Error> for FrameError {
    fn from(error: candle_core::Error) -> Self {
        Self::Internal(error.to_string())
    }
}

/// A face of a frame.
#[derive(Clone, PartialEq)]
pub struct Face {
    /// Around the face, in pixels of the frame.
    pub bounds: Rectangle,
    /// Eye at the frame's left, eye at its right, nose tip, mouth corner at its left, mouth corner at its right.
    pub landmarks: [Point; 5],
    /// Detection score, 0 to 1.
    pub score: f32,
    /// How usable the face is for recognition, 0 to 1.
    pub quality: f32,
    /// How it was photographed.
    pub measures: Measures,
    /// How probably it is a living face and no picture of one, 0 to 1; none where no network for that is loaded, or where
    /// all is grey.
    pub liveness: Option<f32>,
    /// Of length 1; the dot product of two embeddings is their similarity.
    pub embedding: Vec<f32>,
}

// Embeddings identify people and have no place in a log.
impl std::fmt::Debug for Face {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Face(..)")
    }
}

/// What a frame shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Pixels in a row of the frame.
    pub width: usize,
    /// Rows of the frame.
    pub height: usize,
    /// By descending detection score, at most 64.
    pub faces: Vec<Face>,
}

/// The model and the steps around it. May be used from several threads at once.
pub struct Pipeline {
    model: Model,
}

impl Pipeline {
    /// Loads a model folder onto a device.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        Ok(Self::new(Model::load(folder, device)?))
    }

    /// A pipeline around a model.
    pub fn new(model: Model) -> Self {
        Self { model }
    }

    /// What the model says about itself.
    pub fn card(&self) -> &Card {
        &self.model.card
    }

    /// Whether the networks run on the CPU, where several frames at once are worth it.
    pub fn runs_on_cpu(&self) -> bool {
        self.model.device.is_cpu()
    }

    /// The faces of a JPEG frame, by descending detection score.
    pub fn faces(&self, jpeg: &[u8]) -> Result<Vec<Face>, FrameError> {
        Ok(self.analyse(jpeg)?.faces)
    }

    /// The faces of a JPEG frame, and its size.
    pub fn analyse(&self, jpeg: &[u8]) -> Result<Analysis, FrameError> {
        let picture = Picture::decode(jpeg)?;
        let found = self.detect(&picture)?;
        let faces: Vec<(Detection, Crop)> = found
            .into_par_iter()
            .filter_map(|face| Crop::cut(&picture, &face.landmarks).map(|crop| (face, crop)))
            .collect();
        let crops: Vec<&Crop> = faces.iter().map(|(_, crop)| crop).collect();
        let embeddings = self.embed(&crops)?;
        let bounds: Vec<Rectangle> = faces.iter().map(|(face, _)| face.bounds).collect();
        let liveness = self.liveness(&picture, &bounds)?;
        let faces = faces.iter().zip(embeddings).zip(liveness);
        let faces = faces.map(|(((face, crop), embedding), liveness)| {
            let measures = Measures::of(face, crop);
            Face {
                quality: quality(face, &measures),
                bounds: face.bounds,
                landmarks: face.landmarks,
                score: face.score,
                measures,
                liveness,
                embedding,
            }
        });
        let faces = faces.collect();
        Ok(Analysis { width: picture.width, height: picture.height, faces })
    }

    /// The detector alone.
    pub fn detect(&self, picture: &Picture) -> Result<Vec<Detection>, FrameError> {
        Ok(detect::detect(&self.model.detector, picture, &self.model.device)?)
    }

    /// How probably each face of a picture is a living one; see [`liveness::judge`] for when that is not told.
    pub fn liveness(&self, picture: &Picture, faces: &[Rectangle]) -> Result<Vec<Option<f32>>, FrameError> {
        let Model { liveness, device, .. } = &self.model;
        let judge = |bounds: &Rectangle| liveness::judge(liveness, picture, *bounds, device);
        Ok(faces.par_iter().map(judge).collect::<Result<_, _>>()?)
    }

    /// The embedder alone: one embedding of length 1 for each crop.
    pub fn embed(&self, crops: &[&Crop]) -> Result<Vec<Vec<f32>>, FrameError> {
        if crops.is_empty() {
            return Ok(Vec::new());
        }
        let Model { embedder, device, .. } = &self.model;
        // On the CPU each face runs on its own thread; a device wants them together.
        let maps = if device.is_cpu() {
            let trunk = |crop: &&Crop| embedder.trunk(&crop.tensor(device)?);
            let maps: Result<Vec<_>, _> = crops.par_iter().map(trunk).collect();
            Tensor::cat(&maps?, 0)?
        } else {
            let crops: Result<Vec<_>, _> = crops.iter().map(|crop| crop.tensor(device)).collect();
            embedder.trunk(&Tensor::cat(&crops?, 0)?)?
        };
        let mut embeddings = embedder.head(&maps)?.to_vec2::<f32>()?;
        embeddings.iter_mut().try_for_each(|embedding| normalise(embedding))?;
        Ok(embeddings)
    }
}

fn normalise(embedding: &mut [f32]) -> Result<(), FrameError> {
    let length = embedding.iter().map(|value| value * value).sum::<f32>().sqrt();
    if !(length.is_finite() && length > 0.0) {
        return Err(FrameError::Internal("an embedding has no length".to_owned()));
    }
    embedding.iter_mut().for_each(|value| *value /= length);
    Ok(())
}
