//! The liveness networks against onnxruntime and OpenCV: `tests/reference/minifasnet.py` computed the numbers. What
//! needs the published weights looks for them in the model folder, and in the folder that GATEPOST_LIVENESS names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use gatepost_vision::evaluate::liveness::{Options, evaluate};
use gatepost_vision::geometry::Rectangle;
use gatepost_vision::image::Picture;
use gatepost_vision::liveness::{LIVE_MIN, crop};
use gatepost_vision::model::card::Liveness;
use gatepost_vision::model::import::{Import, State, import, minifasnet};
use gatepost_vision::model::layers::Backend;
use gatepost_vision::model::minifasnet::{BLOCKS, Form, Minifasnet, SIDE};
use gatepost_vision::model::weights::Weights;
use gatepost_vision::model::{self, Model, ModelError};
use gatepost_vision::{Pipeline, model::card::Card};
use serde::Deserialize;

use crate::architectures::Training;
use crate::support::{copy_folder, jpeg, model_folder, photograph};

#[derive(Deserialize)]
struct Reference {
    made_up: BTreeMap<String, Vec<[f32; 3]>>,
    photographs: Vec<Face>,
}

#[derive(Deserialize)]
struct Face {
    name: String,
    r#box: [f32; 4],
    #[serde(flatten)]
    networks: BTreeMap<String, Shown>,
}

#[derive(Deserialize)]
struct Shown {
    crop: Vec<f32>,
    classes: [f32; 3],
}

const FORMS: [Form; 2] = [Form::V2, Form::V1Se];

fn reference() -> Reference {
    serde_json::from_str(include_str!("../reference/minifasnet.json")).unwrap()
}

/// The crop that `minifasnet.py` makes without a picture.
fn pattern(seed: u8) -> Tensor {
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
    Tensor::from_vec(planes, (1, 3, SIDE, SIDE), &Device::Cpu).unwrap()
}

/// A form's tensors as training names them, out of their names.
fn made_up(form: Form) -> Training {
    let inner: [&[usize]; 3] = match form {
        Form::V2 => [&[103, 13, 13, 13, 13], &[231, 231, 52, 26, 77, 26, 26], &[308, 26, 26]],
        Form::V1Se => [&[103, 13, 26, 13, 52], &[231, 154, 52, 26, 52, 26, 26], &[308, 26, 26]],
    };
    let mut all = Training::with_gain(1.5);
    let unit = |all: &mut Training, name: &str, shape: &[usize], bends: bool| {
        all.matrix(&format!("{name}.conv"), shape);
        all.norm(&format!("{name}.bn"), shape[0]);
        if bends {
            all.prelu(&format!("{name}.prelu"), shape[0]);
        }
    };
    unit(&mut all, "conv1", &[32, 3, 3, 3], true);
    unit(&mut all, "conv2_dw", &[32, 1, 3, 3], true);
    let mut inputs = 32;
    for (stage, outputs) in [64, 128, 128].into_iter().enumerate() {
        for (block, &inner) in inner[stage].iter().enumerate() {
            let number = stage + 3;
            let name = match block {
                0 => format!("conv_{}{number}", number - 1),
                _ => format!("conv_{number}.model.{}", block - 1),
            };
            unit(&mut all, &format!("{name}.conv"), &[inner, inputs, 1, 1], true);
            unit(&mut all, &format!("{name}.conv_dw"), &[inner, 1, 3, 3], true);
            unit(&mut all, &format!("{name}.project"), &[outputs, inner, 1, 1], false);
            if form == Form::V1Se && block == BLOCKS[stage] {
                all.matrix(&format!("{name}.se_module.fc1"), &[outputs / 4, outputs, 1, 1]);
                all.norm(&format!("{name}.se_module.bn1"), outputs / 4);
                all.matrix(&format!("{name}.se_module.fc2"), &[outputs, outputs / 4, 1, 1]);
                all.norm(&format!("{name}.se_module.bn2"), outputs);
            }
            inputs = outputs;
        }
    }
    unit(&mut all, "conv_6_sep", &[512, 128, 1, 1], true);
    unit(&mut all, "conv_6_dw", &[512, 1, 5, 5], false);
    all.matrix("linear", &[128, 512]);
    all.norm("bn", 128);
    all.matrix("prob", &[3, 128]);
    all
}

#[test]
fn both_forms_agree_with_onnxruntime_on_made_up_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.safetensors");
    for form in FORMS {
        made_up(form).write(&path);
        let bytes = minifasnet::convert(&State::read(&path).unwrap(), form).unwrap();
        for backend in [Backend::Kernels, Backend::Stock] {
            let weights = Weights::from_bytes(&bytes, &Device::Cpu, backend).unwrap();
            let network = Minifasnet::load(&weights, form).unwrap();
            for (seed, expected) in (0..).zip(&reference().made_up[&form.to_string()]) {
                let found = network.classes(&pattern(seed)).unwrap()[0];
                let apart = farthest(&found, expected);
                println!("{form} {backend:?} pattern {seed}: {apart:.1e} apart");
                assert!(apart < 1e-4, "{form} {backend:?} {seed}: {found:?}, {expected:?}");
            }
        }
    }
}

