//! What the machine can do at most, whatever the program: multiply-adds of one core, and bytes from memory. Measured
//! times are to be read beside these.

use std::hint::black_box;
use std::time::Instant;

use pulp::{Arch, Simd, WithSimd};

/// Sums that do not wait for each other: more than multiply-adds are in flight on any CPU.
const CHAINS: usize = 12;

/// Rounds of all chains in one measurement: some milliseconds.
const ROUNDS: usize = 1 << 20;

/// Numbers that are read in one measurement: more than the second-level cache holds many times over.
const NUMBERS: usize = 64 << 20;

/// Measurements, of which the fastest counts.
const TRIES: usize = 5;

/// What one core can do in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Multiply-adds on single precision numbers, with the widest vectors.
    pub multiply_adds: f64,
    /// Bytes read from memory, one after the other.
    pub bytes: f64,
}

impl Machine {
    /// Measures one core for about a second.
    pub fn measure() -> Self {
        let arch = Arch::new();
        let numbers = vec![1.0_f32; NUMBERS];
        Self {
            multiply_adds: fastest(|| arch.dispatch(MultiplyAdds) as f64),
            bytes: fastest(|| {
                arch.dispatch(Sum(&numbers));
                size_of_val(numbers.as_slice()) as f64
            }),
        }
    }

    /// The seconds that one core needs at least.
    pub fn seconds(&self, multiply_adds: usize, bytes: usize) -> f64 {
        (multiply_adds as f64 / self.multiply_adds).max(bytes as f64 / self.bytes)
    }
}

/// The most that was done in a second.
fn fastest(mut work: impl FnMut() -> f64) -> f64 {
    (0..TRIES).fold(0.0, |best, _| {
        let begun = Instant::now();
        let done = work();
        f64::max(best, done / begun.elapsed().as_secs_f64())
    })
}

/// Does nothing but multiply-adds, and returns how many.
struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let factor = simd.splat_f32s(black_box(0.5));
        let mut sums = [factor; CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, factor, factor);
            }
        }
        for sum in sums {
            black_box(simd.reduce_sum_f32s(sum));
        }
        ROUNDS * CHAINS * S::F32_LANES
    }
}

/// Adds up numbers.
struct Sum<'a>(&'a [f32]);

impl WithSimd for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut sums = [simd.splat_f32s(0.0); CHAINS];
        for vectors in S::as_simd_f32s(self.0).0.chunks_exact(CHAINS) {
            for (sum, vector) in sums.iter_mut().zip(vectors) {
                *sum = simd.add_f32s(*sum, *vector);
            }
        }
        for sum in sums {
            black_box(simd.reduce_sum_f32s(sum));
        }
    }
}
