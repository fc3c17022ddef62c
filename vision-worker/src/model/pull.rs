//! Fetches a model folder from where an operator keeps it: the card first, then the files that it names, each held
//! against the card's SHA-256. What was interrupted is gone on with. A folder on this machine is taken the same way.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode, Url};
use sha2::{Digest as _, Sha256};

use super::card::{self, Card, Origin};
use super::{ModelError, import};

/// A card is a page of text.
const CARD_BYTES_MAX: u64 = 64 << 10;

/// The largest of the embedders has 250 MB.
const FILE_BYTES_MAX: u64 = 1 << 30;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two pieces of a file.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that are read from a file at a time.
const PIECE: usize = 1 << 20;

/// Why a model was not pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Not a place that models are pulled from.
    #[error("{place}: {reason}")]
    Place {
        /// What was asked for.
        place: String,
        /// What to ask for instead.
        reason: &'static str,
    },
    /// The server cannot be reached, or was lost.
    #[error("{url}: {reason}; run the same command again, and it goes on where it was")]
    Lost {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The server has no such file.
    #[error("{url}: {status}; a model folder holds {}, and the files that it names beside it", card::FILE)]
    Status {
        /// What was asked for.
        url: String,
        /// What the server said.
        status: StatusCode,
    },
    /// A file is larger than any of its kind.
    #[error("{place} has more than {max} bytes: it is not a model's")]
    TooLarge {
        /// Which file.
        place: String,
        /// The most that is taken.
        max: u64,
    },
    /// A file is not the one that the card names.
    #[error("{place} has SHA-256 {found}, its card says {expected}: have whoever keeps it put the whole folder there")]
    DigestMismatch {
        /// Which file.
        place: String,
        /// The digest that it should have.
        expected: String,
        /// The digest that it has.
        found: String,
    },
    /// The card cannot be used, or a file of this machine not be read or written.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// What to pull.
#[derive(Debug)]
pub struct Pull {
    /// An `https` address of a model folder, or a folder of this machine.
    pub from: Place,
    /// The folder to make.
    pub to: PathBuf,
    /// A file with certificates to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// Whether licences that forbid commercial use are accepted.
    pub accept_non_commercial: bool,
}

/// Where a model folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On a server; the address ends with a slash.
    Server(Url),
    /// On this machine.
    Folder(PathBuf),
}

impl Place {
    /// An address, a folder, or the name of a folder below the address `base`.
    pub fn of(text: &str, base: Option<&str>) -> Result<Self, PullError> {
        if text.contains("://") {
            return server(text);
        }
        if Path::new(text).is_dir() {
            return Ok(Self::Folder(text.into()));
        }
        let refuse = |reason| PullError::Place { place: text.to_owned(), reason };
        if !card::is_plain_name(text) {
            return Err(refuse("no such folder, and no name of a model"));
        }
        let base = base.ok_or_else(|| {
            refuse("no such folder; give an https address, or set GATEPOST_MODELS_URL to where your models are by name")
        })?;
        server(&format!("{}/{text}", base.trim_end_matches('/')))
    }

    /// What the model is called there.
    pub fn name(&self) -> Option<String> {
        let name = match self {
            Self::Server(url) => url.path_segments()?.rfind(|segment| !segment.is_empty())?.to_owned(),
            Self::Folder(folder) => folder.canonicalize().ok()?.file_name()?.to_str()?.to_owned(),
        };
        card::is_plain_name(&name).then_some(name)
    }

    fn file(&self, name: &str) -> String {
        match self {
            Self::Server(url) => format!("{url}{name}"),
            Self::Folder(folder) => folder.join(name).display().to_string(),
        }
    }
}

