//! The chart in `helm/`, checked by Helm itself through `check.py`: rendered with several values files, held against
//! Kubernetes' schemas, and refused by name for every mistake. No cluster is asked.

use std::path::Path;
use std::process::Command;

/// Runs `check.py` with the interpreter that `tests/run` sets up, which has Helm as a package.
fn check(what: &str, values: &str) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = tests.parent().expect("this is a bug: tests/ lies in the repository");
    let python = root.join(".tools/bin/python");
    assert!(python.exists(), "{} is missing: run tests/run, which sets it up", python.display());
    let output = Command::new(python)
        .arg(tests.join("helm/check.py"))
        .arg(root.join("helm"))
        .arg(what)
        .arg(tests.join("helm/values").join(values))
        .output()
        .expect("the interpreter starts");
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{stdout}{stderr}");
}

#[test]
fn the_least_values_render() {
    check("render", "minimal.yaml");
}

#[test]
fn workers_on_gpus_render() {
    check("render", "gpu.yaml");
}

#[test]
fn monitoring_renders() {
    check("render", "monitoring.yaml");
}

#[test]
fn certificates_and_tokens_render() {
    check("render", "identity.yaml");
}

#[test]
fn mistakes_are_refused_by_name() {
    check("refuse", "minimal.yaml");
}
