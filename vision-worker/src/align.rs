//! Five-point alignment: the similarity that brings a face's points closest to those of the embedder's template, and
//! the crop that it cuts out of the full-resolution picture.

use candle_core::{Device, Result, Tensor};

use crate::geometry::Point;
use crate::image::Picture;
use crate::model::sface::SIDE;

/// Where the eyes, the nose tip and the mouth corners of an aligned face lie in the crop. These are the coordinates
/// that the embedder was trained with.
pub const TEMPLATE: [Point; 5] = [
    Point { x: 38.2946, y: 51.6963 },
    Point { x: 73.5318, y: 51.5014 },
    Point { x: 56.0252, y: 71.7366 },
    Point { x: 41.5493, y: 92.3655 },
    Point { x: 70.7299, y: 92.2041 },
];

/// Samples along each side of a crop's pixel for a face that is many times larger than the crop; without them, fine
/// structure of a close-up turns into noise.
const SAMPLES_MAX: f32 = 8.0;

/// Columns and rows of a crop that the middle of a face covers: from brow to chin, from temple to temple.
const MIDDLE: (std::ops::Range<usize>, std::ops::Range<usize>) = (25..87, 20..100);

/// A rotation, one scale and a shift: `(x, y)` goes to `(a x - b y + dx, b x + a y + dy)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    a: f32,
    b: f32,
    dx: f32,
    dy: f32,
}

impl Similarity {
    /// The one with the least squared distance between the moved `from` and `to`; `None` if all points of `from` are
    /// one. This is Umeyama's solution; in the plane, with points as complex numbers, it is a single quotient.
    pub fn between(from: &[Point; 5], to: &[Point; 5]) -> Option<Self> {
        let (from_mean, to_mean) = (mean(from), mean(to));
        let (mut real, mut imaginary, mut spread) = (0.0, 0.0, 0.0);
        for (from, to) in from.iter().zip(to) {
            let (fx, fy) = (from.x - from_mean.x, from.y - from_mean.y);
            let (tx, ty) = (to.x - to_mean.x, to.y - to_mean.y);
            real += fx * tx + fy * ty;
            imaginary += fx * ty - fy * tx;
            spread += fx * fx + fy * fy;
        }
        let (a, b) = (real / spread, imaginary / spread);
        let turn = turned_by(a, b);
        let turned = turn.apply(from_mean);
        let found = Self { dx: to_mean.x - turned.x, dy: to_mean.y - turned.y, ..turn };
        (found.dx.is_finite() && found.dy.is_finite() && found.scale() > 0.0).then_some(found)
    }

    /// Where a point goes.
    pub fn apply(&self, point: Point) -> Point {
        Point { x: self.a * point.x - self.b * point.y + self.dx, y: self.b * point.x + self.a * point.y + self.dy }
    }

    /// How many times longer a line becomes.
    pub fn scale(&self) -> f32 {
        self.a.hypot(self.b)
    }
}

fn turned_by(a: f32, b: f32) -> Similarity {
    Similarity { a, b, dx: 0.0, dy: 0.0 }
}

fn mean(points: &[Point; 5]) -> Point {
    let sum = points.iter().fold(Point::default(), |sum, point| Point { x: sum.x + point.x, y: sum.y + point.y });
    sum.scaled(0.2, 0.2)
}

/// Where a crop lies in its picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    into_picture: Similarity,
    samples: usize,
}

impl Placement {
    /// Of the face with these landmarks; `None` if they are one point.
    pub fn of(landmarks: &[Point; 5]) -> Option<Self> {
        let into_picture = inverse(&Similarity::between(landmarks, &TEMPLATE)?);
        // A crop's pixel covers `scale` pixels of the picture along each side.
        let samples = into_picture.scale().round().clamp(1.0, SAMPLES_MAX) as usize;
        Some(Self { into_picture, samples })
    }

    /// The similarity that takes the crop's pixels into the picture, as `a`, `b`, `dx` and `dy` of [`Similarity`], and the
    /// samples along each side of a pixel.
    pub fn numbers(&self) -> [f32; 5] {
        let Similarity { a, b, dx, dy } = self.into_picture;
        [a, b, dx, dy, self.samples as f32]
    }
}

/// An aligned face: `SIDE * SIDE` pixels as three planes, red, green and blue, 0 to 255.
#[derive(Clone, PartialEq)]
pub struct Crop {
    planes: Vec<f32>,
    visible: f32,
}

impl Crop {
    /// A crop out of its three planes.
    pub fn from_planes(planes: Vec<f32>) -> Self {
        assert_eq!(planes.len(), 3 * SIDE * SIDE, "this is a bug: a crop of another size");
        Self { planes, visible: 1.0 }
    }

    /// Cuts a face out of the picture it was found in; `None` if its five points are one.
    pub fn cut(picture: &Picture, landmarks: &[Point; 5]) -> Option<Self> {
        let Placement { into_picture, samples } = Placement::of(landmarks)?;
        let offsets: Vec<f32> = (0..samples).map(|sample| (sample as f32 + 0.5) / samples as f32 - 0.5).collect();
        let share = 1.0 / (samples * samples) as f32;
        let mut planes = vec![0.0; 3 * SIDE * SIDE];
        let mut inside = 0;
        for index in 0..SIDE * SIDE {
            let (x, y) = ((index % SIDE) as f32, (index / SIDE) as f32);
            inside += usize::from(contains(picture, into_picture.apply(Point { x, y })));
            let mut sum = [0.0; 3];
            for dy in &offsets {
                for dx in &offsets {
                    let pixel = bilinear(picture, into_picture.apply(Point { x: x + dx, y: y + dy }));
                    for (sum, value) in sum.iter_mut().zip(pixel) {
                        *sum += value;
                    }
                }
            }
            for (channel, sum) in sum.into_iter().enumerate() {
                planes[channel * SIDE * SIDE + index] = sum * share;
            }
        }
        Some(Self { planes, visible: inside as f32 / (SIDE * SIDE) as f32 })
    }

