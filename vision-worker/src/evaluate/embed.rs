//! From a folder's files to embeddings: the whole pipeline for each photograph, several photographs at once. Nothing
//! but the embedding of a photograph is kept.

use std::collections::BTreeMap;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use serde::Serialize;

use super::compare::Embedding;
use super::folder::LabelledFolder;
use crate::align::Crop;
use crate::detect::Detection;
use crate::image::Picture;
use crate::{FrameError, Pipeline};

/// Why a photograph has no embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The file cannot be read.
    UnreadableFile,
    /// Not a JPEG, or a truncated one.
    NotAJpeg,
    /// More pixels than are decoded.
    TooLarge,
    /// No face was found.
    NoFace,
    /// The face's landmarks are one point.
    NoAlignment,
    /// Nothing in it has a colour, so that its liveness is not judged.
    NoColours,
    /// The networks failed.
    Internal,
}

impl From<FrameError> for Failure {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::NotAJpeg => Self::NotAJpeg,
            FrameError::TooLarge { .. } => Self::TooLarge,
            FrameError::Internal(_) => Self::Internal,
        }
    }
}

/// What became of a folder's photographs.
pub struct Embedded {
    /// One a photograph, in the folder's order.
    pub embeddings: Vec<Option<Embedding>>,
    /// Why the missing ones are missing, by photograph.
    pub failures: BTreeMap<usize, Failure>,
    /// Photographs with more than one face.
    pub several_faces: usize,
}

/// Embeds every photograph of a folder on the current pool's threads, and shows how far it is on a terminal.
pub fn embed(pipeline: &Pipeline, folder: &LabelledFolder) -> Embedded {
    let bar = progress(folder.photographs.len() as u64);
    let one = |path: &Path| {
        let outcome = photograph(pipeline, path);
        bar.inc(1);
        outcome
    };
    let outcomes: Vec<Result<(Embedding, usize), Failure>> =
        folder.photographs.par_iter().map(|photograph| one(&folder.root.join(&photograph.path))).collect();
    bar.finish_and_clear();
    let mut embedded =
        Embedded { embeddings: Vec::with_capacity(outcomes.len()), failures: BTreeMap::new(), several_faces: 0 };
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok((embedding, faces)) => {
                embedded.embeddings.push(Some(embedding));
                embedded.several_faces += usize::from(faces > 1);
            }
            Err(failure) => {
                embedded.embeddings.push(None);
                embedded.failures.insert(index, failure);
            }
        }
    }
    embedded
}

/// A bar with what is left of the time, on standard error; nothing if that is no terminal.
pub fn progress(count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} photographs, {per_sec}, {eta} left")
        .expect("this is a bug: a template that cannot be understood");
    ProgressBar::new(count).with_style(style)
}

/// The embedding of the face nearest the photograph's centre, and how many faces there are.
fn photograph(pipeline: &Pipeline, path: &Path) -> Result<(Embedding, usize), Failure> {
    let jpeg = std::fs::read(path).map_err(|_| Failure::UnreadableFile)?;
    let picture = Picture::decode(&jpeg)?;
    drop(jpeg);
    let faces = pipeline.detect(&picture)?;
    let face = central(&faces, &picture).ok_or(Failure::NoFace)?;
    let crop = Crop::cut(&picture, &face.landmarks).ok_or(Failure::NoAlignment)?;
    let mut embeddings = pipeline.embed(&[&crop])?;
    Ok((embeddings.swap_remove(0).into_boxed_slice(), faces.len()))
}

/// The face whose middle is nearest to the picture's.
pub fn central<'a>(faces: &'a [Detection], picture: &Picture) -> Option<&'a Detection> {
    let apart = |face: &Detection| {
        let bounds = face.bounds;
        let x = bounds.x + bounds.width / 2.0 - picture.width as f32 / 2.0;
        let y = bounds.y + bounds.height / 2.0 - picture.height as f32 / 2.0;
        x.hypot(y)
    };
    faces.iter().min_by(|a, b| apart(a).total_cmp(&apart(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Point, Rectangle};

    #[test]
    fn the_face_nearest_the_centre_is_taken_whatever_its_score() {
        let face = |x: f32, score: f32| Detection {
            bounds: Rectangle { x, y: 40.0, width: 20.0, height: 20.0 },
            landmarks: [Point::default(); 5],
            score,
        };
        let picture = Picture { width: 100, height: 100, rgb: Vec::new() };
        let faces = [face(0.0, 0.95), face(45.0, 0.7), face(80.0, 0.9)];
        assert_eq!(central(&faces, &picture), Some(&faces[1]));
        assert_eq!(central(&[], &picture), None);
    }
}
