//! Halving a map, and adding a map to one of half its size: the two steps of a feature pyramid.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, bail};

use super::nchw;

/// Each number the largest of a square of four. Sides must be even.
pub struct Halve;

impl CustomOp1 for Halve {
    fn name(&self) -> &'static str {
        "halve"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (input, [n, c, h, w]) = nchw(storage, layout)?;
        if h % 2 != 0 || w % 2 != 0 {
            bail!("a map of {h}x{w} has no half")
        }
        let mut output = vec![0.0; n * c * h * w / 4];
        for (rows, output) in input.chunks_exact(2 * w).zip(output.chunks_exact_mut(w / 2)) {
            let (upper, lower) = rows.split_at(w);
            let squares = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for ((upper, lower), output) in squares.zip(output) {
                *output = upper[0].max(upper[1]).max(lower[0].max(lower[1]));
            }
        }
        Ok((CpuStorage::F32(output), (n, c, h / 2, w / 2).into()))
    }
}

/// The sum of a map and of another one of half its size, each number of which counts for a square of four.
pub struct AddDoubled;

impl CustomOp2 for AddDoubled {
    fn name(&self) -> &'static str {
        "add_doubled"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (fine, [n, c, h, w]) = nchw(s1, l1)?;
        let (coarse, shape) = nchw(s2, l2)?;
        if [shape[0], shape[1], 2 * shape[2], 2 * shape[3]] != [n, c, h, w] {
            bail!("a map of {shape:?} is not half of {:?}", [n, c, h, w])
        }
        let mut output = fine.to_vec();
        for (rows, coarse) in output.chunks_exact_mut(2 * w).zip(coarse.chunks_exact(w / 2)) {
            for row in rows.chunks_exact_mut(w) {
                for (pair, coarse) in row.as_chunks_mut::<2>().0.iter_mut().zip(coarse) {
                    pair[0] += coarse;
                    pair[1] += coarse;
                }
            }
        }
        Ok((CpuStorage::F32(output), (n, c, h, w).into()))
    }
}
