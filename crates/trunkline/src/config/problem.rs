//! What is wrong with a configuration: file, line, column, key, what, and what was probably meant.

use std::fmt;
use std::path::{Path, PathBuf};

use super::tree::Mark;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// The part that it stands in cannot be used.
    Error,
    /// Works, but should be changed.
    Warning,
}

/// What a mistake takes down with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The hub does not start.
    Hub,
    /// This entry of `integrations`, by its spelling in the file; the others run.
    Entry(String),
    /// This entry of `toolsets`; the others are served.
    Toolset(String),
}

/// One finding.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// How bad.
    pub(crate) severity: Severity,
    /// What it takes down.
    pub(crate) scope: Scope,
    /// In which file; `None` for the environment and the command line.
    pub(crate) file: Option<PathBuf>,
    /// Where in it.
    pub(crate) at: Mark,
    /// Dotted path of the setting, for example `integrations.files.command`.
    pub(crate) key: String,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do, or what was probably meant.
    pub(crate) hint: Option<String>,
}

impl Problem {
    /// What is wrong, with the hint, without the place.
    pub(crate) fn reason(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{} ({hint})", self.what),
            None => self.what.clone(),
        }
    }

    /// `file:line:col`, as far as known.
    pub(crate) fn place(&self) -> String {
        let file = self.file.as_deref().map_or_else(|| "trunkline".to_owned(), |f| f.display().to_string());
        if self.at.line == 0 { file } else { format!("{file}:{}:{}", self.at.line, self.at.column) }
    }

    /// The same as an object for `--json`.
    pub(crate) fn json(&self) -> serde_json::Value {
        let entry = match &self.scope {
            Scope::Hub => None,
            Scope::Entry(name) | Scope::Toolset(name) => Some(name),
        };
        serde_json::json!({
            "severity": self.severity,
            "file": self.file,
            "line": self.at.line,
            "column": self.at.column,
            "key": self.key,
            "entry": entry,
            "what": self.what,
            "hint": self.hint,
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place())?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason())
    }
}

/// A path as people see it: relative to where they stand when it is below.
pub(crate) fn shown(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).map_or_else(|_| path.to_owned(), Path::to_path_buf)
}

/// The nearest of `known` to `word`, when it is near enough to have been meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    let limit = (word.chars().count().div_ceil(3)).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase().replace('-', "_")), candidate))
        .filter(|(far, candidate)| *far <= limit && *far < candidate.len())
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance: Levenshtein's edits plus the swap of two neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let cell = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut best = (cell(&above, j + 1) + 1).min(cell(&row, j) + 1);
            best = best.min(cell(&above, j) + usize::from(from != to));
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if swapped {
                best = best.min(cell(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let known = ["command", "args", "env", "timeout", "url"];
        assert_eq!(nearest("comand", known), Some("command"));
        assert_eq!(nearest("tiemout", known), Some("timeout"));
        assert_eq!(nearest("Args", known), Some("args"));
        assert_eq!(nearest("agrs", known), Some("args"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!((distance("", "ab"), distance("ab", "ba"), distance("kitten", "sitting")), (2, 1, 3));
    }
}
