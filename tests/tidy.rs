//! Keeps the house as its plan says: what every file must have, how long it may be, what lies at the top, which crate
//! may name which, and words that mean something was left undone. It reads files and runs nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its own repository has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;

/// What lies at the top, dotfiles aside.
const TOP_LEVEL: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "courier-sim",
    "helm",
    "platform",
    "proto",
    "tests",
    "vision-worker",
];

/// Made by building and running, never committed.
const MADE: [&str; 5] = [".git", ".tools", "target", "gatepost-data", "node_modules"];

/// One crate: where it is, which of ours it may depend on, and what it must never name.
struct Wall {
    folder: &'static str,
    ours: &'static [&'static str],
    never: &'static [&'static str],
}

const WALLS: [Wall; 9] = [
    Wall {
        folder: "proto",
        ours: &[],
        never: &["tokio", "sea-orm", "redis", "candle-core", "jiff", "serde", "anyhow"],
    },
    Wall {
        folder: "platform/domain",
        ours: &[],
        never: &["tokio", "tonic", "prost", "sea-orm", "redis", "candle-core"],
    },
    Wall { folder: "platform/process", ours: &[], never: &["sea-orm", "redis", "candle-core"] },
    Wall {
        folder: "platform/matching",
        ours: &["gatepost-domain"],
        never: &["tokio", "tonic", "prost", "sea-orm", "redis", "candle-core"],
    },
    Wall { folder: "platform/storage", ours: &["gatepost-domain"], never: &["tonic", "prost", "candle-core"] },
    Wall {
        folder: "platform/server",
        ours: &["gatepost-domain", "gatepost-matching", "gatepost-process", "gatepost-proto", "gatepost-storage"],
        never: &["candle-core", "candle-nn"],
    },
    Wall {
        folder: "vision-worker",
        ours: &["gatepost-process", "gatepost-proto", "gatepost-matching"],
        never: &["sea-orm", "redis"],
    },
    Wall {
        folder: "courier-sim",
        ours: &["gatepost-process", "gatepost-proto"],
        never: &["sea-orm", "redis", "candle-core"],
    },
    Wall {
        folder: "tests",
        ours: &[
            "courier-sim",
            "gatepost-domain",
            "gatepost-matching",
            "gatepost-process",
            "gatepost-proto",
            "gatepost-server",
            "gatepost-storage",
            "gatepost-vision",
        ],
        never: &[],
    },
];

/// Spelt in two halves, so that this file has none of them.
const UNDONE: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];

const SLEEPS: [&str; 2] = [concat!("thread::", "sleep"), concat!("time::", "sleep")];

/// Package indexes are the business of the tools that ask them.
const INDEXES: [&str; 4] = [
    concat!("://pypi", ".org"),
    concat!("://files.python", "hosted"),
    concat!("://crates", ".io"),
    concat!("://registry.", "npmjs"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this is a bug: tests/ lies in the repository").to_owned()
}

/// Every file of the repository, as a path from its root.
fn files() -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if MADE.iter().any(|made| entry.file_name() == *made) || entry.file_name() == "__pycache__" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(&root).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn rust_files() -> impl Iterator<Item = (PathBuf, String)> {
    files().into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "rs")).map(|path| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        (path, text)
    })
}

/// Every file that is text, with the text.
fn texts() -> impl Iterator<Item = (PathBuf, String)> {
    files().into_iter().filter_map(|path| {
        let text = fs::read_to_string(root().join(&path)).ok()?;
        Some((path, text))
    })
}

/// Fails with every finding at once.
fn none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn every_module_says_what_lives_in_it() {
    let silent = rust_files().filter(|(_, text)| !text.starts_with("//! "));
    none(silent.map(|(path, _)| format!("{} does not start with `//! `", path.display())).collect());
}

#[test]
fn no_file_is_too_long() {
    let long = rust_files().map(|(path, text)| (path, text.lines().count())).filter(|(_, lines)| *lines > LINES_MAX);
    none(long.map(|(path, lines)| format!("{} has {lines} lines", path.display())).collect());
}

#[test]
fn the_top_level_is_as_planned() {
    let found: BTreeSet<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && !MADE.contains(&name.as_str()))
        .collect();
    assert_eq!(found, TOP_LEVEL.into_iter().map(String::from).collect());
}

#[test]
fn links_of_documents_lead_somewhere() {
    let mut dead = Vec::new();
    for (path, text) in texts().filter(|(path, _)| path.extension().is_some_and(|kind| kind == "md")) {
        let folder = root().join(&path).parent().expect("this is a bug: a file lies in a folder").to_owned();
        for target in link_targets(&text) {
            if !folder.join(target).exists() {
                dead.push(format!("{} links to {target}", path.display()));
            }
        }
    }
    none(dead);
}

/// The relative targets of `[text](target)`, without what follows a `#`.
fn link_targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#', ' ', '\n']).next())
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
}

#[test]
fn crates_depend_on_whom_they_may() {
    let names: BTreeSet<&str> = WALLS.iter().flat_map(|wall| wall.ours).copied().collect();
    let mut breaches = Vec::new();
    for wall in &WALLS {
        let path = root().join(wall.folder).join("Cargo.toml");
        let manifest: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
        for dependency in dependencies(&manifest) {
            let ours = names.contains(dependency.as_str()) || dependency == "gatepost-tests";
            if ours && !wall.ours.contains(&dependency.as_str()) || wall.never.contains(&dependency.as_str()) {
                breaches.push(format!("{} must not depend on {dependency}", wall.folder));
            }
        }
    }
    none(breaches);
}

#[test]
fn every_crate_has_a_wall() {
    let manifests = files().into_iter().filter(|path| path.file_name().is_some_and(|name| name == "Cargo.toml"));
    let folders: BTreeSet<PathBuf> = manifests
        .filter_map(|path| path.parent().map(Path::to_owned))
        .filter(|folder| folder != Path::new(""))
        .collect();
    assert_eq!(folders, WALLS.iter().map(|wall| PathBuf::from(wall.folder)).collect());
}

/// Every dependency of whatever kind and for whatever target.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let mut names = Vec::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else { continue };
        match key.as_str() {
            "dependencies" | "dev-dependencies" | "build-dependencies" => names.extend(table.keys().cloned()),
            "target" => names.extend(table.values().filter_map(toml::Value::as_table).flat_map(dependencies)),
            _ => {}
        }
    }
    names
}

#[test]
fn nothing_is_left_undone() {
    none(with_words(texts(), &UNDONE));
}

#[test]
fn tests_do_not_sleep() {
    // A server that forms a cluster tells nobody: the harness asks it again, with a bound.
    let tests = rust_files().filter(|(path, _)| path.iter().any(|part| part == "tests"));
    none(with_words(tests.filter(|(path, _)| !path.starts_with("tests/harness/services")), &SLEEPS));
}

#[test]
fn no_package_index_is_named() {
    none(with_words(texts().filter(|(path, _)| path != Path::new("Cargo.lock")), &INDEXES));
}

fn with_words(texts: impl Iterator<Item = (PathBuf, String)>, words: &[&str]) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in texts {
        for (number, line) in text.lines().enumerate() {
            let found = words.iter().filter(|word| line.contains(**word));
            findings.extend(found.map(|word| format!("{}:{}: {word}", path.display(), number + 1)));
        }
    }
    findings
}
