//! One tool as a path of the OpenAPI document.

use std::fmt::Write as _;

use call::MountedTool;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::tools::raw;

#[derive(Serialize)]
struct Operation<'a> {
    #[serde(rename = "operationId")]
    operation_id: &'a str,
    summary: String,
    description: &'a str,
    tags: [&'a str; 1],
    parameters: [Value; 1],
    #[serde(rename = "requestBody")]
    request_body: Body,
    responses: Responses,
}

#[derive(Serialize)]
struct Body {
    content: Content,
}

#[derive(Serialize)]
struct Responses {
    #[serde(rename = "200")]
    ok: Answer,
    default: Value,
}

#[derive(Serialize)]
struct Answer {
    description: &'static str,
    content: Content,
}

#[derive(Serialize)]
struct Content {
    #[serde(rename = "application/json")]
    json: Schema,
}

#[derive(Serialize)]
struct Schema {
    schema: Box<RawValue>,
}

/// `/call/{connection}/{tool}` with both filled in. Everything that could mean something in a path or a
/// template is percent-encoded.
pub(super) fn path(connection: &str, tool: &str) -> String {
    let mut path = format!("/call/{connection}/");
    for byte in tool.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

/// The path item.
pub(super) fn item(tool: &MountedTool) -> Result<Box<RawValue>, serde_json::Error> {
    let input = schema(&tool.tool.input_schema, &tool.full_name, "input");
    let input = input.unwrap_or(to_raw_value(&json!({ "type": "object" }))?);
    let output = tool.tool.output_schema.as_deref();
    let output = output.and_then(|raw| schema(raw, &tool.full_name, "output"));
    let operation = Operation {
        operation_id: &tool.full_name,
        summary: tool.tool.description.lines().next().unwrap_or_default().chars().take(120).collect(),
        description: &tool.tool.description,
        tags: ["call"],
        parameters: [json!({ "$ref": "#/components/parameters/IdempotencyKey" })],
        request_body: Body { content: Content { json: Schema { schema: input } } },
        responses: Responses {
            ok: Answer {
                description: "The tool's answer; `is_error` says whether the tool failed.",
                content: Content { json: Schema { schema: answer(output)? } },
            },
            default: json!({ "$ref": "#/components/responses/Problem" }),
        },
    };
    to_raw_value(&std::collections::BTreeMap::from([("post", operation)]))
}

/// The answer's schema: `result` is what the tool promises, or what it said when it failed.
fn answer(output: Option<Box<RawValue>>) -> Result<Box<RawValue>, serde_json::Error> {
    #[derive(Serialize)]
    struct Narrowed<'a> {
        #[serde(rename = "allOf")]
        all_of: (Value, Properties<'a>),
    }
    #[derive(Serialize)]
    struct Properties<'a> {
        properties: ResultOnly<'a>,
    }
    #[derive(Serialize)]
    struct ResultOnly<'a> {
        result: Either<'a>,
    }
    #[derive(Serialize)]
    struct Either<'a> {
        #[serde(rename = "anyOf")]
        any_of: (&'a RawValue, Value),
    }
    let plain = json!({ "$ref": "#/components/schemas/CallAnswer" });
    let Some(output) = output else { return to_raw_value(&plain) };
    let failure = json!({ "description": "What the tool said, when `is_error` is true." });
    let result = Either { any_of: (&output, failure) };
    to_raw_value(&Narrowed { all_of: (plain, Properties { properties: ResultOnly { result } }) })
}

/// A tool's schema as it is. One with references gets an `$id` when it has none: in the document, `#`
/// would otherwise mean the document instead of the schema.
fn schema(bytes: &[u8], full_name: &str, side: &str) -> Option<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    struct Identified {
        #[serde(rename = "$id")]
        id: Option<serde::de::IgnoredAny>,
    }
    let raw = raw(bytes)?;
    let text = raw.get().trim();
    let has_id = serde_json::from_str::<Identified>(text).ok()?.id.is_some();
    let inner = text.strip_prefix('{')?;
    if has_id || !text.contains("\"$ref\"") {
        return Some(raw);
    }
    let id = json!(path_urn(full_name, side)).to_string();
    serde_json::from_str(&format!("{{\"$id\":{id},{inner}")).ok()
}

fn path_urn(full_name: &str, side: &str) -> String {
    format!("urn:trunkline:{}:{side}", path("", full_name).trim_start_matches("/call//"))
}

#[cfg(test)]
mod tests {
    use super::{path, schema};

    #[test]
    fn a_name_is_one_segment_whatever_is_in_it() {
        assert_eq!(path("files", "read_file"), "/call/files/read_file");
        assert_eq!(path("x", "a/b {c}?é"), "/call/x/a%2Fb%20%7Bc%7D%3F%C3%A9");
    }

    #[test]
    fn a_schema_with_references_is_its_own_document_and_others_are_untouched() {
        let plain = br#"{ "type":"object" }"#;
        assert_eq!(schema(plain, "c__t", "input").unwrap().get().as_bytes(), plain);
        let with = br##"{"properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{}}}"##;
        let read: serde_json::Value =
            serde_json::from_str(schema(with, "c__t", "input").unwrap().get()).unwrap();
        assert_eq!(read["$id"], "urn:trunkline:c__t:input");
        assert_eq!(read["properties"]["a"]["$ref"], "#/$defs/a");
        let own = br##"{"$id":"urn:x","$ref":"#/$defs/a"}"##;
        assert_eq!(schema(own, "c__t", "input").unwrap().get().as_bytes(), own);
        assert!(schema(b"true", "c__t", "input").is_none());
    }
}