#[test]
fn weights_of_another_form_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.safetensors");
    made_up(Form::V2).write(&path);
    let error = minifasnet::convert(&State::read(&path).unwrap(), Form::V1Se).unwrap_err();
    assert!(error.to_string().contains("se_module"), "{error}");
}

#[test]
fn crops_are_cut_and_resized_as_opencv_does_it() {
    for face in reference().photographs {
        let picture = Picture::decode(&photograph(&face.name)).unwrap();
        for (form, scale) in FORMS.into_iter().zip([2.7, 4.0]) {
            let found = crop(&picture, bounds(&face), scale);
            let every: Vec<f32> = found.into_iter().step_by(97).collect();
            let expected = &face.networks[&form.to_string()].crop;
            // The decoders differ by a grey level or two, and OpenCV rounds at another place.
            let apart = farthest(&every, expected);
            println!("{} {form}: {apart} apart", face.name);
            assert!(every.len() == expected.len() && apart <= 3.0, "{} {form}: {apart}", face.name);
        }
    }
}

#[test]
fn what_is_not_the_published_file_is_not_imported() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("model");
    let what = Import { liveness: Some(folder.path().to_owned()), ..plain(&model_folder()) };
    let error = import(&what, &to).unwrap_err();
    assert!(error.to_string().contains("2.7_80x80_MiniFASNetV2.pth is missing"), "{error}");
    std::fs::write(folder.path().join("2.7_80x80_MiniFASNetV2.pth"), b"something else").unwrap();
    assert!(matches!(import(&what, &to).unwrap_err(), ModelError::DigestMismatch { .. }));
    assert!(!to.exists());
}

#[test]
fn a_card_says_what_its_liveness_networks_are() {
    let folder = tempfile::tempdir().unwrap();
    let (card, to) = with_made_up(folder.path());
    let refused = |change: &dyn Fn(&mut Liveness)| {
        let mut card = card.clone();
        change(&mut card.liveness[0]);
        card.check().unwrap_err()
    };
    assert!(refused(&|network| network.architecture = "resnet".to_owned()).contains("minifasnet-v1se"));
    assert!(refused(&|network| network.scale = 0.5).contains("1 to 8"));
    assert!(refused(&|network| network.weights.licence = "CC BY-NC 4.0".to_owned()).contains("non_commercial"));

    let weights = to.join(&card.liveness[1].weights.file);
    std::fs::write(&weights, b"other").unwrap();
    assert!(matches!(model::verify(&to), Err(ModelError::DigestMismatch { path, .. }) if path == weights));
}

/// The networks are no part of the id, and whoever imports from such a folder keeps them.
#[test]
fn a_folder_with_liveness_judges_faces_and_embeds_them_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let (card, to) = with_made_up(folder.path());
    let without = Pipeline::load(&model_folder(), &Device::Cpu).unwrap();
    assert_eq!(card.id, without.card().id);
    let with = Pipeline::load(&to, &Device::Cpu).unwrap();
    let photograph = photograph("obama");
    let (found, before) = (with.faces(&photograph).unwrap(), without.faces(&photograph).unwrap());
    assert!(found[0].liveness.is_some_and(|liveness| (0.0..=1.0).contains(&liveness)));
    assert_eq!(found[0].embedding, before[0].embedding);

    let again = folder.path().join("again");
    assert_eq!(import(&plain(&to), &again).unwrap(), card);
    assert_eq!(model::verify(&again).unwrap(), card);
}

#[test]
fn the_published_weights_agree_with_onnxruntime() {
    let Some((_folder, models)) = published() else { return };
    let model = Model::load(&models, &Device::Cpu).unwrap();
    for face in reference().photographs {
        let picture = Picture::decode(&photograph(&face.name)).unwrap();
        for ((network, scale), form) in model.liveness.iter().zip(FORMS) {
            let planes = crop(&picture, bounds(&face), *scale);
            let crop = Tensor::from_vec(planes, (1, 3, SIDE, SIDE), &Device::Cpu).unwrap();
            let (found, expected) = (network.classes(&crop).unwrap()[0], face.networks[&form.to_string()].classes);
            let apart = farthest(&found, &expected);
            println!("{} {form}: {apart:.5} apart, {found:?}", face.name);
            assert!(apart < 0.01, "{} {form}: {found:?}, {expected:?}", face.name);
        }
    }
}

/// What one can see without an attacker at hand: portraits are live, and flat grey with eyes painted on is not asked
/// for, since no detector finds it.
#[test]
fn portraits_are_taken_for_living_faces_by_the_published_weights() {
    let Some((_folder, models)) = published() else { return };
    let pipeline = Pipeline::load(&models, &Device::Cpu).unwrap();
    for name in ["biden", "obama", "obama2", "obama3"] {
        let liveness = pipeline.faces(&photograph(name)).unwrap()[0].liveness.unwrap();
        println!("{name}: liveness {liveness:.3}");
        assert!(liveness >= LIVE_MIN, "{name}: {liveness}");
    }
}

