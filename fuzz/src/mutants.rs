//! Inputs for test runs, where no engine watches which code an input reaches: seeds of the corpus with a
//! few things broken in them, so that most get past the first check of a parser.

use std::ops::Bound;

use bolero::{Driver, TargetLocation, ValueGenerator};

/// Most changes made to one seed.
const CHANGES_MAX: usize = 6;
/// Longest run of bytes that one change moves.
const RUN_MAX: usize = 32;

/// What parsers of JSON, HTTP, event streams, YAML and names trip over.
const TOKENS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"0",
    b"-",
    b"1e9",
    b"1.0",
    b"\\u0000",
    b"\\ud800",
    b"\\u006e",
    b"9223372036854775808",
    b"\r\n",
    b"\n",
    b"\r",
    b"\n\n",
    b"\0",
    b"\xff",
    b"\xc3\xa9",
    b"\xef\xbb\xbf",
    b" ",
    b"\t",
    b"data:",
    b"data: ",
    b"event: ",
    b"id:",
    b"=?base64?",
    b"?=",
    b"==",
    b"${",
    b"$$",
    b"}",
    b":-",
    b"file:",
    b"__",
    b"_",
    b"-",
    b".",
    b"..",
    b"/",
    b"//",
    b"%2e",
    b"%00",
    b"://",
    b"@",
    b"*",
    b"**",
    b"?",
    b"#",
    b"\n---\n",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"$ref",
    b"~1",
    b"&a",
    b"*a",
    b"- ",
    b": ",
    b"|\n",
];

/// The seeds of one target.
#[derive(Debug)]
pub struct Seeds(Vec<Vec<u8>>);

impl Seeds {
    /// Reads the corpus of the target at `location`, in order of file names.
    ///
    /// # Panics
    /// When there is none: a target without seeds would only ever try noise.
    #[must_use]
    pub fn of(location: &TargetLocation) -> Self {
        let folder = location.work_dir().unwrap_or_default().join("corpus");
        let mut paths: Vec<_> =
            std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let seeds: Vec<_> = paths.iter().filter_map(|path| std::fs::read(path).ok()).collect();
        assert!(!seeds.is_empty(), "no seeds in {}: put some there", folder.display());
        Self(seeds)
    }
}

impl ValueGenerator for Seeds {
    type Output = Vec<u8>;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Vec<u8>> {
        let mut bytes = self.0.get(below(driver, self.0.len())?)?.clone();
        for _ in 0..=below(driver, CHANGES_MAX)? {
            change(driver, &mut bytes, &self.0)?;
        }
        Some(bytes)
    }
}

fn change<D: Driver>(driver: &mut D, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) -> Option<()> {
    let at = below(driver, bytes.len() + 1)?;
    let to = (at + below(driver, RUN_MAX)?).min(bytes.len());
    match below(driver, 7)? {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = driver.produce()?;
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << below(driver, 8)?;
            }
        }
        2 => drop(bytes.drain(at..to)),
        3 => {
            let again = bytes.get(at..to)?.to_vec();
            bytes.splice(to..to, again);
        }
        4 => {
            let other = seeds.get(below(driver, seeds.len())?)?;
            let from = below(driver, other.len() + 1)?;
            let part = other.get(from..(from + RUN_MAX).min(other.len()))?;
            bytes.splice(at..at, part.iter().copied());
        }
        5 => bytes.truncate(at),
        _ => {
            let token = TOKENS.get(below(driver, TOKENS.len())?)?;
            bytes.splice(at..at, token.iter().copied());
        }
    }
    Some(())
}

/// A number under `end`, which is at least one.
fn below<D: Driver>(driver: &mut D, end: usize) -> Option<usize> {
    driver.gen_usize(Bound::Included(&0), Bound::Excluded(&end.max(1)))
}
