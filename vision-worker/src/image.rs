//! From JPEG bytes to upright pixels: decoding within limits, and shrinking.

use candle_core::{Device, Result as CandleResult, Tensor};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::FrameError;
use crate::orientation::Orientation;

/// The largest picture that is decoded. The header is asked first, so a larger one costs no memory.
pub const PIXELS_MAX: usize = 20_000_000;

/// JPEG's own limit for a side.
const SIDE_MAX: usize = 65_535;

/// A progressive file goes over its pixels once a scan. Encoders write about ten; a file of hundreds only costs time.
const SCANS_MAX: usize = 32;

/// A picture: red, green and blue bytes, row by row.
#[derive(Clone, PartialEq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height * 3` bytes.
    pub rgb: Vec<u8>,
}

// Pixels of people have no place in a log.
impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({}x{})", self.width, self.height)
    }
}

impl Picture {
    /// Decodes a JPEG file. Whatever is not one, or ends too early, is `NotAJpeg`; whatever is larger than
    /// `PIXELS_MAX` is `TooLarge`, before any pixel is decoded. A photograph that says how it was held is turned
    /// upright.
    pub fn decode(jpeg: &[u8]) -> Result<Self, FrameError> {
        let (mut decoder, width, height) = opened(jpeg)?;
        let rgb = decoder.decode().map_err(|_| FrameError::NotAJpeg)?;
        if rgb.len() != width * height * 3 {
            return Err(FrameError::NotAJpeg);
        }
        let orientation = decoder.exif().map_or(Orientation::Upright, |block| Orientation::of_exif(block));
        Ok(orientation.upright(Self { width, height, rgb }))
    }

    /// Width and height of a file that anybody's decoder reads as this one does: upright, of three colours, and with the
    /// pixels once from top to bottom. None for other files; errors are those of [`Picture::decode`].
    pub fn plain(jpeg: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
        let (decoder, width, height) = opened(jpeg)?;
        let upright = decoder.exif().is_none_or(|block| Orientation::of_exif(block) == Orientation::Upright);
        Ok((upright && is_plain(jpeg)).then_some((width, height)))
    }

    /// Its bytes on a device, `[height, width, 3]`.
    pub fn tensor(&self, device: &Device) -> CandleResult<Tensor> {
        Tensor::from_slice(&self.rgb, (self.height, self.width, 3), device)
    }

    /// The picture at a smaller size, each pixel the mean of the area that it covers.
    pub fn shrink(&self, width: usize, height: usize) -> Self {
        let columns = Span::over(self.width, width);
        let mut rgb = Vec::with_capacity(width * height * 3);
        // Rows first: whole rows add up fast, and few are left for the columns.
        let mut low = vec![0.0_f32; self.width * 3];
        let arch = pulp::Arch::new();
        for span in Span::over(self.height, height) {
            low.fill(0.0);
            for (offset, &weight) in span.weights.iter().enumerate() {
                let row = &self.rgb[(span.start + offset) * self.width * 3..][..self.width * 3];
                arch.dispatch(|| low.iter_mut().zip(row).for_each(|(sum, &byte)| *sum += weight * f32::from(byte)));
            }
            for span in &columns {
                let mut pixel = [0.5_f32; 3];
                let source = low[span.start * 3..].as_chunks::<3>().0;
                for (weight, source) in span.weights.iter().zip(source) {
                    for (sum, value) in pixel.iter_mut().zip(source) {
                        *sum += weight * value;
                    }
                }
                rgb.extend(pixel.map(|value| value as u8));
            }
        }
        Self { width, height, rgb }
    }
}

type Decoder<'a> = JpegDecoder<ZCursor<&'a [u8]>>;

