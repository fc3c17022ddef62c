//! A roster's photographs: a folder or a zip archive with `photographs.csv`, which says whose photograph each file is.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use zip::ZipArchive;
use zip::result::ZipError;

/// The list within an album.
pub(super) const LIST: &str = "photographs.csv";

/// Where the files are.
pub(super) enum Album {
    Folder(PathBuf),
    Archive(Box<ZipArchive<BufReader<File>>>),
}

/// Why a file of an album cannot be had; the album itself is fine.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("there is no such file; names are relative to the folder or archive")]
    Missing,
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    #[error("it cannot be read: {0}")]
    Broken(String),
}

impl Album {
    /// A folder, or a zip archive.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if path.is_dir() {
            return Ok(Album::Folder(path.to_owned()));
        }
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        match ZipArchive::new(BufReader::new(file)) {
            Ok(archive) => Ok(Album::Archive(Box::new(archive))),
            Err(_) => bail!("{} is neither a folder nor a zip archive", path.display()),
        }
    }

    /// A file's bytes, if they are at most so many. What the archive says about a size is not relied on.
    pub(super) fn read(&mut self, name: &str, most: u64) -> Result<Vec<u8>, Unreadable> {
        match self {
            Album::Folder(folder) => {
                // A list from elsewhere must not reach for what lies beside the folder.
                let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
                let file = File::open(folder.join(name)).ok().filter(|_| inside && !name.is_empty());
                limited(file.ok_or(Unreadable::Missing)?, most)
            }
            Album::Archive(archive) => match archive.by_name(name) {
                Ok(file) => limited(file, most),
                Err(ZipError::FileNotFound) => Err(Unreadable::Missing),
                Err(error) => Err(Unreadable::Broken(error.to_string())),
            },
        }
    }
}

fn limited(source: impl Read, most: u64) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    source.take(most + 1).read_to_end(&mut bytes).map_err(|error| Unreadable::Broken(error.to_string()))?;
    if bytes.len() as u64 > most { Err(Unreadable::TooLarge(most)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use zip::write::{SimpleFileOptions, ZipWriter};

    #[test]
    fn a_folder_and_an_archive_hold_the_same() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("album");
        std::fs::create_dir_all(folder.join("b3")).unwrap();
        std::fs::write(folder.join("b3/王芳.jpg"), b"portrait").unwrap();
        std::fs::write(place.path().join("secret"), b"secret").unwrap();
        let archive = place.path().join("album.zip");
        let mut writer = ZipWriter::new(File::create(&archive).unwrap());
        writer.start_file("b3/王芳.jpg", SimpleFileOptions::default()).unwrap();
        writer.write_all(b"portrait").unwrap();
        writer.finish().unwrap();
        for path in [folder, archive] {
            let mut album = Album::open(&path).unwrap();
            assert_eq!(album.read("b3/王芳.jpg", 8).unwrap(), b"portrait");
            assert_eq!(album.read("b3/王芳.jpg", 7), Err(Unreadable::TooLarge(7)));
            for missing in ["b3/nobody.jpg", "../secret", "", "/etc/hostname"] {
                assert_eq!(album.read(missing, 100), Err(Unreadable::Missing), "{missing}");
            }
        }
        let refused = Album::open(&place.path().join("secret")).err().unwrap().to_string();
        assert!(refused.ends_with("is neither a folder nor a zip archive"), "{refused}");
    }
}
