//! Typed reading of a map of the file: every wrong type, range or key becomes one problem with its
//! place, and reading goes on.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use credential::{External, Looked, ReferenceError, has_reference, resolve_with};
use model::Secret;

use super::problem::{Problem, Scope, Severity, nearest};
use super::said::Said;
use super::tree::{Mark, Node, Value, Word};

/// Looks up an environment variable.
pub(crate) type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Tells what a source of secrets holds for a reference.
pub(crate) type Outside<'e> = &'e dyn Fn(&External) -> Looked;

/// Nobody has looked: references to sources are read for their form.
pub(crate) const UNREAD: Outside<'static> = &|_| Looked::Unread;

/// A reference to what a source keeps, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Used {
    /// The reference.
    pub(crate) external: External,
    /// The entry, as the file spells it.
    pub(crate) entry: String,
    /// The setting.
    pub(crate) key: String,
    /// The line.
    pub(crate) line: u32,
}

/// What one reading of a file gathers.
pub(crate) struct Reading<'e> {
    /// Findings so far.
    pub(crate) problems: Vec<Problem>,
    /// What the next finding takes down with it.
    pub(crate) scope: Scope,
    /// Every setting that there is, by dotted path (`*` for names that people choose).
    pub(crate) known: BTreeSet<String>,
    /// The settings that the file sets, and on which line.
    pub(crate) lines: BTreeMap<String, u32>,
    /// What is read was made through the API.
    pub(crate) is_stored: bool,
    /// What it takes from sources of secrets.
    pub(crate) references: Vec<Used>,
    /// Settings whose value nobody has looked up: what stands there cannot be judged.
    unread: BTreeSet<String>,
    /// How many of those were too old to be used.
    pub(crate) expired: usize,
    file: Option<PathBuf>,
    env: Env<'e>,
    outside: Outside<'e>,
}

/// One map, being read.
pub(crate) struct Fields<'n> {
    /// Where the map begins.
    pub(crate) at: Mark,
    path: String,
    /// The same with `*` for chosen names.
    pattern: String,
    entries: &'n [(Word, Node)],
    asked: Vec<&'static str>,
}

// === impl Reading ===

impl<'e> Reading<'e> {
    /// A reading of `file`.
    pub(crate) fn new(file: Option<PathBuf>, env: Env<'e>, outside: Outside<'e>) -> Self {
        Self {
            problems: Vec::new(),
            scope: Scope::Hub,
            known: BTreeSet::new(),
            lines: BTreeMap::new(),
            is_stored: false,
            references: Vec::new(),
            unread: BTreeSet::new(),
            expired: 0,
            file,
            env,
            outside,
        }
    }

    /// The file that is read.
    pub(crate) fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }

    /// A variable of the environment.
    pub(crate) fn env(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    /// Notes an error.
    pub(crate) fn error(&mut self, at: Mark, key: &str, what: impl Into<String>, hint: Option<String>) {
        self.note(Severity::Error, at, key, what.into(), hint);
    }

    /// Notes a warning.
    pub(crate) fn warn(&mut self, at: Mark, key: &str, what: impl Into<String>, hint: Option<String>) {
        self.note(Severity::Warning, at, key, what.into(), hint);
    }

    fn note(&mut self, severity: Severity, at: Mark, key: &str, what: String, hint: Option<String>) {
        // It is about the name of a value: whether the value fits is told where it is known.
        if self.is_unread(key) {
            return;
        }
        let (scope, file) = (self.scope.clone(), self.file.clone());
        self.problems.push(Problem { severity, scope, file, at, key: key.to_owned(), what, hint });
    }

    /// True for a setting whose value is not known, and for a list that it is an item of.
    fn is_unread(&self, key: &str) -> bool {
        self.unread.iter().any(|unread| {
            unread.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        })
    }

    /// Errors noted since there were `before` problems.
    pub(crate) fn has_errors_since(&self, before: usize) -> bool {
        self.problems.iter().skip(before).any(|problem| problem.severity == Severity::Error)
    }

    /// Replaces the references of a text; a failing one is an error of this setting.
    pub(crate) fn resolve(&mut self, at: Mark, key: &str, text: &str) -> Option<Secret> {
        // What was made through the API reaches into nothing: a value of it is what it is.
        if self.is_stored {
            return Some(Secret::new(text));
        }
        let Scope::Entry(entry) = &self.scope else {
            return self.resolved(at, key, credential::resolve_reference(text, self.env));
        };
        let used = RefCell::new(Vec::new());
        let unread = Cell::new(false);
        let looked = resolve_with(text, self.env, &|external| {
            let (entry, key) = (entry.clone(), key.to_owned());
            used.borrow_mut().push(Used { external: external.clone(), entry, key, line: at.line });
            let looked = (self.outside)(external);
            unread.set(unread.get() || matches!(looked, Looked::Unread));
            looked
        });
        self.references.extend(used.into_inner());
        if unread.get() {
            self.unread.insert(key.to_owned());
        }
        self.resolved(at, key, looked)
    }

    /// The text with its references replaced, as far as they can be; for comparing.
    pub(crate) fn spelled(&self, text: &str) -> Result<Secret, ReferenceError> {
        if self.is_stored {
            return Ok(Secret::new(text));
        }
        resolve_with(text, self.env, self.outside)
    }

    fn resolved(&mut self, at: Mark, key: &str, looked: Result<Secret, ReferenceError>) -> Option<Secret> {
        match looked {
            Ok(value) => Some(value),
            Err(error) => {
                if let ReferenceError::External { is_expired: true, .. } = &error {
                    self.expired += 1;
                }
                let fault = error.fault();
                let what = match &error {
                    ReferenceError::Unset { name } => format!("the environment variable {name} is not set"),
                    _ => fault.detail,
                };
                self.error(at, key, what, Some(fault.hint));
                None
            }
        }
    }

    /// The same for a field that holds a secret: written out in the file it is a warning.
    pub(crate) fn resolve_secret(&mut self, at: Mark, key: &str, text: &str) -> Option<Secret> {
        if !text.is_empty() && !has_reference(text) {
            let name = key.rsplit('.').next().unwrap_or(key).to_uppercase().replace('-', "_");
            let hint = format!("write \"${{{name}}}\" or \"${{file:/path}}\" and keep the value there");
            self.warn(at, key, "a secret is written out in the file", Some(hint));
        }
        self.resolve(at, key, text)
    }

    fn wrong_type(&mut self, node: &Node, key: &str, wanted: &str) {
        self.error(node.at, key, format!("expected {wanted}, found {}", node.value.noun()), None);
    }
}

