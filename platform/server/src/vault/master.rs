//! The master key, which wraps the communities' keys: from a file, from the environment, or by an external command that
//! wraps and unwraps and keeps the key to itself, as a key management service does.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncWriteExt as _, process::Command};
use zeroize::Zeroizing;

use super::seal::{Key, Unsealable};
use crate::config::Keys;

/// How every master key begins, so that scanners recognise one that leaked.
const PREFIX: &str = "gpm_";
/// What an external command may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Which master key an external command has is its own affair.
const COMMAND: &str = "command";

/// Why there is no master key for something.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// Nothing is configured, and no file was made because another master key is in use.
    #[error("master key {0} is in use and not among those given: put it into keys.master_file")]
    Unknown(String),
    /// Not a key.
    #[error("{0} holds no master key: one a line, each `gpm_` and 43 letters and digits")]
    NoKey(String),
    /// The file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The command did not do its part.
    #[error("keys.master_command {0}")]
    Command(String),
    /// Wrapped for another place, or changed since.
    #[error(transparent)]
    Unsealable(#[from] Unsealable),
}

/// Where master keys come from.
enum Source {
    /// One a line, the one in use first.
    File { path: PathBuf, ours: bool },
    /// As in a file.
    Text(SecretString),
    /// A program and its arguments.
    Command(Vec<String>),
}

/// The master key in use, and older ones that something may still be wrapped by.
pub struct Masters {
    source: Source,
    keys: Mutex<Arc<Vec<Master>>>,
}

struct Master {
    id: String,
    key: Key,
}

impl Masters {
    /// As configured; by default the file `master.key` in the data folder, which may be made by
    /// [`Masters::make_first`].
    pub fn new(config: &Keys, data_dir: &Path) -> Self {
        let source = if !config.master_command.is_empty() {
            Source::Command(config.master_command.clone())
        } else if !config.master.expose_secret().is_empty() {
            Source::Text(config.master.clone())
        } else if let Some(path) = &config.master_file {
            Source::File { path: path.clone(), ours: false }
        } else {
            Source::File { path: data_dir.join("master.key"), ours: true }
        };
        Masters { source, keys: Mutex::default() }
    }

    /// Makes the default's file if there is none; says which, when it made one.
    pub fn make_first(&self) -> Result<Option<&Path>, MasterError> {
        match &self.source {
            Source::File { path, ours: true } if !path.exists() => {
                write(path, &[Key::random()])?;
                Ok(Some(path))
            }
            Source::File { .. } | Source::Text(_) | Source::Command(_) => Ok(None),
        }
    }

    /// Reads the keys, so that a mistake is told at the start.
    pub fn check(&self) -> Result<(), MasterError> {
        match &self.source {
            Source::Command(_) => Ok(()),
            Source::File { .. } | Source::Text(_) => self.reload().map(|_| ()),
        }
    }

    /// Puts a new key first in the default's file, where everybody who needs it will read it. False when the keys are
    /// not ours to make.
    pub fn make_next(&self) -> Result<bool, MasterError> {
        let Source::File { path, ours: true } = &self.source else { return Ok(false) };
        let present = self.reload()?;
        let keys: Vec<Key> = std::iter::once(Key::random()).chain(present.iter().map(|it| it.key.clone())).collect();
        write(path, &keys)?;
        self.reload()?;
        Ok(true)
    }

    /// Takes all but the key in use out of the default's file.
    pub fn forget_older(&self) -> Result<(), MasterError> {
        let Source::File { path, ours: true } = &self.source else { return Ok(()) };
        let present = self.reload()?;
        write(path, &present.iter().take(1).map(|it| it.key.clone()).collect::<Vec<_>>())?;
        self.reload()?;
        Ok(())
    }

    /// Whether the key of this id is among those given.
    pub fn knows(&self, id: &str) -> Result<(), MasterError> {
        if matches!(self.source, Source::Command(_)) || self.keys()?.iter().any(|master| master.id == id) {
            return Ok(());
        }
        Err(MasterError::Unknown(id.to_owned()))
    }

    /// The id of the key in use; none where an external command decides.
    pub fn in_use(&self) -> Result<Option<String>, MasterError> {
        if matches!(self.source, Source::Command(_)) {
            return Ok(None);
        }
        Ok(self.reload()?.first().map(|master| master.id.clone()))
    }

