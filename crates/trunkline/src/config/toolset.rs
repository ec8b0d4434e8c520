//! `toolsets`: chosen, renamed, re-described tools. A wrong set is left out whole and said so: serving
//! half of what somebody chose would surprise them.

use model::Key;

use super::entry::Entry;
use super::fields::{Fields, Reading};
use super::problem::{Scope, nearest};
use super::said::Said;
use super::tree::{Node, Value, Word};

/// A set of tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolset {
    /// Its key.
    pub(crate) key: Key,
    /// Its tools, in order.
    pub(crate) tools: Vec<Picked>,
}

/// One tool of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picked {
    /// Which connection.
    pub(crate) connection: Key,
    /// The tool's own name.
    pub(crate) tool: String,
    /// Its name in the set.
    pub(crate) rename: Option<String>,
    /// Its description in the set.
    pub(crate) description: Option<String>,
}

/// The longest name that clients accept for a tool.
const NAME_LEN_MAX: usize = 64;

/// Reads the whole map.
pub(crate) fn read_all(sets: &[(Word, Node)], entries: &[Entry], reading: &mut Reading<'_>) -> Vec<Toolset> {
    let mut out: Vec<Toolset> = Vec::with_capacity(sets.len());
    for (word, node) in sets {
        reading.scope = Scope::Toolset(word.text.clone());
        let before = reading.problems.len();
        let path = format!("toolsets.{}", word.text);
        let set = read(word, node, &path, entries, reading);
        if let Some(set) = set.filter(|_| !reading.has_errors_since(before)) {
            if out.iter().any(|known| known.key == set.key) {
                reading.error(word.at, &path, format!("another toolset has the key `{}` too", set.key), None);
            } else {
                out.push(set);
            }
        }
    }
    reading.scope = Scope::Hub;
    out
}

fn read(
    word: &Word,
    node: &Node,
    path: &str,
    entries: &[Entry],
    reading: &mut Reading<'_>,
) -> Option<Toolset> {
    let key = match Key::from_config(&word.text) {
        Ok(key) => key,
        Err(error) => {
            reading.error(word.at, path, error.to_string(), None);
            return None;
        }
    };
    let mut fields = Fields::open(node, path, "toolsets.*", reading)?;
    let list = fields.list("tools", "a list of tools", reading);
    let list_key = fields.key("tools");
    fields.finish(reading);
    let Some(list) = list else {
        let hint = "write `tools: [connection__tool]`".to_owned();
        reading.error(word.at, &list_key, "missing", Some(hint));
        return None;
    };
    let mut tools: Vec<Picked> = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let key = format!("{list_key}[{index}]");
        let Some((picked, shown)) = pick(item, &key, entries, reading) else { continue };
        let name = |p: &Picked| p.rename.clone().unwrap_or_else(|| format!("{}__{}", p.connection, p.tool));
        if tools.iter().any(|known| name(known) == name(&picked)) {
            let hint = "give one of them another name with `as`".to_owned();
            reading.error(item.at, &key, format!("`{shown}` is in the set twice"), Some(hint));
        }
        tools.push(picked);
    }
    Some(Toolset { key, tools })
}

/// A tool of a set, and the name of it that the file says.
fn pick<'n>(
    item: &'n Node,
    key: &str,
    entries: &[Entry],
    reading: &mut Reading<'_>,
) -> Option<(Picked, &'n str)> {
    if let Value::Map(_) = item.value {
        let mut fields = Fields::open(item, key, "toolsets.*.tools.*", reading)?;
        let tool = fields.text("tool", reading);
        let rename = fields.text("as", reading);
        let description = fields.text("description", reading).map(Said::into_value);
        let (tool_key, as_key) = (fields.key("tool"), fields.key("as"));
        fields.finish(reading);
        let Some(tool) = tool else {
            reading.error(item.at, &tool_key, "missing", Some("write `tool: connection__tool`".to_owned()));
            return None;
        };
        let picked = name(&tool, &tool_key, entries, reading)?;
        if let Some(said) = &rename
            && !is_name(said.value())
        {
            let hint = format!("1 to {NAME_LEN_MAX} of A-Z, a-z, 0-9, _, - and .");
            reading.error(said.at, &as_key, format!("`{said}` is not a tool's name"), Some(hint));
        }
        let shown = rename.as_ref().unwrap_or(&tool).written();
        return Some((Picked { rename: rename.map(Said::into_value), description, ..picked }, shown));
    }
    let Some(text) = item.value.as_text() else {
        reading.error(item.at, key, format!("expected a tool, found {}", item.value.noun()), None);
        return None;
    };
    Some((name(&Said::literal(item.at, text), key, entries, reading)?, text))
}

/// True for what clients accept as a tool's name.
fn is_name(text: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b == b'.')
}

/// `connection__tool`, split at the first `__`.
fn name(said: &Said<'_>, key: &str, entries: &[Entry], reading: &mut Reading<'_>) -> Option<Picked> {
    let Some((connection, tool)) = said.value().split_once("__").filter(|(_, tool)| !tool.is_empty()) else {
        let hint = "write connection__tool, for example files__read_file".to_owned();
        reading.error(said.at, key, format!("`{said}` names no connection"), Some(hint));
        return None;
    };
    let connection = match Key::from_config(connection) {
        Ok(connection) => connection,
        Err(error) => {
            reading.error(said.at, key, said.not("the key of a connection", &error), None);
            return None;
        }
    };
    if !entries.iter().any(|entry| entry.key == connection) {
        let written = said.written();
        let shown = written.split_once("__").map_or(written, |(connection, _)| connection);
        let names = entries.iter().map(|entry| entry.key.as_str());
        let hint = nearest(shown, names).map(|near| format!("did you mean `{near}`?"));
        reading.warn(said.at, key, format!("there is no connection `{shown}` in this file"), hint);
    }
    Some(Picked { connection, tool: tool.to_owned(), rename: None, description: None })
}
