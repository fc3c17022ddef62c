//! A model folder pulled from a server that breaks off, goes on, lies, or says no; and from a folder of this machine.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gatepost_vision::model::card::{self, Card};
use gatepost_vision::model::pull::{Place, Pull, PullError, pull};
use gatepost_vision::model::{self, ModelError};

use crate::support::{copy_folder, model_folder};

/// A server of files, and what it does with them. It ends with the test's process.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Behaviour>>);

#[derive(Default)]
struct Behaviour {
    files: HashMap<String, Vec<u8>>,
    /// Bytes of an answer after which the connection is cut.
    cut_after: Option<usize>,
    /// Whether it knows parts of files.
    whole_only: bool,
    /// What it was asked for, and the range.
    asked: Vec<(String, Option<String>)>,
}

impl Server {
    /// One that has the files of the default model folder below `/model/`.
    fn start() -> (Self, Place) {
        let server = Self::default();
        server.with(|behaviour| {
            for entry in std::fs::read_dir(model_folder()).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                behaviour.files.insert(format!("/model/{name}"), std::fs::read(&path).unwrap());
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = server.clone();
        std::thread::spawn(move || listener.incoming().for_each(|stream| serving.answer(stream.unwrap())));
        (server, Place::of(&format!("http://{address}/model"), None).unwrap())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Behaviour) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The card, changed by its text.
    fn change_card(&self, change: impl FnOnce(String) -> String) {
        self.with(|behaviour| {
            let card = behaviour.files.get_mut("/model/model.toml").unwrap();
            *card = change(String::from_utf8(std::mem::take(card)).unwrap()).into_bytes();
        });
    }

    /// What was asked for since the last time.
    fn asked(&self) -> Vec<(String, Option<String>)> {
        self.with(|behaviour| std::mem::take(&mut behaviour.asked))
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let Some(first) = lines.next() else { return };
        let path = first.split(' ').nth(1).unwrap().to_owned();
        let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let range = headers.iter().find_map(|line| Some(line.to_lowercase().strip_prefix("range: ")?.to_owned()));
        let (head, body) = self.with(|behaviour| {
            behaviour.asked.push((path.clone(), range.clone()));
            behaviour.reply(&path, range.as_deref())
        });
        // The other side may have heard enough.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    }
}

impl Behaviour {
    fn reply(&self, path: &str, range: Option<&str>) -> (String, Vec<u8>) {
        let head = |status: &str, length: usize, more: String| {
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n")
        };
        let Some(file) = self.files.get(path) else { return (head("404 Not Found", 0, String::new()), vec![]) };
        let whole = file.len();
        let from: usize = match range.filter(|_| !self.whole_only) {
            Some(range) => range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap(),
            None => 0,
        };
        if from >= whole {
            let more = format!("content-range: bytes */{whole}\r\n");
            return (head("416 Range Not Satisfiable", 0, more), vec![]);
        }
        let mut rest = file[from..].to_vec();
        let (status, more) = match from {
            0 => ("200 OK", String::new()),
            from => ("206 Partial Content", format!("content-range: bytes {from}-{}/{whole}\r\n", whole - 1)),
        };
        let head = head(status, rest.len(), more);
        rest.truncate(self.cut_after.unwrap_or(usize::MAX));
        (head, rest)
    }
}

fn take(from: Place, to: &Path) -> Result<Card, PullError> {
    take_with(Pull { from, to: to.to_owned(), ca: None, accept_non_commercial: false })
}

fn take_with(what: Pull) -> Result<Card, PullError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(pull(&what))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_interrupted_is_gone_on_with_and_what_is_there_is_not_asked_for() {
    let (server, place) = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("model");
    server.with(|behaviour| behaviour.cut_after = Some(100_000));
    let error = take(place.clone(), &to).unwrap_err();
    assert!(matches!(error, PullError::Lost { .. }) && error.to_string().contains("same command again"), "{error}");
    assert!(Card::read(&to).is_err(), "a folder with a card is whole");

    server.asked();
    server.with(|behaviour| behaviour.cut_after = None);
    let card = take(place.clone(), &to).unwrap();
    let asked = server.asked();
    assert!(asked.contains(&("/model/detector.safetensors".to_owned(), Some("bytes=100000-".to_owned()))), "{asked:?}");
    assert_eq!(card, Card::read(&model_folder()).unwrap());
    assert_eq!(names(&to), names(&model_folder()), "nothing half is left");
    model::verify(&to).unwrap();

    take(place, &to).unwrap();
    assert_eq!(server.asked(), [("/model/model.toml".to_owned(), None)]);
}

#[test]
fn a_server_that_knows_no_parts_begins_again() {
    let (server, place) = Server::start();
    let folder = tempfile::tempdir().unwrap();
    server.with(|behaviour| (behaviour.cut_after, behaviour.whole_only) = (Some(100_000), true));
    take(place.clone(), folder.path()).unwrap_err();
    server.with(|behaviour| behaviour.cut_after = None);
    take(place, folder.path()).unwrap();
    model::verify(folder.path()).unwrap();
}

/// Between the last byte and the new name the power may have gone.
#[test]
fn a_whole_partial_file_is_taken_as_it_is() {
    let (server, place) = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let card = Card::read(&model_folder()).unwrap();
    let origin = &card.detector.weights;
    let partial = format!("{}.{}.partial", origin.file, &origin.sha256[..12]);
    std::fs::copy(model_folder().join(&origin.file), folder.path().join(partial)).unwrap();
    take(place, folder.path()).unwrap();
    let asked = server.asked();
    assert_eq!(asked.iter().filter(|(path, _)| path.contains("detector")).count(), 1, "{asked:?}");
}

#[test]
fn a_file_that_is_not_the_cards_is_refused_and_not_kept() {
    let (server, place) = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let name = "/model/detector.safetensors";
    let right = server.with(|behaviour| behaviour.files.insert(name.to_owned(), vec![7; 5000])).unwrap();
    let error = take(place.clone(), folder.path()).unwrap_err();
    assert!(matches!(&error, PullError::DigestMismatch { .. }), "{error}");
    assert!(error.to_string().contains("have whoever keeps it"), "{error}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
    server.with(|behaviour| behaviour.files.insert(name.to_owned(), right));
    take(place, folder.path()).unwrap();
}

#[test]
fn a_card_that_leads_elsewhere_or_is_too_long_is_refused_before_any_file_is_asked_for() {
    for wrong in ["../detector.safetensors", "model.toml", "/etc/passwd", ".hidden", "embedder.safetensors"] {
        let (server, place) = Server::start();
        server.change_card(|card| card.replace("\"detector.safetensors\"", &format!("{wrong:?}")));
        let folder = tempfile::tempdir().unwrap();
        let error = take(place, folder.path()).unwrap_err();
        assert!(matches!(&error, PullError::Model(ModelError::Card { .. })), "{wrong}: {error}");
        assert_eq!(server.asked().len(), 1, "{wrong}");
    }
    let (server, place) = Server::start();
    server.change_card(|card| card + &"#".repeat(70_000));
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(take(place, folder.path()).unwrap_err(), PullError::TooLarge { .. }));
}

#[test]
fn what_is_not_there_says_what_a_folder_holds() {
    let (server, place) = Server::start();
    server.with(|behaviour| behaviour.files.clear());
    let folder = tempfile::tempdir().unwrap();
    let error = take(place, folder.path()).unwrap_err();
    assert!(error.to_string().contains("404") && error.to_string().contains("model.toml"), "{error}");
    // Nobody listens there: the port was given back.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = Place::of(&format!("http://127.0.0.1:{port}/model"), None).unwrap();
    assert!(matches!(take(nobody, folder.path()).unwrap_err(), PullError::Lost { .. }));
}

/// Whoever keeps the folder cannot accept a licence for whoever runs it.
#[test]
fn a_licence_that_forbids_commercial_use_is_accepted_only_here() {
    let (server, place) = Server::start();
    server.change_card(|card| {
        card.replacen("licence = \"MIT\"", "licence = \"CC BY-NC 4.0\"\nnon_commercial_accepted = true", 1)
    });
    let folder = tempfile::tempdir().unwrap();
    let error = take(place.clone(), folder.path()).unwrap_err();
    assert!(error.to_string().contains("--accept-non-commercial"), "{error}");
    let to = folder.path().to_owned();
    let card = take_with(Pull { from: place, to, ca: None, accept_non_commercial: true }).unwrap();
    assert!(card.detector.weights.non_commercial_accepted && !card.embedder.weights.non_commercial_accepted);
}

#[test]
fn a_folder_of_this_machine_is_pulled_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    copy_folder(&model_folder(), &kept);
    let place = Place::of(kept.to_str().unwrap(), None).unwrap();
    assert_eq!(place.name().as_deref(), Some("kept"));
    let to = folder.path().join("model");
    let card = take(place.clone(), &to).unwrap();
    assert_eq!(model::verify(&to).unwrap(), card);

    std::fs::write(kept.join("embedder.safetensors"), b"other").unwrap();
    let again = folder.path().join("again");
    assert!(matches!(take(place.clone(), &again).unwrap_err(), PullError::DigestMismatch { .. }));
    std::fs::remove_file(kept.join(card::FILE)).unwrap();
    assert!(matches!(take(place, &again).unwrap_err(), PullError::Model(ModelError::Missing { .. })));
}
