//! Is it a face, or a picture of one? What each network is shown, and what they say together.

use candle_core::{Device, Result, Tensor};

use crate::geometry::Rectangle;
use crate::image::Picture;
use crate::model::minifasnet::{Minifasnet, SIDE};

/// From this probability on, a face is taken for a living one. The authors take the most probable of three classes,
/// which this is whenever it is a half and more.
pub const LIVE_MIN: f32 = 0.5;

/// Mean distance between the strongest and the weakest primary colour, below which a crop has no colours: the platform's
/// bound for photographs to be enrolled. Grey photographs have 0.
const COLOUR_MIN: f32 = 6.0;

/// The mean over the networks of how probably the face is a living one; none without networks, and none where the face
/// and all around it is grey, as at night before an infrared camera: to the networks, who learned in colour, every grey
/// face is a print. Each network is shown
/// the face with as much around it as its scale says: a screen's edge tells more than the skin.
pub fn judge(networks: &[(Minifasnet, f32)], picture: &Picture, face: Rectangle) -> Result<Option<f32>> {
    if networks.is_empty() {
        return Ok(None);
    }
    let crops: Vec<Vec<f32>> = networks.iter().map(|(_, scale)| crop(picture, face, *scale)).collect();
    if crops.iter().all(|crop| colour(crop) < COLOUR_MIN) {
        return Ok(None);
    }
    let mut sum = 0.0;
    for ((network, _), crop) in networks.iter().zip(crops) {
        let crop = Tensor::from_vec(crop, (1, 3, SIDE, SIDE), &Device::Cpu)?;
        sum += network.forward(&crop)?.iter().sum::<f32>();
    }
    Ok(Some(sum / networks.len() as f32))
}

/// A face and what is around it: `SIDE * SIDE` pixels as three planes, blue, green and red, 0 to 255.
pub fn crop(picture: &Picture, face: Rectangle, scale: f32) -> Vec<f32> {
    let (columns, rows) = around(picture, face, scale);
    let [across, down] = [&columns, &rows].map(Sample::over);
    let mut planes = vec![0.0; 3 * SIDE * SIDE];
    for (y, row) in down.iter().enumerate() {
        for (x, column) in across.iter().enumerate() {
            let pixel = |x: usize, y: usize| &picture.rgb[(y * picture.width + x) * 3..][..3];
            let corners = [row.first, row.second].map(|y| [column.first, column.second].map(|x| pixel(x, y)));
            for colour in 0..3 {
                let [upper, lower] = corners.map(|[left, right]| {
                    let (left, right) = (f32::from(left[colour]), f32::from(right[colour]));
                    left + (right - left) * column.share
                });
                // The networks have seen whole numbers only.
                planes[((2 - colour) * SIDE + y) * SIDE + x] = (upper + (lower - upper) * row.share).round();
            }
        }
    }
    planes
}

/// Mean distance between the strongest and the weakest primary colour.
fn colour(crop: &[f32]) -> f32 {
    let pixels = SIDE * SIDE;
    let apart = |index: usize| {
        let [blue, green, red] = [0, 1, 2].map(|plane| crop[plane * pixels + index]);
        blue.max(green).max(red) - blue.min(green).min(red)
    };
    (0..pixels).map(apart).sum::<f32>() / pixels as f32
}

/// The first and last column and row of the crop: the face's bounds, `scale` times as large but no larger than the
/// picture, and moved into it where they reach over its edge. This is how the networks' authors cut, to the pixel.
fn around(picture: &Picture, face: Rectangle, scale: f32) -> ((usize, usize), (usize, usize)) {
    let (last_column, last_row) = (picture.width as f32 - 1.0, picture.height as f32 - 1.0);
    let (width, height) = (face.width.max(1.0), face.height.max(1.0));
    let scale = scale.min(last_row / height).min(last_column / width);
    let span = |start: f32, length: f32, last: f32| {
        let centre = start + length / 2.0;
        let half = length * scale / 2.0;
        let (mut from, mut to) = (centre - half, centre + half);
        if from < 0.0 {
            to -= from;
            from = 0.0;
        }
        if to > last {
            from -= to - last;
            to = last;
        }
        let whole = |at: f32| at.clamp(0.0, last) as usize;
        (whole(from), whole(to))
    };
    (span(face.x, width, last_column), span(face.y, height, last_row))
}

/// Between which two lines of the picture a line of the crop lies, and how far from the first.
struct Sample {
    first: usize,
    second: usize,
    share: f32,
}

impl Sample {
    /// The lines of a crop that shows those of the picture from the first to the last, both included.
    fn over(&(from, to): &(usize, usize)) -> Vec<Self> {
        let ratio = (to - from + 1) as f32 / SIDE as f32;
        let sample = |index: usize| {
            let at = ((index as f32 + 0.5) * ratio - 0.5).clamp(0.0, (to - from) as f32);
            let first = at.floor();
            let first_line = from + first as usize;
            Self { first: first_line, second: (first_line + 1).min(to), share: at - first }
        };
        (0..SIDE).map(sample).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize) -> Picture {
        Picture { width, height, rgb: vec![0; width * height * 3] }
    }

    fn face(x: f32, y: f32, width: f32, height: f32) -> Rectangle {
        Rectangle { x, y, width, height }
    }

    #[test]
    fn what_reaches_over_the_edge_is_moved_into_the_picture() {
        let picture = picture(200, 100);
        assert_eq!(around(&picture, face(90.0, 40.0, 20.0, 20.0), 2.0), ((80, 120), (30, 70)));
        assert_eq!(around(&picture, face(0.0, 40.0, 20.0, 20.0), 2.0), ((0, 40), (30, 70)));
        assert_eq!(around(&picture, face(185.0, 85.0, 20.0, 20.0), 2.0), ((159, 199), (59, 99)));
        // No larger than the picture allows.
        assert_eq!(around(&picture, face(90.0, 10.0, 40.0, 80.0), 4.0), ((85, 134), (0, 99)));
    }

    #[test]
    fn a_crop_without_colours_is_known() {
        let pixels = SIDE * SIDE;
        let planes =
            |[blue, green, red]: [f32; 3]| [vec![blue; pixels], vec![green; pixels], vec![red; pixels]].concat();
        assert_eq!((colour(&planes([90.0; 3])), colour(&planes([90.0, 95.0, 80.0]))), (0.0, 15.0));
    }

    #[test]
    fn any_bounds_give_a_crop() {
        let one = picture(1, 1);
        for bounds in [face(0.0, 0.0, 0.0, 0.0), face(-1e9, 1e9, 1e9, 1e-9), face(f32::NAN, 0.0, f32::NAN, 5.0)] {
            for picture in [&one, &picture(37, 90)] {
                assert_eq!(crop(picture, bounds, 2.7), vec![0.0; 3 * SIDE * SIDE]);
            }
        }
    }

    #[test]
    fn a_crop_of_the_networks_own_size_is_the_picture_with_blue_first() {
        let rgb = (0..SIDE * SIDE * 3).map(|index| (index % 251) as u8).collect();
        let picture = Picture { width: SIDE, height: SIDE, rgb };
        let crop = crop(&picture, face(0.0, 0.0, 79.0, 79.0), 1.0);
        for (index, pixel) in picture.rgb.chunks_exact(3).enumerate() {
            let found = [2, 1, 0].map(|plane| crop[plane * SIDE * SIDE + index]);
            assert_eq!(found, [0, 1, 2].map(|colour| f32::from(pixel[colour])), "{index}");
        }
    }
}
