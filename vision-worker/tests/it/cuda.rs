//! The networks on a CUDA device against stock candle on the CPU. These tests are built with `--features cuda` and need
//! a device. By how much half precision may move a number is written beside each.

use candle_core::{Device, Tensor};
use gatepost_vision::Pipeline;
use gatepost_vision::align::{Crop, Placement, TEMPLATE};
use gatepost_vision::detect::Detection;
use gatepost_vision::geometry::{Point, Rectangle};
use gatepost_vision::image::Picture;
use gatepost_vision::model::Model;
use gatepost_vision::model::cuda::{cut, shrink};
use gatepost_vision::model::layers::Backend;
use gatepost_vision::model::weights::Weights;
use gatepost_vision::model::yunet::{Form, Yunet, likely};
use gatepost_vision::quality::Measures;

use crate::architectures::normal_form;
use crate::support::{device, model_folder, noise, photograph, pipeline, similarity};

/// Sides that are filled up or not, an odd number of cells, and pictures smaller than a tile.
const SIZES: [(usize, usize); 7] = [(160, 96), (150, 70), (32, 32), (1, 33), (640, 32), (1280, 720), (320, 180)];

fn bytes(shape: &[usize], seed: u32) -> Tensor {
    ((noise(shape, seed) + 1.0).unwrap() * 127.5).unwrap()
}

fn picture(width: usize, height: usize) -> Picture {
    picture_of(width, height, 5)
}

fn picture_of(width: usize, height: usize, seed: u32) -> Picture {
    let numbers = bytes(&[height * width * 3], seed).to_vec1::<f32>().unwrap();
    Picture { width, height, rgb: numbers.into_iter().map(|number| number as u8).collect() }
}

/// The largest difference of the cells, as a share of the largest number.
fn apart(found: &Yunet, expected: &Yunet, picture: &Picture) -> f32 {
    let (found, expected) = (found.cells(picture, device()).unwrap(), expected.cells(picture, &Device::Cpu).unwrap());
    let apart = found.iter().zip(&expected).map(|(found, expected)| {
        assert_eq!((found.columns, found.values.len()), (expected.columns, expected.values.len()));
        let largest = expected.values.iter().fold(1e-3_f32, |largest, value| largest.max(value.abs()));
        let apart = found.values.iter().zip(&expected.values).map(|(a, b)| (a - b).abs());
        // A number that is none must not pass.
        apart.fold(0.0, |most, apart| if apart <= most { most } else { apart }) / largest
    });
    apart.fold(0.0, |most, apart| if apart <= most { most } else { apart })
}

fn models() -> (Model, Model) {
    let on = |device: &Device, backend| Model::load_with(&model_folder(), device, backend).unwrap();
    (on(device(), Backend::Cuda), on(&Device::Cpu, Backend::Stock))
}

#[test]
fn the_detector_agrees_with_stock_candle() {
    let (cuda, stock) = models();
    let photograph = Picture::decode(&photograph("obama")).unwrap().shrink(640, 360);
    for picture in SIZES.map(|(width, height)| picture(width, height)).iter().chain([&photograph]) {
        let found = apart(&cuda.detector, &stock.detector, picture);
        println!("{}x{}: {found}", picture.width, picture.height);
        assert!(found < 0.01, "{}x{}: {found}", picture.width, picture.height);
    }
}

#[test]
fn the_normal_form_of_the_detector_agrees_with_stock_candle() {
    let file = safetensors::serialize(normal_form(), None).unwrap();
    let load = |device: &Device, backend| {
        Yunet::load(&Weights::from_bytes(&file, device, backend).unwrap(), Form::Normal).unwrap()
    };
    let (cuda, stock) = (load(device(), Backend::Cuda), load(&Device::Cpu, Backend::Stock));
    let found = apart(&cuda, &stock, &picture(150, 70));
    println!("{found}");
    assert!(found < 0.01, "{found}");
}

