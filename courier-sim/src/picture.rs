//! Pictures in memory and the few things a scene does to them. Knows nothing of faces, gates or files.

use anyhow::{Context, bail};
use jpeg_encoder::{ColorType, Encoder};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_png::PngDecoder;

/// Photographs larger than this to a side are refused.
const LONGEST_SIDE: usize = 8192;

/// A picture in red, green and blue, eight bits each, row by row.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

// Never the pixels: pictures show people.
impl std::fmt::Debug for Picture {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Picture({}x{})", self.width, self.height)
    }
}

/// A part of a picture, in its pixels; may reach over the edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// The left edge.
    pub x: f32,
    /// The upper edge.
    pub y: f32,
    /// How wide.
    pub width: f32,
    /// How high.
    pub height: f32,
}

impl Picture {
    /// Asks `paint` for every pixel, row by row.
    pub fn paint(width: usize, height: usize, mut paint: impl FnMut(usize, usize) -> [u8; 3]) -> Self {
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                pixels.extend_from_slice(&paint(x, y));
            }
        }
        Picture { width, height, pixels }
    }

    /// Reads a JPEG.
    pub fn from_jpeg(jpeg: &[u8]) -> anyhow::Result<Self> {
        let options = DecoderOptions::default()
            .set_max_width(LONGEST_SIDE)
            .set_max_height(LONGEST_SIDE)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
        let pixels = decoder.decode().context("the photograph cannot be decoded")?;
        let (width, height) = decoder.dimensions().context("the photograph has no size")?;
        if width == 0 || height == 0 || pixels.len() != width * height * 3 {
            bail!("the photograph is not a colour picture");
        }
        Ok(Picture { width, height, pixels })
    }

    /// Reads a PNG.
    pub fn from_png(png: &[u8]) -> anyhow::Result<Self> {
        let options = DecoderOptions::default()
            .set_max_width(LONGEST_SIDE)
            .set_max_height(LONGEST_SIDE)
            .png_set_strip_to_8bit(true)
            .png_set_add_alpha_channel(false);
        let mut decoder = PngDecoder::new_with_options(ZCursor::new(png), options);
        let pixels = decoder.decode_raw().context("the photograph cannot be decoded")?;
        let (width, height) = decoder.dimensions().context("the photograph has no size")?;
        if width == 0 || height == 0 || pixels.len() != width * height * 3 {
            bail!("the photograph is not a colour picture without transparency");
        }
        Ok(Picture { width, height, pixels })
    }

    /// Writes a JPEG; `quality` from 1 to 100.
    pub fn to_jpeg(&self, quality: u8) -> anyhow::Result<Vec<u8>> {
        let width = u16::try_from(self.width).context("too wide for a JPEG")?;
        let height = u16::try_from(self.height).context("too high for a JPEG")?;
        let mut jpeg = Vec::new();
        Encoder::new(&mut jpeg, quality).encode(&self.pixels, width, height, ColorType::Rgb)?;
        Ok(jpeg)
    }

    /// In pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// In pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// A pixel: red, green, blue.
    pub fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let start = (y * self.width + x) * 3;
        [self.pixels[start], self.pixels[start + 1], self.pixels[start + 2]]
    }

    fn set(&mut self, x: usize, y: usize, colour: [u8; 3]) {
        let start = (y * self.width + x) * 3;
        self.pixels[start..start + 3].copy_from_slice(&colour);
    }

    /// The region of this picture at another size. Every new pixel is the mean of those it covers, as a small sensor
    /// would see them; beyond the edge, the edge goes on.
    pub fn resample(&self, region: Region, width: usize, height: usize) -> Picture {
        let (step_x, step_y) = (region.width / width as f32, region.height / height as f32);
        Picture::paint(width, height, |x, y| {
            let columns = covered(region.x + x as f32 * step_x, step_x, self.width);
            let rows = covered(region.y + y as f32 * step_y, step_y, self.height);
            let (mut sums, mut count) = ([0u32; 3], 0u32);
            for row in rows {
                for column in columns.clone() {
                    for (sum, channel) in sums.iter_mut().zip(self.at(column, row)) {
                        *sum += u32::from(channel);
                    }
                    count += 1;
                }
            }
            sums.map(|sum| (sum / count.max(1)) as u8)
        })
    }

    /// Left becomes right.
    pub fn mirrored(&self) -> Picture {
        Picture::paint(self.width, self.height, |x, y| self.at(self.width - 1 - x, y))
    }

    /// Every pixel becomes the mean of those at most `radius` away, along rows and then along columns.
    pub fn blurred(&self, radius: usize) -> Picture {
        if radius == 0 {
            return self.clone();
        }
        let mean = |of: &Picture, x: usize, y: usize, along_rows: bool| {
            let (at, last) = if along_rows { (x, of.width - 1) } else { (y, of.height - 1) };
            let reach = at.saturating_sub(radius)..=(at + radius).min(last);
            let count = reach.clone().count() as u32;
            let mut sums = [0u32; 3];
            for step in reach {
                let colour = if along_rows { of.at(step, y) } else { of.at(x, step) };
                sums.iter_mut().zip(colour).for_each(|(sum, channel)| *sum += u32::from(channel));
            }
            sums.map(|sum| (sum / count) as u8)
        };
        let rows = Picture::paint(self.width, self.height, |x, y| mean(self, x, y, true));
        Picture::paint(self.width, self.height, |x, y| mean(&rows, x, y, false))
    }

    /// Another light: contrast around the middle grey, then brightness.
    pub fn lit(mut self, contrast: f32, brightness: f32) -> Picture {
        let curve: Vec<u8> =
            (0..256).map(|value| ((value as f32 - 128.0) * contrast + 128.0 + brightness) as u8).collect();
        self.pixels.iter_mut().for_each(|channel| *channel = curve[usize::from(*channel)]);
        self
    }

    /// Lays `patch` over this picture with its upper left corner at (`left`, `top`); its edge of `feather` pixels
    /// fades into what is there. What reaches over the edge is cut off.
    pub fn lay(&mut self, patch: &Picture, left: i32, top: i32, feather: usize) {
        for y in 0..patch.height {
            let Some(to_y) = inside(top, y, self.height) else { continue };
            for x in 0..patch.width {
                let Some(to_x) = inside(left, x, self.width) else { continue };
                let edge = x.min(y).min(patch.width - 1 - x).min(patch.height - 1 - y);
                let share = ((edge + 1) as f32 / (feather + 1) as f32).min(1.0);
                let (below, above) = (self.at(to_x, to_y), patch.at(x, y));
                let mix = |channel: usize| {
                    (f32::from(below[channel]) * (1.0 - share) + f32::from(above[channel]) * share) as u8
                };
                self.set(to_x, to_y, [mix(0), mix(1), mix(2)]);
            }
        }
    }

    /// Asks `change` for every channel of every pixel.
    pub fn grained(mut self, mut change: impl FnMut(u8) -> u8) -> Picture {
        self.pixels.iter_mut().for_each(|channel| *channel = change(*channel));
        self
    }
}

