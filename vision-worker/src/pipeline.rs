//! From the bytes of a frame to its faces: decode, detect, align, embed. Knows nothing of where frames come from.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

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

/// Pixels that a device searches at once, and faces that it embeds at once, so that its memory suffices.
#[cfg(feature = "cuda")]
const PIXELS_TOGETHER: usize = 32 << 20;
const FACES_TOGETHER: usize = 256;

/// A frame's pixels.
pub struct Seen {
    /// The picture itself.
    pub picture: Picture,
    /// Its bytes on the device, where the networks run on one.
    #[cfg(feature = "cuda")]
    on_device: Option<Tensor>,
}

/// The faces of a frame, cut out and measured.
pub struct Cut {
    width: usize,
    height: usize,
    faces: Vec<CutFace>,
}

struct CutFace {
    face: Detection,
    crop: Crop,
    measures: Measures,
    liveness: Option<f32>,
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
    /// Whose turn it is to embed on a device: its library of matrix products has room for one product's parts at a time.
    turn: Mutex<()>,
}

impl Pipeline {
    /// Loads a model folder onto a device.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        Ok(Self::new(Model::load(folder, device)?))
    }

    /// A pipeline around a model.
    pub fn new(model: Model) -> Self {
        Self { model, turn: Mutex::new(()) }
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
        let seen = self.see(jpeg)?;
        let found = self.find(&[&seen])?.pop().unwrap_or_default();
        let analysis = self.recognise(vec![self.cut(&seen, found)?])?.pop();
        analysis.ok_or_else(|| FrameError::Internal("this is a bug: a frame without an analysis".to_owned()))
    }

    /// The first step: a JPEG frame's pixels, on the device as well where the networks run on one.
    pub fn see(&self, jpeg: &[u8]) -> Result<Seen, FrameError> {
        let picture = Picture::decode(jpeg)?;
        #[cfg(feature = "cuda")]
        let on_device = match &self.model.device {
            Device::Cpu => None,
            device => Some(picture.tensor(device)?),
        };
        Ok(Seen {
            picture,
            #[cfg(feature = "cuda")]
            on_device,
        })
    }

    /// The second: the faces of each frame. On a device those of one size are searched together.
    pub fn find(&self, seen: &[&Seen]) -> Result<Vec<Vec<Detection>>, FrameError> {
        #[cfg(feature = "cuda")]
        if !self.runs_on_cpu() {
            return self.find_together(seen);
        }
        seen.iter().map(|seen| self.detect(&seen.picture)).collect()
    }

    #[cfg(feature = "cuda")]
    fn find_together(&self, seen: &[&Seen]) -> Result<Vec<Vec<Detection>>, FrameError> {
        use std::collections::BTreeMap;

        let mut sizes: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for (index, Seen { picture, .. }) in seen.iter().enumerate() {
            sizes.entry((picture.width, picture.height)).or_default().push(index);
        }
        let mut found = vec![Vec::new(); seen.len()];
        for ((width, height), members) in sizes {
            for members in members.chunks((PIXELS_TOGETHER / (width * height)).max(1)) {
                let pictures = members.iter().map(|&index| match &seen[index].on_device {
                    Some(picture) => Ok(picture.clone()),
                    None => seen[index].picture.tensor(&self.model.device),
                });
                let pictures = Tensor::stack(&pictures.collect::<Result<Vec<_>, _>>()?, 0)?;
                let faces = detect::detect_together(&self.model.detector, &pictures)?;
                members.iter().zip(faces).for_each(|(&index, faces)| found[index] = faces);
            }
        }
        Ok(found)
    }

    /// The third: the faces cut out of their frame and measured.
    pub fn cut(&self, seen: &Seen, found: Vec<Detection>) -> Result<Cut, FrameError> {
        let picture = &seen.picture;
        let crops = found.into_par_iter().filter_map(|face| {
            let crop = Crop::cut(picture, &face.landmarks)?;
            let measures = Measures::of(&face, &crop);
            Some((face, crop, measures))
        });
        let crops: Vec<_> = crops.collect();
        let bounds: Vec<Rectangle> = crops.iter().map(|(face, ..)| face.bounds).collect();
        let faces = crops.into_iter().zip(self.liveness(picture, &bounds)?);
        let faces = faces.map(|((face, crop, measures), liveness)| CutFace { face, crop, measures, liveness });
        Ok(Cut { width: picture.width, height: picture.height, faces: faces.collect() })
    }

    /// The last: the faces of several frames embedded.
    pub fn recognise(&self, frames: Vec<Cut>) -> Result<Vec<Analysis>, FrameError> {
        let crops: Vec<&Crop> = frames.iter().flat_map(|frame| frame.faces.iter().map(|face| &face.crop)).collect();
        let mut embeddings = self.embed(&crops)?.into_iter();
        let analysis = |Cut { width, height, faces }| {
            let faces = faces.into_iter().zip(embeddings.by_ref());
            let faces = faces.map(|(CutFace { face, measures, liveness, .. }, embedding)| Face {
                quality: quality(&face, &measures),
                bounds: face.bounds,
                landmarks: face.landmarks,
                score: face.score,
                measures,
                liveness,
                embedding,
            });
            Analysis { width, height, faces: faces.collect() }
        };
        Ok(frames.into_iter().map(analysis).collect())
    }

    /// The detector alone.
    pub fn detect(&self, picture: &Picture) -> Result<Vec<Detection>, FrameError> {
        Ok(detect::detect(&self.model.detector, picture, &self.model.device)?)
    }

    /// How probably each face of a picture is a living one; see [`liveness::judge`] for when that is not told.
    pub fn liveness(&self, picture: &Picture, faces: &[Rectangle]) -> Result<Vec<Option<f32>>, FrameError> {
        let judge = |bounds: &Rectangle| liveness::judge(&self.model.liveness, picture, *bounds);
        Ok(faces.par_iter().map(judge).collect::<Result<_, _>>()?)
    }

    /// The embedder alone: one embedding of length 1 for each crop.
    pub fn embed(&self, crops: &[&Crop]) -> Result<Vec<Vec<f32>>, FrameError> {
        if crops.is_empty() {
            return Ok(Vec::new());
        }
        let Model { embedder, device, .. } = &self.model;
        // On the CPU each face runs on its own thread; a device wants them together.
        let mut embeddings = if device.is_cpu() {
            let trunk = |crop: &&Crop| embedder.trunk(&crop.tensor(device)?);
            let maps: Result<Vec<_>, _> = crops.par_iter().map(trunk).collect();
            embedder.head(&Tensor::cat(&maps?, 0)?)?.to_vec2::<f32>()?
        } else {
            let mut embeddings = Vec::with_capacity(crops.len());
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            for crops in crops.chunks(FACES_TOGETHER) {
                embeddings.extend(embedder.forward(&Crop::tensor_of(crops, device)?)?.to_vec2::<f32>()?);
            }
            embeddings
        };
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
