//! The kernels against stock candle, on shapes that divide by nothing and on the real networks.

use candle_core::{Device, Tensor};
use gatepost_vision::image::Picture;
use gatepost_vision::model::Model;
use gatepost_vision::model::layers::{Activation, Backend, Convolution, Kind};
use gatepost_vision::model::weights::Weights;
use gatepost_vision::model::yunet::Cells;

use crate::support::{model_folder, noise};

/// The largest difference, as a share of the largest number (of 1e-3, if all are smaller).
fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let largest =
        |tensor: &Tensor| tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    largest(&(a - b).unwrap()) / largest(b).max(1e-3)
}

fn check(kind: Kind, inputs: usize, outputs: usize, map: (usize, usize)) {
    let shape = match kind {
        Kind::Pointwise => [outputs, inputs, 1, 1],
        Kind::Depthwise { .. } => [outputs, 1, 3, 3],
        Kind::Dense { .. } => [outputs, inputs, 3, 3],
    };
    let tensors = [
        ("c.weight".to_owned(), noise(&shape, 1)),
        ("c.bias".to_owned(), noise(&[outputs], 2)),
        ("c.slope".to_owned(), noise(&[outputs], 3)),
    ];
    let file = safetensors::serialize(tensors, None).unwrap();
    let input = noise(&[2, inputs, map.0, map.1], 4);
    for activation in [Activation::None, Activation::Relu, Activation::Prelu] {
        let run = |backend| {
            let weights = Weights::from_bytes(&file, &Device::Cpu, backend).unwrap();
            Convolution::load(&weights, "c", kind, activation).unwrap().forward(&input).unwrap()
        };
        let found = difference(&run(Backend::Kernels), &run(Backend::Stock));
        assert!(found < 1e-5, "{kind:?} {inputs} to {outputs}, {map:?}, {activation:?}: {found}");
    }
}

#[test]
fn convolutions_of_odd_shapes_agree() {
    for map in [(1, 1), (2, 3), (7, 7), (13, 70), (65, 9)] {
        for (inputs, outputs) in [(1, 1), (3, 5), (16, 16), (17, 10)] {
            check(Kind::Pointwise, inputs, outputs, map);
            for stride in [1, 2] {
                check(Kind::Dense { stride }, inputs, outputs, map);
                check(Kind::Depthwise { stride }, outputs, outputs, map);
            }
        }
    }
}

#[test]
fn both_networks_agree() {
    let load = |backend| Model::load_with(&model_folder(), &Device::Cpu, backend).unwrap();
    let (kernels, stock) = (load(Backend::Kernels), load(Backend::Stock));
    let bytes = |shape: &[usize]| ((noise(shape, 5) + 1.0).unwrap() * 127.5).unwrap();

    // Sides that are filled up or not, and rows shorter than a tile.
    for (width, height) in [(160, 96), (150, 70), (32, 32), (1, 33), (640, 32)] {
        let numbers = bytes(&[height, width, 3]).flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let picture = Picture { width, height, rgb: numbers.into_iter().map(|number| number as u8).collect() };
        let cells = |model: &Model| model.detector.cells(&picture, &Device::Cpu).unwrap();
        for (found, expected) in cells(&kernels).iter().zip(cells(&stock)) {
            assert_eq!(found.columns, expected.columns);
            let tensor = |cells: &Cells| Tensor::new(cells.values.as_slice(), &Device::Cpu).unwrap();
            let apart = difference(&tensor(found), &tensor(&expected));
            assert!(apart < 1e-4, "{width}x{height}: {apart}");
        }
    }

    let crops = bytes(&[2, 3, 112, 112]);
    let (found, expected) = (kernels.embedder.forward(&crops).unwrap(), stock.embedder.forward(&crops).unwrap());
    assert!(difference(&found, &expected) < 1e-4, "{}", difference(&found, &expected));
}