#[test]
fn where_all_is_grey_nothing_is_said_of_liveness() {
    let folder = tempfile::tempdir().unwrap();
    let (_, models) = with_made_up(folder.path());
    let mut picture = Picture::decode(&photograph("obama")).unwrap();
    for pixel in picture.rgb.as_chunks_mut::<3>().0 {
        *pixel = [pixel[1]; 3];
    }
    let faces = Pipeline::load(&models, &Device::Cpu).unwrap().faces(&jpeg(&picture)).unwrap();
    assert!(faces.len() == 1 && faces[0].liveness.is_none());
}

#[test]
fn errors_are_counted_by_the_standards_rates() {
    let folder = tempfile::tempdir().unwrap();
    let (_, models) = with_made_up(folder.path());
    let photographs = folder.path().join("photographs");
    let put = |kind: &str, name: &str, jpeg: &[u8]| {
        std::fs::create_dir_all(photographs.join(kind)).unwrap();
        std::fs::write(photographs.join(kind).join(name), jpeg).unwrap();
    };
    put("live", "1.jpg", &photograph("obama"));
    put("live", "2.jpg", &photograph("biden"));
    put("live", "3.jpg", &jpeg(&crate::support::grey(64, 64)));
    put("print", "1.jpg", &photograph("obama2"));
    put("screen", "1.jpg", b"not a picture");
    let at = |threshold| {
        let (folder, models) = (photographs.clone(), models.clone());
        let options = Options { folder, models, device: Device::Cpu, threads: Some(2), threshold };
        serde_json::to_value(evaluate(&options).unwrap()).unwrap()
    };
    // Every face is at least 0 alive, and none of made-up weights is wholly so.
    let (all, none) = (at(0.0), at(1.0));
    assert_eq!((&all["apcer"], &all["bpcer"], &all["acer"]), (&1.0.into(), &0.0.into(), &0.5.into()));
    assert_eq!((&none["apcer"], &none["bpcer"], &none["acer"]), (&0.0.into(), &1.0.into(), &0.5.into()));
    let (live, attacks) = (&all["live"], &all["attacks"]);
    assert_eq!((&live["photographs"], &live["judged"], &live["wrong"]), (&3.into(), &2.into(), &0.into()));
    assert!((live["non_response"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-9);
    assert!((live["interval"]["high"].as_f64().unwrap() - 0.6576).abs() < 1e-3, "{live}");
    assert_eq!((&attacks[0]["name"], &attacks[0]["error_rate"]), (&"print".into(), &1.0.into()));
    assert!(attacks[1]["name"] == "screen" && attacks[1]["error_rate"].is_null());
    assert_eq!(all["failed"][1], serde_json::json!({"path": "screen/1.jpg", "reason": "not_a_jpeg"}));
    assert_eq!(all["networks"], serde_json::json!(["minifasnet-v2", "minifasnet-v1se"]));

    let without =
        Options { folder: photographs, models: model_folder(), device: Device::Cpu, threads: None, threshold: 0.5 };
    if Card::read(&without.models).unwrap().liveness.is_empty() {
        assert!(evaluate(&without).unwrap_err().to_string().contains("models import --liveness"));
    }
}

fn plain(from: &Path) -> Import {
    Import { from: from.to_owned(), detector: None, embedder: None, liveness: None }
}

fn bounds(face: &Face) -> Rectangle {
    let [x, y, width, height] = face.r#box;
    Rectangle { x, y, width, height }
}

fn farthest(found: &[f32], expected: &[f32]) -> f32 {
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The default model folder with liveness networks of made-up weights.
fn with_made_up(folder: &Path) -> (Card, PathBuf) {
    let to = folder.join("made-up");
    std::fs::create_dir(&to).unwrap();
    copy_folder(&model_folder(), &to);
    let mut card = Card::read(&to).unwrap();
    card.liveness.clear();
    for (form, scale) in FORMS.into_iter().zip([2.7, 4.0]) {
        let training = folder.join("training.safetensors");
        made_up(form).write(&training);
        let weights = minifasnet::convert(&State::read(&training).unwrap(), form).unwrap();
        let mut origin = card.detector.weights.clone();
        origin.file = format!("{form}.safetensors");
        origin.sha256 = model::card::sha256(&weights);
        std::fs::write(to.join(&origin.file), &weights).unwrap();
        card.liveness.push(Liveness::new(form, scale, origin));
    }
    std::fs::write(to.join(model::card::FILE), toml::to_string(&card).unwrap()).unwrap();
    (card, to)
}

/// A model folder with the published weights, if they are at hand.
fn published() -> Option<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir().unwrap();
    let Some(weights) = std::env::var_os("GATEPOST_LIVENESS") else {
        let has = !Card::read(&model_folder()).unwrap().liveness.is_empty();
        if !has {
            eprintln!("not tried: no liveness weights in the model folder, and GATEPOST_LIVENESS names none");
        }
        return has.then(|| (folder, model_folder()));
    };
    let to = folder.path().join("model");
    import(&Import { liveness: Some(weights.into()), ..plain(&model_folder()) }, &to).unwrap();
    Some((folder, to))
}
