//! Typed reading of one map of a manifest.

use std::str::FromStr;

use serde_json::{Map, Number, Value as Json};

use crate::near::nearest;
use crate::problem::Problem;
use crate::yaml::{Node, Value, Word};

/// The mistakes so far.
pub(super) struct Reading {
    pub(super) problems: Vec<Problem>,
    file: String,
    /// The program's own manifests, whose tools' schemas the tests compile: a start need not do it again.
    pub(super) is_own: bool,
}

/// One map.
pub(super) struct Fields<'n> {
    /// The line that it begins on.
    pub(super) at: u32,
    entries: &'n [(Word, Node)],
    prefix: &'static str,
    asked: Vec<&'static str>,
}

/// How many mistakes of one file are told.
const PROBLEMS_MAX: usize = 50;

// === impl Reading ===

impl Reading {
    pub(super) fn new(file: &str) -> Self {
        Self { problems: Vec::new(), file: file.to_owned(), is_own: false }
    }

    pub(super) fn error(&mut self, line: u32, key: &str, what: impl Into<String>, hint: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            let problem = Problem::new(key, what, hint);
            self.problems.push(Problem { file: self.file.clone(), line, ..problem });
        }
    }

    /// A word that is none of `known`.
    pub(super) fn unknown(&mut self, line: u32, key: &str, word: &str, known: &[&str]) {
        let hint = match nearest(word, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of: {}", known.join(", ")),
        };
        let word: String = word.chars().take(64).collect();
        self.error(line, key, format!("`{word}` is unknown"), hint);
    }
}

// === impl Fields ===

impl<'n> Fields<'n> {
    /// Opens a map; `prefix` stands before its keys where they are told.
    pub(super) fn open(node: &'n Node, prefix: &'static str, reading: &mut Reading) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self { at: node.at.line, entries, prefix, asked: Vec::new() }),
            other => {
                let key = prefix.trim_end_matches('.');
                reading.error(node.at.line, key, format!("expected a map, found {}", other.noun()), "");
                None
            }
        }
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The value of `name`, if it is there and not null.
    pub(super) fn node(&mut self, name: &'static str) -> Option<&'n Node> {
        self.asked.push(name);
        let found = self.entries.iter().find(|(word, _)| word.text == name).map(|(_, node)| node)?;
        (!matches!(found.value, Value::Null)).then_some(found)
    }

    /// The line of `name`, or of the map where it is absent.
    pub(super) fn line(&self, name: &str) -> u32 {
        self.entries.iter().find(|(word, _)| word.text == name).map_or(self.at, |(word, _)| word.at.line)
    }

    fn wrong(&self, node: &Node, name: &str, wanted: &str, reading: &mut Reading) {
        let what = format!("expected {wanted}, found {}", node.value.noun());
        reading.error(node.at.line, &self.key(name), what, "");
    }

    pub(super) fn text(&mut self, name: &'static str, max: usize, reading: &mut Reading) -> Option<String> {
        let node = self.node(name)?;
        match node.value.as_text() {
            Some(text) if text.len() <= max && !text.contains('\0') => Some(text.trim().to_owned()),
            Some(_) => {
                let what = format!("is longer than {max} bytes, or holds a NUL");
                reading.error(node.at.line, &self.key(name), what, "");
                None
            }
            None => {
                self.wrong(node, name, "a text", reading);
                None
            }
        }
    }

    pub(super) fn required_text(
        &mut self,
        name: &'static str,
        max: usize,
        reading: &mut Reading,
    ) -> Option<String> {
        let before = reading.problems.len();
        let text = self.text(name, max, reading).filter(|text| !text.is_empty());
        if text.is_none() && reading.problems.len() == before {
            reading.error(self.line(name), &self.key(name), "missing", "");
        }
        text
    }

    /// A required word of a closed vocabulary.
    pub(super) fn word<T: FromStr<Err = model::BadWord>>(
        &mut self,
        name: &'static str,
        reading: &mut Reading,
    ) -> Option<T> {
        let text = self.required_text(name, 64, reading)?;
        text.parse()
            .map_err(|error: model::BadWord| {
                let known: Vec<&str> = error.allowed.split(", ").collect();
                reading.unknown(self.line(name), &self.key(name), &text, &known);
            })
            .ok()
    }

    /// One of these words; `None` where it is absent or none of them.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&str, T)],
        reading: &mut Reading,
    ) -> Option<T> {
        let text = self.text(name, 64, reading)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            reading.unknown(self.line(name), &self.key(name), &text, &known);
        }
        found
    }

    /// A map; its members are read by the caller.
    pub(super) fn map(
        &mut self,
        name: &'static str,
        prefix: &'static str,
        reading: &mut Reading,
    ) -> Option<Self> {
        Fields::open(self.node(name)?, prefix, reading)
    }

    /// Its members, for maps whose keys are names that the manifest makes up.
    pub(super) fn members(&mut self, name: &'static str, reading: &mut Reading) -> &'n [(Word, Node)] {
        match self.node(name) {
            None => &[],
            Some(Node { value: Value::Map(members), .. }) => members,
            Some(node) => {
                self.wrong(node, name, "a map", reading);
                &[]
            }
        }
    }

    pub(super) fn flag(&mut self, name: &'static str, reading: &mut Reading) -> Option<bool> {
        let node = self.node(name)?;
        match node.value {
            Value::Bool(flag) => Some(flag),
            _ => {
                self.wrong(node, name, "true or false", reading);
                None
            }
        }
    }

    pub(super) fn count(
        &mut self,
        name: &'static str,
        min: u64,
        max: u64,
        reading: &mut Reading,
    ) -> Option<u64> {
        let node = self.node(name)?;
        let number = match &node.value {
            Value::Number(_, text) => text.parse::<u64>().ok(),
            _ => None,
        };
        let found = number.filter(|number| (min..=max).contains(number));
        if found.is_none() {
            self.wrong(node, name, &format!("a whole number from {min} to {max}"), reading);
        }
        found
    }

    pub(super) fn list(&mut self, name: &'static str, reading: &mut Reading) -> &'n [Node] {
        match self.node(name) {
            None => &[],
            Some(Node { value: Value::List(items), .. }) => items,
            Some(node) => {
                self.wrong(node, name, "a list", reading);
                &[]
            }
        }
    }

    /// A list of texts, with their lines.
    pub(super) fn texts(&mut self, name: &'static str, reading: &mut Reading) -> Vec<(u32, String)> {
        let mut out = Vec::new();
        for node in self.list(name, reading) {
            match node.value.as_text() {
                Some(text) => out.push((node.at.line, text.to_owned())),
                None => self.wrong(node, name, "a text", reading),
            }
        }
        out
    }

    /// Tells every key that nobody asked for.
    pub(super) fn finish(&self, reading: &mut Reading) {
        for (word, _) in self.entries.iter().filter(|(word, _)| !self.asked.contains(&word.text.as_str())) {
            reading.unknown(word.at.line, &self.key(&word.text), &word.text, &self.asked);
        }
    }
}

/// A value as JSON. Numbers are read from their spelling, so that whole ones stay whole.
pub(crate) fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number, text) => {
            let spelled = serde_json::from_str::<Number>(text).ok();
            spelled.or_else(|| Number::from_f64(*number)).map_or(Json::Null, Json::Number)
        }
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect::<Vec<_>>().into(),
        Value::Map(entries) => {
            entries.iter().map(|(word, node)| (word.text.clone(), json(node))).collect::<Map<_, _>>().into()
        }
    }
}
