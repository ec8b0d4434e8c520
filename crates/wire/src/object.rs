//! A look at the top level of one JSON object without building a tree, and splice edits on its bytes.
//!
//! Works on bytes that a JSON parser has accepted (see [`crate::Envelope::parse`]); on anything else it
//! answers [`NotAnObject`], never panics and never reads outside. Keys are compared after unescaping, and
//! a key that occurs twice is refused: parsers disagree about which one counts, and a gateway that checks
//! the one while the server obeys the other is a hole.

use std::borrow::Cow;

use serde_json::value::RawValue;
use smallvec::SmallVec;
use thiserror::Error;

/// Why the top level of an object could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotAnObject {
    /// Not `{...}`.
    #[error("expected a JSON object")]
    Shape,
    /// One key twice.
    #[error("the member `{0}` occurs twice")]
    Duplicate(String),
    /// More members than [`Object::MEMBERS_MAX`].
    #[error("more than {max} members in one object", max = Object::MEMBERS_MAX)]
    TooManyMembers,
}

#[derive(Debug, Clone)]
struct Member<'a> {
    key: Cow<'a, str>,
    /// From the key's opening quote.
    start: usize,
    value_start: usize,
    end: usize,
}

/// The members of one JSON object, in order, as slices of the original bytes.
#[derive(Debug, Clone)]
pub struct Object<'a> {
    raw: &'a [u8],
    members: SmallVec<[Member<'a>; 8]>,
}

impl<'a> Object<'a> {
    /// The most members that an object may have where the hub looks into it.
    pub const MEMBERS_MAX: usize = 4096;

    /// Reads the top level of `raw`.
    ///
    /// # Errors
    /// [`NotAnObject`].
    pub fn scan(raw: &'a [u8]) -> Result<Self, NotAnObject> {
        let mut cursor = Cursor { raw, at: 0 };
        let mut members: SmallVec<[Member<'a>; 8]> = SmallVec::new();
        cursor.skip_space();
        cursor.expect(b'{')?;
        cursor.skip_space();
        if cursor.peek() == Some(b'}') {
            return Ok(Self { raw, members });
        }
        loop {
            cursor.skip_space();
            let start = cursor.at;
            cursor.skip_string()?;
            let key_raw = raw.get(start..cursor.at).ok_or(NotAnObject::Shape)?;
            let key = unescape(key_raw)?;
            cursor.skip_space();
            cursor.expect(b':')?;
            cursor.skip_space();
            let value_start = cursor.at;
            cursor.skip_value()?;
            let end = cursor.at;
            if members.len() >= Self::MEMBERS_MAX {
                return Err(NotAnObject::TooManyMembers);
            }
            if members.len() < 32 && members.iter().any(|m| m.key == key) {
                return Err(NotAnObject::Duplicate(key.into_owned()));
            }
            members.push(Member { key, start, value_start, end });
            cursor.skip_space();
            match cursor.next() {
                Some(b',') => {}
                Some(b'}') => break,
                _ => return Err(NotAnObject::Shape),
            }
        }
        if members.len() > 32 {
            // Past a handful, pairwise comparison would be quadratic in what a stranger sends.
            let mut keys: Vec<&str> = members.iter().map(|m| m.key.as_ref()).collect();
            keys.sort_unstable();
            if let Some([first, _]) = keys.windows(2).find(|w| matches!(w, [a, b] if a == b)) {
                return Err(NotAnObject::Duplicate((*first).to_owned()));
            }
        }
        Ok(Self { raw, members })
    }

    /// The raw value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a [u8]> {
        self.members.iter().find(|m| m.key == key).and_then(|m| self.raw.get(m.value_start..m.end))
    }

    /// The value of `key` when it is a JSON string, unescaped.
    #[must_use]
    pub fn get_str(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(as_str)
    }

    /// True when the value of `key` is the literal `true`.
    #[must_use]
    pub fn is_true(&self, key: &str) -> bool {
        self.get(key) == Some(b"true")
    }

    /// Keys and raw values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a [u8])> + '_ {
        self.members
            .iter()
            .filter_map(|m| self.raw.get(m.value_start..m.end).map(|value| (m.key.as_ref(), value)))
    }

    /// True for `{}`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The object's bytes with some members replaced, added at the end, or left out (`None`).
    /// Everything else stays byte for byte.
    #[must_use]
    pub fn edit(&self, edits: &[(&str, Option<&[u8]>)]) -> Vec<u8> {
        let added: usize = edits.iter().map(|(k, v)| k.len() + v.map_or(0, <[u8]>::len) + 8).sum();
        let mut out = Vec::with_capacity(self.raw.len() + added);
        out.push(b'{');
        let mut is_first = true;
        let mut comma = |out: &mut Vec<u8>| {
            if !std::mem::take(&mut is_first) {
                out.push(b',');
            }
        };
        for member in &self.members {
            let edit = edits.iter().find(|(key, _)| *key == member.key);
            let kept_to = match edit {
                Some((_, None)) => continue,
                Some((_, Some(_))) => member.value_start,
                None => member.end,
            };
            comma(&mut out);
            out.extend_from_slice(self.raw.get(member.start..kept_to).unwrap_or_default());
            if let Some((_, Some(value))) = edit {
                out.extend_from_slice(value);
            }
        }
        for (key, value) in edits {
            let (Some(value), None) = (value, self.get(key)) else { continue };
            comma(&mut out);
            push_str(&mut out, key);
            out.push(b':');
            out.extend_from_slice(value);
        }
        out.push(b'}');
        out
    }
}

