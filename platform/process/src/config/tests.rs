//! What the settings accept, and how they refuse.

use std::io::Write;

use serde::Deserialize;
use tempfile::NamedTempFile;

use super::*;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    listen: Listen,
    smtp: Smtp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Listen {
    address: String,
    streams: u32,
    reflection: bool,
}

impl Default for Listen {
    fn default() -> Self {
        Listen { address: "127.0.0.1:50051".to_owned(), streams: 200, reflection: true }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Smtp {
    relay: String,
    port: Option<u16>,
    #[serde(skip_serializing)]
    password: Option<SecretString>,
}

fn check(file: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut toml = NamedTempFile::new().unwrap();
    toml.write_all(file.as_bytes()).unwrap();
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    load_with(Some(toml.path()), "GATEPOST", variables)
}

fn refused(file: &str, variables: &[(&str, &str)]) -> String {
    check(file, variables).unwrap_err().to_string()
}

#[test]
fn defaults_then_file_then_environment() {
    let file = "[listen]\naddress = '0.0.0.0:1'\nstreams = 7\n";
    let config = check(file, &[("GATEPOST_LISTEN__STREAMS", "9"), ("GATEPOST_SMTP__RELAY", "mail")]).unwrap();
    assert_eq!(config.listen.address, "0.0.0.0:1");
    assert_eq!(config.listen.streams, 9);
    assert!(config.listen.reflection);
    assert_eq!(config.smtp.relay, "mail");
}

#[test]
fn no_file_is_needed() {
    let config: Config = load(None, "GATEPOST_PREFIX_NOBODY_SETS").unwrap();
    assert_eq!(config.listen.streams, 200);
}

#[test]
fn variables_without_a_section_are_not_settings() {
    let names = ["DATA_DIR", "CONFIG", "OFFLINE", "MODEL_DIR", "PHOTOGRAPHS", "KEY", "ADDRESS"];
    let names = names.map(|name| format!("GATEPOST_{name}"));
    let variables: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    check("", &variables).unwrap();
    check("", &[("GATEPOSTS_LISTEN__STREAM", "1"), ("OTHER__KEY", "1")]).unwrap();
}

#[test]
fn unknown_keys_are_refused_by_name() {
    assert_eq!(refused("[smtp]\nprot = 25\n", &[]), "unknown configuration key `smtp.prot` (from file)");
    assert_eq!(refused("smpt = 1\n", &[]), "unknown configuration key `smpt` (from file)");
    assert_eq!(
        refused("", &[("GATEPOST_SMTP__PROT", "25")]),
        "unknown configuration key `smtp.prot` (from GATEPOST_SMTP__PROT)"
    );
    assert_eq!(
        refused("", &[("GATEPOST_SMPT__PORT", "25")]),
        "unknown configuration key `smpt` (from GATEPOST_SMPT__PORT)"
    );
}

#[test]
fn a_variable_below_a_value_is_refused_and_not_dropped() {
    let error = refused("", &[("GATEPOST_SMTP__RELAY", "mail"), ("GATEPOST_SMTP__RELAY__NAME", "mail")]);
    assert!(error.starts_with("configuration key `smtp.relay` (from GATEPOST_SMTP__RELAY"), "{error}");
}

#[test]
fn texts_of_digits_stay_texts_and_numbers_become_numbers() {
    let variables =
        [("GATEPOST_SMTP__PASSWORD", "0123"), ("GATEPOST_SMTP__RELAY", "10"), ("GATEPOST_SMTP__PORT", "25")];
    let config = check("", &variables).unwrap();
    assert_eq!(config.smtp.password.unwrap().expose_secret(), "0123");
    assert_eq!(config.smtp.relay, "10");
    assert_eq!(config.smtp.port, Some(25));
}

#[test]
fn a_bad_value_is_refused_without_repeating_it() {
    let cases = [
        ("[smtp]\npassword = 271828\n", "configuration key `smtp.password` (from file): expected"),
        ("[listen]\nstreams = '271828x'\n", "configuration key `listen.streams` (from file): expected u32"),
        ("[smtp]\npassword = 271828x\n", "is not valid TOML at line 2"),
    ];
    for (file, expected) in cases {
        let error = check(file, &[]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error} {error:?}").contains("271828"), "{error:?}");
    }
    assert_eq!(
        refused("", &[("GATEPOST_LISTEN__STREAMS", "many")]),
        "configuration key `listen.streams` (from GATEPOST_LISTEN__STREAMS): expected u32"
    );
}

#[test]
fn a_missing_file_is_refused() {
    let error = load_with::<Config>(Some(Path::new("/nowhere/gatepost.toml")), "GATEPOST", []).unwrap_err();
    assert_eq!(error.to_string(), "cannot read configuration file /nowhere/gatepost.toml");
}

#[test]
fn secrets_do_not_print() {
    let config = check("[smtp]\npassword = 'hunter2'\n", &[]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}
