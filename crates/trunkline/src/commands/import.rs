//! `trunkline import`: the mcpServers file of a desktop client as entries of our configuration.
//!
//! Secrets stay behind: a value that looks like one becomes a reference, and the report says which
//! variable to set. Nothing is run and nothing is connected.

mod append;
#[cfg(test)]
mod fuzz;
mod jsonc;
mod server;

use std::path::{Path, PathBuf};

use model::Key;
use serde_json::{Map, Value as Json, json};

use crate::cli::Shared;
use crate::commands::env;
use crate::config::tree::Node;
use crate::config::{emit, locate};
use crate::say::{Quit, note, out};

/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// One server of the client's file, as an entry.
#[derive(Debug)]
pub(crate) struct Imported {
    /// Its name there.
    pub(crate) name: String,
    /// The key here.
    pub(crate) key: Key,
    /// The entry.
    pub(crate) node: Node,
    /// What did not map, and what to do.
    pub(crate) notes: Vec<String>,
}

/// Reads the file and prints its entries, or adds them to the configuration.
pub(crate) fn run(shared: &Shared, file: &Path, is_writing: bool) -> Result<(), Quit> {
    let size = std::fs::metadata(file).map(|meta| meta.len());
    if size.as_ref().is_ok_and(|bytes| *bytes > FILE_BYTES_MAX) {
        return Err(Quit::failed(format!("{} is larger than {FILE_BYTES_MAX} bytes", file.display())));
    }
    let text = std::fs::read_to_string(file)
        .map_err(|error| Quit::failed(format!("{} cannot be read: {error}", file.display())))?;
    let (imported, skipped) =
        convert(&text).map_err(|what| Quit::failed(format!("{}: {what}", file.display())))?;

    let target = is_writing
        .then(|| locate(shared.config.as_deref(), &env).unwrap_or_else(|| PathBuf::from("trunkline.yaml")));
    if let Some(target) = &target {
        append::write(target, &imported)?;
    }
    report(shared.json, &imported, &skipped, target.as_deref());
    Ok(())
}

fn report(is_json: bool, imported: &[Imported], skipped: &[String], target: Option<&Path>) {
    if is_json {
        let entries: Map<String, Json> =
            imported.iter().map(|entry| (entry.key.to_string(), emit::json(&entry.node))).collect();
        let notes: Map<String, Json> =
            imported.iter().map(|entry| (entry.key.to_string(), json!(entry.notes))).collect();
        out(&json!({ "integrations": entries, "notes": notes, "skipped": skipped, "written_to": target })
            .to_string());
        return;
    }
    match target {
        None => out(&format!("integrations:\n{}", block(imported, 2))),
        Some(path) => note(&format!("{}: {} entries added", path.display(), imported.len())),
    }
    for entry in imported {
        if entry.name != entry.key.as_str() {
            note(&format!("{}: `{}` is called `{}` here", entry.key, entry.name, entry.key));
        }
        for line in &entry.notes {
            note(&format!("{}: {line}", entry.key));
        }
    }
    for line in skipped {
        note(line);
    }
}

/// The entries as YAML.
fn block(imported: &[Imported], indent: usize) -> String {
    let entries = imported.iter().map(|entry| (entry.key.as_str(), entry.node.clone())).collect();
    emit::yaml(&Node::map(entries), indent)
}

/// Every server of a client's file, and the names of those that could not be taken over with the reason.
fn convert(text: &str) -> Result<(Vec<Imported>, Vec<String>), String> {
    let json: Json =
        serde_json::from_str(&jsonc::strip(text)).map_err(|error| format!("not JSON: {error}"))?;
    let servers = servers(&json).ok_or(
        "no servers found: expected `mcpServers` (desktop clients, .mcp.json) or `servers` (editors), each name with its settings",
    )?;
    let (mut imported, mut skipped): (Vec<Imported>, Vec<String>) = (Vec::new(), Vec::new());
    for (name, settings) in servers {
        let key = Key::from_config(name).or_else(|bad| bad.suggestion.parse::<Key>());
        let key = match key {
            Ok(key) => free(&key, &imported),
            Err(error) => {
                skipped.push(format!("`{name}` was left out: {error}"));
                continue;
            }
        };
        match server::entry(name, &key, settings) {
            Ok((node, notes)) => imported.push(Imported { name: name.clone(), key, node, notes }),
            Err(why) => skipped.push(format!("`{name}` was left out: {why}")),
        }
    }
    Ok((imported, skipped))
}

/// The map of servers, in each of the shapes that clients use.
fn servers(json: &Json) -> Option<&Map<String, Json>> {
    let places = ["/mcpServers", "/servers", "/mcp/servers", "/mcp/mcpServers"];
    places.iter().find_map(|place| json.pointer(place)?.as_object())
}

