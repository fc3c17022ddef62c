//! Frames as a gate camera would take them, composed from a photograph: a person comes towards the camera, a little
//! out of focus, in another light, on the grain of a cheap sensor.
//!
//! There are no recordings of real gates to be had freely, so the demonstration makes its own. Everything follows
//! from the photograph, the passage and its seed; nothing here knows what will be found in the frames.

use std::path::Path;

use anyhow::Context;
use bytes::Bytes;

use crate::picture::{Picture, Region};

/// Width of a frame in pixels.
pub const FRAME_WIDTH: usize = 1280;
/// Height of a frame in pixels.
pub const FRAME_HEIGHT: usize = 720;
const QUALITY: u8 = 85;
/// How far somebody comes from one frame to the next, in pixels: a walk at four frames a second.
const STEP: f32 = 22.0;
/// How far the grain changes a channel, to each side.
const GRAIN: u64 = 5;

/// Where the face is in a photograph, in parts of its width and height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// The middle of the face, from the left.
    pub x: f32,
    /// The middle of the face, from the top.
    pub y: f32,
    /// How wide the face is.
    pub width: f32,
}

/// The heads of the photographs that the demonstration knows; they were looked up by eye.
const HEADS: [(&str, Head); 5] = [
    ("obama", Head { x: 0.545, y: 0.20, width: 0.27 }),
    ("obama2", Head { x: 0.55, y: 0.35, width: 0.40 }),
    ("obama3", Head { x: 0.545, y: 0.19, width: 0.20 }),
    ("biden", Head { x: 0.61, y: 0.17, width: 0.30 }),
    ("astronaut", Head { x: 0.44, y: 0.225, width: 0.17 }),
];

/// In photographs that nobody looked at, a portrait is assumed.
const PORTRAIT: Head = Head { x: 0.5, y: 0.35, width: 0.3 };

impl Head {
    /// Of a photograph by its file name without the ending.
    pub fn of(name: &str) -> Head {
        HEADS.iter().find(|(known, _)| *known == name).map_or(PORTRAIT, |(_, head)| *head)
    }
}

/// How somebody passes the camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// Decides the grain; frames of equal passages are equal to the byte.
    pub seed: u64,
    /// How many frames.
    pub frames: usize,
    /// Width of the face in the first frame, in pixels of the frame.
    pub from_width: f32,
    /// How much wider the face is from one frame to the next.
    pub growth: f32,
    /// Left and right exchanged.
    pub mirrored: bool,
    /// Radius of the blur, in pixels.
    pub blur: usize,
    /// Added to every channel.
    pub brightness: f32,
    /// Above 1 harder, below 1 softer light.
    pub contrast: f32,
}

impl Default for Passage {
    fn default() -> Self {
        Passage {
            seed: 1,
            frames: 12,
            from_width: 75.0,
            growth: 6.0,
            mirrored: false,
            blur: 1,
            brightness: 0.0,
            contrast: 1.0,
        }
    }
}

/// The person of a photograph file passes a gate. Files that are known by name have their head where it is known to
/// be.
pub fn pass(file: &Path, passage: &Passage) -> anyhow::Result<Vec<Bytes>> {
    let photograph = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let is_png = photograph.starts_with(b"\x89PNG");
    let picture = if is_png { Picture::from_png(&photograph)? } else { Picture::from_jpeg(&photograph)? };
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    compose(&picture, Head::of(&name), passage)
}

/// The frames of a passage, as JPEG.
pub fn compose(photograph: &Picture, head: Head, passage: &Passage) -> anyhow::Result<Vec<Bytes>> {
    let ground = ground(passage.seed);
    (0..passage.frames)
        .map(|number| {
            let frame = frame(&ground, photograph, head, passage, number);
            Ok(Bytes::from(frame.to_jpeg(QUALITY)?))
        })
        .collect()
}