/// The text of a raw JSON string value; `None` when it is something else.
#[must_use]
pub fn as_str(raw: &[u8]) -> Option<Cow<'_, str>> {
    if raw.first() == Some(&b'"') { unescape(raw).ok() } else { None }
}

/// The raw items of a JSON array; `None` when it is something else.
#[must_use]
pub fn items(raw: &[u8]) -> Option<Vec<&[u8]>> {
    serde_json::from_slice::<Vec<&RawValue>>(raw)
        .ok()
        .map(|items| items.into_iter().map(|item| item.get().as_bytes()).collect())
}

/// Appends `text` as a JSON string.
pub fn push_str(out: &mut Vec<u8>, text: &str) {
    // Writing a &str into a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// `text` as a JSON string.
#[must_use]
pub fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_str(&mut out, text);
    out
}

/// Text between the quotes of a raw string, unescaped only where it has to be.
fn unescape(raw: &[u8]) -> Result<Cow<'_, str>, NotAnObject> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).ok_or(NotAnObject::Shape)?;
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).map(Cow::Borrowed).map_err(|_| NotAnObject::Shape);
    }
    serde_json::from_slice::<String>(raw).map(Cow::Owned).map_err(|_| NotAnObject::Shape)
}

struct Cursor<'a> {
    raw: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.raw.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotAnObject> {
        if self.next() == Some(byte) { Ok(()) } else { Err(NotAnObject::Shape) }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Past one string, the cursor standing on its opening quote.
    fn skip_string(&mut self) -> Result<(), NotAnObject> {
        self.expect(b'"')?;
        loop {
            let rest = self.raw.get(self.at..).ok_or(NotAnObject::Shape)?;
            let hit = memchr::memchr2(b'"', b'\\', rest).ok_or(NotAnObject::Shape)?;
            let is_escape = rest.get(hit) == Some(&b'\\');
            self.at += hit + if is_escape { 2 } else { 1 };
            if !is_escape {
                return Ok(());
            }
        }
    }

    /// Past one value of any kind. Counts nesting instead of recursing: depth costs nothing.
    fn skip_value(&mut self) -> Result<(), NotAnObject> {
        match self.peek().ok_or(NotAnObject::Shape)? {
            b'"' => self.skip_string(),
            b'{' | b'[' => {
                let mut depth = 0_usize;
                loop {
                    match self.peek().ok_or(NotAnObject::Shape)? {
                        b'"' => {
                            self.skip_string()?;
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
            }
            _ => {
                let start = self.at;
                while !matches!(self.peek(), None | Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')) {
                    self.at += 1;
                }
                if self.at == start { Err(NotAnObject::Shape) } else { Ok(()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NotAnObject, Object};

    fn edit(raw: &str, edits: &[(&str, Option<&[u8]>)]) -> String {
        String::from_utf8(Object::scan(raw.as_bytes()).unwrap().edit(edits)).unwrap()
    }

    #[test]
    fn finds_members_whatever_the_spacing_and_escaping() {
        let object =
            Object::scan(br#" { "a" : [1,{"a":"}"}] , "n\u0061me":"x\"y", "t":true,"z":-1.50e3 } "#).unwrap();
        assert_eq!(object.get("a"), Some(&br#"[1,{"a":"}"}]"#[..]));
        assert_eq!(object.get_str("name").as_deref(), Some("x\"y"));
        assert!(object.is_true("t"));
        assert_eq!(object.get("z"), Some(&b"-1.50e3"[..]));
        assert_eq!(object.get("absent"), None);
        assert!(Object::scan(b"{}").unwrap().is_empty());
    }

    #[test]
    fn a_key_that_occurs_twice_is_refused_even_when_spelled_differently() {
        let twice = br#"{"name":"safe","n\u0061me":"danger"}"#;
        assert_eq!(Object::scan(twice).unwrap_err(), NotAnObject::Duplicate("name".to_owned()));
        let mut many: Vec<String> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
        many.push("\"k7\":0".to_owned());
        let many = format!("{{{}}}", many.join(","));
        assert_eq!(Object::scan(many.as_bytes()).unwrap_err(), NotAnObject::Duplicate("k7".to_owned()));
    }

    #[test]
    fn edits_touch_nothing_else() {
        let raw = r#"{"name":"up__echo", "x":1.50,"arguments":{"b":2,"a":1}}"#;
        assert_eq!(
            edit(raw, &[("name", Some(b"\"echo\""))]),
            r#"{"name":"echo","x":1.50,"arguments":{"b":2,"a":1}}"#
        );
        assert_eq!(edit(raw, &[("name", None), ("x", None)]), r#"{"arguments":{"b":2,"a":1}}"#);
        assert_eq!(edit("{}", &[("a", Some(b"1")), ("b", None)]), r#"{"a":1}"#);
        assert_eq!(edit(r#"{"a":1}"#, &[("b", Some(b"2"))]), r#"{"a":1,"b":2}"#);
    }

    #[test]
    fn what_is_no_object_is_refused_and_never_panics() {
        for bad in [
            "",
            "[",
            "[]",
            "null",
            "{",
            "{\"",
            "{\"a",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":\"\\",
            "{\"a\":[1",
            "{a:1}",
        ] {
            assert!(Object::scan(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
