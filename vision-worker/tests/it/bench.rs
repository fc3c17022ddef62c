//! The table of the user's own machine: every line is there and says something.

use std::time::Duration;

use candle_core::Device;
use gatepost_vision::bench::{Options, bench};
use gatepost_vision::cli::Decoding;
use gatepost_vision::model::card::cache_folder;

use crate::support::{grey, jpeg, model_folder};

#[test]
fn every_step_is_measured_on_one_thread_and_on_all() {
    let report = bench(&Options {
        models: model_folder(),
        device: Device::Cpu,
        decoding: Decoding::Cpu,
        photograph: cache_folder("GATEPOST_PHOTOGRAPHS", "photographs").join("obama.jpg"),
        each: Duration::ZERO,
    })
    .unwrap();
    let on_one: Vec<&str> =
        report.lines.iter().filter(|line| line.threads == 1).map(|line| line.what.as_str()).collect();
    let steps = ["decode 720p", "detect at 720p", "align a face", "embed a face"];
    let frames = ["whole frame, 1 face", "whole frame, 4 faces", "whole frame, 16 faces"];
    assert!(on_one.starts_with(&steps) && on_one.ends_with(&frames), "{on_one:?}");
    assert!(report.lines.iter().all(|line| line.ms > 0.0 && line.per_second > 0.0), "{report}");
    // Nothing is faster than the machine, but for the clock's own steps.
    let too_fast = |ms: f64, limit: Option<f64>| limit.is_some_and(|limit| ms < 0.5 * limit);
    assert!(report.lines.iter().all(|line| !too_fast(line.ms, line.limit_ms)), "{report}");
}

#[test]
fn a_photograph_without_a_face_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let photograph = folder.path().join("wall.jpg");
    std::fs::write(&photograph, jpeg(&grey(64, 64))).unwrap();
    let options = Options {
        models: model_folder(),
        device: Device::Cpu,
        decoding: Decoding::Cpu,
        photograph,
        each: Duration::ZERO,
    };
    let error = bench(&options).unwrap_err();
    assert!(error.to_string().contains("0 faces"), "{error}");
}
