//! Vectors side by side in one stretch of memory, laid out for looking through all of them.
//!
//! Each number is kept bit for bit, in two halves of 16 bits. The upper halves are the number rounded to bfloat16, and
//! lie in blocks of [`BLOCK`] vectors, two numbers a word: a search reads them alone, half of the memory, and is wrong
//! by no more than [`Rows::error_bound`]. The lower halves say what the rounding took away; they are read for the few
//! vectors that could be nearest.

use zeroize::{Zeroize as _, Zeroizing};

use crate::embedding::product;

/// Vectors whose upper halves lie together: word 0 of each of them, then word 1 of each, and so on.
pub(super) const BLOCK: usize = 32;

/// Blocks start on a cache line, or every second vector load crosses one.
const CACHE_LINE: usize = 64;

/// Vectors of one dimension.
pub(super) struct Rows {
    dimension: usize,
    len: usize,
    /// Blocks of upper halves, after `start` words that only align them.
    upper: Zeroizing<Vec<u32>>,
    start: usize,
    /// For each vector the lower halves of its numbers.
    lower: Zeroizing<Vec<u16>>,
}

impl Rows {
    /// No vectors, and room for `capacity` of them.
    pub(super) fn new(dimension: usize, capacity: usize) -> Self {
        let mut rows = Rows { dimension, len: 0, upper: Zeroizing::default(), start: 0, lower: Zeroizing::default() };
        rows.make_room(capacity);
        rows
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What is allocated, room to grow included.
    pub(super) fn memory_bytes(&self) -> usize {
        self.upper.capacity() * size_of::<u32>() + self.lower.capacity() * size_of::<u16>()
    }

    /// Words of a vector's upper halves; the last one of an odd dimension has an empty half.
    fn words(&self) -> usize {
        self.dimension.div_ceil(2)
    }

    /// Adds a vector. Memory grows by little at a time, because what is not used yet is paid for as well.
    pub(super) fn push(&mut self, vector: &[f32]) {
        debug_assert_eq!(vector.len(), self.dimension);
        let block_words = self.words() * BLOCK;
        let filled = self.upper.len() + if self.len.is_multiple_of(BLOCK) { block_words } else { 0 };
        if self.lower.capacity() < (self.len + 1) * self.dimension || self.upper.capacity() < filled {
            self.make_room(self.len + (self.len / 32).max(BLOCK));
        }
        // From where it is aligned now: a move may have changed that.
        let filled = self.start + (self.len / BLOCK + 1) * block_words;
        self.upper.resize(filled, 0);
        let row = self.len;
        self.len += 1;
        for (word, pair) in vector.chunks(2).enumerate() {
            let [left, right] = [pair[0], pair.get(1).copied().unwrap_or(0.0)].map(halves);
            let at = self.word_at(row, word);
            self.upper[at] = u32::from(left.0) << 16 | u32::from(right.0);
            self.lower.extend([left.1, right.1].iter().take(pair.len()));
        }
    }

    /// Moves everything to where `capacity` vectors fit. `Vec` would do so by itself and leave the old copy uncleared.
    fn make_room(&mut self, capacity: usize) {
        let words = capacity.div_ceil(BLOCK) * BLOCK * self.words();
        let mut upper = Zeroizing::new(Vec::<u32>::with_capacity(words + CACHE_LINE / size_of::<u32>()));
        let start = upper.as_ptr().align_offset(CACHE_LINE);
        upper.resize(start, 0);
        upper.extend_from_slice(&self.upper[self.start..]);
        let mut lower = Zeroizing::new(Vec::<u16>::with_capacity(capacity * self.dimension));
        lower.extend_from_slice(&self.lower);
        (self.upper, self.start, self.lower) = (upper, start, lower);
    }

    /// Keeps the vectors for which `keep` says so, in their order.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut kept = 0;
        for row in 0..self.len {
            if keep(row) {
                self.copy(row, kept);
                kept += 1;
            }
        }
        for row in kept..self.len {
            for word in 0..self.words() {
                let at = self.word_at(row, word);
                self.upper[at] = 0;
            }
        }
        let filled = self.start + kept.div_ceil(BLOCK) * BLOCK * self.words();
        self.upper.truncate(filled);
        self.lower[kept * self.dimension..].zeroize();
        self.lower.truncate(kept * self.dimension);
        self.len = kept;
    }

