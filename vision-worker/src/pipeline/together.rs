//! Searching many frames at once on a device: decoded there or brought there, and cut there.

use std::collections::BTreeMap;

use candle_core::Tensor;
use rayon::prelude::*;

use super::{Crops, Cut, FrameError, Pipeline, Pixels, Seen};
use crate::align::Placement;
use crate::detect::{self, Detection};
use crate::geometry::Rectangle;
use crate::image::Picture;
use crate::model::cuda;
use crate::quality::Measures;

/// Pixels that are searched at once, so that the device's memory suffices.
const PIXELS_MAX: usize = 32 << 20;

impl Pipeline {
    /// Frames of one size are searched together. What goes wrong with them on the device goes wrong for all of those.
    pub(super) fn search_together(&self, seen: &[&Seen]) -> Vec<Result<Cut, FrameError>> {
        let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, Seen { size, pixels }) in seen.iter().enumerate() {
            alike.entry((*size, matches!(pixels, Pixels::File(_)))).or_default().push(index);
        }
        let mut cut = BTreeMap::new();
        for (((width, height), _), members) in alike {
            for members in members.chunks((PIXELS_MAX / (width * height)).max(1)) {
                let frames: Vec<&Seen> = members.iter().map(|&index| seen[index]).collect();
                let found = self.search_alike(&frames, width, height);
                cut.extend(members.iter().copied().zip(found));
            }
        }
        cut.into_values().collect()
    }

    fn search_alike(&self, frames: &[&Seen], width: usize, height: usize) -> Vec<Result<Cut, FrameError>> {
        let files: Vec<&[u8]> = frames.iter().filter_map(|seen| seen.pixels.file()).collect();
        let pictures = if files.len() == frames.len() {
            match self.decode_together(&files, width, height) {
                Ok(pictures) => Ok(pictures),
                // One of them is spoilt. The CPU's decoder says which.
                Err(error) => {
                    tracing::debug!(%error, frames = files.len(), "the device could not decode");
                    return self.search_apart(&files);
                }
            }
        } else {
            let pictures: Vec<&Tensor> = frames.iter().filter_map(|seen| seen.pixels.on_device()).collect();
            Tensor::stack(&pictures, 0).map_err(FrameError::from)
        };
        match pictures.and_then(|pictures| self.cut_together(&pictures, frames)) {
            Ok(cut) => cut.into_iter().map(Ok).collect(),
            Err(error) => frames.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn decode_together(&self, files: &[&[u8]], width: usize, height: usize) -> Result<Tensor, FrameError> {
        let Some(decoder) = &self.decoder else {
            return Err(FrameError::Internal("this is a bug: no decoder".to_owned()));
        };
        Ok(decoder.decode(files, width, height)?)
    }

    /// Files decoded on the CPU after all, each by itself.
    fn search_apart(&self, files: &[&[u8]]) -> Vec<Result<Cut, FrameError>> {
        let seen: Vec<Result<Seen, FrameError>> =
            files.par_iter().map(|file| self.seen(Picture::decode(file)?)).collect();
        let search = |seen: Result<Seen, FrameError>| {
            let seen = seen?;
            let mut cut = self.search_alike(&[&seen], seen.size.0, seen.size.1);
            cut.pop().unwrap_or_else(|| Err(FrameError::Internal("this is a bug: a frame without faces".to_owned())))
        };
        seen.into_iter().map(search).collect()
    }

    /// Finds and cuts the faces of pictures that the device has.
    fn cut_together(&self, pictures: &Tensor, frames: &[&Seen]) -> Result<Vec<Cut>, FrameError> {
        let found = detect::detect_together(&self.model.detector, pictures)?;
        let placed = |face: Detection| Placement::of(&face.landmarks).map(|placement| (face, placement));
        let found: Vec<Vec<_>> =
            found.into_iter().map(|faces| faces.into_iter().filter_map(placed).collect()).collect();
        let all = found.iter().enumerate().flat_map(|(index, faces)| faces.iter().map(move |face| (index, face.1)));
        let all: Vec<_> = all.collect();
        let cut = if all.is_empty() { None } else { Some(cuda::cut(pictures, &all)?) };
        let measures = cut.as_ref().map(|(_, measures)| measures.flatten_all()?.to_vec1::<f32>()).transpose()?;
        let measures = measures.unwrap_or_default();
        let (mut measures, mut first) = (measures.as_chunks::<4>().0.iter(), 0);
        let frames = frames.iter().zip(found).map(|(seen, faces)| {
            let crops = match &cut {
                Some((crops, _)) => Crops::OnDevice(crops.narrow(0, first, faces.len())?),
                None => Crops::Here(vec![]),
            };
            first += faces.len();
            let bounds: Vec<Rectangle> = faces.iter().map(|(face, _)| face.bounds).collect();
            let faces = faces.into_iter().zip(&mut measures).map(|((face, _), numbers)| {
                let measures = Measures::new(&face, *numbers);
                (face, measures)
            });
            let faces = faces.collect();
            let liveness = match &seen.pixels {
                Pixels::Here(picture) | Pixels::OnDevice(picture, _) => self.liveness(picture, &bounds)?,
                // Not left to the device where somebody else looks at them.
                Pixels::File(_) => vec![None; bounds.len()],
            };
            Ok(Cut { size: seen.size, faces, liveness, crops })
        });
        frames.collect()
    }
}

impl Pixels {
    fn file(&self) -> Option<&[u8]> {
        match self {
            Self::File(file) => Some(file),
            _ => None,
        }
    }

    fn on_device(&self) -> Option<&Tensor> {
        match self {
            Self::OnDevice(_, pixels) => Some(pixels),
            _ => None,
        }
    }
}