#[test]
fn the_embedder_agrees_with_stock_candle() {
    let (cuda, stock) = models();
    for count in [1, 2, 17] {
        let crops = bytes(&[count, 3, 112, 112], 6);
        let found = cuda.embedder.forward(&crops.to_device(device()).unwrap()).unwrap().to_vec2::<f32>().unwrap();
        let expected = stock.embedder.forward(&crops).unwrap().to_vec2::<f32>().unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            let cosine =
                similarity(found, expected) / (similarity(found, found) * similarity(expected, expected)).sqrt();
            println!("{cosine}");
            assert!(cosine > 0.9999, "{cosine}");
        }
    }
}

/// A batch that fills the device says of each of its members what it says of one alone.
#[test]
fn large_batches_agree_with_small_ones() {
    let (cuda, _) = models();
    let pictures: Vec<Tensor> = (0..32).map(|index| picture_of(1280, 720, index).tensor(device()).unwrap()).collect();
    let together = cuda.detector.cells_together(&Tensor::stack(&pictures, 0).unwrap()).unwrap();
    let crops = bytes(&[128, 3, 112, 112], 8).to_device(device()).unwrap();
    let embeddings = cuda.embedder.forward(&crops).unwrap().to_vec2::<f32>().unwrap();
    for member in [0, 17, 31] {
        let alone = cuda.detector.cells_together(&pictures[member].unsqueeze(0).unwrap()).unwrap();
        for (together, alone) in together.iter().zip(&alone) {
            let numbers = |cells: Tensor| cells.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(numbers(together.get(member).unwrap()) == numbers(alone.get(0).unwrap()), "{member}");
        }
        let alone = cuda.embedder.forward(&crops.narrow(0, 4 * member, 1).unwrap()).unwrap().to_vec2::<f32>().unwrap();
        let length = |vector: &[f32]| similarity(vector, vector).sqrt();
        let (together, alone) = (&embeddings[4 * member], &alone[0]);
        // Products of many rows may be summed in another order.
        let cosine = similarity(together, alone) / (length(together) * length(alone));
        assert!(cosine > 0.9999, "{member}: {cosine}");
    }
}

#[test]
fn faces_are_cut_and_measured_as_on_the_cpu() {
    let pictures = [picture_of(150, 90, 1), Picture::decode(&photograph("obama")).unwrap().shrink(150, 90)];
    let points =
        |scale: f32, x: f32, y: f32| TEMPLATE.map(|point| Point { x: point.x * scale + x, y: point.y * scale + y });
    // One within the picture, one that reaches over its edge, a small one, and one with several samples for a pixel.
    let faces = [
        (1, points(0.5, 20.0, 10.0)),
        (1, points(0.6, -20.0, 40.0)),
        (0, points(0.1, 9.0, 9.0)),
        (0, points(3.0, 0.0, 0.0)),
    ];
    let placed: Vec<_> = faces.iter().map(|(picture, points)| (*picture, Placement::of(points).unwrap())).collect();
    let on_device: Vec<Tensor> = pictures.iter().map(|picture| picture.tensor(device()).unwrap()).collect();
    let (crops, measures) = cut(&Tensor::stack(&on_device, 0).unwrap(), &placed).unwrap();
    let measures = measures.to_vec2::<f32>().unwrap();
    for (index, (picture, landmarks)) in faces.iter().enumerate() {
        let expected = Crop::cut(&pictures[*picture], landmarks).unwrap();
        let numbers = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (found, wanted) = (numbers(crops.get(index).unwrap()), numbers(expected.tensor(&Device::Cpu).unwrap()));
        let apart: f32 = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).sum::<f32>() / found.len() as f32;
        assert!(apart < 0.02, "{index}: {apart} grey levels in the mean");
        let face = Detection { bounds: Rectangle::default(), landmarks: *landmarks, score: 0.9 };
        let (found, wanted) = (&measures[index], Measures::of(&face, &expected));
        let wanted = [wanted.sharpness, wanted.brightness, wanted.colour, wanted.visible];
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() <= 0.005 * wanted.abs(), "{index}: {found} in place of {wanted}");
        }
    }
}