/// The key itself, or with a number behind it when another server has it already.
fn free(key: &Key, taken: &[Imported]) -> Key {
    let is_taken = |key: &Key| taken.iter().any(|entry| entry.key == *key);
    let mut candidate = key.clone();
    for number in 2..1000 {
        if !is_taken(&candidate) {
            break;
        }
        let stem: String = key.as_str().chars().take(Key::LEN_MAX - 4).collect();
        if let Ok(next) = format!("{stem}-{number}").parse() {
            candidate = next;
        }
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::{append, block, convert};

    const DESKTOP: &str = r#"{
      // a comment, as editors allow
      "mcpServers": {
        "File System": { "command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "/my docs"], },
        "github": { "command": "docker", "args": ["run"], "env": { "GITHUB_TOKEN": "ghp_abc", "LOG": "1" }, "autoApprove": ["x"] },
        "remote": { "type": "http", "url": "https://mcp.example.com/mcp", "headers": { "Authorization": "Bearer abc123", "X-Team": "blue" } },
        "old": { "type": "sse", "url": "https://old.example.com/sse", "disabled": true },
        "broken": { "note": "nothing to run" }
      }
    }"#;

    #[test]
    fn a_desktop_file_becomes_entries_without_its_secrets() {
        let (imported, skipped) = convert(DESKTOP).unwrap();
        let text = format!("integrations:\n{}", block(&imported, 2));
        let config = crate::config::parse(None, &text, &|name| Some(format!("value-of-{name}")));
        assert_eq!(
            config.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            Vec::<String>::new(),
            "{text}"
        );
        let keys: Vec<_> = config.entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["file-system", "github", "old", "remote"]);
        assert!(!text.contains("ghp_abc") && !text.contains("abc123"), "{text}");
        assert!(
            text.contains("\"${GITHUB_TOKEN}\"")
                && text.contains("\"${REMOTE_TOKEN}\"")
                && text.contains("/my docs")
        );
        assert_eq!(skipped.len(), 1);
        let notes: String = imported.iter().flat_map(|entry| entry.notes.clone()).collect();
        assert!(
            notes.contains("autoApprove") && notes.contains("GITHUB_TOKEN") && !notes.contains("ghp_abc")
        );
    }

    #[test]
    fn the_shape_of_editors_is_read_too() {
        let (imported, skipped) = convert(
            r#"{ "inputs": [{"id": "key", "type": "promptString"}],
                 "servers": { "a": { "command": "x", "env": { "API_KEY": "${input:key}", "H": "${env:HOME}" } } } }"#,
        )
        .unwrap();
        let text = block(&imported, 0);
        assert!(skipped.is_empty() && text.contains("\"${KEY}\"") && text.contains("\"${HOME}\""), "{text}");
        assert!(convert("{}").unwrap_err().contains("mcpServers"));
        assert!(convert("[").unwrap_err().contains("not JSON"));
    }

    #[test]
    fn entries_are_added_to_a_file_and_its_comments_stay() {
        let (imported, _) = convert(r#"{"mcpServers": {"new": {"command": "x"}}}"#).unwrap();
        for (before, wanted) in [
            ("", "integrations:\n  new: { type: mcp, protocol: stdio, command: x }\n"),
            (
                "# mine\nlisten: 127.0.0.1:1\n",
                "# mine\nlisten: 127.0.0.1:1\n\nintegrations:\n  new: { type: mcp, protocol: stdio, command: x }\n",
            ),
            (
                "integrations: {} # none yet\nstore: memory\n",
                "integrations: # none yet\n  new: { type: mcp, protocol: stdio, command: x }\nstore: memory\n",
            ),
            (
                "integrations:\n    a: # first\n        command: y # why\n\n# about the rest\nstore: memory\n",
                "integrations:\n    a: # first\n        command: y # why\n    new: { type: mcp, protocol: stdio, command: x }\n\n# about the rest\nstore: memory\n",
            ),
            (
                "integrations:\n  a: { command: y }",
                "integrations:\n  a: { command: y }\n  new: { type: mcp, protocol: stdio, command: x }\n",
            ),
        ] {
            assert_eq!(append::added(before, &imported).unwrap(), wanted);
        }
    }

    #[test]
    fn nothing_is_added_over_an_entry_or_into_a_file_that_does_not_parse() {
        let (imported, _) = convert(r#"{"mcpServers": {"New": {"command": "x"}}}"#).unwrap();
        let taken = append::added("integrations:\n  new: { command: y }\n", &imported).unwrap_err();
        assert!(taken.what.contains("`new`") && taken.hint.contains("new-2"), "{taken:?}");
        assert!(append::added("integrations: [", &imported).is_err());
        assert!(
            append::added("integrations: { a: { command: y } }\n", &imported)
                .unwrap_err()
                .what
                .contains("one line")
        );
    }
}
