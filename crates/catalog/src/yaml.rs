//! A YAML text as a tree in which every key and value knows its line and column.
//!
//! Not its job: what the values mean. The configuration file and the manifests of the catalogue are both
//! read from it, each in its own way, so that one bad value is one problem and never the end of the file.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// The largest configuration text, in bytes.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A place in the file, both counted from 1; 0 where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Mark {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it begins.
    pub at: Mark,
    /// What it is.
    pub value: Value,
}

/// What a value is. Numbers and booleans keep their spelling, because `password: 0123` is a text.
#[derive(Debug, Clone)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as a number and as it is written.
    Number(f64, String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the file's order. No key twice: the parser refuses that.
    Map(Vec<(Word, Node)>),
}

/// A key of a map and where it stands.
#[derive(Debug, Clone)]
pub struct Word {
    /// The key.
    pub text: String,
    /// Where it begins.
    pub at: Mark,
}

/// Why a text is no YAML at all.
#[derive(Debug)]
pub struct SyntaxError {
    /// Where the parser stopped.
    pub at: Mark,
    /// What it says.
    pub what: String,
}

/// Parses a whole file. An empty one is an empty map.
///
/// # Errors
/// [`SyntaxError`] for text that is not YAML, repeats a key, or is larger than a file has to be.
pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    if text.len() > FILE_BYTES_MAX {
        let what = format!("the file has {} bytes, at most {FILE_BYTES_MAX} are read", text.len());
        return Err(SyntaxError { at: Mark::default(), what });
    }
    // Only `true` and `false` are booleans: `no` in a list of arguments is a word.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    match serde_saphyr::from_str_with_options::<Option<Spanned<Raw>>>(text, options) {
        Ok(Some(raw)) => Ok(settle(raw, text)),
        Ok(None) => Ok(Node { at: Mark { line: 1, column: 1 }, value: Value::Null }),
        Err(error) => {
            let at = error.location().map(mark).unwrap_or_default();
            let what = error.without_snippet().render();
            // The position is already in front of the line.
            let what = what.split(" at line ").next().unwrap_or(&what);
            let what = what.lines().next().unwrap_or("this is not YAML").to_owned();
            Err(SyntaxError { at, what })
        }
    }
}

// === impl Value ===

impl Value {
    /// What people call it.
    pub const fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(..) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Texts, and numbers and booleans as they are written.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Number(_, text) => Some(text),
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }
}

// === impl Node ===

impl Node {
    /// Puts a text at a path of keys, over whatever is there.
    pub fn set(&mut self, path: &[&str], text: &str) {
        let Some((first, rest)) = path.split_first() else {
            self.value = Value::Text(text.to_owned());
            return;
        };
        if !matches!(self.value, Value::Map(_)) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else { return };
        if !entries.iter().any(|(word, _)| word.text == *first) {
            let node = Self { at: self.at, value: Value::Null };
            entries.push((Word { text: (*first).to_owned(), at: self.at }, node));
        }
        if let Some((_, node)) = entries.iter_mut().find(|(word, _)| word.text == *first) {
            node.set(rest, text);
        }
    }

    /// A value that stands in no file.
    pub fn new(value: Value) -> Self {
        Self { at: Mark::default(), value }
    }

    /// A text that stands in no file.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Value::Text(text.into()))
    }

    /// A map that stands in no file.
    pub fn map(entries: Vec<(&str, Self)>) -> Self {
        let word = |text: &str| Word { text: text.to_owned(), at: Mark::default() };
        Self::new(Value::Map(entries.into_iter().map(|(key, node)| (word(key), node)).collect()))
    }

    /// The value of `key`, where this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(word, _)| word.text == key).map(|(_, node)| node)
    }
}

/// What the parser hands over, before places are looked up.
enum Raw {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    #[allow(clippy::cast_precision_loss, reason = "no setting is larger than 2^53; the spelling is kept too")]
    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value as f64))
    }

    #[allow(clippy::cast_precision_loss, reason = "no setting is larger than 2^53; the spelling is kept too")]
    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value as f64))
    }

    #[allow(clippy::cast_precision_loss, reason = "no setting is larger than 2^53; the spelling is kept too")]
    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Number(value as f64))
    }

    #[allow(clippy::cast_precision_loss, reason = "no setting is larger than 2^53; the spelling is kept too")]
    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map: Vec<(Spanned<String>, Spanned<Raw>)> = Vec::new();
        let mut known = HashSet::new();
        while let Some(entry) = entries.next_entry::<Spanned<String>, Spanned<Raw>>()? {
            if !known.insert(entry.0.value.clone()) {
                return Err(A::Error::custom(format!("the key `{}` is there twice", entry.0.value)));
            }
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

fn settle(raw: Spanned<Raw>, text: &str) -> Node {
    let spelled = || {
        let span = raw.defined.span();
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let len = usize::try_from(span.byte_len()?).ok()?;
        text.get(start..start.checked_add(len)?).map(|slice| slice.trim().to_owned())
    };
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Bool(value),
        Raw::Number(value) => Value::Number(value, spelled().unwrap_or_else(|| value.to_string())),
        Raw::Text(value) => Value::Text(value),
        Raw::List(items) => Value::List(items.into_iter().map(|item| settle(item, text)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| (Word { text: key.value, at: mark(key.referenced) }, settle(value, text)))
                .collect(),
        ),
    };
    Node { at: mark(raw.referenced), value }
}

fn mark(location: serde_saphyr::Location) -> Mark {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Mark { line: small(location.line()), column: small(location.column()) }
}

#[cfg(test)]
mod tests {
    use super::{Mark, Value, parse};

    #[test]
    fn every_value_knows_its_place_and_numbers_keep_their_spelling() {
        let tree = parse("a:\n  b: [1, 0123, no, true, ~]\n  c: 1.50\n").unwrap();
        let list = tree.get("a").unwrap().get("b").unwrap();
        assert_eq!(list.at, Mark { line: 2, column: 6 });
        let Value::List(items) = &list.value else { panic!("not a list") };
        let texts: Vec<_> = items.iter().map(|item| item.value.as_text()).collect();
        assert_eq!(texts, [Some("1"), Some("0123"), Some("no"), Some("true"), None]);
        let third = items.get(2).unwrap();
        assert_eq!((third.at.line, matches!(third.value, Value::Text(_))), (2, true));
        assert_eq!(tree.get("a").unwrap().get("c").unwrap().value.as_text(), Some("1.50"));
        let Value::Map(top) = &tree.value else { panic!("not a map") };
        assert_eq!(top.first().unwrap().0.at, Mark { line: 1, column: 1 });
    }

    #[test]
    fn nothing_is_an_empty_file_and_broken_text_names_its_line() {
        assert!(matches!(parse("").unwrap().value, Value::Null));
        assert!(matches!(parse("# only a comment\n").unwrap().value, Value::Null));
        assert_eq!(parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err().at.line, 3);
        let twice = parse("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(twice.at.line, 3, "{}", twice.what);
        assert!(parse("a: &x [*x]\n").is_err());
    }
}
