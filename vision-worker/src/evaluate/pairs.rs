//! Lists of pairs in the format of LFW's `pairs.txt`: a header with folds and pairs of each kind in a fold, then a pair
//! a line: `NAME I J` for two photographs of one person, `NAME1 I NAME2 J` for two people. `pairsDevTest.txt` and its
//! like have a single number in the header and are one fold.

use std::path::PathBuf;

/// A line that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: {reason}", path.display())]
pub struct PairsError {
    /// The file.
    pub path: PathBuf,
    /// Counted from one.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// A photograph as a list names it: the person's folder and the number in the file's name.
pub type Named = (String, u32);

/// Two photographs to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPair {
    /// Counted from zero.
    pub fold: usize,
    /// Whether they show one person.
    pub same: bool,
    /// The one.
    pub first: Named,
    /// The other.
    pub second: Named,
    /// Where it stands in its file, counted from one.
    pub line: usize,
}

/// A whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairList {
    /// How many folds.
    pub folds: usize,
    /// In the file's order.
    pub pairs: Vec<ListedPair>,
}

impl PairList {
    /// Reads a file's text; an error is a line's number and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut lines = (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty());
        let (line, header) = lines.next().ok_or((1, "the file is empty".to_owned()))?;
        let (folds, half) = parse_header(header).map_err(|reason| (line, reason))?;
        let mut pairs = Vec::new();
        for (line, text) in lines {
            let fold = pairs.len() / (2 * half);
            let (same, first, second) = parse_line(text).map_err(|reason| (line, reason))?;
            if fold == folds {
                return Err((line, format!("one pair more than the header's {folds} times {half} of each kind")));
            }
            pairs.push(ListedPair { fold, same, first, second, line });
        }
        if pairs.len() != folds * 2 * half {
            let announced = folds * 2 * half;
            return Err((line, format!("the header announces {announced} pairs, the file has {}", pairs.len())));
        }
        Ok(Self { folds, pairs })
    }
}

/// Folds, and pairs of one kind in a fold.
fn parse_header(text: &str) -> Result<(usize, usize), String> {
    let numbers: Result<Vec<usize>, _> = text.split_whitespace().map(str::parse).collect();
    match numbers.as_deref() {
        Ok(&[half]) if half > 0 => Ok((1, half)),
        Ok(&[folds, half]) if folds > 0 && half > 0 && folds.saturating_mul(half) < usize::MAX / 2 => Ok((folds, half)),
        _ => Err("expected a header such as `10 300`: folds, and pairs of each kind in a fold".to_owned()),
    }
}

fn parse_line(text: &str) -> Result<(bool, Named, Named), String> {
    // Files with tabs may have spaces in names.
    let fields: Vec<&str> =
        if text.contains('\t') { text.split('\t').map(str::trim).collect() } else { text.split_whitespace().collect() };
    let number = |text: &str| text.parse::<u32>().map_err(|_| format!("{text} is not the number of a photograph"));
    match fields[..] {
        [name, first, second] => Ok((true, (name.to_owned(), number(first)?), (name.to_owned(), number(second)?))),
        [name, _, other, _] if name == other => Err("two people of one name".to_owned()),
        [name, first, other, second] => {
            Ok((false, (name.to_owned(), number(first)?), (other.to_owned(), number(second)?)))
        }
        _ => Err("expected `NAME I J` or `NAME1 I NAME2 J`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_follow_the_header() {
        let list = PairList::parse("2\t1\nAnn\t1\t4\nAnn\t1\tBob\t2\nBob\t1\t2\nBob 3 Cy 1\n\n").unwrap();
        assert_eq!(list.folds, 2);
        assert_eq!(list.pairs.iter().map(|pair| pair.fold).collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert_eq!(list.pairs.iter().map(|pair| pair.same).collect::<Vec<_>>(), [true, false, true, false]);
        let expected =
            ListedPair { fold: 1, same: false, first: ("Bob".to_owned(), 3), second: ("Cy".to_owned(), 1), line: 5 };
        assert_eq!(list.pairs[3], expected);
    }

    #[test]
    fn a_single_number_is_one_fold() {
        let list = PairList::parse("2\nAnn\t1\t2\nBob\t1\t2\nAnn\t1\tBob\t1\nAnn\t2\tBob\t2\n").unwrap();
        assert_eq!((list.folds, list.pairs.len()), (1, 4));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let line = |text: &str| PairList::parse(text).unwrap_err().0;
        assert_eq!(line(""), 1);
        assert_eq!(line("ten\n"), 1);
        assert_eq!(line("0 3\n"), 1);
        assert_eq!(line("1 1\nAnn 1 2\n"), 1);
        assert_eq!(line("1 1\nAnn 1 2\nAnn 1 Bob\n"), 3);
        assert_eq!(line("1 1\nAnn 1 2\nAnn one Bob 2\n"), 3);
        assert_eq!(line("1 1\nAnn 1 2\nAnn 1 Bob 1\nAnn 1 Bob 2\n"), 4);
        assert_eq!(line("1 1\nAnn 1 2\nAnn 1 Ann 2\n"), 3);
    }
}
