//! Draws what the pipeline sees onto pictures: bounds, the five landmarks, and the detection score. For people who set
//! up a camera; nothing here knows who anybody is.

use std::path::{Path, PathBuf};

use jpeg_encoder::{ColorType, Encoder};

use crate::draw::{Brush, Colour};
use crate::geometry::Point;
use crate::image::Picture;
use crate::{FrameError, Pipeline};

const BOUNDS: Colour = [60, 220, 60];
const LANDMARK: Colour = [255, 70, 70];

/// Of the JPEG files that are written.
const JPEG_QUALITY: u8 = 92;

/// Why a picture was not annotated.
#[derive(Debug, thiserror::Error)]
pub enum AnnotateError {
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A picture has no result.
    #[error("{}: {cause}", path.display())]
    Frame {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: FrameError,
    },
    /// A picture cannot be encoded.
    #[error("{}: {cause}", path.display())]
    Encode {
        /// The file that was to be written.
        path: PathBuf,
        /// Why.
        cause: jpeg_encoder::EncodingError,
    },
}

/// A picture to read and where to put it.
pub type Work = (PathBuf, PathBuf);

/// The pictures to annotate: one, or the JPEG files of a folder into another folder, which is made.
pub fn plan(from: &Path, to: &Path) -> Result<Vec<Work>, AnnotateError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        move |cause| AnnotateError::Io { path, cause }
    };
    if !from.is_dir() {
        return Ok(vec![(from.to_owned(), to.to_owned())]);
    }
    std::fs::create_dir_all(to).map_err(error(to))?;
    let mut work = Vec::new();
    for entry in std::fs::read_dir(from).map_err(error(from))? {
        let name = entry.map_err(error(from))?.file_name();
        if name.to_str().is_some_and(crate::evaluate::folder::is_jpeg) {
            work.push((from.join(&name), to.join(&name)));
        }
    }
    work.sort();
    Ok(work)
}

/// Annotates one picture, and says how many faces it has.
pub fn annotate(pipeline: &Pipeline, (from, to): &Work) -> Result<usize, AnnotateError> {
    let jpeg = std::fs::read(from).map_err(|cause| AnnotateError::Io { path: from.clone(), cause })?;
    let frame = |cause| AnnotateError::Frame { path: from.clone(), cause };
    let mut picture = Picture::decode(&jpeg).map_err(frame)?;
    let faces = pipeline.detect(&picture).map_err(frame)?;
    let mut brush = Brush::new(&mut picture);
    for face in &faces {
        brush.outline(face.bounds, BOUNDS);
        face.landmarks.iter().for_each(|&point| brush.dot(point, LANDMARK));
        let corner = Point { x: face.bounds.x, y: face.bounds.y };
        brush.number(&format!("{:.2}", face.score), corner, BOUNDS);
    }
    write(&picture, to)?;
    Ok(faces.len())
}

fn write(picture: &Picture, to: &Path) -> Result<(), AnnotateError> {
    // Decoded pictures are within JPEG's own bounds.
    let side = |length: usize| u16::try_from(length).expect("this is a bug: a side that no JPEG has");
    let mut file = Vec::new();
    Encoder::new(&mut file, JPEG_QUALITY)
        .encode(&picture.rgb, side(picture.width), side(picture.height), ColorType::Rgb)
        .map_err(|cause| AnnotateError::Encode { path: to.to_owned(), cause })?;
    std::fs::write(to, file).map_err(|cause| AnnotateError::Io { path: to.to_owned(), cause })
}
