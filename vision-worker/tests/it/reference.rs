//! The worker against onnxruntime on the same weights: `tests/reference/make.py` computed the numbers.

use gatepost_vision::align::Crop;
use serde::Deserialize;

use crate::support::{photograph, pipeline, similarity};

const SIDE: usize = 112;

#[derive(Deserialize)]
struct Reference {
    patterns: Vec<Pattern>,
    photographs: Vec<Photograph>,
}

#[derive(Deserialize)]
struct Pattern {
    seed: u8,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Photograph {
    name: String,
    faces: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    r#box: [f32; 4],
    landmarks: [f32; 10],
    score: f32,
    embedding: Vec<f32>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../reference/reference.json")).unwrap()
}

/// The crop that `make.py` makes without a picture.
pub fn pattern(seed: u8) -> Crop {
    let mut planes = Vec::with_capacity(3 * SIDE * SIDE);
    for channel in 0..3_u8 {
        for y in 0..SIDE {
            for x in 0..SIDE {
                let (x, y) = (x as f64, y as f64);
                let waves = (x / (3.0 + f64::from(seed))).sin()
                    + (y / (5.0 + f64::from(channel))).sin()
                    + ((x + y) / 17.0).sin();
                planes.push((127.5 + 40.0 * waves) as f32);
            }
        }
    }
    Crop::from_planes(planes)
}

#[test]
fn embeddings_of_equal_crops_are_equal() {
    for expected in reference().patterns {
        let found = pipeline().embed(&[&pattern(expected.seed)]).unwrap().remove(0);
        let cosine = similarity(&found, &expected.embedding);
        println!("pattern {}: cosine {cosine}", expected.seed);
        assert!(cosine >= 0.9999, "pattern {}: {cosine}", expected.seed);
    }
}

#[test]
fn faces_of_photographs_agree_from_the_file_to_the_embedding() {
    for photo in reference().photographs {
        let found = pipeline().faces(&photograph(&photo.name)).unwrap();
        assert_eq!(found.len(), photo.faces.len(), "{}", photo.name);
        for (found, expected) in found.iter().zip(&photo.faces) {
            let bounds = found.bounds;
            let boxes = [bounds.x, bounds.y, bounds.width, bounds.height];
            let points = found.landmarks.iter().flat_map(|point| [point.x, point.y]);
            let pixels = boxes.into_iter().zip(expected.r#box).chain(points.zip(expected.landmarks));
            let apart = pixels.map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
            let cosine = similarity(&found.embedding, &expected.embedding);
            println!("{}: {apart} pixels apart, cosine {cosine}", photo.name);
            assert!(apart < 0.5, "{}: {apart} pixels apart", photo.name);
            assert!((found.score - expected.score).abs() < 0.005, "{}: score {}", photo.name, found.score);
            assert!(cosine >= 0.99, "{}: cosine {cosine}", photo.name);
        }
    }
}