/// A decoder that has read the header, and the size that it states.
fn opened(jpeg: &[u8]) -> Result<(Decoder<'_>, usize, usize), FrameError> {
    let options = DecoderOptions::default()
        .set_max_width(SIDE_MAX)
        .set_max_height(SIDE_MAX)
        .set_strict_mode(true)
        .jpeg_set_max_scans(SCANS_MAX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    decoder.decode_headers().map_err(|_| FrameError::NotAJpeg)?;
    let (width, height) = decoder.dimensions().ok_or(FrameError::NotAJpeg)?;
    if width * height > PIXELS_MAX {
        return Err(FrameError::TooLarge { width, height });
    }
    if !ends_properly(jpeg) {
        return Err(FrameError::NotAJpeg);
    }
    Ok((decoder, width, height))
}

/// Whether a file's frame is a baseline one of three colours, as its header says.
fn is_plain(jpeg: &[u8]) -> bool {
    // The start of a frame: its mark, two bytes of length, a byte of precision, height and width of two, components.
    const BASELINE: u8 = 0xC0;
    const COMPONENTS: usize = 9;

    let mut segment = 2;
    while let Some(&[0xFF, mark, high, low]) = jpeg.get(segment..segment + 4) {
        match mark {
            BASELINE => return jpeg.get(segment + COMPONENTS) == Some(&3),
            // Other kinds of frames; the pixels.
            0xC1..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xDA => return false,
            _ => segment += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    false
}

/// Whether the end-of-image mark is there. The decoder fills what a truncated picture lacks with grey, and a face in
/// grey is not what the camera saw. Some cameras pad their files, so the mark may be followed by zeros.
fn ends_properly(jpeg: &[u8]) -> bool {
    let end = jpeg.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    jpeg[..end].ends_with(&[0xFF, 0xD9])
}

/// The pixels of one axis that make one pixel of a smaller picture, and how much each counts.
struct Span {
    start: usize,
    weights: Vec<f32>,
}

impl Span {
    fn over(from: usize, to: usize) -> Vec<Self> {
        let ratio = from as f64 / to as f64;
        (0..to)
            .map(|index| {
                let (left, right) = (index as f64 * ratio, (index + 1) as f64 * ratio);
                let start = left.floor() as usize;
                let end = (right.ceil() as usize).clamp(start + 1, from);
                let weights = (start..end)
                    .map(|pixel| {
                        let covered = right.min((pixel + 1) as f64) - left.max(pixel as f64);
                        (covered.max(0.0) / ratio) as f32
                    })
                    .collect();
                Self { start, weights }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_takes_the_mean_of_the_area() {
        let rgb = [0, 60, 120, 30, 90, 150].iter().flat_map(|&value| [value; 3]).collect();
        let picture = Picture { width: 3, height: 2, rgb };
        assert_eq!(picture.shrink(1, 1).rgb, [75; 3]);
        // Each half of three columns: one and a half columns.
        assert_eq!(picture.shrink(2, 1).rgb[0], 35);
        assert_eq!(picture.shrink(3, 2), picture);
    }

    #[test]
    fn a_plain_file_is_known_by_its_frame() {
        let frame = |mark: u8, components: u8| {
            [&[0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 1, 0xFF, mark, 0, 17, 8, 0, 9, 0, 9, components][..], &[0; 9]].concat()
        };
        assert!(is_plain(&frame(0xC0, 3)));
        for (mark, components) in [(0xC0, 1), (0xC0, 4), (0xC2, 3), (0xDA, 3), (0x00, 3)] {
            assert!(!is_plain(&frame(mark, components)), "{mark:x} {components}");
        }
        assert!(!is_plain(&frame(0xC0, 3)[..12]) && !is_plain(&[]));
    }

    #[test]
    fn the_end_mark_may_be_padded_but_not_missing() {
        assert!(ends_properly(&[1, 0xFF, 0xD9]));
        assert!(ends_properly(&[1, 0xFF, 0xD9, 0, 0]));
        assert!(!ends_properly(&[1, 0xFF, 0xD9, 7]));
        assert!(!ends_properly(&[]));
    }
}
