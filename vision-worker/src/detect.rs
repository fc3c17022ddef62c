//! Finding faces: the detector's passes over a picture, its cells decoded into faces, and one face kept where several
//! cells found the same.

#[cfg(feature = "cuda")]
use candle_core::Tensor;
use candle_core::{Device, Result};

use crate::geometry::{Point, Rectangle};
use crate::image::Picture;
#[cfg(feature = "cuda")]
use crate::model::yunet;
use crate::model::yunet::{CHANNELS, STRIDES, Yunet};

/// A cell below this score is no face.
const SCORE_MIN: f32 = 0.6;

/// Of two faces that overlap more, the one with the lower score is dropped.
const OVERLAP_MAX: f32 = 0.3;

/// The most faces of one frame, by score.
pub const FACES_MAX: usize = 64;

/// Larger pictures are searched at this long side: a face that is recognisable at 32 pixels in a 4K frame is still
/// found, and no frame takes longer than this.
const LONG_SIDE_MAX: usize = 1280;

/// The detector was trained on faces of 10 to 300 pixels. Where a larger one fits, the picture is searched a second
/// time at a quarter of its size, and that pass answers for the faces that the first is not good at.
const FIRST_PASS_MAX: f32 = 300.0;
const CLOSE_UP_MIN: f32 = 200.0;
const CLOSE_UP_SHRINK: usize = 4;

/// A face that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Around the face.
    pub bounds: Rectangle,
    /// Eye at the picture's left, eye at its right, nose tip, mouth corner at its left, mouth corner at its right.
    pub landmarks: [Point; 5],
    /// 0 to 1.
    pub score: f32,
}

/// The sizes, width and height, at which a picture is searched.
struct Passes {
    first: (usize, usize),
    close_up: Option<(usize, usize)>,
}

impl Passes {
    fn over(width: usize, height: usize) -> Self {
        let long_side = width.max(height);
        let bounded = |side: usize| (side * LONG_SIDE_MAX / long_side).max(1);
        let first = if long_side > LONG_SIDE_MAX { (bounded(width), bounded(height)) } else { (width, height) };
        let has_room = first.0.min(first.1) as f32 > CLOSE_UP_MIN;
        Self { first, close_up: has_room.then_some((first.0 / CLOSE_UP_SHRINK, first.1 / CLOSE_UP_SHRINK)) }
    }

    /// What both passes found, in pixels of the picture.
    fn joined(&self, first: Vec<Detection>, close_ups: Vec<Detection>, size: (usize, usize)) -> Vec<Detection> {
        let mut found = first;
        if let Some(close_up) = self.close_up {
            let scale = between(close_up, self.first);
            found.retain(|face| face.bounds.width <= FIRST_PASS_MAX);
            let close_ups = close_ups.into_iter().map(|face| face.scaled(scale));
            found.extend(close_ups.filter(|face| face.bounds.width >= CLOSE_UP_MIN));
        }
        let scale = between(self.first, size);
        distinct(found).into_iter().map(|face| face.scaled(scale)).collect()
    }
}

/// Finds the faces of a picture, by descending score, at most `FACES_MAX`.
pub fn detect(network: &Yunet, picture: &Picture, device: &Device) -> Result<Vec<Detection>> {
    let size = (picture.width, picture.height);
    let passes = Passes::over(picture.width, picture.height);
    let bounded = (passes.first != size).then(|| picture.shrink(passes.first.0, passes.first.1));
    let searched = bounded.as_ref().unwrap_or(picture);
    let first = pass(network, searched, device)?;
    let close_ups = match passes.close_up {
        Some((width, height)) => pass(network, &searched.shrink(width, height), device)?,
        None => vec![],
    };
    Ok(passes.joined(first, close_ups, size))
}

/// Finds the faces of each of the pictures `[n, height, width, 3]` on a CUDA device, which makes the smaller ones itself.
#[cfg(feature = "cuda")]
pub fn detect_together(network: &Yunet, pictures: &Tensor) -> Result<Vec<Vec<Detection>>> {
    use crate::model::cuda::shrink;

    let (_, height, width, _) = pictures.dims4()?;
    let passes = Passes::over(width, height);
    let shrunk = |pictures: &Tensor, (width, height)| shrink(pictures, (height, width));
    let searched = if passes.first == (width, height) { pictures.clone() } else { shrunk(pictures, passes.first)? };
    let first = pass_together(network, &searched)?;
    let close_ups = match passes.close_up {
        Some(size) => pass_together(network, &shrunk(&searched, size)?)?,
        None => vec![vec![]; first.len()],
    };
    let found = first.into_iter().zip(close_ups);
    Ok(found.map(|(first, close_ups)| passes.joined(first, close_ups, (width, height))).collect())
}

