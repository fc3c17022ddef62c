//! Where a face is in a frame. Pixels only: nothing here looks at the face.

/// A rectangle in pixels of the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundingBox {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// To the right of `x`.
    pub width: f32,
    /// Below `y`.
    pub height: f32,
}

impl BoundingBox {
    /// The shared part of two rectangles as a share of what they cover together, 0 to 1; 0 for rectangles of no size
    /// or of numbers that are not finite.
    pub fn overlap(&self, other: &BoundingBox) -> f32 {
        if !self.is_finite() || !other.is_finite() {
            return 0.0;
        }
        let width = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let height = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        let shared = width.max(0.0) * height.max(0.0);
        let together = self.width * self.height + other.width * other.height - shared;
        if together > 0.0 { (shared / together).clamp(0.0, 1.0) } else { 0.0 }
    }

    fn is_finite(&self) -> bool {
        [self.x, self.y, self.width, self.height].iter().all(|number| number.is_finite())
    }

    /// The middle, as x and y.
    pub fn centre(&self) -> (f32, f32) {
        (self.x + self.width / 2.0, self.y + self.height / 2.0)
    }

    /// The rectangle after a move.
    pub fn moved(&self, (right, down): (f32, f32)) -> BoundingBox {
        BoundingBox { x: self.x + right, y: self.y + down, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: f32, y: f32) -> BoundingBox {
        BoundingBox { x, y, width: 10.0, height: 10.0 }
    }

    #[test]
    fn overlap_is_a_share() {
        assert_eq!(square(0.0, 0.0).overlap(&square(0.0, 0.0)), 1.0);
        assert!((square(0.0, 0.0).overlap(&square(5.0, 0.0)) - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(square(0.0, 0.0).overlap(&square(10.0, 0.0)), 0.0);
        assert_eq!(square(0.0, 0.0).overlap(&square(30.0, 30.0)), 0.0);
        assert_eq!(square(0.0, 0.0).moved((5.0, 1.0)).centre(), (10.0, 6.0));
    }

    #[test]
    fn rectangles_without_sense_overlap_nothing() {
        let empty = BoundingBox { width: 0.0, ..square(0.0, 0.0) };
        assert_eq!(empty.overlap(&empty), 0.0);
        let endless = BoundingBox { width: f32::INFINITY, ..square(0.0, 0.0) };
        assert_eq!(endless.overlap(&endless), 0.0);
        assert_eq!(square(f32::NAN, 0.0).overlap(&square(0.0, 0.0)), 0.0);
    }
}
