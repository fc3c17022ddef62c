//! Points and rectangles in pixels of a picture.

/// A point; x to the right, y down.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// Pixels from the left edge.
    pub x: f32,
    /// Pixels from the top edge.
    pub y: f32,
}

/// A rectangle with its sides along the picture's.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rectangle {
    /// Pixels from the left edge to its left side.
    pub x: f32,
    /// Pixels from the top edge to its upper side.
    pub y: f32,
    /// Its width in pixels.
    pub width: f32,
    /// Its height in pixels.
    pub height: f32,
}

impl Point {
    /// The point with both coordinates multiplied.
    pub fn scaled(self, x: f32, y: f32) -> Self {
        Self { x: self.x * x, y: self.y * y }
    }
}

impl Rectangle {
    /// The rectangle with all coordinates multiplied.
    pub fn scaled(self, x: f32, y: f32) -> Self {
        Self { x: self.x * x, y: self.y * y, width: self.width * x, height: self.height * y }
    }

    /// Shared area over joint area: 1 for equal rectangles, 0 for disjoint ones.
    pub fn overlap(&self, other: &Self) -> f32 {
        let shared = |a, a_length, b, b_length| f32::min(a + a_length, b + b_length) - f32::max(a, b);
        let width = shared(self.x, self.width, other.x, other.width).max(0.0);
        let height = shared(self.y, self.height, other.y, other.height).max(0.0);
        let shared = width * height;
        let joint = self.width * self.height + other.width * other.height - shared;
        if joint > 0.0 { shared / joint } else { 0.0 }
    }
}