fn server(text: &str) -> Result<Place, PullError> {
    let refuse = |reason| PullError::Place { place: text.to_owned(), reason };
    let mut url = Url::parse(text).map_err(|_| refuse("not an address; it looks like https://models.example/NAME"))?;
    if url.scheme() != "https" && !(url.scheme() == "http" && is_this_machine(&url)) {
        return Err(refuse("models are pulled over https; http is for this machine itself alone"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("give the folder's plain address, without user, password, ? and #"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(Place::Server(url))
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Pulls a model folder, and returns its card.
pub async fn pull(what: &Pull) -> Result<Card, PullError> {
    let source = Source::open(what)?;
    let text = source.card(&what.from).await?;
    let path = PathBuf::from(what.from.file(card::FILE));
    let card = Card::parse(&text, &path, what.accept_non_commercial)?;
    let folder = &what.to;
    std::fs::create_dir_all(folder).map_err(|source| ModelError::Io { path: folder.clone(), source })?;
    let mut whole = Vec::new();
    for origin in card.origins() {
        let target = folder.join(&origin.file);
        if card::read(&target).is_ok_and(|bytes| card::sha256(&bytes) == origin.sha256) {
            continue;
        }
        let partial = Partial::of(&target, origin);
        source.file(&what.from, origin, &partial).await?;
        whole.push((partial.path, target));
    }
    // Only now, so that a folder that is in use is never half of one model and half of another for long.
    for (partial, target) in whole {
        std::fs::rename(&partial, &target).map_err(|source| ModelError::Io { path: target, source })?;
    }
    let text = toml::to_string(&card).expect("this is a bug: the card has no TOML form");
    import::write(folder, card::FILE, text.as_bytes())?;
    Ok(super::verify(folder)?)
}

/// A file that is on its way. Its name has its digest, so that it is not gone on with by another file's bytes.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn of(target: &Path, origin: &Origin) -> Self {
        Self { path: target.with_added_extension(format!("{}.partial", &origin.sha256[..12])) }
    }

    fn io(&self) -> impl Fn(std::io::Error) -> ModelError + use<> {
        let path = self.path.clone();
        move |source| ModelError::Io { path: path.clone(), source }
    }

    /// Opens it, and says how many bytes it has.
    fn open(&self) -> Result<(std::fs::File, u64), ModelError> {
        let open = std::fs::OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&self.path);
        let mut file = open.map_err(self.io())?;
        let length = file.seek(SeekFrom::End(0)).map_err(self.io())?;
        Ok((file, length))
    }

    /// Refuses it, and forgets it, if it is not the card's file.
    fn check(&self, origin: &Origin, place: String) -> Result<(), PullError> {
        let mut file = std::fs::File::open(&self.path).map_err(self.io())?;
        let mut digest = Sha256::new();
        std::io::copy(&mut file, &mut digest).map_err(self.io())?;
        let found = hex::encode(digest.finalize());
        if found != origin.sha256 {
            std::fs::remove_file(&self.path).map_err(self.io())?;
            return Err(PullError::DigestMismatch { place, expected: origin.sha256.clone(), found });
        }
        Ok(())
    }
}

/// What files are taken from.
enum Source {
    Server(Client),
    Folder,
}

impl Source {
    fn open(what: &Pull) -> Result<Self, PullError> {
        let Place::Server(url) = &what.from else { return Ok(Self::Folder) };
        // Once a process; again is harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .https_only(url.scheme() == "https");
        if let Some(path) = &what.ca {
            let unusable = |_| ModelError::Card { path: path.clone(), reason: "no PEM certificates in it".to_owned() };
            let certificates = reqwest::Certificate::from_pem_bundle(&card::read(path)?).map_err(unusable)?;
            client = client.tls_certs_merge(certificates);
        }
        let place = || url.to_string();
        client.build().map(Self::Server).map_err(|error| PullError::Lost { url: place(), reason: told(&error) })
    }

    async fn card(&self, from: &Place) -> Result<String, PullError> {
        let place = from.file(card::FILE);
        let too_large = || PullError::TooLarge { place: place.clone(), max: CARD_BYTES_MAX };
        let bytes = match self {
            Self::Folder => {
                let bytes = card::read(Path::new(&place))?;
                if bytes.len() as u64 > CARD_BYTES_MAX {
                    return Err(too_large());
                }
                bytes
            }
            Self::Server(client) => {
                let mut response = ask(client, &place, 0).await?;
                let mut bytes = Vec::new();
                while let Some(piece) = response.chunk().await.map_err(|error| lost(&place, &error))? {
                    bytes.extend_from_slice(&piece);
                    if bytes.len() as u64 > CARD_BYTES_MAX {
                        return Err(too_large());
                    }
                }
                bytes
            }
        };
        let path = PathBuf::from(place);
        String::from_utf8(bytes).map_err(|_| ModelError::Card { path, reason: "it is not text".to_owned() }.into())
    }

    /// Takes a file to its partial one and checks it.
    async fn file(&self, from: &Place, origin: &Origin, partial: &Partial) -> Result<(), PullError> {
        let place = from.file(&origin.file);
        match self {
            Self::Folder => {
                let length = std::fs::metadata(&place).map(|file| file.len()).unwrap_or_default();
                if length > FILE_BYTES_MAX {
                    return Err(PullError::TooLarge { place, max: FILE_BYTES_MAX });
                }
                let bytes = card::read(Path::new(&place))?;
                let bar = progress(origin, bytes.len() as u64);
                let mut file = std::fs::File::create(&partial.path).map_err(partial.io())?;
                for piece in bytes.chunks(PIECE) {
                    file.write_all(piece).map_err(partial.io())?;
                    bar.inc(piece.len() as u64);
                }
                bar.finish_and_clear();
            }
            Self::Server(client) => download(client, &place, origin, partial).await?,
        }
        partial.check(origin, place)
    }
}

/// Goes on with a file that is on its way, or begins it.
async fn download(client: &Client, url: &str, origin: &Origin, partial: &Partial) -> Result<(), PullError> {
    let (mut file, mut have) = partial.open()?;
    let mut response = ask(client, url, have).await?;
    if have > 0 && !goes_on(&response, have) {
        // The server does not go on, or the file has changed there: from the start. A whole file goes on with nothing.
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            if size(&response) == Some(have) {
                return Ok(());
            }
            response = ask(client, url, 0).await?;
        }
        have = 0;
        file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(partial.io())?;
    }
    let too_large = || PullError::TooLarge { place: url.to_owned(), max: FILE_BYTES_MAX };
    let bar = progress(origin, have + response.content_length().unwrap_or_default());
    bar.inc(have);
    if response.content_length().is_some_and(|rest| have + rest > FILE_BYTES_MAX) {
        return Err(too_large());
    }
    while let Some(piece) = response.chunk().await.map_err(|error| lost(url, &error))? {
        have += piece.len() as u64;
        if have > FILE_BYTES_MAX {
            return Err(too_large());
        }
        file.write_all(&piece).map_err(partial.io())?;
        bar.inc(piece.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Asks for a file from a byte on.
async fn ask(client: &Client, url: &str, from: u64) -> Result<Response, PullError> {
    let mut request = client.get(url);
    if from > 0 {
        request = request.header(RANGE, format!("bytes={from}-"));
    }
    let response = request.send().await.map_err(|error| lost(url, &error))?;
    let status = response.status();
    if status.is_success() || (from > 0 && status == StatusCode::RANGE_NOT_SATISFIABLE) {
        return Ok(response);
    }
    if status.is_server_error() {
        return Err(PullError::Lost { url: url.to_owned(), reason: status.to_string() });
    }
    Err(PullError::Status { url: url.to_owned(), status })
}

/// Whether an answer begins at that byte.
fn goes_on(response: &Response, from: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
}

/// The whole file's bytes, as an answer that has no part of it says.
fn size(response: &Response) -> Option<u64> {
    response.headers().get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes */")?.parse().ok()
}

fn lost(url: &str, error: &reqwest::Error) -> PullError {
    PullError::Lost { url: url.to_owned(), reason: told(error) }
}

/// An error and what caused it.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn progress(origin: &Origin, bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {msg}, {bytes_per_sec}, {eta} left")
        .expect("this is a bug: a template that cannot be understood");
    ProgressBar::new(bytes).with_style(style).with_message(origin.file.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, base: Option<&str>) -> String {
        Place::of(text, base).unwrap_err().to_string()
    }

    #[test]
    fn models_come_over_https_or_from_this_machine() {
        let url = |text: &str| Place::Server(Url::parse(text).unwrap());
        let of = |text: &str, base| Place::of(text, base).unwrap();
        assert_eq!(of("https://models.example/a/b", None), url("https://models.example/a/b/"));
        assert_eq!(of("http://127.0.0.1:9/b/", None), url("http://127.0.0.1:9/b/"));
        assert_eq!(of("http://[::1]/b", None), url("http://[::1]/b/"));
        assert_eq!(of("arc", Some("https://models.example/all/")), url("https://models.example/all/arc/"));
        assert_eq!(of("arc", Some("https://models.example/all")).name().as_deref(), Some("arc"));
        assert!(refused("http://models.example/b", None).contains("https"));
        assert!(refused("http://127.0.0.1.example/b", None).contains("https"));
        assert!(refused("ftp://127.0.0.1/b", None).contains("https"));
        assert!(refused("https://me:secret@models.example/b", None).contains("without user"));
        assert!(refused("https://models.example/b?x=1", None).contains("without user"));
        assert!(refused("no-such-name", None).contains("GATEPOST_MODELS_URL"));
        assert!(refused("../no-such-folder", Some("https://models.example")).contains("no name of a model"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert_eq!(of(path, Some("https://models.example")), Place::Folder(folder.path().to_owned()));
    }
}
