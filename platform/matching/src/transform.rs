//! A secret rotation of a community's faces, so that a template says nothing to whoever has not the secret, can be
//! replaced by another of the same face, and cannot be compared with templates of another community.
//!
//! **Construction.** An orthogonal matrix, drawn uniformly (by Haar's measure) with the numbers of a seed: the product
//! of Householder reflections of normal vectors of falling dimension, and of random signs, after G. W. Stewart, "The
//! efficient generation of random orthogonal matrices with an application to condition estimators", SIAM Journal on
//! Numerical Analysis 17 (1980), 403-409. The normal numbers come from ChaCha20's key stream by Box and Muller's method.
//! It turns a vector of 128 numbers in 16,000 multiplications. Cosines stay as they are but for rounding, below 1e-6.
//!
//! **What it does not protect.** Whoever has the seed turns templates back, and so does whoever can have enough faces
//! of their own turned and sees the outcome: as many pairs as the vectors have numbers give the matrix away (A. Kong et
//! al., "An analysis of BioHashing and its variants", Pattern Recognition 39 (2006), 1359-1370, for this kind of
//! scheme). Templates of one community keep their angles to each other. It is the second wall behind the sealing of
//! templates at rest, not a replacement for it; and it hides nothing from who reads the memory of a running platform.

use std::f64::consts::{SQRT_2, TAU};

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use zeroize::Zeroizing;

use crate::embedding::{Embedding, EmbeddingError, ModelId};

/// One community's rotation for embeddings of one dimension. Its memory is cleared when it is dropped.
pub struct Transform {
    dimension: usize,
    /// A reflection's vector for each dimension from the whole down to 2, one after the other, of length root two.
    reflections: Zeroizing<Vec<f64>>,
    signs: Zeroizing<Vec<f64>>,
}

impl Transform {
    /// Draws the rotation. The same seed and dimension give the same one in every release.
    pub fn new(seed: &[u8; 32], dimension: usize) -> Self {
        let mut normals = Normals { bits: ChaCha20Rng::from_seed(*seed), spare: None };
        let mut reflections = Zeroizing::new(Vec::with_capacity(dimension * (dimension + 1) / 2));
        for size in (2..=dimension).rev() {
            let start = reflections.len();
            reflections.extend((0..size).map(|_| normals.draw()));
            let vector = &mut reflections[start..];
            // The reflection that maps the normal vector onto the first axis, on the side that cancels nothing.
            vector[0] += length(vector).copysign(vector[0]);
            let scale = SQRT_2 / length(vector);
            vector.iter_mut().for_each(|number| *number *= scale);
        }
        let sign = |normal: f64| 1f64.copysign(normal);
        let mut signs = Zeroizing::new(Vec::with_capacity(dimension));
        signs.extend((0..dimension).map(|_| sign(normals.draw())));
        Transform { dimension, reflections, signs }
    }

    /// Turns a face of a model into what is kept and compared, which is a face of `into`: by that name, no other
    /// community's template and no unturned face is comparable with it.
    pub fn turn(&self, face: &Embedding, into: &ModelId) -> Result<Embedding, EmbeddingError> {
        let mut numbers = self.numbers(face)?;
        for (number, sign) in numbers.iter_mut().zip(self.signs.iter()) {
            *number *= sign;
        }
        let mut end = self.reflections.len();
        for size in 2..=self.dimension {
            reflect(&mut numbers[self.dimension - size..], &self.reflections[end - size..end]);
            end -= size;
        }
        whole(&numbers, into)
    }

    /// The face that [`Transform::turn`] was given, of the model `from`.
    pub fn turn_back(&self, turned: &Embedding, from: &ModelId) -> Result<Embedding, EmbeddingError> {
        let mut numbers = self.numbers(turned)?;
        let mut start = 0;
        for size in (2..=self.dimension).rev() {
            reflect(&mut numbers[self.dimension - size..], &self.reflections[start..start + size]);
            start += size;
        }
        for (number, sign) in numbers.iter_mut().zip(self.signs.iter()) {
            *number *= sign;
        }
        whole(&numbers, from)
    }

    fn numbers(&self, face: &Embedding) -> Result<Zeroizing<Vec<f64>>, EmbeddingError> {
        if face.dimension() != self.dimension {
            return Err(EmbeddingError::OtherDimension { expected: self.dimension, found: face.dimension() });
        }
        let mut numbers = Zeroizing::new(Vec::with_capacity(self.dimension));
        numbers.extend(face.values().iter().map(|number| f64::from(*number)));
        Ok(numbers)
    }
}

fn whole(numbers: &[f64], model: &ModelId) -> Result<Embedding, EmbeddingError> {
    let mut single = Vec::with_capacity(numbers.len());
    single.extend(numbers.iter().map(|number| *number as f32));
    Embedding::new(model, single)
}

/// Mirrors `numbers` at the plane across `vector`, whose length is root two.
fn reflect(numbers: &mut [f64], vector: &[f64]) {
    let along: f64 = numbers.iter().zip(vector).map(|(number, part)| number * part).sum();
    for (number, part) in numbers.iter_mut().zip(vector) {
        *number -= along * part;
    }
}

fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|number| number * number).sum::<f64>().sqrt()
}

