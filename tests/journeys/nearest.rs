//! The gallery's search on real faces: people walking past a gate, each frame's face embedded by the networks. They are
//! much nearer to each other than random vectors are.

use gatepost_domain::id::ResidentId;
use gatepost_matching::{Embedding, Gallery, ModelId};
use gatepost_tests::clients::{Light, passage};
use gatepost_vision::{Pipeline, cli::DeviceChoice, model::card::default_folder};
use uuid::Uuid;

fn faces() -> Vec<Vec<f32>> {
    let device = DeviceChoice::Cpu.open().unwrap();
    let pipeline = Pipeline::load(&default_folder(), &device).unwrap();
    let mut faces = Vec::new();
    for name in ["obama", "obama2", "biden"] {
        for light in [Light::Day, Light::Dusk] {
            for frame in passage(name, 10, light) {
                faces.extend(pipeline.faces(&frame).unwrap().into_iter().map(|face| face.embedding));
            }
        }
    }
    faces
}

fn cosine(left: &[f32], right: &[f32]) -> f64 {
    left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum()
}

#[test]
fn the_nearest_of_real_faces_is_the_one_that_double_precision_names() {
    let faces = faces();
    assert!(faces.len() >= 40, "{} faces", faces.len());
    let model = ModelId::new("test");
    let embedding = |face: &Vec<f32>| Embedding::new(&model, face.clone()).unwrap();
    for (left_out, face) in faces.iter().enumerate() {
        let others: Vec<usize> = (0..faces.len()).filter(|other| *other != left_out).collect();
        let mut gallery = Gallery::new(model.clone());
        for other in &others {
            gallery.add(ResidentId(Uuid::from_u128(*other as u128)), &embedding(&faces[*other])).unwrap();
        }
        let found = gallery.search(&embedding(face)).unwrap().best.unwrap().0.0.as_u128() as usize;
        let score = |other: &usize| cosine(&faces[*other], face);
        let nearest = others.iter().max_by(|one, two| score(one).total_cmp(&score(two))).unwrap();
        // One face may be there twice over; then either is right.
        assert!(score(nearest) - score(&found) <= 1e-12, "{} instead of {}", score(&found), score(nearest));
    }
}
