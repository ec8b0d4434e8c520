//! The tools, as they are offered.

use std::sync::Arc;

use bytes::Bytes;
use connector::{Inventory, Tool};
use serde_json::{Value, json};

use crate::files::{LIST_MAX, READ_MAX, READ_USUAL, WRITE_MAX};

struct Effect {
    reads: bool,
    destroys: bool,
    idempotent: bool,
}

const READS: Effect = Effect { reads: true, destroys: false, idempotent: true };

/// What a connection offers: reading, and writing where it is allowed.
pub(crate) fn inventory(allow_writes: bool) -> Inventory {
    let mut tools = reading();
    if allow_writes {
        tools.extend(writing());
    }
    let info = json!({ "name": "sftp", "title": "SFTP", "version": env!("CARGO_PKG_VERSION") });
    Inventory {
        generation: 1,
        tools: tools.into_iter().map(Arc::new).collect(),
        capabilities: Some(Bytes::from_static(br#"{"tools":{}}"#)),
        server_info: Some(info.to_string().into()),
        instructions: Some("Files of one folder on an SFTP server. Paths are below that folder.".into()),
        ..Inventory::default()
    }
}

fn path(what: &str) -> Value {
    json!({ "type": "string", "maxLength": 4096, "description": format!("{what}, below the connection's folder, such as `reports/may.csv`. `..` is refused.") })
}

fn entry() -> Value {
    json!({
        "path": { "type": "string" },
        "type": { "enum": ["file", "folder", "link", "other"] },
        "size": { "type": ["integer", "null"], "description": "Bytes." },
        "modified": { "type": ["integer", "null"], "description": "Seconds since 1970." },
        "mode": { "type": ["string", "null"], "description": "Permissions, octal." },
    })
}

fn reading() -> Vec<Tool> {
    let mut listed = entry();
    if let Some(members) = listed.as_object_mut() {
        members.remove("path");
        members.insert("name".to_owned(), json!({ "type": "string" }));
    }
    vec![
        tool(
            "list_directory",
            "List a folder",
            "Lists what is in a folder, sorted by name, a page at a time. For the next page give `next_after` as `after`.",
            &READS,
            &[],
            json!({
                "path": { "type": "string", "maxLength": 4096, "default": ".", "description": "The folder, below the connection's folder; `.` is that folder." },
                "limit": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 100, "description": "How many at most." },
                "after": { "type": "string", "maxLength": 255, "description": "Only names that sort after this one." },
            }),
            json!({
                "path": { "type": "string" },
                "entries": { "type": "array", "items": { "type": "object", "properties": listed } },
                "next_after": { "type": ["string", "null"], "description": "Null on the last page." },
                "truncated": { "type": "boolean", "description": format!("The folder has more than {LIST_MAX} entries; the others were not looked at.") },
            }),
        ),
        tool(
            "stat",
            "Look at a file or folder",
            "Tells kind, size, time of change and permissions of a file or folder. A symbolic link is told as a link.",
            &READS,
            &["path"],
            json!({ "path": path("What to look at") }),
            entry(),
        ),
        tool(
            "read_file",
            "Read a file",
            "Reads a file or a part of it. `truncated` is true when there is more; go on at `next_offset`. What is no UTF-8 text comes as base64.",
            &READS,
            &["path"],
            json!({
                "path": path("The file"),
                "offset": { "type": "integer", "minimum": 0, "default": 0, "description": "The first byte to read." },
                "length": { "type": "integer", "minimum": 1, "maximum": READ_MAX, "default": READ_USUAL, "description": "How many bytes at most." },
                "encoding": { "enum": ["auto", "text", "base64"], "default": "auto", "description": "`auto`: text where it is UTF-8, base64 otherwise." },
            }),
            json!({
                "path": { "type": "string" },
                "size": { "type": ["integer", "null"], "description": "Of the whole file, bytes." },
                "offset": { "type": "integer" },
                "length": { "type": "integer", "description": "Bytes in `content`." },
                "truncated": { "type": "boolean" },
                "next_offset": { "type": ["integer", "null"] },
                "encoding": { "enum": ["text", "base64"] },
                "content": { "type": "string" },
            }),
        ),
    ]
}

fn writing() -> Vec<Tool> {
    vec![
        tool(
            "write_file",
            "Write a file",
            "Writes a whole file. It appears at once or not at all: the content goes to a file beside it, which then takes its name. Replaces an existing file only with `overwrite`.",
            &Effect { reads: false, destroys: true, idempotent: false },
            &["path", "content"],
            json!({
                "path": path("The file"),
                "content": { "type": "string", "maxLength": WRITE_MAX, "description": "What it is to have." },
                "encoding": { "enum": ["text", "base64"], "default": "text", "description": "How `content` is written." },
                "overwrite": { "type": "boolean", "default": false, "description": "Replace a file that is there." },
            }),
            json!({
                "path": { "type": "string" },
                "bytes": { "type": "integer" },
                "synced": { "type": "boolean", "description": "The server has said that it is on its disk." },
            }),
        ),
        tool(
            "make_directory",
            "Make a folder",
            "Makes a folder. The folder above it has to be there.",
            &Effect { reads: false, destroys: false, idempotent: false },
            &["path"],
            json!({ "path": path("The new folder") }),
            json!({ "path": { "type": "string" } }),
        ),
        tool(
            "rename",
            "Rename or move",
            "Renames or moves a file or folder. Refuses where the new name is taken.",
            &Effect { reads: false, destroys: true, idempotent: false },
            &["from", "to"],
            json!({ "from": path("What to rename"), "to": path("Its new name") }),
            json!({ "from": { "type": "string" }, "to": { "type": "string" } }),
        ),
        tool(
            "delete_file",
            "Delete a file",
            "Deletes a file or a symbolic link for good, or an empty folder with `folder`.",
            &Effect { reads: false, destroys: true, idempotent: false },
            &["path"],
            json!({
                "path": path("What to delete"),
                "folder": { "type": "boolean", "default": false, "description": "It is a folder, and empty." },
            }),
            json!({ "path": { "type": "string" } }),
        ),
    ]
}

fn tool(
    name: &str,
    title: &str,
    description: &str,
    effect: &Effect,
    required: &[&str],
    input: Value,
    output: Value,
) -> Tool {
    let input =
        json!({ "type": "object", "additionalProperties": false, "properties": input, "required": required });
    let all: Vec<&String> = output.as_object().map(|members| members.keys().collect()).unwrap_or_default();
    let output = json!({ "type": "object", "properties": output, "required": all });
    let raw = json!({
        "name": name,
        "title": title,
        "description": description,
        "inputSchema": input,
        "outputSchema": output,
        "annotations": {
            "title": title,
            "readOnlyHint": effect.reads,
            "destructiveHint": effect.destroys,
            "idempotentHint": effect.idempotent,
            "openWorldHint": true,
        },
    });
    Tool {
        name: name.into(),
        raw: raw.to_string().into(),
        description: description.into(),
        input_schema: input.to_string().into(),
        output_schema: Some(output.to_string().into()),
        claims_read_only: effect.reads,
        claims_idempotent: effect.idempotent,
    }
}