/// Normal numbers from a key stream.
struct Normals {
    bits: ChaCha20Rng,
    spare: Option<f64>,
}

impl Normals {
    fn draw(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sine, cosine) = (TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }

    /// Above 0 and below 1.
    fn uniform(&mut self) -> f64 {
        ((self.bits.next_u64() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMENSION: usize = 128;

    fn plain() -> ModelId {
        ModelId::new("plain")
    }

    fn face(number: u8) -> Embedding {
        let mut normals = Normals { bits: ChaCha20Rng::from_seed([number; 32]), spare: None };
        let vector: Vec<f64> = (0..DIMENSION).map(|_| normals.draw()).collect();
        let length = length(&vector);
        Embedding::new(&plain(), vector.iter().map(|number| (number / length) as f32).collect()).unwrap()
    }

    /// Faces 0, 2, 4.. as they are, and a face somewhat like each.
    fn alike(number: u8) -> (Embedding, Embedding) {
        let (face, other) = (face(number), face(number + 1));
        let mixed: Vec<f64> = face
            .values()
            .iter()
            .zip(other.values())
            .map(|(one, two)| f64::from(*one) + 0.7 * f64::from(*two))
            .collect();
        let length = length(&mixed);
        let mixed = Embedding::new(&plain(), mixed.iter().map(|number| (number / length) as f32).collect()).unwrap();
        (face, mixed)
    }

    #[test]
    fn cosines_stay_and_faces_come_back() {
        let (transform, kept) = (Transform::new(&[7; 32], DIMENSION), ModelId::new("kept"));
        for number in (0..100).step_by(2) {
            let (one, two) = alike(number);
            let [turned_one, turned_two] = [&one, &two].map(|face| transform.turn(face, &kept).unwrap());
            let off = (one.cosine(&two).unwrap() - turned_one.cosine(&turned_two).unwrap()).abs();
            assert!(off < 1e-6, "a score is off by {off:e}");
            let back = transform.turn_back(&turned_one, &plain()).unwrap();
            assert!(back.cosine(&one).unwrap() > 1.0 - 1e-6);
        }
    }

    #[test]
    fn templates_of_two_communities_score_at_chance() {
        let into = ModelId::new("kept");
        let [ours, theirs] = [[1; 32], [2; 32]].map(|seed| Transform::new(&seed, DIMENSION));
        // The same face in two communities, and before and after the transform.
        for other in [Some(&theirs), None] {
            let scores: Vec<f64> = (0..200)
                .map(|number| {
                    let face = face(number);
                    let other = other.map_or(face.clone(), |other| other.turn(&face, &into).unwrap());
                    crate::embedding::dot(ours.turn(&face, &into).unwrap().values(), other.values())
                })
                .collect();
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            let spread = (scores.iter().map(|score| score * score).sum::<f64>() / scores.len() as f64).sqrt();
            // Independent directions in 128 dimensions: mean 0, spread 1 / sqrt(128) = 0.088. The mean of 200 is off
            // by more than five times its own spread once in two million draws.
            assert!(mean.abs() < 5.0 * 0.0884 / 200f64.sqrt(), "mean {mean}");
            assert!((0.07..0.11).contains(&spread), "spread {spread}");
        }
    }

    #[test]
    fn unlike_names_do_not_compare() {
        let transform = Transform::new(&[1; 32], DIMENSION);
        let [ours, theirs] = ["ours", "theirs"].map(|into| transform.turn(&face(1), &ModelId::new(into)).unwrap());
        assert!(matches!(ours.cosine(&theirs), Err(EmbeddingError::OtherModel { .. })));
        assert!(matches!(ours.cosine(&face(1)), Err(EmbeddingError::OtherModel { .. })));
    }

    /// Stored templates outlive releases, so a seed must mean the same for ever.
    #[test]
    fn a_seed_always_gives_the_same_rotation() {
        let model = plain();
        let axis = Embedding::new(&model, vec![1.0, 0.0, 0.0, 0.0]).unwrap();
        let turned = Transform::new(&[42; 32], 4).turn(&axis, &model).unwrap();
        // Worked out apart from this code, in another language.
        let expected = [0.9548687f32, -0.1318305, 0.1849051, -0.1914592];
        for (number, expected) in turned.values().iter().zip(expected) {
            assert!((number - expected).abs() < 1e-6, "{:?}", turned.values());
        }
    }

    #[test]
    fn rotations_are_spread_evenly() {
        // The first column of a uniform rotation is a uniform direction: each coordinate has mean 0 and square 1/4.
        let model = plain();
        let axis = Embedding::new(&model, vec![1.0, 0.0, 0.0, 0.0]).unwrap();
        let mut sums = [[0.0f64; 2]; 4];
        for number in 0..4_000u32 {
            let mut seed = [0; 32];
            seed[..4].copy_from_slice(&number.to_le_bytes());
            let turned = Transform::new(&seed, 4).turn(&axis, &model).unwrap();
            for (sum, value) in sums.iter_mut().zip(turned.values()) {
                sum[0] += f64::from(*value);
                sum[1] += f64::from(*value).powi(2);
            }
        }
        for [sum, squares] in sums {
            assert!((sum / 4_000.0).abs() < 0.04 && (squares / 4_000.0 - 0.25).abs() < 0.02, "{sum} {squares}");
        }
    }
}
