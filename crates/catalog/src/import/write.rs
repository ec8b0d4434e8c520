//! The manifest as text: block style where people read, one line per value below.
//!
//! A text stands without quotes only where it is a plain word; whatever else is in double quotes with
//! everything escaped that YAML could take for something else.

use std::fmt::Write as _;

use serde_json::Value;

/// A value whose maps keep their order.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    /// As it is.
    Value(Value),
    /// A list.
    List(Vec<Tree>),
    /// A map.
    Map(Vec<(String, Tree)>),
    /// On one line, whatever it is.
    Line(Box<Tree>),
}

/// Words that YAML's versions read as something other than texts.
const NO_TEXTS: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

// === impl Tree ===

impl Tree {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Value(Value::String(text.into()))
    }

    pub(super) fn texts<T: Into<String>>(all: impl IntoIterator<Item = T>) -> Self {
        Self::Line(Box::new(Self::List(all.into_iter().map(Self::text).collect())))
    }

    pub(super) fn map(members: Vec<(&str, Self)>) -> Self {
        Self::Map(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    pub(super) fn line(self) -> Self {
        Self::Line(Box::new(self))
    }

    /// As YAML, with a line's end.
    pub(super) fn yaml(&self) -> String {
        let mut out = String::new();
        self.block(0, &mut out);
        out
    }

    fn is_line(&self) -> bool {
        match self {
            Self::Value(_) | Self::Line(_) => true,
            Self::List(items) => items.is_empty(),
            Self::Map(members) => members.is_empty(),
        }
    }

    fn block(&self, indent: usize, out: &mut String) {
        let pad = " ".repeat(indent);
        match self {
            _ if self.is_line() => {
                self.flow(out);
                out.push('\n');
            }
            Self::Map(members) => {
                for (n, (key, value)) in members.iter().enumerate() {
                    // The first one of a list's element stands behind its dash.
                    if n > 0 || out.ends_with('\n') || out.is_empty() {
                        out.push_str(&pad);
                    }
                    scalar(key, out);
                    out.push(':');
                    value.under(indent + 2, out);
                }
            }
            Self::List(items) => {
                for item in items {
                    let _ = write!(out, "{pad}- ");
                    // A list of lists stands on its line.
                    if matches!(item, Self::List(_)) {
                        item.flow(out);
                        out.push('\n');
                    } else {
                        item.block(indent + 2, out);
                    }
                }
            }
            Self::Value(_) | Self::Line(_) => {}
        }
    }

    fn under(&self, indent: usize, out: &mut String) {
        out.push(if self.is_line() { ' ' } else { '\n' });
        self.block(indent, out);
    }

    fn flow(&self, out: &mut String) {
        match self {
            Self::Line(tree) => tree.flow(out),
            Self::Value(value) => flow(value, out),
            Self::List(items) => {
                listed(items.iter(), out, |item, out| item.flow(out));
            }
            Self::Map(members) => mapped(members.iter().map(|(k, v)| (k, v)), out, |v, out| v.flow(out)),
        }
    }
}

fn flow(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => {
            let _ = write!(out, "{number}");
        }
        Value::String(text) => scalar(text, out),
        Value::Array(items) => listed(items.iter(), out, flow),
        Value::Object(members) => mapped(members.iter(), out, flow),
    }
}

fn listed<'i, T: 'i>(items: impl Iterator<Item = &'i T>, out: &mut String, one: impl Fn(&T, &mut String)) {
    out.push('[');
    for (n, item) in items.enumerate() {
        out.push_str(if n > 0 { ", " } else { "" });
        one(item, out);
    }
    out.push(']');
}

fn mapped<'i, T: 'i>(
    members: impl Iterator<Item = (&'i String, &'i T)>,
    out: &mut String,
    one: impl Fn(&T, &mut String),
) {
    out.push('{');
    let mut is_first = true;
    for (key, value) in members {
        out.push_str(if is_first { " " } else { ", " });
        is_first = false;
        scalar(key, out);
        out.push_str(": ");
        one(value, out);
    }
    out.push_str(if is_first { "}" } else { " }" });
}

fn scalar(text: &str, out: &mut String) {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        && !NO_TEXTS.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_word {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // What YAML does not print, folds, or takes for a mark of the byte order.
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Tree;

    #[test]
    fn what_is_written_is_read_back_as_it_was() {
        let nasty = [
            "",
            " a ",
            "no",
            "NULL",
            "~",
            "0x1",
            "1e5",
            "a: b",
            "# c",
            "- d",
            "{{x}}",
            "'q' \"Q\" \\",
            "tab\tline\nend\r",
            "\u{0}\u{7f}\u{85}\u{2028}\u{feff}\u{ffff}",
            "ünï 🦀 中",
            "*a",
            "&b",
            "!c",
            "%d",
            "@e",
            "`f",
            "|",
            ">",
            "a,b]",
        ];
        let flat = json!({ "list": nasty, "number": [1, -2.5, 1e21, u64::MAX], "map": { "a b": null, "yes": true } });
        let tree = Tree::map(vec![
            ("top", Tree::Value(flat.clone())),
            (
                "block",
                Tree::List(vec![
                    Tree::map(vec![
                        ("a", Tree::text("x: y")),
                        ("b", Tree::map(vec![("c", Tree::texts(nasty))])),
                    ]),
                    Tree::List(vec![Tree::Map(Vec::new()), Tree::text("z")]),
                ]),
            ),
            ("line", Tree::map(vec![("k", Tree::List(Vec::new()))]).line()),
        ]);
        let text = tree.yaml();
        let read = crate::import::document::parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"));
        assert_eq!(read.get("top"), Some(&flat), "{text}");
        let wanted: Value = json!([{ "a": "x: y", "b": { "c": nasty } }, [{}, "z"]]);
        assert_eq!(read.get("block"), Some(&wanted), "{text}");
        assert_eq!(read.get("line"), Some(&json!({ "k": [] })));
    }
}