    /// Which share of the crop lies inside the picture, 0 to 1; the rest is black.
    pub fn visible(&self) -> f32 {
        self.visible
    }

    /// The colours of the middle of the face, where hair, background and clothes are rare.
    pub fn middle(&self) -> impl Iterator<Item = [f32; 3]> + '_ {
        let pixels = MIDDLE.1.flat_map(|y| MIDDLE.0.map(move |x| y * SIDE + x));
        pixels.map(|index| [0, 1, 2].map(|channel| self.planes[channel * SIDE * SIDE + index]))
    }

    /// The crop as a batch of one.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        Tensor::from_slice(&self.planes, (1, 3, SIDE, SIDE), device)
    }

    /// Several crops as one batch.
    pub fn tensor_of(crops: &[&Self], device: &Device) -> Result<Tensor> {
        let planes: Vec<f32> = crops.iter().flat_map(|crop| &crop.planes).copied().collect();
        Tensor::from_vec(planes, (crops.len(), 3, SIDE, SIDE), device)
    }

    /// The brightness of each pixel, 0 to 255, row by row (Rec. 601 weights).
    pub fn grey(&self) -> Vec<f32> {
        let (red, rest) = self.planes.split_at(SIDE * SIDE);
        let (green, blue) = rest.split_at(SIDE * SIDE);
        red.iter().zip(green).zip(blue).map(|((red, green), blue)| luma(*red, *green, *blue)).collect()
    }
}

/// The brightness of a colour (Rec. 601 weights).
pub fn luma(red: f32, green: f32, blue: f32) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// The similarity that undoes another one.
fn inverse(forward: &Similarity) -> Similarity {
    let square = forward.a * forward.a + forward.b * forward.b;
    let back = turned_by(forward.a / square, -forward.b / square);
    let origin = back.apply(Point { x: forward.dx, y: forward.dy });
    Similarity { dx: -origin.x, dy: -origin.y, ..back }
}

fn contains(picture: &Picture, at: Point) -> bool {
    let within = |value: f32, length: usize| value >= -0.5 && value < length as f32 - 0.5;
    within(at.x, picture.width) && within(at.y, picture.height)
}

/// The colour between four pixels; black outside of the picture.
fn bilinear(picture: &Picture, at: Point) -> [f32; 3] {
    let inside = |at: f32, length: usize| 0.0 <= at && at < length as f32 - 1.0;
    if !(inside(at.x, picture.width) && inside(at.y, picture.height)) {
        return bilinear_at_border(picture, at);
    }
    let (left, top) = (at.x as usize, at.y as usize);
    let (dx, dy) = (at.x - left as f32, at.y - top as f32);
    let start = (top * picture.width + left) * 3;
    let upper = &picture.rgb[start..][..6];
    let lower = &picture.rgb[start + picture.width * 3..][..6];
    let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
    std::array::from_fn(|colour| {
        let between = |row: &[u8]| mix(f32::from(row[colour]), f32::from(row[colour + 3]), dx);
        mix(between(upper), between(lower), dy)
    })
}

/// As above, where some of the four may be missing.
fn bilinear_at_border(picture: &Picture, at: Point) -> [f32; 3] {
    let (left, top) = (at.x.floor(), at.y.floor());
    let (right_share, bottom_share) = (at.x - left, at.y - top);
    let mut colour = [0.0; 3];
    for (dy, y_share) in [(0.0, 1.0 - bottom_share), (1.0, bottom_share)] {
        for (dx, x_share) in [(0.0, 1.0 - right_share), (1.0, right_share)] {
            let (x, y) = (left + dx, top + dy);
            if x < 0.0 || y < 0.0 || x >= picture.width as f32 || y >= picture.height as f32 {
                continue;
            }
            let start = (y as usize * picture.width + x as usize) * 3;
            for (colour, &byte) in colour.iter_mut().zip(&picture.rgb[start..start + 3]) {
                *colour += x_share * y_share * f32::from(byte);
            }
        }
    }
    colour
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_and_scaled_template_is_brought_back() {
        let moved = Similarity { a: 1.2, b: -0.7, dx: 30.0, dy: -12.0 };
        let points = TEMPLATE.map(|point| moved.apply(point));
        let back = Similarity::between(&points, &TEMPLATE).unwrap();
        for (point, expected) in points.iter().zip(TEMPLATE) {
            let found = back.apply(*point);
            assert!((found.x - expected.x).abs() < 1e-3 && (found.y - expected.y).abs() < 1e-3);
        }
        assert!((back.scale() * moved.scale() - 1.0).abs() < 1e-5);
        let there = inverse(&back).apply(TEMPLATE[0]);
        assert!((there.x - points[0].x).abs() < 1e-2 && (there.y - points[0].y).abs() < 1e-2);
    }

    #[test]
    fn five_equal_points_have_no_alignment() {
        let points = [Point { x: 3.0, y: 4.0 }; 5];
        assert_eq!(Similarity::between(&points, &TEMPLATE), None);
    }

    #[test]
    fn a_face_at_the_template_is_cut_out_unchanged() {
        let rgb = (0..SIDE * SIDE * 3).map(|index| (index % 251) as u8).collect();
        let picture = Picture { width: SIDE, height: SIDE, rgb };
        let crop = Crop::cut(&picture, &TEMPLATE).unwrap();
        for index in [0, 57, SIDE * SIDE / 2 + 11] {
            assert!((crop.planes[index] - f32::from(picture.rgb[index * 3])).abs() < 0.1, "{index}");
        }
    }
}
