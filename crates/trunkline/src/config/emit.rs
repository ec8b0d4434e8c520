//! Trees as text: YAML for people's files, JSON for scripts.

use super::tree::{Node, Value};

/// Words that YAML readers of one version or another take for something else than a text.
const WORDS: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];

/// A node as JSON.
pub(crate) fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(_, spelled) => spelled
            .parse::<serde_json::Number>()
            .map_or_else(|_| spelled.as_str().into(), serde_json::Value::Number),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(word, node)| (word.text.clone(), json(node)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// A map as block-style YAML, each line indented by `indent` blanks.
pub(crate) fn yaml(node: &Node, indent: usize) -> String {
    let mut out = String::new();
    if let Value::Map(entries) = &node.value {
        for (word, value) in entries {
            line(&word.text, value, indent, &mut out);
        }
    }
    out
}

fn line(key: &str, node: &Node, indent: usize, out: &mut String) {
    out.push_str(&" ".repeat(indent));
    out.push_str(&scalar(key));
    out.push(':');
    match &node.value {
        Value::Map(entries) if !entries.is_empty() && flow(node).len() > 80 => {
            out.push('\n');
            for (word, value) in entries {
                line(&word.text, value, indent + 2, out);
            }
        }
        Value::Map(entries) if entries.iter().any(|(_, node)| matches!(node.value, Value::Map(_))) => {
            out.push('\n');
            for (word, value) in entries {
                line(&word.text, value, indent + 2, out);
            }
        }
        _ => {
            out.push(' ');
            out.push_str(&flow(node));
            out.push('\n');
        }
    }
}

/// A node on one line.
fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(_, spelled) => spelled.clone(),
        Value::Text(text) => scalar(text),
        Value::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Map(entries) => {
            let inner: Vec<_> = entries
                .iter()
                .map(|(word, node)| format!("{}: {}", scalar(&word.text), flow(node)))
                .collect();
            format!("{{ {} }}", inner.join(", "))
        }
    }
}

/// A text, in quotes unless every reader takes it for the same text without them.
fn scalar(text: &str) -> String {
    let is_first_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_./@+-".contains(c))
        || (text.starts_with("https://") || text.starts_with("http://"))
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./@+-:?=&%".contains(c))
            && !text.ends_with(':');
    if is_first_plain && is_plain && !WORDS.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    // JSON's escapes are a part of those of YAML's double quotes; YAML wants a few more.
    let mut out = String::with_capacity(text.len() + 2);
    for c in serde_json::Value::from(text).to_string().chars() {
        if matches!(c, '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{json, yaml};
    use crate::config::tree::{Node, parse};

    #[test]
    fn what_is_written_reads_back_as_the_same() {
        let text = "a: { b: [x, 'no', \"1\", 1, -y, 'a: b', '${X}', ~], c: {} }\n'k: y': 0123\nd: { e: { f: \"li\\nne\\u0000é\" } }\n";
        let tree = parse(text).unwrap();
        let again = parse(&yaml(&tree, 0)).unwrap();
        assert_eq!(json(&tree), json(&again), "{}", yaml(&tree, 0));
        assert_eq!(yaml(&again, 0), yaml(&tree, 0));
    }

    #[test]
    fn what_a_reader_takes_only_as_an_escape_is_written_as_one() {
        let odd = "\u{7f}\u{80}\u{85}\u{9f}\u{feff}\u{fffe}\u{ffff}";
        let tree = Node::map(vec![(odd, Node::text(format!("é{odd}\u{a0}")))]);
        let written = yaml(&tree, 0);
        assert!(!written.contains(|c| odd.contains(c)), "{written:?}");
        assert!(written.contains(r"é\u007f\u0080\u0085\u009f\ufeff\ufffe\uffff"), "{written:?}");
        assert_eq!(json(&parse(&written).unwrap()), json(&tree));
    }
}