    fn copy(&mut self, from: usize, to: usize) {
        for word in 0..self.words() {
            let (from, to) = (self.word_at(from, word), self.word_at(to, word));
            self.upper[to] = self.upper[from];
        }
        self.lower.copy_within(from * self.dimension..(from + 1) * self.dimension, to * self.dimension);
    }

    fn word_at(&self, row: usize, word: usize) -> usize {
        self.start + (row / BLOCK * self.words() + word) * BLOCK + row % BLOCK
    }

    /// The upper halves, block by block; the last block is filled up with zeros.
    pub(super) fn blocks(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.upper[self.start..].chunks_exact(self.words() * BLOCK)
    }

    /// The exact cosine of one vector with `query`; `scratch` holds the vector meanwhile.
    pub(super) fn cosine(&self, row: usize, query: &[f32], scratch: &mut Zeroizing<Vec<f32>>) -> f64 {
        scratch.resize(self.dimension, 0.0);
        let lower = &self.lower[row * self.dimension..][..self.dimension];
        for (word, (numbers, lower)) in scratch.chunks_mut(2).zip(lower.chunks(2)).enumerate() {
            let upper = self.upper[self.word_at(row, word)];
            for (number, (upper, lower)) in numbers.iter_mut().zip([upper >> 16, upper & 0xFFFF].iter().zip(lower)) {
                *number = whole(*upper as u16, *lower);
            }
        }
        product(scratch, query)
    }

    /// By how much a sum over upper halves may differ from the exact cosine, for vectors of length one.
    ///
    /// Rounding to 8 significant bits moves each number by at most 2^-8 of itself, so by Cauchy and Schwarz the sum by
    /// at most 2^-8; adding up n products in single precision is off by at most n * 2^-24 / (1 - n * 2^-24) of the sum
    /// of their sizes (Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1), of which the
    /// last term takes twice as much for lengths that are one only to 1e-6.
    pub(super) fn error_bound(&self) -> f64 {
        const BFLOAT16: f64 = 1.0 / 256.0;
        BFLOAT16 * 1.000_01 + 2.0 * self.dimension as f64 * f64::from(f32::EPSILON)
    }
}

/// The number rounded to bfloat16, and what is to be added to its bits to have it back.
fn halves(number: f32) -> (u16, u16) {
    let bits = number.to_bits();
    let upper = (bits.wrapping_add(0x8000) >> 16) as u16;
    (upper, bits.wrapping_sub(u32::from(upper) << 16) as u16)
}

/// What `halves` took apart.
fn whole(upper: u16, lower: u16) -> f32 {
    f32::from_bits((u32::from(upper) << 16).wrapping_add_signed(i32::from(lower.cast_signed())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every number of an embedding comes back, and its upper half is as near as the bound says.
        #[test]
        fn halves_make_a_whole(number in -1.0f32..=1.0) {
            let (upper, lower) = halves(number);
            prop_assert_eq!(whole(upper, lower).to_bits(), number.to_bits());
            let rounded = f32::from_bits(u32::from(upper) << 16);
            prop_assert!((rounded - number).abs() <= number.abs() / 256.0);
        }
    }

    #[test]
    fn the_smallest_and_largest_numbers_come_back_too() {
        for number in [0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, 1e-45, -1e-45, 1.0 - f32::EPSILON / 2.0] {
            let (upper, lower) = halves(number);
            assert_eq!(whole(upper, lower).to_bits(), number.to_bits());
        }
    }

    #[test]
    fn memory_is_little_more_than_the_numbers() {
        for (dimension, count) in [(128, 20_000), (512, 5_000)] {
            let mut rows = Rows::new(dimension, 0);
            let vector = vec![(1.0 / dimension as f32).sqrt(); dimension];
            for _ in 0..count {
                rows.push(&vector);
            }
            let raw = count * dimension * size_of::<f32>();
            assert!(rows.memory_bytes() as f64 <= raw as f64 * 1.05, "{} of {raw}", rows.memory_bytes());
        }
    }
}
