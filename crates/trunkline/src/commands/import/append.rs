//! Adding entries to a configuration file: text is inserted, nothing of what stands there is rewritten,
//! so that comments and order stay. What comes out is read back before it takes the old file's place.

use std::io::Write;
use std::path::Path;

use super::{Imported, block};
use crate::config::tree::{Node, Value, parse};
use crate::say::Quit;

/// Adds the entries to the file, making it where there is none.
///
/// # Errors
/// A key that is taken, a file that does not parse or keeps its entries on one line, a disk that refuses.
pub(super) fn write(path: &Path, imported: &[Imported]) -> Result<(), Quit> {
    let failed = |error: std::io::Error| Quit::failed(format!("{}: {error}", path.display()));
    let before = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let after = added(&before, imported)?;
    // Beside the file and renamed over it: a crash leaves the old one or the new one, never a half.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut draft = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    draft.write_all(after.as_bytes()).and_then(|()| draft.as_file().sync_all()).map_err(failed)?;
    if let Ok(meta) = std::fs::metadata(path) {
        draft.as_file().set_permissions(meta.permissions()).map_err(failed)?;
    }
    draft.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// The text with the entries in it.
pub(super) fn added(text: &str, imported: &[Imported]) -> Result<String, Quit> {
    let unreadable = |what: String| Quit::usage(what).with_hint("`trunkline check` says more");
    let tree = parse(text).map_err(|error| unreadable(format!("line {}: {}", error.at.line, error.what)))?;
    let old = tree.get("integrations");
    refuse_taken(old, imported)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match old.map(|node| &node.value) {
        None if text.trim().is_empty() => {
            lines.extend(split(&format!("integrations:\n{}", block(imported, 2))))
        }
        None if text.lines().any(|line| line.starts_with("integrations:")) => {
            into_empty(&mut lines, imported)
        }
        None => lines.extend(split(&format!("\nintegrations:\n{}", block(imported, 2)))),
        Some(Value::Map(entries)) if !entries.is_empty() => {
            behind_last(&tree, entries, &mut lines, imported)?
        }
        Some(Value::Null | Value::Map(_)) => into_empty(&mut lines, imported),
        Some(_) => return Err(unreadable("`integrations` is not a map".to_owned())),
    }
    let mut after = lines.join("\n");
    after.push('\n');
    // The proof: everything that was there is still there, and everything new is where it should be.
    let now =
        parse(&after).map_err(|error| unreadable(format!("the result would not parse: {}", error.what)))?;
    let count = |node: Option<&Node>| match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.len(),
        _ => 0,
    };
    let top = |tree: &Node| match &tree.value {
        Value::Map(entries) => entries.iter().filter(|(word, _)| word.text != "integrations").count(),
        _ => 0,
    };
    if count(now.get("integrations")) != count(old) + imported.len() || top(&now) != top(&tree) {
        return Err(Quit::failed("the file has a form that cannot be added to safely; nothing was changed")
            .with_hint("run the command without --write and paste what it prints"));
    }
    Ok(after)
}

fn refuse_taken(old: Option<&Node>, imported: &[Imported]) -> Result<(), Quit> {
    let Some(Value::Map(entries)) = old.map(|node| &node.value) else { return Ok(()) };
    let is_taken = |key: &str| entries.iter().any(|(word, _)| word.text.replace('_', "-") == key);
    for entry in imported {
        let key = entry.key.as_str();
        if is_taken(key) {
            let free =
                (2..).map(|number| format!("{key}-{number}")).find(|key| !is_taken(key)).unwrap_or_default();
            return Err(Quit::failed(format!("there is an entry `{key}` already; nothing was changed"))
                .with_hint(format!(
                    "rename one of them, for example to `{free}`, or import without --write"
                )));
        }
    }
    Ok(())
}

/// Puts the entries under an `integrations:` that has none.
fn into_empty(lines: &mut Vec<String>, imported: &[Imported]) {
    let Some(at) = lines.iter().position(|line| line.starts_with("integrations:")) else { return };
    if let Some(line) = lines.get_mut(at) {
        let comment = line.find(" #").and_then(|start| line.get(start..)).unwrap_or_default().to_owned();
        *line = format!("integrations:{comment}");
    }
    lines.splice(at + 1..at + 1, split(&block(imported, 2)));
}

/// Puts the entries behind the last line of the last one, indented as they are.
fn behind_last(
    tree: &Node,
    entries: &[(crate::config::tree::Word, Node)],
    lines: &mut Vec<String>,
    imported: &[Imported],
) -> Result<(), Quit> {
    let (first, top) = (entries.first().map(|(word, _)| word.at), &tree.value);
    let Some(first) = first else { return Ok(()) };
    let Value::Map(top) = top else { return Ok(()) };
    let own = top.iter().find(|(word, _)| word.text == "integrations").map_or(0, |(word, _)| word.at.line);
    if first.line == own {
        return Err(Quit::failed("the entries of `integrations` stand on one line; nothing was changed")
            .with_hint(
                "give each entry a line of its own, or import without --write and paste what it prints",
            ));
    }
    let next = top.iter().map(|(word, _)| word.at.line).filter(|line| *line > own).min();
    let index = |line: u32| usize::try_from(line).unwrap_or(usize::MAX);
    let end = next.map_or(lines.len(), |line| index(line).saturating_sub(1)).min(lines.len());
    let indent = index(first.column).saturating_sub(1);
    // Comments at the left margin and blank lines before the next setting belong to that one.
    let belongs = |line: &String| {
        let inner = line.trim_start();
        !(inner.is_empty() || inner.starts_with('#') && line.len() - inner.len() < indent)
    };
    let last = lines.iter().take(end).rposition(belongs).map_or(end, |last| last + 1);
    lines.splice(last..last, split(&block(imported, indent)));
    Ok(())
}

fn split(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