/// As [`pass`], for pictures of one size on a CUDA device.
#[cfg(feature = "cuda")]
fn pass_together(network: &Yunet, pictures: &Tensor) -> Result<Vec<Vec<Detection>>> {
    // The device's arithmetic may differ by a little; whether a cell is above the threshold is decided here.
    const MARGIN: f32 = 0.001;

    let (_, height, width, _) = pictures.dims4()?;
    let likely = yunet::likely(&network.cells_together(pictures)?, SCORE_MIN - MARGIN)?;
    let found = likely.into_iter().map(|levels| {
        let mut found = Vec::new();
        for (level, stride) in levels.iter().zip(STRIDES) {
            let cells = level.cells.iter().map(|(place, values)| (*place, values));
            decode(cells, level.columns, stride, &mut found);
        }
        found.retain(|face| is_inside(face, width, height));
        found
    });
    Ok(found.collect())
}

/// One pass of the network, at the picture's own size: every cell above the threshold, in no order.
fn pass(network: &Yunet, picture: &Picture, device: &Device) -> Result<Vec<Detection>> {
    let mut found = Vec::new();
    for (cells, stride) in network.cells(picture, device)?.iter().zip(STRIDES) {
        decode(cells.values.as_chunks().0.iter().enumerate(), cells.columns, stride, &mut found);
    }
    found.retain(|face| is_inside(face, picture.width, picture.height));
    Ok(found)
}

/// The border that fills up the sides can hold no face.
fn is_inside(face: &Detection, width: usize, height: usize) -> bool {
    face.bounds.x < width as f32 && face.bounds.y < height as f32
}

/// A face out of each cell above the threshold, of cells with their places.
fn decode<'a>(
    cells: impl Iterator<Item = (usize, &'a [f32; CHANNELS])>,
    columns: usize,
    stride: usize,
    found: &mut Vec<Detection>,
) {
    let step = stride as f32;
    for (cell, values) in cells {
        let score = (sigmoid(values[0]) * sigmoid(values[1])).sqrt();
        if score.is_nan() || score < SCORE_MIN {
            continue;
        }
        let (row, column) = ((cell / columns) as f32, (cell % columns) as f32);
        let point =
            |channel: usize| Point { x: (column + values[channel]) * step, y: (row + values[channel + 1]) * step };
        let centre = point(2);
        let (width, height) = (values[4].exp() * step, values[5].exp() * step);
        let bounds = Rectangle { x: centre.x - width / 2.0, y: centre.y - height / 2.0, width, height };
        found.push(Detection { bounds, landmarks: std::array::from_fn(|index| point(6 + 2 * index)), score });
    }
}

/// The faces by descending score, without those that overlap a better one.
fn distinct(mut found: Vec<Detection>) -> Vec<Detection> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    for face in found {
        if kept.len() == FACES_MAX {
            break;
        }
        if kept.iter().all(|better| better.bounds.overlap(&face.bounds) <= OVERLAP_MAX) {
            kept.push(face);
        }
    }
    kept
}

fn between(from: (usize, usize), to: (usize, usize)) -> (f32, f32) {
    (to.0 as f32 / from.0 as f32, to.1 as f32 / from.1 as f32)
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Detection {
    fn scaled(self, (x, y): (f32, f32)) -> Self {
        Self {
            bounds: self.bounds.scaled(x, y),
            landmarks: self.landmarks.map(|point| point.scaled(x, y)),
            score: self.score,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, score: f32) -> Detection {
        let bounds = Rectangle { x, y: 0.0, width: 10.0, height: 10.0 };
        Detection { bounds, landmarks: [Point::default(); 5], score }
    }

    #[test]
    fn the_better_of_two_overlapping_faces_is_kept() {
        let kept = distinct(vec![face(2.0, 0.7), face(0.0, 0.9), face(30.0, 0.8)]);
        assert_eq!(kept, [face(0.0, 0.9), face(30.0, 0.8)]);
    }

    #[test]
    fn no_frame_has_more_than_64_faces() {
        let crowd = (0..100).map(|index| face(20.0 * index as f32, 0.6 + 0.001 * index as f32)).collect();
        let kept = distinct(crowd);
        assert_eq!(kept.len(), FACES_MAX);
        assert_eq!(kept[0].bounds.x, 1980.0);
    }

    #[test]
    fn a_cell_becomes_a_face() {
        let mut values = vec![0.0; CHANNELS * 4];
        let mut set = |channel: usize, value: f32| values[3 * CHANNELS + channel] = value;
        set(0, 20.0);
        set(1, 20.0);
        set(2, 0.5);
        set(4, 2.0_f32.ln());
        set(6, 0.25);
        let mut found = Vec::new();
        decode(values.as_chunks().0.iter().enumerate(), 2, 8, &mut found);
        assert_eq!(found.len(), 1);
        let bounds = found[0].bounds;
        assert!((bounds.x - 4.0).abs() < 1e-4 && (bounds.y - 4.0).abs() < 1e-4, "{bounds:?}");
        assert!((bounds.width - 16.0).abs() < 1e-4 && (bounds.height - 8.0).abs() < 1e-4);
        assert_eq!(found[0].landmarks[0], Point { x: 10.0, y: 8.0 });
    }
}
