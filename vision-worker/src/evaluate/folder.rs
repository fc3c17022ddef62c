//! A folder of labelled photographs: `FOLDER/NAME/NAME_0001.jpg`, a folder per person.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::EvaluateError;
use super::pairs::{ListedPair, PairList, PairsError};

/// A labelled photograph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photograph {
    /// Below the folder.
    pub path: PathBuf,
    /// Which person of the folder.
    pub person: usize,
}

/// What a folder holds, in the order of its paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledFolder {
    /// Where it is.
    pub root: PathBuf,
    /// How many people.
    pub people: usize,
    /// All of them.
    pub photographs: Vec<Photograph>,
    /// Files that are not JPEG files by their name.
    pub ignored: usize,
    numbers: HashMap<(String, u32), usize>,
}

/// A pair of a list, by the photographs' places in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Counted from zero.
    pub fold: usize,
    /// Whether they show one person.
    pub same: bool,
    /// The one.
    pub first: usize,
    /// The other.
    pub second: usize,
}

impl LabelledFolder {
    /// Lists a folder. One without a photograph is refused.
    pub fn read(root: &Path) -> Result<Self, EvaluateError> {
        let mut found =
            Self { root: root.to_owned(), people: 0, photographs: Vec::new(), ignored: 0, numbers: HashMap::new() };
        for name in entries(root)? {
            let folder = root.join(&name);
            if folder.is_dir() {
                found.add_person(&folder, &name)?;
            } else {
                found.ignored += 1;
            }
        }
        if found.photographs.is_empty() {
            return Err(EvaluateError::NoPhotographs { path: root.to_owned() });
        }
        Ok(found)
    }

    fn add_person(&mut self, folder: &Path, name: &str) -> Result<(), EvaluateError> {
        let before = self.photographs.len();
        for file in entries(folder)? {
            if !is_jpeg(&file) {
                self.ignored += 1;
                continue;
            }
            if let Some(number) = number(&file) {
                self.numbers.insert((name.to_owned(), number), self.photographs.len());
            }
            self.photographs.push(Photograph { path: Path::new(name).join(&file), person: self.people });
        }
        self.people += usize::from(self.photographs.len() > before);
        Ok(())
    }

    /// The photographs of each person.
    pub fn by_person(&self) -> Vec<Vec<usize>> {
        let mut people = vec![Vec::new(); self.people];
        for (index, photograph) in self.photographs.iter().enumerate() {
            people[photograph.person].push(index);
        }
        people
    }

    /// The photographs of a list's pairs; one that is not there is an error of its line.
    pub fn resolve(&self, list: &PairList, path: &Path) -> Result<Vec<Pair>, PairsError> {
        let find = |pair: &ListedPair, named: &(String, u32)| {
            self.numbers.get(named).copied().ok_or_else(|| PairsError {
                path: path.to_owned(),
                line: pair.line,
                reason: format!("{0}/{0}_{1:04}.jpg is not in {2}", named.0, named.1, self.root.display()),
            })
        };
        let resolved = |pair: &ListedPair| {
            let (first, second) = (find(pair, &pair.first)?, find(pair, &pair.second)?);
            Ok(Pair { fold: pair.fold, same: pair.same, first, second })
        };
        list.pairs.iter().map(resolved).collect()
    }
}

/// The names in a folder, sorted, so that every run sees the same order.
fn entries(folder: &Path) -> Result<Vec<String>, EvaluateError> {
    let error = |cause| EvaluateError::Io { path: folder.to_owned(), cause };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let name = entry.map_err(error)?.file_name();
        names.push(name.into_string().map_err(|name| EvaluateError::Name { path: folder.join(name) })?);
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a file is a JPEG file by its name.
pub fn is_jpeg(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".jpg") || name.ends_with(".jpeg")
}

/// The digits between the last underscore and the suffix.
fn number(file: &str) -> Option<u32> {
    let stem = &file[..file.rfind('.')?];
    stem[stem.rfind('_')? + 1..].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_stands_behind_the_last_underscore() {
        assert_eq!(number("Ann_Lee_0012.jpg"), Some(12));
        assert_eq!(number("Ann_Lee.jpg"), None);
        assert_eq!(number("0012.jpg"), None);
    }

    #[test]
    fn a_folder_is_listed_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["Bob/Bob_0001.jpg", "Ann/Ann_0002.JPG", "Ann/Ann_0001.jpg", "Ann/notes.txt", "Empty/x.png"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = LabelledFolder::read(folder.path()).unwrap();
        let paths: Vec<_> = found.photographs.iter().map(|photograph| photograph.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["Ann/Ann_0001.jpg", "Ann/Ann_0002.JPG", "Bob/Bob_0001.jpg"]);
        assert_eq!((found.people, found.ignored), (2, 2));
        assert_eq!(found.by_person(), [vec![0, 1], vec![2]]);

        let list = PairList::parse("1 1\nAnn 1 2\nAnn 2 Bob 1\n").unwrap();
        let pairs = found.resolve(&list, Path::new("pairs.txt")).unwrap();
        assert_eq!(pairs[1], Pair { fold: 0, same: false, first: 1, second: 2 });
        let list = PairList::parse("1 1\nAnn 1 2\nAnn 2 Bob 7\n").unwrap();
        let error = found.resolve(&list, Path::new("pairs.txt")).unwrap_err().to_string();
        assert!(error.starts_with("pairs.txt:3: Bob/Bob_0007.jpg is not in"), "{error}");
    }

    #[test]
    fn a_folder_without_photographs_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(LabelledFolder::read(folder.path()), Err(EvaluateError::NoPhotographs { .. })));
        assert!(matches!(LabelledFolder::read(&folder.path().join("none")), Err(EvaluateError::Io { .. })));
    }
}