    /// Wraps a secret with the key in use; with its id.
    pub async fn wrap(&self, secret: &[u8], place: &[u8]) -> Result<(String, Vec<u8>), MasterError> {
        if let Source::Command(command) = &self.source {
            // The command need not know of places: the place travels inside.
            let bound = Zeroizing::new([&Sha256::digest(place)[..], secret].concat());
            return Ok((COMMAND.to_owned(), ask(command, "wrap", &bound).await?.to_vec()));
        }
        // Read anew each time: another process may have put a newer key first, and will take the older one away.
        let keys = self.reload()?;
        let master = keys.first().ok_or_else(|| MasterError::NoKey(self.name()))?;
        Ok((master.id.clone(), master.key.seal(secret, place)))
    }

    /// Unwraps what the master key of this id wrapped. One that is not known is looked for anew: it may have been
    /// given since.
    pub async fn unwrap(&self, id: &str, wrapped: &[u8], place: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterError> {
        if let Source::Command(command) = &self.source {
            let bound = ask(command, "unwrap", wrapped).await?;
            return match bound.split_at_checked(32) {
                Some((digest, secret)) if digest == &Sha256::digest(place)[..] => Ok(Zeroizing::new(secret.to_vec())),
                _ => Err(Unsealable.into()),
            };
        }
        let mut keys = self.keys()?;
        if !keys.iter().any(|master| master.id == id) {
            keys = self.reload()?;
        }
        let master = keys.iter().find(|it| it.id == id).ok_or_else(|| MasterError::Unknown(id.to_owned()))?;
        Ok(master.key.open(wrapped, place)?)
    }

    fn keys(&self) -> Result<Arc<Vec<Master>>, MasterError> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if keys.is_empty() { self.reload() } else { Ok(keys) }
    }

    fn reload(&self) -> Result<Arc<Vec<Master>>, MasterError> {
        let text = match &self.source {
            Source::File { path, .. } => Zeroizing::new(
                fs::read_to_string(path).map_err(|cause| MasterError::File { path: path.clone(), cause })?,
            ),
            Source::Text(text) => Zeroizing::new(text.expose_secret().to_owned()),
            Source::Command(_) => Zeroizing::default(),
        };
        let keys: Option<Vec<Master>> = text.split_whitespace().map(read).collect();
        let keys = keys.filter(|keys| !keys.is_empty()).ok_or_else(|| MasterError::NoKey(self.name()))?;
        let keys = Arc::new(keys);
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys.clone();
        Ok(keys)
    }

    fn name(&self) -> String {
        match &self.source {
            Source::File { path, .. } => path.display().to_string(),
            Source::Text(_) => "keys.master".to_owned(),
            Source::Command(_) => "keys.master_command".to_owned(),
        }
    }
}

/// A key from its text.
fn read(text: &str) -> Option<Master> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?);
    let key = Key::from_bytes(&bytes)?;
    // The id tells keys apart and nothing of the key.
    let digest = Sha256::new().chain_update("gatepost master key").chain_update(key.bytes()).finalize();
    Some(Master { id: hex::encode(&digest[..8]), key })
}

/// Writes all keys or changes nothing: the file gets its name once it is on the disk.
fn write(path: &Path, keys: &[Key]) -> Result<(), MasterError> {
    let mut text = Zeroizing::new(String::with_capacity(keys.len() * 64));
    for key in keys {
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(key.bytes(), &mut text);
        text.push('\n');
    }
    let partial = path.with_extension("partial");
    let whole = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    whole().map_err(|cause| MasterError::File { path: path.to_owned(), cause })
}

