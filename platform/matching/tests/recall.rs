//! The search names whom a comparison in double precision with every template names, however the templates lie and
//! however many threads look.
#![expect(clippy::unwrap_used, reason = "a test that cannot make its vectors has failed")]

use gatepost_domain::id::ResidentId;
use gatepost_matching::{Embedding, Gallery, ModelId, Ranking};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

const DIMENSION: usize = 128;

fn model() -> ModelId {
    ModelId::new("test")
}

fn resident(number: usize) -> ResidentId {
    ResidentId(Uuid::from_u128(number as u128))
}

fn random(rng: &mut StdRng) -> Vec<f32> {
    unit((0..DIMENSION).map(|_| rng.random_range(-1.0f32..1.0)).collect())
}

fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    vector.iter().map(|number| (f64::from(*number) / length) as f32).collect()
}

/// The vector with one number moved by as little as single precision can.
fn nudged(vector: &[f32], place: usize) -> Vec<f32> {
    let mut nudged = vector.to_vec();
    nudged[place % DIMENSION] = nudged[place % DIMENSION].next_up();
    nudged
}

fn cosine(left: &[f32], right: &[f32]) -> f64 {
    left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum()
}

/// The two residents that a comparison with every template finds, each template being one resident's.
fn brute_force(templates: &[Vec<f32>], face: &[f32]) -> [usize; 2] {
    let mut order: Vec<(usize, f64)> = templates.iter().map(|template| cosine(template, face)).enumerate().collect();
    order.select_nth_unstable_by(1, |left, right| right.1.total_cmp(&left.1));
    let mut two = [order[0], order[1]];
    two.sort_by(|left, right| right.1.total_cmp(&left.1));
    two.map(|(number, _)| number)
}

fn check(templates: &[Vec<f32>], faces: &[Vec<f32>]) {
    let mut gallery = Gallery::with_capacity(model(), templates.len());
    for (number, template) in templates.iter().enumerate() {
        gallery.add(resident(number), &Embedding::new(&model(), template.clone()).unwrap()).unwrap();
    }
    let embeddings: Vec<Embedding> = faces.iter().map(|face| Embedding::new(&model(), face.clone()).unwrap()).collect();
    let embeddings: Vec<&Embedding> = embeddings.iter().collect();
    let together = gallery.search_all(&embeddings).unwrap();
    for ((ranking, face), embedding) in together.iter().zip(faces).zip(&embeddings) {
        // Two that are equal even in double precision may stand in either order: their cosines then agree.
        let found = |place: Option<(ResidentId, f32)>| templates[place.unwrap().0.0.as_u128() as usize].as_slice();
        let [best, second] = brute_force(templates, face);
        for (found, expected) in [(found(ranking.best), best), (found(ranking.second), second)] {
            let off = cosine(&templates[expected], face) - cosine(found, face);
            assert!(off.abs() <= 1e-15, "another template is nearer by {off:e}");
        }
        assert_eq!(gallery.search(embedding).unwrap(), *ranking, "alone as together");
    }
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let divided: Vec<Ranking> = pool.install(|| gallery.search_all(&embeddings)).unwrap();
        assert_eq!(divided, together, "{threads} threads");
    }
}

#[test]
fn the_nearest_of_many_is_found_and_so_is_the_second() {
    let mut rng = StdRng::seed_from_u64(1);
    let templates: Vec<_> = (0..50_000).map(|_| random(&mut rng)).collect();
    let strangers = (0..21).map(|_| random(&mut rng));
    let known = [17, 49_999].into_iter().map(|number: usize| nudged(&templates[number], number));
    let faces: Vec<_> = strangers.chain(known).collect();
    check(&templates, &faces);
}

#[test]
fn templates_that_differ_in_a_last_bit_are_told_apart() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut templates: Vec<_> = (0..9_000).map(|_| random(&mut rng)).collect();
    for number in 0..600 {
        let twin = nudged(&templates[number], number * 7);
        let place = rng.random_range(0..templates.len());
        templates.insert(place, twin);
    }
    let faces: Vec<_> = (0..40).map(|number| nudged(&templates[number], number * 3)).collect();
    check(&templates, &faces);
}

#[test]
fn every_size_of_gallery_and_of_batch_is_right() {
    let mut rng = StdRng::seed_from_u64(3);
    for templates in [2, 31, 32, 33, 64, 257] {
        let templates: Vec<_> = (0..templates).map(|_| random(&mut rng)).collect();
        for faces in 1..10 {
            check(&templates, &(0..faces).map(|_| random(&mut rng)).collect::<Vec<_>>());
        }
    }
}
