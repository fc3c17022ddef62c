//! How usable a face is for recognition, 0 to 1: the geometric mean of four shares, so that one bad share cannot be
//! made up for by the others, and a share of 0 makes the whole 0.
//!
//! | share | 0 at | 1 at | why there |
//! |---|---|---|---|
//! | size: width of the face in the frame | 32 px | 112 px | measured on LFW: recognition holds down to 32 px and falls at 24; the embedder's crop is 112 px, more cannot help |
//! | detection score | 0.5 | 0.9 | the detector's threshold lies at 0.6; portraits score 0.9 and more |
//! | sharpness: variance of the Laplacian of the aligned crop's brightness, by its logarithm | 4 | 128 | see `SHARPNESS` |
//! | frontal: distance of the nose from the middle between the eyes along their line, in eye distances | 0.5 | 0.1 | at 0.5 the nose stands before an eye: a half profile |

use crate::align::{Crop, luma};
use crate::detect::Detection;
use crate::model::sface::SIDE;

const SIZE: (f32, f32) = (32.0, 112.0);
const SCORE: (f32, f32) = (0.5, 0.9);
/// In powers of two, 4 to 128: a choice that tells portraits from strongly blurred ones, not yet fitted to how
/// recognition fails on a gate's own frames.
const SHARPNESS: (f32, f32) = (2.0, 7.0);
const TURN: (f32, f32) = (0.5, 0.1);

/// How a face was photographed: what a photograph to be enrolled is judged by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measures {
    /// Variance of the Laplacian of the aligned crop's brightness.
    pub sharpness: f32,
    /// Mean brightness of the middle of the face, 0 to 255.
    pub brightness: f32,
    /// Mean distance between the strongest and the weakest primary colour in the middle of the face: 0 is grey.
    pub colour: f32,
    /// Distance of the nose from the middle between the eyes along their line, in eye distances: 0 is straight ahead.
    pub turn: f32,
    /// Share of the aligned crop that lies inside the picture, 0 to 1.
    pub visible: f32,
}

impl Measures {
    /// Measures a face and the crop that was cut from it.
    pub fn of(face: &Detection, crop: &Crop) -> Self {
        let (mut brightness, mut colour, mut count) = (0.0, 0.0, 0.0);
        for [red, green, blue] in crop.middle() {
            brightness += luma(red, green, blue);
            colour += red.max(green).max(blue) - red.min(green).min(blue);
            count += 1.0;
        }
        let (brightness, colour) = (brightness / count, colour / count);
        Self::new(face, [sharpness(crop), brightness, colour, crop.visible()])
    }

    /// Of a face whose crop has this sharpness, brightness, colour and visible share.
    pub fn new(face: &Detection, [sharpness, brightness, colour, visible]: [f32; 4]) -> Self {
        Self { sharpness, brightness, colour, turn: turn(face), visible }
    }
}

/// The quality of a face that was photographed so.
pub fn quality(face: &Detection, measures: &Measures) -> f32 {
    let shares = [
        share(face.bounds.width, SIZE),
        share(face.score, SCORE),
        share(measures.sharpness.max(1.0).log2(), SHARPNESS),
        share(measures.turn, TURN),
    ];
    shares.iter().product::<f32>().powf(0.25)
}

/// 0 at the first bound, 1 at the second, straight between them, and never outside of 0 to 1.
fn share(value: f32, (zero, one): (f32, f32)) -> f32 {
    let share = ((value - zero) / (one - zero)).clamp(0.0, 1.0);
    if share.is_nan() { 0.0 } else { share }
}

/// The variance of the Laplacian: a blurred picture has none.
fn sharpness(crop: &Crop) -> f32 {
    let grey = crop.grey();
    let at = |x: usize, y: usize| grey[y * SIDE + x];
    let (mut sum, mut squares) = (0.0_f64, 0.0_f64);
    for y in 1..SIDE - 1 {
        for x in 1..SIDE - 1 {
            let neighbours = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1);
            let value = f64::from(neighbours - 4.0 * at(x, y));
            sum += value;
            squares += value * value;
        }
    }
    let count = ((SIDE - 2) * (SIDE - 2)) as f64;
    (squares / count - (sum / count).powi(2)) as f32
}

/// How far the face is turned to the side: 0 is straight ahead.
fn turn(face: &Detection) -> f32 {
    let [left, right, nose, ..] = face.landmarks;
    let (x, y) = (right.x - left.x, right.y - left.y);
    let along = (nose.x - left.x) * x + (nose.y - left.y) * y;
    (along / (x * x + y * y) - 0.5).abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::TEMPLATE;
    use crate::geometry::Rectangle;

    fn face(width: f32) -> Detection {
        let bounds = Rectangle { width, height: width, ..Rectangle::default() };
        Detection { bounds, landmarks: TEMPLATE, score: 0.95 }
    }

    fn chequered() -> Crop {
        Crop::from_planes((0..3 * SIDE * SIDE).map(|index| 40.0 * (index % 3) as f32).collect())
    }

    fn judged(face: &Detection, crop: &Crop) -> f32 {
        quality(face, &Measures::of(face, crop))
    }

    #[test]
    fn a_large_sharp_frontal_face_is_perfect() {
        assert_eq!(judged(&face(112.0), &chequered()), 1.0);
        assert_eq!(judged(&face(500.0), &chequered()), 1.0);
    }

    #[test]
    fn a_tiny_or_flat_or_turned_face_is_worthless() {
        assert_eq!(judged(&face(32.0), &chequered()), 0.0);
        assert_eq!(judged(&face(112.0), &Crop::from_planes(vec![90.0; 3 * SIDE * SIDE])), 0.0);
        let mut turned = face(112.0);
        turned.landmarks[2] = turned.landmarks[0];
        assert_eq!(judged(&turned, &chequered()), 0.0);
    }

    #[test]
    fn quality_grows_with_size() {
        let at = |width| judged(&face(width), &chequered());
        assert!(at(40.0) < at(64.0) && at(64.0) < at(100.0));
    }

    #[test]
    fn colour_and_brightness_are_those_of_the_middle() {
        let planes = [[200.0; SIDE * SIDE], [100.0; SIDE * SIDE], [50.0; SIDE * SIDE]].concat();
        let measures = Measures::of(&face(112.0), &Crop::from_planes(planes));
        assert!((measures.brightness - luma(200.0, 100.0, 50.0)).abs() < 0.01, "{measures:?}");
        assert!((measures.colour - 150.0).abs() < 0.01 && measures.turn < 0.01 && measures.visible == 1.0);
        let grey = Measures::of(&face(112.0), &chequered());
        assert_eq!(grey.sharpness, sharpness(&chequered()));
        assert_eq!(Measures::of(&face(112.0), &Crop::from_planes(vec![30.0; 3 * SIDE * SIDE])).colour, 0.0);
    }
}