/// The pixels from `start` on for `length`, at least one, kept within a side of `size`.
fn covered(start: f32, length: f32, size: usize) -> std::ops::Range<usize> {
    let last = size - 1;
    // Float to integer casts saturate, so what lies before the edge becomes 0.
    let first = (start.floor() as usize).min(last);
    let end = ((start + length).ceil() as usize).clamp(first + 1, size);
    first..end
}

fn inside(offset: i32, step: usize, size: usize) -> Option<usize> {
    let at = usize::try_from(i64::from(offset) + i64::try_from(step).ok()?).ok()?;
    (at < size).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slope() -> Picture {
        Picture::paint(16, 8, |x, y| [(x * 16) as u8, (y * 32) as u8, 100])
    }

    #[test]
    fn shrinking_takes_means() {
        let half = slope().resample(Region { x: 0.0, y: 0.0, width: 16.0, height: 8.0 }, 8, 4);
        assert_eq!(half.at(0, 0), [8, 16, 100]);
        assert_eq!((half.width(), half.height()), (8, 4));
    }

    #[test]
    fn a_region_may_reach_over_the_edge() {
        let around = slope().resample(Region { x: -8.0, y: -8.0, width: 32.0, height: 24.0 }, 32, 24);
        assert_eq!(around.at(0, 0), [0, 0, 100]);
        assert_eq!(around.at(31, 23), slope().at(15, 7));
    }

    #[test]
    fn mirroring_twice_changes_nothing() {
        assert_ne!(slope().mirrored(), slope());
        assert_eq!(slope().mirrored().mirrored(), slope());
    }

    #[test]
    fn laying_over_the_edge_is_cut_off() {
        let mut ground = Picture::paint(4, 4, |_, _| [0; 3]);
        ground.lay(&Picture::paint(4, 4, |_, _| [200; 3]), 2, -2, 0);
        assert_eq!((ground.at(3, 0), ground.at(1, 0), ground.at(3, 2)), ([200; 3], [0; 3], [0; 3]));
    }

    #[test]
    fn what_is_not_a_picture_is_refused() {
        assert!(Picture::from_jpeg(b"not a picture").is_err());
        let jpeg = slope().to_jpeg(90).unwrap();
        assert!(Picture::from_jpeg(&jpeg[..20]).is_err());
        assert_eq!(Picture::from_jpeg(&jpeg).unwrap().width(), 16);
    }

    #[test]
    fn debug_shows_no_pixels() {
        assert_eq!(format!("{:?}", slope()), "Picture(16x8)");
    }
}