#[test]
fn pictures_shrink_as_on_the_cpu() {
    for (from, to) in [((1280, 720), (320, 180)), ((63, 45), (15, 11)), ((1920, 1080), (1280, 720)), ((7, 5), (1, 1))] {
        let picture = picture(from.0, from.1);
        let pictures =
            Tensor::stack(&[picture.tensor(device()).unwrap(), picture.tensor(device()).unwrap()], 0).unwrap();
        let found = shrink(&pictures, (to.1, to.0)).unwrap().flatten_all().unwrap().to_vec1::<u8>().unwrap();
        let expected = picture.shrink(to.0, to.1).rgb;
        // Sums that end at a half may be rounded either way.
        let apart = found.iter().zip(expected.iter().cycle()).map(|(a, b)| a.abs_diff(*b)).max();
        assert_eq!(found.len(), 2 * expected.len());
        assert!(apart <= Some(1), "{from:?} to {to:?}: {apart:?}");
    }
}

/// The device hands on the likely cells, or all of them where there are too many.
#[test]
fn the_likely_cells_are_those_above_the_threshold() {
    let (cuda, _) = models();
    let photograph = Picture::decode(&photograph("obama")).unwrap().shrink(640, 360);
    let pictures =
        Tensor::stack(&[photograph.tensor(device()).unwrap(), picture(640, 360).tensor(device()).unwrap()], 0);
    let levels = cuda.detector.cells_together(&pictures.unwrap()).unwrap();
    let score = |cell: &[f32; 16]| (cell[..2].iter().map(|value| 1.0 / (1.0 + (-value).exp())).product::<f32>()).sqrt();
    for least in [0.0, 0.01, 0.5] {
        for (picture, found) in likely(&levels, least).unwrap().iter().enumerate() {
            for (level, found) in levels.iter().zip(found) {
                let cells = level.get(picture).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let cells = cells.as_chunks::<16>().0;
                let above = |margin: f32| -> Vec<usize> {
                    (0..cells.len()).filter(|&place| score(&cells[place]) >= least + margin).collect()
                };
                let places: Vec<usize> = found.cells.iter().map(|(place, _)| *place).collect();
                let few = found.cells.len() < cells.len();
                assert!(above(1e-5).iter().all(|place| places.contains(place)), "{least}");
                assert!(!few || places.iter().all(|place| above(-1e-5).contains(place)), "{least}");
                assert!(found.cells.iter().all(|(place, cell)| cells[*place] == *cell));
            }
        }
    }
}

/// Frames that the device decodes: the same faces as from the strict decoder, whose word is the last on spoilt files.
#[test]
fn the_device_decodes_what_the_cpu_decodes() {
    let decoding = Pipeline::load(&model_folder(), device()).unwrap().decoding_on_device().unwrap();
    let whole = photograph("obama");
    let mut spoilt = whole.clone();
    spoilt.truncate(whole.len() / 2);
    spoilt.extend([0xFF, 0xD9]);
    let files = [whole, photograph("biden"), spoilt, photograph("obama2"), b"no frame".to_vec()];
    for file in &files {
        match (decoding.faces(file), pipeline().faces(file)) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(&expected) {
                    let apart =
                        (found.bounds.x - expected.bounds.x).abs().max((found.bounds.y - expected.bounds.y).abs());
                    let cosine = similarity(&found.embedding, &expected.embedding);
                    println!("{apart} pixels, cosine {cosine}");
                    assert!(apart < 0.5 && cosine > 0.99, "{apart} pixels, cosine {cosine}");
                }
            }
            (found, expected) => {
                println!("{found:?} in place of {expected:?}");
                assert!(expected.is_err(), "{found:?} in place of {expected:?}");
            }
        }
    }
}