/// Runs `COMMAND.. wrap` or `COMMAND.. unwrap` with base64 on its standard input, and takes base64 from its output.
async fn ask(command: &[String], what: &str, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterError> {
    let failed = |text: String| MasterError::Command(format!("{what}: {text}"));
    let [program, arguments @ ..] = command else { return Err(failed("is empty".to_owned())) };
    let mut child = Command::new(program)
        .args(arguments)
        .arg(what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let input = Zeroizing::new(format!("{}\n", STANDARD.encode(secret)));
    let mut stdin = child.stdin.take();
    let talk = async move {
        let told = match &mut stdin {
            Some(stdin) => stdin.write_all(input.as_bytes()).await,
            None => Ok(()),
        };
        drop(stdin);
        let output = child.wait_with_output().await?;
        match told {
            // A command that ends without reading has said why by its status or its answer.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(output),
        }
    };
    let output = tokio::time::timeout(PATIENCE, talk)
        .await
        .map_err(|_| failed(format!("took longer than {PATIENCE:?}")))?
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        // What it said may be secret.
        return Err(failed(format!("ended with {}", output.status)));
    }
    let answer = Zeroizing::new(output.stdout);
    let text = std::str::from_utf8(&answer).unwrap_or_default().trim();
    let answer = STANDARD.decode(text).map_err(|_| failed("answered something else than base64".to_owned()))?;
    Ok(Zeroizing::new(answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const PLACE: &[u8] = b"here";

    fn in_folder(folder: &Path) -> Masters {
        Masters::new(&Keys::default(), folder)
    }

    #[tokio::test]
    async fn the_default_makes_its_own_file_once_and_for_this_account_only() {
        let folder = tempfile::tempdir().unwrap();
        let masters = in_folder(folder.path());
        assert!(matches!(masters.wrap(b"secret", PLACE).await, Err(MasterError::File { .. })));
        let path = masters.make_first().unwrap().expect("one is made").to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(masters.make_first().unwrap().is_none());
        let (id, wrapped) = masters.wrap(b"secret", PLACE).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        let again = in_folder(folder.path());
        assert_eq!(**again.unwrap(&id, &wrapped, PLACE).await.unwrap(), b"secret"[..]);
        assert!(matches!(again.unwrap(&id, &wrapped, b"there").await, Err(MasterError::Unsealable(_))));
    }

    #[tokio::test]
    async fn a_new_key_comes_first_and_old_ones_open_until_they_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (rotating, serving) = (in_folder(folder.path()), in_folder(folder.path()));
        rotating.make_first().unwrap();
        let (old, wrapped) = serving.wrap(b"secret", PLACE).await.unwrap();
        assert!(rotating.make_next().unwrap());
        let (new, rewrapped) = rotating.wrap(b"secret", PLACE).await.unwrap();
        assert_ne!(old, new);
        // The one that is serving has not heard of it, and finds it.
        assert_eq!(**serving.unwrap(&new, &rewrapped, PLACE).await.unwrap(), b"secret"[..]);
        assert_eq!(**serving.unwrap(&old, &wrapped, PLACE).await.unwrap(), b"secret"[..]);
        rotating.forget_older().unwrap();
        assert!(matches!(rotating.unwrap(&old, &wrapped, PLACE).await, Err(MasterError::Unknown(id)) if id == old));
    }

    #[tokio::test]
    async fn keys_may_be_given_as_text_and_mistakes_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let given = |text: &str| {
            let config = Keys { master: text.into(), ..Keys::default() };
            Masters::new(&config, folder.path())
        };
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([7; 32]));
        let (id, wrapped) = given(&text).wrap(b"secret", PLACE).await.unwrap();
        assert_eq!(**given(&text).unwrap(&id, &wrapped, PLACE).await.unwrap(), b"secret"[..]);
        for mistake in ["secret", "gpm_", "gpm_AAAA", &text[..40]] {
            assert!(matches!(given(mistake).check(), Err(MasterError::NoKey(_))), "{mistake}");
        }
    }

    #[tokio::test]
    async fn a_command_keeps_the_key_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, script: &str| {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            let config = Keys { master_command: vec![path.display().to_string()], ..Keys::default() };
            Masters::new(&config, folder.path())
        };
        // Not much of a cipher: either way it turns the letters of the base64 text by half the alphabet.
        let masters = program("kms", "tr 'A-Za-z' 'N-ZA-Mn-za-m'");
        let (id, wrapped) = masters.wrap(b"secrets", PLACE).await.unwrap();
        assert!(!wrapped.windows(7).any(|window| window == b"secrets"));
        assert_eq!(**masters.unwrap(&id, &wrapped, PLACE).await.unwrap(), b"secrets"[..]);
        assert!(matches!(masters.unwrap(&id, &wrapped, b"there").await, Err(MasterError::Unsealable(_))));
        for (name, script, said) in
            [("fails", "echo topsecret; exit 3", "exit status: 3"), ("babbles", "echo '!!'", "base64")]
        {
            let error = program(name, script).wrap(b"secret", PLACE).await.unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("topsecret"), "{error}");
        }
    }
}
