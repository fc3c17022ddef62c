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
#[cfg(feature = "cuda")]
use crate::model::cuda;
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

/// Faces that a device embeds at once, so that its memory suffices.
const FACES_TOGETHER: usize = 256;

/// A frame whose header was found good, on its way to the networks.
pub struct Seen {
    /// Width and height.
    #[cfg(feature = "cuda")]
    size: (usize, usize),
    pixels: Pixels,
}

enum Pixels {
    Here(Picture),
    /// Here, and `[height, width, 3]` bytes on the device.
    #[cfg(feature = "cuda")]
    OnDevice(Picture, Tensor),
    /// The device will decode this file.
    #[cfg(feature = "cuda")]
    File(Vec<u8>),
}

/// The faces of a frame, cut out and measured.
pub struct Cut {
    size: (usize, usize),
    faces: Vec<(Detection, Measures)>,
    liveness: Vec<Option<f32>>,
    crops: Crops,
}

/// As many crops as there are faces.
enum Crops {
    Here(Vec<Crop>),
    /// `[faces, 3, SIDE, SIDE]`.
    #[cfg(feature = "cuda")]
    OnDevice(Tensor),
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
    #[cfg(feature = "cuda")]
    decoder: Option<cuda::Decoder>,
}

impl Pipeline {
    /// Loads a model folder onto a device.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        Ok(Self::new(Model::load(folder, device)?))
    }

    /// A pipeline around a model.
    pub fn new(model: Model) -> Self {
        Self {
            model,
            turn: Mutex::new(()),
            #[cfg(feature = "cuda")]
            decoder: None,
        }
    }

    /// Has the device decode frames, where it can; see [`crate::cli::Decoding`].
    #[cfg(feature = "cuda")]
    pub fn decoding_on_device(mut self) -> Result<Self, FrameError> {
        let Device::Cuda(device) = &self.model.device else {
            return Err(FrameError::Internal("only a CUDA device decodes".to_owned()));
        };
        self.decoder = Some(cuda::Decoder::open(device)?);
        Ok(self)
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
        let cut = self.search(&[&seen]).into_iter().collect::<Result<_, _>>()?;
        let analysis = self.recognise(cut).pop();
        analysis.unwrap_or_else(|| Err(FrameError::Internal("this is a bug: a frame without an analysis".to_owned())))
    }

    /// The first step: a JPEG frame's pixels, on the device as well where the networks run on one. If the device decodes,
    /// files that it can decode are left to it.
    pub fn see(&self, jpeg: &[u8]) -> Result<Seen, FrameError> {
        #[cfg(feature = "cuda")]
        if let Some(decoder) = &self.decoder
            // Liveness is judged on the CPU, from the pixels.
            && self.model.liveness.is_empty()
            && let Some(size) = Picture::plain(jpeg)?
            && decoder.takes(jpeg)
        {
            return Ok(Seen { size, pixels: Pixels::File(jpeg.to_vec()) });
        }
        self.seen(Picture::decode(jpeg)?)
    }

    fn seen(&self, picture: Picture) -> Result<Seen, FrameError> {
        #[cfg(feature = "cuda")]
        let size = (picture.width, picture.height);
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = &self.model.device {
            let on_device = cuda::upload(device, &picture.rgb, (picture.height, picture.width, 3))?;
            return Ok(Seen { size, pixels: Pixels::OnDevice(picture, on_device) });
        }
        Ok(Seen {
            #[cfg(feature = "cuda")]
            size,
            pixels: Pixels::Here(picture),
        })
    }

    /// The second: the faces of each frame, cut out and measured. On a device frames of one size are searched together.
    pub fn search(&self, seen: &[&Seen]) -> Vec<Result<Cut, FrameError>> {
        #[cfg(feature = "cuda")]
        if !self.runs_on_cpu() {
            return self.search_together(seen);
        }
        let search = |seen: &&Seen| match &seen.pixels {
            Pixels::Here(picture) => self.cut(picture, self.detect(picture)?),
            #[cfg(feature = "cuda")]
            _ => Err(FrameError::Internal("this is a bug: pixels on a device".to_owned())),
        };
        seen.iter().map(search).collect()
    }

    fn cut(&self, picture: &Picture, found: Vec<Detection>) -> Result<Cut, FrameError> {
        let crops = found.into_par_iter().filter_map(|face| {
            let crop = Crop::cut(picture, &face.landmarks)?;
            let measures = Measures::of(&face, &crop);
            Some(((face, measures), crop))
        });
        let (faces, crops): (Vec<_>, Vec<_>) = crops.unzip();
        let bounds: Vec<Rectangle> = faces.iter().map(|(face, _)| face.bounds).collect();
        let liveness = self.liveness(picture, &bounds)?;
        Ok(Cut { size: (picture.width, picture.height), faces, liveness, crops: Crops::Here(crops) })
    }

    /// The last: the faces of several frames embedded.
    pub fn recognise(&self, frames: Vec<Cut>) -> Vec<Result<Analysis, FrameError>> {
        let mut numbers = match self.numbers_of_all(&frames) {
            Ok(numbers) => numbers.into_iter(),
            Err(error) => return frames.iter().map(|_| Err(error.clone())).collect(),
        };
        let analysis = |cut: Cut| {
            // Taken before anything can fail, so that the next frame finds its own.
            let numbers: Vec<_> = numbers.by_ref().take(cut.faces.len()).collect();
            cut.recognised(numbers)
        };
        frames.into_iter().map(analysis).collect()
    }

    /// What the embedder says of all faces of all frames, one after the other.
    fn numbers_of_all(&self, frames: &[Cut]) -> Result<Vec<Vec<f32>>, FrameError> {
        let mut here = Vec::new();
        #[cfg(feature = "cuda")]
        let mut on_device = Vec::new();
        for frame in frames.iter().filter(|frame| !frame.faces.is_empty()) {
            match &frame.crops {
                Crops::Here(crops) => here.extend(crops),
                #[cfg(feature = "cuda")]
                Crops::OnDevice(crops) => on_device.push(crops),
            }
        }
        #[cfg(feature = "cuda")]
        if !on_device.is_empty() {
            return self.numbers_on_device(&Tensor::cat(&on_device, 0)?);
        }
        self.numbers(&here)
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
        self.numbers(crops)?.into_iter().map(normalised).collect()
    }

    /// What the embedder says of each crop: an embedding of no particular length.
    fn numbers(&self, crops: &[&Crop]) -> Result<Vec<Vec<f32>>, FrameError> {
        if crops.is_empty() {
            return Ok(Vec::new());
        }
        let Model { embedder, device, .. } = &self.model;
        if !device.is_cpu() {
            return self.numbers_on_device(&Crop::tensor_of(crops, device)?);
        }
        // Each face runs on its own thread.
        let trunk = |crop: &&Crop| embedder.trunk(&crop.tensor(device)?);
        let maps: Result<Vec<_>, _> = crops.par_iter().map(trunk).collect();
        Ok(embedder.head(&Tensor::cat(&maps?, 0)?)?.to_vec2()?)
    }

    /// As [`Pipeline::numbers`], for crops `[n, 3, SIDE, SIDE]` that a device has.
    fn numbers_on_device(&self, crops: &Tensor) -> Result<Vec<Vec<f32>>, FrameError> {
        let count = crops.dim(0)?;
        let mut embeddings = Vec::with_capacity(count);
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for first in (0..count).step_by(FACES_TOGETHER) {
            let crops = crops.narrow(0, first, FACES_TOGETHER.min(count - first))?;
            let numbers = self.model.embedder.forward(&crops)?.flatten_all()?.to_vec1::<f32>()?;
            embeddings.extend(numbers.chunks_exact(self.card().embedder.dimension).map(<[f32]>::to_vec));
        }
        Ok(embeddings)
    }
}

impl Cut {
    /// The frame with its faces' embeddings, as the embedder put them out.
    fn recognised(self, numbers: Vec<Vec<f32>>) -> Result<Analysis, FrameError> {
        let (width, height) = self.size;
        let faces = self.faces.into_iter().zip(self.liveness).zip(numbers);
        let faces = faces.map(|(((face, measures), liveness), numbers)| {
            Ok(Face {
                quality: quality(&face, &measures),
                bounds: face.bounds,
                landmarks: face.landmarks,
                score: face.score,
                measures,
                liveness,
                embedding: normalised(numbers)?,
            })
        });
        Ok(Analysis { width, height, faces: faces.collect::<Result<_, FrameError>>()? })
    }
}

#[cfg(feature = "cuda")]
mod together;

fn normalised(mut embedding: Vec<f32>) -> Result<Vec<f32>, FrameError> {
    let length = embedding.iter().map(|value| value * value).sum::<f32>().sqrt();
    if !(length.is_finite() && length > 0.0) {
        return Err(FrameError::Internal("an embedding has no length".to_owned()));
    }
    embedding.iter_mut().for_each(|value| *value /= length);
    Ok(embedding)
}
