//! What a connection offers, made of its manifest: nothing has to be asked.

use std::sync::Arc;

use bytes::Bytes;
use catalog::api::{Api, Effect, Tool};
use connector::Inventory;
use serde_json::json;

/// The tools of an API.
#[must_use]
pub fn inventory(entry: &catalog::Entry, api: &Api) -> Inventory {
    let info = json!({ "name": entry.slug, "title": entry.name, "version": entry.version });
    Inventory {
        generation: 1,
        tools: api.tools.iter().map(|tool| Arc::new(offered(tool))).collect(),
        capabilities: Some(Bytes::from_static(br#"{"tools":{}}"#)),
        server_info: Some(info.to_string().into()),
        instructions: Some(entry.description.as_str().into()),
        ..Inventory::default()
    }
}

fn offered(tool: &Tool) -> connector::Tool {
    let mut raw = json!({
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.input,
        "annotations": {
            "title": tool.title,
            "readOnlyHint": tool.effect == Effect::Read,
            "destructiveHint": tool.effect == Effect::Delete,
            "idempotentHint": tool.is_idempotent,
            "openWorldHint": true,
        },
    });
    if let (Some(output), Some(members)) = (&tool.output, raw.as_object_mut()) {
        members.insert("outputSchema".to_owned(), json!(output));
    }
    connector::Tool {
        name: tool.name.as_str().into(),
        raw: raw.to_string().into(),
        description: tool.description.as_str().into(),
        input_schema: Bytes::copy_from_slice(tool.input.get().as_bytes()),
        output_schema: tool.output.as_ref().map(|output| Bytes::copy_from_slice(output.get().as_bytes())),
        claims_read_only: tool.effect == Effect::Read,
        claims_idempotent: tool.is_idempotent,
    }
}
