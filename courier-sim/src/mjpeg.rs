//! Single pictures out of a stream of concatenated JPEGs, as `ffmpeg -f mjpeg -` writes one.
//!
//! A picture may carry a smaller one inside its header (a thumbnail), so the end-of-image marker cannot simply be
//! searched for: segments with a length are stepped over, and only what follows a scan is searched.

use bytes::Bytes;

/// What a gate accepts; longer pictures are passed over.
pub const LONGEST_PICTURE: usize = 2 * 1024 * 1024;

const START_OF_IMAGE: u8 = 0xD8;
const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;

/// Takes bytes as they come and gives pictures as they become whole.
#[derive(Debug, Default)]
pub struct Splitter {
    pending: Vec<u8>,
    /// How far `pending` was understood.
    at: usize,
    in_scan: bool,
    /// Pictures passed over because they were too long or not well formed.
    passed_over: u64,
}

enum Step {
    Further,
    Whole,
    Broken,
    NeedsMore,
}

impl Splitter {
    /// Before the first byte.
    pub fn new() -> Self {
        Splitter::default()
    }

    /// Pictures that were begun and given up.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// The pictures that `bytes` completes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Bytes> {
        self.pending.extend_from_slice(bytes);
        let mut whole = Vec::new();
        loop {
            if self.at == 0 && !self.find_start() {
                return whole;
            }
            match self.step() {
                Step::Further if self.at <= LONGEST_PICTURE => {}
                Step::Further | Step::Broken => self.give_up(),
                Step::Whole => whole.push(self.take()),
                Step::NeedsMore if self.pending.len() > LONGEST_PICTURE => self.give_up(),
                Step::NeedsMore => return whole,
            }
        }
    }

    /// Drops what stands before the next picture; false when none begins here.
    fn find_start(&mut self) -> bool {
        let start = self.pending.windows(2).position(|pair| pair == [0xFF, START_OF_IMAGE]);
        let Some(start) = start else {
            // The last byte may be the first half of a marker.
            let keep = usize::from(self.pending.last() == Some(&0xFF));
            self.pending.drain(..self.pending.len() - keep);
            return false;
        };
        self.pending.drain(..start);
        self.at = 2;
        self.in_scan = false;
        true
    }

    fn step(&mut self) -> Step {
        let rest = &self.pending[self.at..];
        if self.in_scan {
            let Some(marker) = rest.windows(2).position(|pair| pair[0] == 0xFF && is_marker_in_scan(pair[1])) else {
                self.at += rest.len().saturating_sub(1);
                return Step::NeedsMore;
            };
            self.at += marker;
            self.in_scan = false;
            return Step::Further;
        }
        match *rest {
            [0xFF, 0xFF, ..] => self.at += 1,
            [0xFF, END_OF_IMAGE, ..] => {
                self.at += 2;
                return Step::Whole;
            }
            // A picture inside no segment: the one before was cut off.
            [0xFF, START_OF_IMAGE, ..] => return Step::Broken,
            [0xFF, 0x01 | 0xD0..=0xD7, ..] => self.at += 2,
            [0xFF, kind, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                if length < 2 {
                    return Step::Broken;
                }
                if rest.len() < 2 + length {
                    return Step::NeedsMore;
                }
                self.at += 2 + length;
                self.in_scan = kind == START_OF_SCAN;
            }
            [0xFF, ..] | [] => return Step::NeedsMore,
            [..] => return Step::Broken,
        }
        Step::Further
    }

    fn take(&mut self) -> Bytes {
        let rest = self.pending.split_off(self.at);
        let picture = std::mem::replace(&mut self.pending, rest);
        self.at = 0;
        Bytes::from(picture)
    }

    /// Looks for the next picture behind what was understood of this one, so that its thumbnail is not taken for one.
    fn give_up(&mut self) {
        self.passed_over += 1;
        self.pending.drain(..self.at);
        self.at = 0;
    }
}

/// Inside a scan, FF 00 is a byte of the picture and FF D0 to D7 are restarts; FF FF is padding before a marker.
fn is_marker_in_scan(second: u8) -> bool {
    !matches!(second, 0x00 | 0xD0..=0xD7 | 0xFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture with a whole thumbnail in its header and stuffed bytes in its scan.
    fn picture(mark: u8) -> Vec<u8> {
        let thumbnail = [0xFF, 0xD8, 0xFF, 0xD9];
        let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xE1, 0x00, 0x06];
        bytes.extend_from_slice(&thumbnail);
        bytes.extend_from_slice(&[0xFF, 0xDA, 0x00, 0x03, 0x01, mark, 0xFF, 0x00, 0xFF, 0xD3, 0x11, 0xFF, 0xD9]);
        bytes
    }

    #[test]
    fn splits_however_the_bytes_arrive() {
        let mut stream = b"--boundary\r\n".to_vec();
        stream.extend(picture(1));
        stream.extend(b"\r\n");
        stream.extend(picture(2));
        for size in 1..=stream.len() {
            let mut splitter = Splitter::new();
            let got: Vec<Bytes> = stream.chunks(size).flat_map(|chunk| splitter.push(chunk)).collect();
            assert_eq!(got, [picture(1), picture(2)], "in chunks of {size}");
            assert_eq!(splitter.passed_over(), 0);
        }
    }

    #[test]
    fn real_pictures_come_out_as_they_went_in() {
        let encode = |value| {
            let mut jpeg = Vec::new();
            let mut encoder = jpeg_encoder::Encoder::new(&mut jpeg, 80);
            encoder.set_progressive(value % 2 == 0);
            encoder.encode(&vec![value; 40 * 30 * 3], 40, 30, jpeg_encoder::ColorType::Rgb).unwrap();
            jpeg
        };
        let pictures = [encode(10), encode(121), encode(240)];
        let mut splitter = Splitter::new();
        assert_eq!(splitter.push(&pictures.concat()), pictures);
    }

    #[test]
    fn a_picture_that_was_cut_off_is_passed_over() {
        let mut stream = picture(1);
        stream.truncate(stream.len() - 2);
        stream.extend(picture(2));
        let mut splitter = Splitter::new();
        assert_eq!(splitter.push(&stream), [picture(2)]);
        assert!(splitter.passed_over() > 0);
    }

    #[test]
    fn an_endless_picture_is_given_up() {
        let mut splitter = Splitter::new();
        assert!(splitter.push(&[0xFF, 0xD8, 0xFF, 0xDA, 0x00, 0x02]).is_empty());
        for _ in 0..3 {
            assert!(splitter.push(&vec![7; LONGEST_PICTURE / 2]).is_empty());
        }
        assert!(splitter.pending.len() <= LONGEST_PICTURE);
        assert_eq!(splitter.push(&picture(9)), [picture(9)]);
    }
}