// === impl Fields ===

impl<'n> Fields<'n> {
    /// Reads `node` as a map; nothing is an empty one.
    pub(crate) fn open(node: &'n Node, path: &str, pattern: &str, reading: &mut Reading<'_>) -> Option<Self> {
        let entries: &[_] = match &node.value {
            Value::Null => &[],
            Value::Map(entries) => entries,
            _ => {
                reading.wrong_type(node, path, "a map (`name: value` lines)");
                return None;
            }
        };
        let (path, pattern) = (path.to_owned(), pattern.to_owned());
        Some(Self { at: node.at, path, pattern, entries, asked: Vec::new() })
    }

    /// The value of `name`, unless it is absent or null.
    pub(crate) fn get(&mut self, name: &'static str, reading: &mut Reading<'_>) -> Option<&'n Node> {
        if !self.asked.contains(&name) {
            self.asked.push(name);
            reading.known.insert(join(&self.pattern, name));
        }
        let (word, node) = self.entries.iter().find(|(word, _)| word.text == name)?;
        if matches!(node.value, Value::Null) {
            return None;
        }
        reading.lines.insert(self.key(name), word.at.line);
        Some(node)
    }

    /// True when `name` is there and says null.
    pub(crate) fn has_null(&self, name: &str) -> bool {
        self.entries.iter().any(|(word, node)| word.text == name && matches!(node.value, Value::Null))
    }

    /// True when `name` is there and says something.
    pub(crate) fn is_said(&self, name: &str) -> bool {
        self.entries.iter().any(|(word, node)| word.text == name && !matches!(node.value, Value::Null))
    }

    /// The map under `name`.
    pub(crate) fn map(&mut self, name: &'static str, reading: &mut Reading<'_>) -> Option<Self> {
        let (path, pattern) = (self.key(name), join(&self.pattern, name));
        let node = self.get(name, reading)?;
        Self::open(node, &path, &pattern, reading)
    }

    /// The map under `name` whose keys people choose. Reading the values is up to the caller.
    pub(crate) fn names(
        &mut self,
        name: &'static str,
        reading: &mut Reading<'_>,
    ) -> Option<&'n [(Word, Node)]> {
        let path = self.key(name);
        let node = self.get(name, reading)?;
        let Value::Map(entries) = &node.value else {
            reading.wrong_type(node, &path, "a map (`name: value` lines)");
            return None;
        };
        Some(entries)
    }

    /// A text with its references replaced.
    pub(crate) fn text(&mut self, name: &'static str, reading: &mut Reading<'_>) -> Option<Said<'n>> {
        let (raw, at) = self.raw_text(name, reading)?;
        let value = reading.resolve(at, &self.key(name), raw)?;
        Some(Said::new(at, raw, value))
    }

    /// A text as it is written, references and all.
    pub(crate) fn raw_text(
        &mut self,
        name: &'static str,
        reading: &mut Reading<'_>,
    ) -> Option<(&'n str, Mark)> {
        let node = self.get(name, reading)?;
        let Some(text) = node.value.as_text() else {
            reading.wrong_type(node, &self.key(name), "a text");
            return None;
        };
        Some((text, node.at))
    }

    /// A secret: a literal one is a warning.
    pub(crate) fn secret(&mut self, name: &'static str, reading: &mut Reading<'_>) -> Option<Secret> {
        let (raw, at) = self.raw_text(name, reading)?;
        reading.resolve_secret(at, &self.key(name), raw)
    }

    /// One of the words in `allowed`.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        allowed: &[(&'static str, T)],
        reading: &mut Reading<'_>,
    ) -> Option<T> {
        let said = self.text(name, reading)?;
        if let Some((_, value)) = allowed.iter().find(|(word, _)| *word == said.value()) {
            return Some(*value);
        }
        let words: Vec<_> = allowed.iter().map(|(word, _)| *word).collect();
        let hint = match nearest(said.written(), words.iter().copied()) {
            Some(word) => format!("did you mean `{word}`? allowed: {}", words.join(", ")),
            None => format!("allowed: {}", words.join(", ")),
        };
        reading.error(said.at, &self.key(name), format!("`{said}` is not a known value"), Some(hint));
        None
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &'static str, reading: &mut Reading<'_>) -> Option<bool> {
        let node = self.get(name, reading)?;
        match (&node.value, self.text(name, reading)?.value()) {
            (Value::Bool(_) | Value::Text(_), "true") => Some(true),
            (Value::Bool(_) | Value::Text(_), "false") => Some(false),
            _ => {
                reading.wrong_type(node, &self.key(name), "true or false");
                None
            }
        }
    }

    /// A number from `min` to `max`; a text is taken when its references make it one.
    pub(crate) fn number(
        &mut self,
        name: &'static str,
        min: f64,
        max: f64,
        reading: &mut Reading<'_>,
    ) -> Option<f64> {
        let node = self.get(name, reading)?;
        let number = match &node.value {
            Value::Number(number, _) => Some(*number),
            Value::Text(text) if has_reference(text) => self.text(name, reading)?.value().trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            reading.wrong_type(node, &self.key(name), "a number");
            return None;
        };
        if !(min..=max).contains(&number) {
            let said = node.value.as_text().unwrap_or_default();
            let what = format!("{said} is outside of {min} to {max}");
            reading.error(node.at, &self.key(name), what, None);
            return None;
        }
        Some(number)
    }

    /// A whole number from `min` to `max`.
    pub(crate) fn count(
        &mut self,
        name: &'static str,
        min: u32,
        max: u64,
        reading: &mut Reading<'_>,
    ) -> Option<u64> {
        let node = self.get(name, reading)?;
        #[allow(clippy::cast_precision_loss, reason = "the largest limit of a setting is far below 2^53")]
        let number = self.number(name, f64::from(min), max as f64, reading)?;
        if number.fract() != 0.0 {
            let said = node.value.as_text().unwrap_or_default();
            reading.error(node.at, &self.key(name), format!("{said} is not a whole number"), None);
            return None;
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and inside of the range, as just checked"
        )]
        Some(number as u64)
    }

    /// A list of texts with their references replaced.
    pub(crate) fn texts(&mut self, name: &'static str, reading: &mut Reading<'_>) -> Option<Vec<Said<'n>>> {
        let path = self.key(name);
        let items = self.list(name, "a list of texts", reading)?;
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let key = format!("{path}[{index}]");
            let Some(text) = item.value.as_text() else {
                reading.wrong_type(item, &key, "a text");
                continue;
            };
            if let Some(value) = reading.resolve(item.at, &key, text) {
                out.push(Said::new(item.at, text, value));
            }
        }
        Some(out)
    }

    /// A list.
    pub(crate) fn list(
        &mut self,
        name: &'static str,
        wanted: &str,
        reading: &mut Reading<'_>,
    ) -> Option<&'n [Node]> {
        let path = self.key(name);
        let node = self.get(name, reading)?;
        let Value::List(items) = &node.value else {
            reading.wrong_type(node, &path, wanted);
            return None;
        };
        Some(items)
    }

    /// The dotted path of `name`.
    pub(crate) fn key(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// Everything was asked for: what is left over is a mistake.
    pub(crate) fn finish(self, reading: &mut Reading<'_>) {
        for (word, _) in self.entries {
            if self.asked.iter().any(|name| *name == word.text) {
                continue;
            }
            let hint = match nearest(&word.text, self.asked.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            reading.error(word.at, &self.key(&word.text), "unknown key", Some(hint));
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
