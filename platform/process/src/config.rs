//! Settings: defaults, then a TOML file, then the environment, read into the caller's typed struct.
//!
//! An unknown key is refused by name, wherever it stands: the caller's structs carry
//! `#[serde(default, deny_unknown_fields)]`. Secrets are `SecretString`, skipped when the defaults are serialised;
//! no message of this file repeats a value.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use figment::error::{Error, Kind};
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Profile};
pub use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The named file cannot be read.
    #[error("cannot read configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The named file is not TOML.
    #[error("configuration file {} is not valid TOML at line {line}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from one; zero when not known.
        line: usize,
    },
    /// A key that no setting has.
    #[error("unknown configuration key `{key}` (from {origin})")]
    UnknownKey {
        /// Dotted, as in the file.
        key: String,
        /// A variable's name, or "file".
        origin: String,
    },
    /// A value that does not fit its key.
    #[error("configuration key `{key}` (from {origin}): {problem}")]
    BadValue {
        /// Dotted, as in the file.
        key: String,
        /// A variable's name, or "file".
        origin: String,
        /// What was expected, without the value.
        problem: String,
    },
    /// A variable whose value is not text.
    #[error("environment variable {name} is not valid Unicode")]
    NotUnicode {
        /// The variable.
        name: String,
    },
    /// The defaults themselves are wrong: a bug of the caller.
    #[error("default configuration cannot be serialised: {0}")]
    Defaults(String),
}

/// Reads the settings from `file`, if given, and from this process's environment.
///
/// A variable is a setting if it starts with `env_prefix` and an underscore and has a double underscore between
/// section and key: `GATEPOST_SMTP__PORT` is `smtp.port`. Other variables with the prefix, such as
/// `GATEPOST_DATA_DIR`, are the command line's business.
pub fn load<T>(file: Option<&Path>, env_prefix: &str) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Serialize + Default,
{
    let mut variables = Vec::new();
    for (name, value) in env::vars_os() {
        // A name that is not Unicode is no setting's.
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            Err(_) if setting_key(env_prefix, &name).is_some() => return Err(ConfigError::NotUnicode { name }),
            Err(_) => {}
        }
    }
    load_with(file, env_prefix, variables)
}

/// As [`load`], with the environment as a parameter.
pub fn load_with<T>(
    file: Option<&Path>,
    env_prefix: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Serialize + Default,
{
    let mut settings = Figment::from(Serialized::defaults(T::default()));
    let defaults = settings.extract::<Value>().map_err(|error| ConfigError::Defaults(error.to_string()))?;
    if let Some(path) = file {
        settings = settings.merge(Toml::string(&read(path)?));
    }
    let mut variables = Variables::collect(env_prefix, variables, &defaults);
    loop {
        let with_environment = settings.clone().merge(Serialized::from(variables.to_dict(), Profile::Default));
        match with_environment.extract() {
            Ok(config) => return Ok(config),
            Err(error) if variables.retry_as_value(&error.path) => {}
            Err(error) => return Err(refusal(&error, &variables)),
        }
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    // Parsed here first, because the layered reader would repeat the offending line, which may hold a secret.
    if let Err(error) = Toml::from_str::<Value>(&text) {
        let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
        return Err(ConfigError::Syntax { path: path.to_owned(), line });
    }
    Ok(text)
}

/// How the text of a variable is read.
#[derive(Clone, Copy, PartialEq)]
enum Reading {
    /// As it stands, because the default is a text too or there is none: a secret of digits stays a text.
    Text,
    /// As a number, a truth value or a list.
    Value,
}

/// The variables that are settings, by their key's path.
struct Variables(BTreeMap<Vec<String>, Variable>);

struct Variable {
    name: String,
    text: String,
    reading: Reading,
    may_be_value: bool,
}

impl Variables {
    fn collect(prefix: &str, variables: impl IntoIterator<Item = (String, String)>, defaults: &Value) -> Self {
        let mut settings = BTreeMap::new();
        for (name, text) in variables {
            let Some(key) = setting_key(prefix, &name) else {
                continue;
            };
            let path: Vec<String> = key.split("__").map(str::to_lowercase).collect();
            let default = defaults.find_ref(&path.join("."));
            let (reading, may_be_value) = match default {
                Some(Value::String(..) | Value::Char(..)) => (Reading::Text, false),
                Some(Value::Bool(..) | Value::Num(..) | Value::Dict(..) | Value::Array(..)) => (Reading::Value, false),
                Some(Value::Empty(..)) | None => (Reading::Text, true),
            };
            settings.insert(path, Variable { name, text, reading, may_be_value });
        }
        Variables(settings)
    }

    fn to_dict(&self) -> Dict {
        let mut dict = Dict::new();
        for (path, variable) in &self.0 {
            let value = match variable.reading {
                Reading::Text => Value::from(variable.text.clone()),
                Reading::Value => match variable.text.parse() {
                    Ok(value) => value,
                    Err(never) => match never {},
                },
            };
            insert(&mut dict, path, value);
        }
        dict
    }

    /// Has the variable behind a failed key read the other way; false if there is no other way.
    fn retry_as_value(&mut self, path: &[String]) -> bool {
        match self.0.get_mut(path) {
            Some(variable) if variable.may_be_value => {
                variable.may_be_value = false;
                variable.reading = Reading::Value;
                true
            }
            _ => false,
        }
    }

    fn origin(&self, path: &[String]) -> String {
        let within = self.0.iter().find(|(candidate, _)| candidate.starts_with(path));
        within.map_or_else(|| "file".to_owned(), |(_, variable)| variable.name.clone())
    }
}

/// The part of a variable's name that says which setting it is; none if it is not a setting.
fn setting_key<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.strip_prefix('_').filter(|key| key.contains("__"))
}

fn insert(dict: &mut Dict, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            dict.insert(key.clone(), value);
        }
        [section, rest @ ..] => {
            // A variable that gives the whole section yields to one that gives a key of it: the reader then refuses
            // whichever of them has no place, and neither is dropped in silence.
            let mut inner = match dict.remove(section) {
                Some(Value::Dict(_, inner)) => inner,
                Some(_) | None => Dict::new(),
            };
            insert(&mut inner, rest, value);
            dict.insert(section.clone(), Value::from(inner));
        }
    }
}

fn refusal(error: &Error, variables: &Variables) -> ConfigError {
    let mut path = error.path.clone();
    let problem = match &error.kind {
        Kind::UnknownField(field, _) => {
            if path.last() != Some(field) {
                path.push(field.clone());
            }
            return ConfigError::UnknownKey { key: path.join("."), origin: variables.origin(&path) };
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("expected {expected}")
        }
        Kind::InvalidLength(length, expected) => {
            format!("has {length} elements, expected {expected}")
        }
        Kind::UnknownVariant(_, expected) => format!("expected one of {}", expected.join(", ")),
        Kind::MissingField(field) => format!("`{field}` is missing"),
        Kind::DuplicateField(field) => format!("`{field}` is given twice"),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "out of range".to_owned(),
        Kind::Unsupported(_) | Kind::UnsupportedKey(..) => "not a supported value".to_owned(),
        Kind::Message(message) => message.clone(),
    };
    ConfigError::BadValue { key: path.join("."), origin: variables.origin(&path), problem }
}

#[cfg(test)]
mod tests;
