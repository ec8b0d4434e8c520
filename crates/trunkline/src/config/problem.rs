//! What is wrong with a configuration: file, line, column, key, what, and what was probably meant.

use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use catalog::nearest;

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
