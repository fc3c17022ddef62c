//! How a photograph must be turned to stand upright: phones store pixels as the sensor has them and leave a note, the
//! orientation tag of the EXIF block. Knows that one tag, nothing else of EXIF.

use crate::image::Picture;

/// The tag's number in the first directory.
const TAG: u16 = 0x0112;

/// The type of its value: an unsigned number of two bytes.
const SHORT: u16 = 3;

/// Entries of a directory that are looked at; real ones have a few dozen.
const ENTRIES_MAX: u16 = 512;

/// Where the stored picture's first row and first column belong, in EXIF's order from 1 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orientation {
    /// Stored upright.
    Upright,
    /// Left and right are swapped.
    Mirrored,
    /// Upside down.
    HalfTurn,
    /// Upside down, left and right swapped.
    Flipped,
    /// Rows and columns are swapped.
    Transposed,
    /// To be turned clockwise by a right angle.
    QuarterTurn,
    /// Rows and columns are swapped, and it stands upside down.
    Transversed,
    /// To be turned counter-clockwise by a right angle.
    CounterQuarterTurn,
}

impl Orientation {
    /// What an EXIF block says: a TIFF file without pixels. Upright if it says nothing, or nothing that can be
    /// understood: many cameras write blocks that are wrong elsewhere, and their pictures are fine.
    pub fn of_exif(block: &[u8]) -> Self {
        match tag(block) {
            Some(2) => Self::Mirrored,
            Some(3) => Self::HalfTurn,
            Some(4) => Self::Flipped,
            Some(5) => Self::Transposed,
            Some(6) => Self::QuarterTurn,
            Some(7) => Self::Transversed,
            Some(8) => Self::CounterQuarterTurn,
            _ => Self::Upright,
        }
    }

    /// The picture as it was seen.
    pub fn upright(self, picture: Picture) -> Picture {
        let (width, height) = (picture.width, picture.height);
        let (right, bottom) = (width.saturating_sub(1), height.saturating_sub(1));
        // For each place of the upright picture, the place in the stored one.
        match self {
            Self::Upright => picture,
            Self::Mirrored => picture.gathered(width, height, |x, y| (right - x, y)),
            Self::HalfTurn => picture.gathered(width, height, |x, y| (right - x, bottom - y)),
            Self::Flipped => picture.gathered(width, height, |x, y| (x, bottom - y)),
            Self::Transposed => picture.gathered(height, width, |x, y| (y, x)),
            Self::QuarterTurn => picture.gathered(height, width, |x, y| (y, bottom - x)),
            Self::Transversed => picture.gathered(height, width, |x, y| (right - y, bottom - x)),
            Self::CounterQuarterTurn => picture.gathered(height, width, |x, y| (right - y, x)),
        }
    }
}

impl Picture {
    /// A picture of that size, each pixel taken from a place in this one.
    fn gathered(&self, width: usize, height: usize, from: impl Fn(usize, usize) -> (usize, usize)) -> Self {
        let mut rgb = Vec::with_capacity(self.rgb.len());
        for y in 0..height {
            for x in 0..width {
                let (x, y) = from(x, y);
                let start = (y * self.width + x) * 3;
                rgb.extend_from_slice(&self.rgb[start..start + 3]);
            }
        }
        Self { width, height, rgb }
    }
}

/// The tag's value.
fn tag(block: &[u8]) -> Option<u16> {
    let tiff = Tiff { bytes: block, big_endian: block.starts_with(b"MM") };
    if !(block.starts_with(b"MM") || block.starts_with(b"II")) || tiff.short(2)? != 42 {
        return None;
    }
    let directory = usize::try_from(tiff.long(4)?).ok()?;
    let entries = tiff.short(directory)?.min(ENTRIES_MAX);
    (0..usize::from(entries))
        .map(|index| directory + 2 + 12 * index)
        .find(|&entry| tiff.short(entry) == Some(TAG) && tiff.short(entry + 2) == Some(SHORT))
        .and_then(|entry| tiff.short(entry + 8))
}

/// Numbers in the order of bytes that the file names.
struct Tiff<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Tiff<'_> {
    fn short(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block with another tag before the orientation.
    fn block(big_endian: bool, value: u16) -> Vec<u8> {
        let short = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let long = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut block = if big_endian { b"MM".to_vec() } else { b"II".to_vec() };
        block.extend(short(42));
        block.extend(long(8));
        block.extend(short(2));
        for (tag, value) in [(0x010F, 7), (TAG, value)] {
            block.extend(short(tag));
            block.extend(short(SHORT));
            block.extend(long(1));
            block.extend(short(value));
            block.extend(short(0));
        }
        block
    }

    #[test]
    fn the_tag_is_read_in_both_orders_of_bytes() {
        assert_eq!(Orientation::of_exif(&block(true, 6)), Orientation::QuarterTurn);
        assert_eq!(Orientation::of_exif(&block(false, 8)), Orientation::CounterQuarterTurn);
        assert_eq!(Orientation::of_exif(&block(true, 1)), Orientation::Upright);
        assert_eq!(Orientation::of_exif(&block(true, 9)), Orientation::Upright);
    }

    #[test]
    fn a_broken_block_says_nothing() {
        let whole = block(true, 6);
        for end in 0..whole.len() - 2 {
            assert_eq!(Orientation::of_exif(&whole[..end]), Orientation::Upright, "{end}");
        }
        let mut far = whole;
        far[4..8].fill(0xFF);
        assert_eq!(Orientation::of_exif(&far), Orientation::Upright);
    }

    #[test]
    fn all_eight_stand_upright() {
        // Upright: a b c
        //          d e f
        let stored = [
            (Orientation::Upright, 3, "abcdef"),
            (Orientation::Mirrored, 3, "cbafed"),
            (Orientation::HalfTurn, 3, "fedcba"),
            (Orientation::Flipped, 3, "defabc"),
            (Orientation::Transposed, 2, "adbecf"),
            (Orientation::QuarterTurn, 2, "cfbead"),
            (Orientation::Transversed, 2, "fcebda"),
            (Orientation::CounterQuarterTurn, 2, "daebfc"),
        ];
        for (orientation, width, letters) in stored {
            let rgb = letters.bytes().flat_map(|letter| [letter; 3]).collect();
            let upright = orientation.upright(Picture { width, height: 6 / width, rgb });
            assert_eq!((upright.width, upright.height), (3, 2), "{orientation:?}");
            let letters: Vec<u8> = upright.rgb.iter().copied().step_by(3).collect();
            assert_eq!(letters, b"abcdef", "{orientation:?}");
        }
    }
}
