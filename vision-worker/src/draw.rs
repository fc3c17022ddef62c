//! Marks on a picture: rectangles, dots and small numbers, without a font file.

use crate::geometry::{Point, Rectangle};
use crate::image::Picture;

/// Red, green and blue.
pub type Colour = [u8; 3];

/// A digit is three wide and five high; each row is three bits, the left one highest.
const DIGITS: [[u8; 5]; 10] = [
    [0b111, 0b101, 0b101, 0b101, 0b111],
    [0b010, 0b110, 0b010, 0b010, 0b111],
    [0b111, 0b001, 0b111, 0b100, 0b111],
    [0b111, 0b001, 0b111, 0b001, 0b111],
    [0b101, 0b101, 0b111, 0b001, 0b001],
    [0b111, 0b100, 0b111, 0b001, 0b111],
    [0b111, 0b100, 0b111, 0b101, 0b111],
    [0b111, 0b001, 0b010, 0b010, 0b010],
    [0b111, 0b101, 0b111, 0b101, 0b111],
    [0b111, 0b101, 0b111, 0b001, 0b111],
];
const POINT: [u8; 5] = [0, 0, 0, 0, 0b010];
const DIGIT_WIDTH: i64 = 3;
const DIGIT_HEIGHT: i64 = 5;

const INK: Colour = [0, 0, 0];

/// A brush of a width that suits the picture.
pub struct Brush<'a> {
    picture: &'a mut Picture,
    width: i64,
}

impl<'a> Brush<'a> {
    /// One pixel for every five hundred of the longer side, at least one.
    pub fn new(picture: &'a mut Picture) -> Self {
        let width = (picture.width.max(picture.height) as i64 / 500).max(1);
        Self { picture, width }
    }

    /// The outline of a rectangle.
    pub fn outline(&mut self, bounds: Rectangle, colour: Colour) {
        let (left, top) = (pixel(bounds.x), pixel(bounds.y));
        let (right, bottom) = (pixel(bounds.x + bounds.width), pixel(bounds.y + bounds.height));
        let width = self.width;
        self.fill(left, top, right, top + width, colour);
        self.fill(left, bottom - width, right, bottom, colour);
        self.fill(left, top, left + width, bottom, colour);
        self.fill(right - width, top, right, bottom, colour);
    }

    /// A dot.
    pub fn dot(&mut self, at: Point, colour: Colour) {
        let (x, y) = (pixel(at.x), pixel(at.y));
        self.fill(x - self.width, y - self.width, x + self.width + 1, y + self.width + 1, colour);
    }

    /// A number on a patch of the colour, above the place; below it, where the picture ends.
    pub fn number(&mut self, text: &str, at: Point, colour: Colour) {
        let dot = 2 * self.width;
        let height = (DIGIT_HEIGHT + 2) * dot;
        let left = pixel(at.x);
        let above = pixel(at.y);
        let top = if above < height { above } else { above - height };
        let advance = (DIGIT_WIDTH + 1) * dot;
        self.fill(left, top, left + advance * text.len() as i64 + dot, top + height, colour);
        for (place, character) in (0..).zip(text.chars()) {
            let rows = character.to_digit(10).map_or(POINT, |digit| DIGITS[digit as usize]);
            for (row, bits) in (0..).zip(rows) {
                for column in (0..DIGIT_WIDTH).filter(|column| bits >> (DIGIT_WIDTH - 1 - column) & 1 == 1) {
                    let (x, y) = (left + dot + place * advance + column * dot, top + dot + row * dot);
                    self.fill(x, y, x + dot, y + dot, INK);
                }
            }
        }
    }

    /// Fills what of an area lies in the picture.
    fn fill(&mut self, left: i64, top: i64, right: i64, bottom: i64, colour: Colour) {
        let within = |from: i64, to: i64, length: usize| {
            let length = length as i64;
            from.clamp(0, length) as usize..to.clamp(0, length) as usize
        };
        for y in within(top, bottom, self.picture.height) {
            for x in within(left, right, self.picture.width) {
                let start = (y * self.picture.width + x) * 3;
                self.picture.rgb[start..start + 3].copy_from_slice(&colour);
            }
        }
    }
}

/// A coordinate as a pixel. A place far outside of any picture is as good as one at its edge, and can be added to.
fn pixel(coordinate: f32) -> i64 {
    const FAR: i64 = 1_000_000;
    (coordinate as i64).clamp(-FAR, FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty(width: usize, height: usize) -> Picture {
        Picture { width, height, rgb: vec![255; width * height * 3] }
    }

    fn marked(picture: &Picture, x: usize, y: usize) -> bool {
        picture.rgb[(y * picture.width + x) * 3] != 255
    }

    #[test]
    fn an_outline_is_hollow() {
        let mut picture = empty(20, 20);
        Brush::new(&mut picture).outline(Rectangle { x: 2.0, y: 3.0, width: 10.0, height: 8.0 }, [0, 200, 0]);
        assert!(marked(&picture, 2, 3) && marked(&picture, 11, 10) && marked(&picture, 2, 7));
        assert!(!marked(&picture, 7, 7) && !marked(&picture, 12, 5) && !marked(&picture, 1, 5));
    }

    #[test]
    fn marks_outside_of_the_picture_are_cut_off() {
        let mut picture = empty(8, 8);
        let mut brush = Brush::new(&mut picture);
        brush.outline(Rectangle { x: -50.0, y: -1e9, width: 1e9, height: 2e9 }, INK);
        brush.dot(Point { x: f32::NAN, y: 1e30 }, INK);
        brush.number("0.93", Point { x: -4.0, y: 700.0 }, [9, 9, 9]);
    }

    #[test]
    fn a_number_is_legible() {
        let mut picture = empty(12, 14);
        Brush::new(&mut picture).number("1", Point { x: 0.0, y: 14.0 }, [255; 3]);
        let row = |y: usize| (0..3).map(|column| marked(&picture, 2 + 2 * column, y)).collect::<Vec<_>>();
        assert_eq!(row(2), [false, true, false]);
        assert_eq!(row(4), [true, true, false]);
        assert_eq!(row(10), [true, true, true]);
    }
}
