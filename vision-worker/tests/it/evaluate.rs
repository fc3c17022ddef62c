//! The evaluation of a small folder, from the files to the figures.

use std::path::{Path, PathBuf};

use candle_core::Device;
use gatepost_vision::evaluate::report::Report;
use gatepost_vision::evaluate::{EvaluateError, Options, evaluate};

use crate::support::{grey, jpeg, model_folder, photograph};

fn put(folder: &Path, person: &str, number: usize, jpeg: &[u8]) {
    let folder = folder.join(person);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{person}_{number:04}.jpg")), jpeg).unwrap();
}

/// Two presidents, one of them twice, and a picture without a face.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "Obama", 1, &photograph("obama"));
    put(folder.path(), "Obama", 2, &photograph("obama2"));
    put(folder.path(), "Biden", 1, &photograph("biden"));
    put(folder.path(), "Wall", 1, &jpeg(&grey(64, 64)));
    put(folder.path(), "Wall", 2, b"not a picture");
    folder
}

fn options(folder: &Path, pairs: Option<&str>) -> Options {
    let pairs = pairs.map(|text| {
        let path = folder.join("pairs.txt");
        std::fs::write(&path, text).unwrap();
        path
    });
    let (models, device) = (model_folder(), Device::Cpu);
    Options { folder: folder.to_owned(), pairs, models, device, threads: Some(2), svg: None, calibration: None }
}

fn json(report: &Report) -> serde_json::Value {
    serde_json::to_value(report).unwrap()
}

#[test]
fn listed_pairs_are_judged_and_failures_count_as_wrong() {
    let folder = folder();
    let svg = folder.path().join("figures");
    let pairs = "2 2\nObama\t1\t2\nObama\t2\t1\nObama\t1\tBiden\t1\nObama\t2\tBiden\t1\n\
                 Obama\t1\t2\nObama\t2\t1\nObama\t2\tBiden\t1\nObama\t2\tWall\t2\n";
    let report = evaluate(&Options { svg: Some(svg.clone()), ..options(folder.path(), Some(pairs)) }).unwrap();
    let json = json(&report);
    // The first fold is right; of the second, the pair with the wall is wrong.
    assert_eq!(json["accuracy"], 0.875);
    assert_eq!(json["accuracy_std"], 0.125);
    assert_eq!(json["tar_at_far"]["1e-3"], 1.0);
    assert_eq!(json["counts"]["photographs"], 5);
    assert_eq!(json["counts"]["different_pairs_failed"], 1);
    assert_eq!(json["failures"], serde_json::json!({"not_a_jpeg": 1, "no_face": 1}));
    assert_eq!(json["failed"][1]["path"], "Wall/Wall_0002.jpg");
    assert_eq!(json["worst_pairs"]["different"][0]["second"], "Biden/Biden_0001.jpg");
    for figure in ["det.svg", "similarities.svg"] {
        assert!(std::fs::read_to_string(svg.join(figure)).unwrap().starts_with("<svg"), "{figure}");
    }
    assert!(report.to_string().contains("accuracy      87.50 %"), "{report}");
}

#[test]
fn without_a_list_all_pairs_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    for (index, name) in ["obama", "obama2", "obama3"].into_iter().enumerate() {
        put(folder.path(), "Obama", index + 1, &photograph(name));
    }
    put(folder.path(), "Biden", 1, &photograph("biden"));
    let json = json(&evaluate(&options(folder.path(), None)).unwrap());
    assert_eq!(json["accuracy"], 1.0);
    assert_eq!((&json["counts"]["same_pairs"], &json["counts"]["different_pairs"]), (&3.into(), &3.into()));
    // Whoever of the two is enrolled, the other one is the stranger; Biden has nobody to be found by.
    assert_eq!(json["open_set"][0]["size"], 1);
    assert_eq!(json["fnir_at_fpir"]["1e-2"], 0.0);
    assert_eq!(json["fnir_at_fpir"]["1e-3"], 0.0);
}

#[test]
fn a_figure_that_cannot_be_measured_is_null() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "Biden", 1, &photograph("biden"));
    let json = json(&evaluate(&options(folder.path(), None)).unwrap());
    assert!(json["accuracy"].is_null() && json["tar_at_far"]["1e-4"].is_null());
    assert!(json["fnir_at_fpir"]["1e-2"].is_null());
}

#[test]
fn a_wrong_line_is_named_before_any_work_is_done() {
    let folder = folder();
    let refused = |pairs: &str| {
        let mut options = options(folder.path(), Some(pairs));
        options.models = PathBuf::from("/nowhere");
        match evaluate(&options).unwrap_err() {
            EvaluateError::Pairs(error) => (error.line, error.reason),
            other => panic!("{other}"),
        }
    };
    assert_eq!(refused("1 1\nObama 1 2\nObama 1 Biden\n").0, 3);
    let (line, reason) = refused("1 1\nObama 1 7\nObama 1 Biden 1\n");
    assert!(line == 2 && reason.starts_with("Obama/Obama_0007.jpg is not in"), "{line}: {reason}");
}
