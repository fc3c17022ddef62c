//! Looking through all vectors of a gallery at once, exactly: a fast sum over upper halves says which vectors could be
//! nearest, and only those are compared number by number.
//!
//! The vector width is chosen at run time by `pulp`, so one build serves every CPU. A block of vectors is read once and
//! compared with four faces at a time.

use gatepost_domain::id::ResidentId;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::nearest::Nearest;
use super::rows::{BLOCK, Rows};

/// Faces compared together: with two vectors of templates this keeps eight sums in flight, which hides the latency of
/// a multiply-add and fits the registers of every instruction set.
const FACES: usize = 4;

/// Vectors of templates compared together.
const VECTORS: usize = 2;

/// From so many templates on, the search is divided over the threads of the pool it is called in.
const DIVIDED_FROM: usize = 8_192;

/// For each face the nearest template and the nearest one of anybody else.
pub(super) fn nearest(rows: &Rows, owners: &[ResidentId], faces: &[&[f32]]) -> Vec<Nearest> {
    let words: Vec<_> = faces.iter().map(|face| paired(face)).collect();
    let blocks: Vec<&[u32]> = rows.blocks().collect();
    let parts = if rows.len() < DIVIDED_FROM { 1 } else { rayon::current_num_threads() };
    let part = blocks.len().div_ceil(parts).max(1);
    let search = |(number, blocks): (usize, &[&[u32]])| {
        let mut found = vec![Nearest::default(); faces.len()];
        let first_row = number * part * BLOCK;
        let scan = Scan { rows, owners, faces, words: &words, blocks, first_row, found: &mut found };
        Arch::new().dispatch(scan);
        found
    };
    let found: Vec<Vec<Nearest>> = if parts == 1 {
        blocks.chunks(part).enumerate().map(search).collect()
    } else {
        blocks.par_chunks(part).enumerate().map(search).collect()
    };
    // In the order of the templates, so that of equals the first stays, however many threads there are.
    let mut whole = vec![Nearest::default(); faces.len()];
    for part in &found {
        whole.iter_mut().zip(part).for_each(|(whole, part)| whole.join(part));
    }
    whole
}

/// A face's numbers two by two, as the words of templates hold theirs.
fn paired(face: &[f32]) -> Zeroizing<Vec<[f32; 2]>> {
    let mut pairs = Zeroizing::new(Vec::with_capacity(face.len().div_ceil(2)));
    pairs.extend(face.chunks(2).map(|pair| [pair[0], pair.get(1).copied().unwrap_or(0.0)]));
    pairs
}

/// One thread's part of the templates.
struct Scan<'a> {
    rows: &'a Rows,
    owners: &'a [ResidentId],
    faces: &'a [&'a [f32]],
    words: &'a [Zeroizing<Vec<[f32; 2]>>],
    blocks: &'a [&'a [u32]],
    first_row: usize,
    found: &'a mut [Nearest],
}

impl WithSimd for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let bound = self.rows.error_bound();
        let mut exact = Exact { rows: self.rows, owners: self.owners, scratch: Zeroizing::default() };
        for (number, block) in self.blocks.iter().enumerate() {
            let row = self.first_row + number * BLOCK;
            let mut face = 0;
            while face < self.faces.len() {
                let together = if self.faces.len() - face >= FACES { FACES } else { 1 };
                let mut sums = [[0.0; BLOCK]; FACES];
                let highest = if together == FACES {
                    let words: [&[[f32; 2]]; FACES] = std::array::from_fn(|index| &self.words[face + index][..]);
                    multiply::<S, FACES>(simd, block, words, &mut sums)
                } else {
                    let [highest] = multiply::<S, 1>(simd, block, [&self.words[face][..]], &mut sums[..1]);
                    [highest; FACES]
                };
                for index in 0..together {
                    let nearest = &mut self.found[face + index];
                    if f64::from(highest[index]) + bound > nearest.floor() {
                        exact.look(row, &sums[index], bound, self.faces[face + index], nearest);
                    }
                }
                face += together;
            }
        }
    }
}

/// The sums of a block's upper halves with `N` faces, and the highest of each face.
#[inline(always)]
fn multiply<S: Simd, const N: usize>(
    simd: S,
    block: &[u32],
    faces: [&[[f32; 2]]; N],
    sums: &mut [[f32; BLOCK]],
) -> [f32; N] {
    let upper = simd.splat_u32s(0xFFFF_0000);
    let half = simd.splat_u32s(16);
    let mut highest = [simd.splat_f32s(f32::MIN); N];
    let a_word = BLOCK / S::U32_LANES;
    let words = S::as_simd_u32s(block).0;
    // Cut to one length, which spares the loop a check for each of them.
    let count = words.len() / a_word;
    let faces = faces.map(|face| &face[..count]);
    for strip in (0..a_word).step_by(VECTORS) {
        let mut total = [[simd.splat_f32s(0.0); VECTORS]; N];
        for word in 0..count {
            let vectors = &words[word * a_word + strip..][..VECTORS];
            for (vector, &word_of) in vectors.iter().enumerate() {
                let left = simd.transmute_f32s_u32s(simd.and_u32s(word_of, upper));
                let right = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(word_of, half));
                for (total, face) in total.iter_mut().zip(&faces) {
                    let [first, second] = face[word];
                    let sum = simd.mul_add_e_f32s(simd.splat_f32s(first), left, total[vector]);
                    total[vector] = simd.mul_add_e_f32s(simd.splat_f32s(second), right, sum);
                }
            }
        }
        for ((total, sums), highest) in total.iter().zip(sums.iter_mut()).zip(&mut highest) {
            let out = sums[strip * S::F32_LANES..].chunks_mut(S::F32_LANES);
            for (&total, out) in total.iter().zip(out) {
                simd.partial_store_f32s(out, total);
                *highest = simd.max_f32s(*highest, total);
            }
        }
    }
    let mut most = [f32::MIN; N];
    for (most, highest) in most.iter_mut().zip(highest) {
        *most = simd.reduce_max_f32s(highest);
    }
    most
}

/// Compares number by number.
struct Exact<'a> {
    rows: &'a Rows,
    owners: &'a [ResidentId],
    scratch: Zeroizing<Vec<f32>>,
}

impl Exact<'_> {
    /// Takes in the templates of a block that could be nearer than what was found. Seldom needed, so it is kept out of
    /// the loop that is not.
    #[inline(never)]
    fn look(&mut self, first_row: usize, sums: &[f32; BLOCK], bound: f64, face: &[f32], nearest: &mut Nearest) {
        for (row, (&sum, &owner)) in (first_row..).zip(sums.iter().zip(&self.owners[first_row..])) {
            if f64::from(sum) + bound > nearest.floor() {
                nearest.take_in(owner, self.rows.cosine(row, face, &mut self.scratch));
            }
        }
    }
}