/// One frame: the person at the place where this moment of the passage finds them.
fn frame(ground: &Picture, photograph: &Picture, head: Head, passage: &Passage, number: usize) -> Picture {
    let face = passage.from_width + passage.growth * number as f32;
    let person = person(photograph, head, face, passage);
    // From the left third on to the right, bobbing a little with the steps.
    let middle = FRAME_WIDTH as f32 / 3.0 + STEP * number as f32;
    let bob = if number.is_multiple_of(2) { 3.0 } else { -3.0 };
    let left = middle - person.width() as f32 / 2.0;
    let top = FRAME_HEIGHT as f32 * 0.4 - person.height() as f32 / 2.0 + bob;
    let mut frame = ground.clone();
    frame.lay(&person, left as i32, top as i32, 6);
    let mut grain = Noise::new(passage.seed ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9));
    frame.grained(|channel| grain.shift(channel, GRAIN))
}

/// Head and shoulders with a face of the given width, in the light of the passage.
fn person(photograph: &Picture, head: Head, face: f32, passage: &Passage) -> Picture {
    let (width, height) = (photograph.width() as f32, photograph.height() as f32);
    let head_width = head.width * width;
    let side = head_width * 2.6;
    // Kept inside the photograph where it can be: a stretched edge looks like nothing a camera sees.
    let (across, down) = (side.min(width), side.min(height));
    let region = Region {
        x: (head.x * width - across / 2.0).clamp(0.0, width - across),
        y: (head.y * height - down / 2.0).clamp(0.0, height - down),
        width: across,
        height: down,
    };
    let scale = face / head_width;
    let person = photograph.resample(region, (across * scale).max(1.0) as usize, (down * scale).max(1.0) as usize);
    let person = if passage.mirrored { person.mirrored() } else { person };
    person.blurred(passage.blur).lit(passage.contrast, passage.brightness)
}

/// A plain wall that gets darker towards the floor, with the stains any wall has.
fn ground(seed: u64) -> Picture {
    let mut noise = Noise::new(seed);
    let wall = Picture::paint(FRAME_WIDTH, FRAME_HEIGHT, |_, y| {
        let shade = (150 - y * 60 / FRAME_HEIGHT) as u8;
        [noise.shift(shade, 12), noise.shift(shade, 12), noise.shift(shade.saturating_sub(6), 12)]
    });
    wall.blurred(2)
}

/// A small generator of its own, so that frames stay equal to the byte whatever a library changes.
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        Noise(seed)
    }

    /// Weyl steps through an integer mix, as in SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// `value` moved by at most `reach` to either side.
    fn shift(&mut self, value: u8, reach: u64) -> u8 {
        let moved = u64::from(value) + self.next() % (2 * reach + 1);
        moved.saturating_sub(reach).min(255) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn photograph() -> Picture {
        Picture::paint(200, 300, |x, y| [x as u8, (y / 2) as u8, 90])
    }

    fn short() -> Passage {
        Passage { frames: 2, ..Passage::default() }
    }

    #[test]
    fn equal_passages_make_equal_frames() {
        let head = Head::of("obama");
        let first = compose(&photograph(), head, &short()).unwrap();
        assert_eq!(first, compose(&photograph(), head, &short()).unwrap());
        let other = compose(&photograph(), head, &Passage { seed: 2, ..short() }).unwrap();
        assert_ne!(first[0], other[0]);
    }

    #[test]
    fn frames_are_pictures_of_a_gate_camera() {
        let frames = compose(&photograph(), Head::of("nobody"), &short()).unwrap();
        assert_eq!(frames.len(), 2);
        assert_ne!(frames[0], frames[1]);
        for frame in frames {
            assert!(frame.len() < crate::mjpeg::LONGEST_PICTURE);
            let frame = Picture::from_jpeg(&frame).unwrap();
            assert_eq!((frame.width(), frame.height()), (FRAME_WIDTH, FRAME_HEIGHT));
        }
    }

    #[test]
    fn the_face_gets_the_width_it_was_asked_for() {
        let head = Head { x: 0.5, y: 0.5, width: 0.2 };
        let person = person(&photograph(), head, 80.0, &Passage::default());
        assert_eq!((person.width(), person.height()), (208, 208));
    }

    #[test]
    fn a_head_in_the_corner_stays_within_the_photograph() {
        let head = Head { x: 0.95, y: 0.05, width: 0.3 };
        let person = person(&photograph(), head, 60.0, &Passage::default());
        assert!((155..=156).contains(&person.width()), "{}", person.width());
    }
}
