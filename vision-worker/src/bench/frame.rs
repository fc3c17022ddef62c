//! Camera frames to measure with: a photograph of one face, pasted several times onto a lively background.

use jpeg_encoder::{ColorType, Encoder, EncodingError};

use crate::image::Picture;

/// 720p, what most gate cameras send.
pub const WIDTH: u16 = 1280;
/// 720p, what most gate cameras send.
pub const HEIGHT: u16 = 720;

/// What cameras compress with: small files with little visible loss.
const JPEG_QUALITY: u8 = 85;

/// The most faces that fit.
pub const FACES_MAX: usize = 16;

/// Copies stand in a grid.
const COLUMNS: usize = 4;
const ROWS: usize = FACES_MAX / COLUMNS;

/// A 720p JPEG frame with that many copies of a photograph, at most `FACES_MAX`.
pub fn compose(photograph: &Picture, faces: usize) -> Result<Vec<u8>, EncodingError> {
    let (width, height) = (usize::from(WIDTH), usize::from(HEIGHT));
    let mut frame = background(width, height);
    let cell = (width / COLUMNS, height / ROWS);
    let scale = f64::min(cell.0 as f64 / photograph.width as f64, cell.1 as f64 / photograph.height as f64).min(1.0);
    let side = |length: usize| ((length as f64 * scale) as usize).max(1);
    let copy = photograph.shrink(side(photograph.width), side(photograph.height));
    for place in 0..faces.min(FACES_MAX) {
        // From the middle of the grid outwards would be prettier; in reading order each frame contains the one before.
        let (x, y) = (place % COLUMNS * cell.0, place / COLUMNS * cell.1);
        for (row, source) in copy.rgb.chunks_exact(copy.width * 3).enumerate() {
            let start = ((y + row) * width + x) * 3;
            frame.rgb[start..start + source.len()].copy_from_slice(source);
        }
    }
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, JPEG_QUALITY).encode(&frame.rgb, WIDTH, HEIGHT, ColorType::Rgb)?;
    Ok(jpeg)
}

/// Soft waves with a little noise: about as many bytes as a street at daylight has.
fn background(width: usize, height: usize) -> Picture {
    let mut noise = 1_u32;
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let grain = (noise >> 28) as f32;
            let wave = 20.0 * ((x as f32 / 37.0).sin() + (y as f32 / 23.0).cos() + ((x + 2 * y) as f32 / 11.0).sin());
            rgb.extend([110.0, 120.0, 100.0].map(|colour| (colour + wave + grain) as u8));
        }
    }
    Picture { width, height, rgb }
}
