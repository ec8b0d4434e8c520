//! From an MCP tool result to the plain answer of the HTTP call door, and from arguments to `params`.
//!
//! `result` is, in this order: the tool's `structuredContent`, when it has one; else, when its `content`
//! is a single text, the JSON object or array that the text is, or else the text itself as a string
//! (numbers and words stay texts: `007` and `1e5` are not what they look like); else the `content` array
//! as it is; `null` when the tool answered neither.

use bytes::Bytes;
use model::id::CallId;
use model::{Code, Fault};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The members of the answer.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CallAnswer)]
pub(crate) struct Answer<'a> {
    /// `call_...`, as in the records.
    #[schema(value_type = String)]
    call_id: CallId,
    /// The structured content, when the tool gave one; else of a single text the JSON object or array in
    /// it, or the text; else the content array; null for nothing.
    #[schema(value_type = serde_json::Value)]
    result: &'a RawValue,
    /// The tool says that it failed.
    is_error: bool,
    /// No stage shortens results: what is larger than `limits.result_bytes` is an error.
    truncated: bool,
    /// No stage keeps results: every answer is the upstream's own.
    cached: bool,
    duration_ms: u64,
}

#[derive(Deserialize)]
struct ToolResult<'a> {
    #[serde(borrow, default, rename = "structuredContent")]
    structured: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
    #[serde(default)]
    message: String,
}

/// JSON-RPC's "invalid params".
const INVALID_PARAMS: i64 = -32602;
/// How much of an upstream's words is repeated, characters.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// `{"name":...,"arguments":...}`.
pub(super) fn params(tool: &str, arguments: &[u8]) -> Result<Bytes, Fault> {
    #[derive(Serialize)]
    struct Params<'a> {
        name: &'a str,
        arguments: &'a RawValue,
    }
    let broken =
        |error: serde_json::Error| Fault::new(Code::BAD_MESSAGE, format!("the body is not JSON: {error}"));
    let arguments = serde_json::from_slice(arguments).map_err(broken)?;
    serde_json::to_vec(&Params { name: tool, arguments }).map(Bytes::from).map_err(broken)
}

/// The whole answer.
pub(super) fn json(call_id: CallId, result: &(Bytes, bool), duration_ms: u64) -> Result<Bytes, Fault> {
    let (result, is_error) = result;
    let unusable = |error: serde_json::Error| {
        Fault::new(Code::BAD_ANSWER, format!("the tool's result is not usable: {error}"))
    };
    let result = shape(result).map_err(unusable)?;
    let answer = Answer {
        call_id,
        result: &result,
        is_error: *is_error,
        truncated: false,
        cached: false,
        duration_ms,
    };
    serde_json::to_vec(&answer).map(Bytes::from).map_err(unusable)
}

/// See the head of the file.
fn shape(raw: &[u8]) -> Result<Box<RawValue>, serde_json::Error> {
    let result: ToolResult<'_> = serde_json::from_slice(raw)?;
    if let Some(structured) = result.structured {
        return Ok(structured.to_owned());
    }
    let Some(content) = result.content else {
        return serde_json::value::to_raw_value(&());
    };
    let Some(text) = single_text(content) else {
        return Ok(content.to_owned());
    };
    if text.trim_ascii_start().starts_with(['{', '['])
        && let Ok(parsed) = serde_json::from_str::<Box<RawValue>>(&text)
    {
        return Ok(parsed);
    }
    serde_json::value::to_raw_value(&text)
}

fn single_text(content: &RawValue) -> Option<String> {
    let parts: Vec<&RawValue> = serde_json::from_str(content.get()).ok()?;
    let [only] = parts.as_slice() else { return None };
    let part: Part = serde_json::from_str(only.get()).ok()?;
    part.text.filter(|_| part.r#type == "text")
}

/// The fault for a JSON-RPC error that an upstream answered a tool call with.
pub(super) fn rpc_fault(connection: &str, error: &[u8]) -> Fault {
    let Ok(RpcError { code, message }) = serde_json::from_slice(error) else {
        return Fault::new(Code::BAD_ANSWER, format!("`{connection}` answered with an unreadable error"));
    };
    let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    let detail = format!("`{connection}` answered with the protocol error {code}: {message}");
    if code == INVALID_PARAMS {
        return Fault::new(Code::BAD_ARGUMENTS, detail)
            .with_hint("GET /api/v1/tools shows the tool's schema");
    }
    Fault::new(Code::BAD_ANSWER, detail).with_hint("the words are the upstream's own; its log may say more")
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::{params, rpc_fault, shape};
    use model::Code;

    #[test]
    fn the_result_is_structured_content_or_the_one_text_or_the_content() {
        for (result, shown) in [
            (r#"{"content":[{"type":"text","text":"{}"}],"structuredContent":{"n": 1}}"#, r#"{"n": 1}"#),
            (r#"{"content":[{"type":"text","text":"[1, 2]"}],"structuredContent":null}"#, "[1, 2]"),
            (r#"{"content":[{"type":"text","text":"{not json"}]}"#, r#""{not json""#),
            (r#"{"content":[{"type":"text","text":"1e5"}]}"#, r#""1e5""#),
            (
                r#"{"content":[{"type":"image","data":"AA==","mimeType":"image/png"}]}"#,
                r#"[{"type":"image","data":"AA==","mimeType":"image/png"}]"#,
            ),
            (
                r#"{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#,
                r#"[{"type":"text","text":"a"},{"type":"text","text":"b"}]"#,
            ),
            (r#"{"content":[]}"#, "[]"),
            (r"{}", "null"),
        ] {
            assert_eq!(shape(result.as_bytes()).unwrap().get(), shown, "{result}");
        }
        assert!(shape(b"{").is_err());
    }

    #[test]
    fn arguments_go_through_as_they_came() {
        let params = params("a\"b", br#"{ "n":1.0, "n":2 }"#).unwrap();
        assert_eq!(params, br#"{"name":"a\"b","arguments":{ "n":1.0, "n":2 }}"#.as_slice());
    }

    #[test]
    fn a_protocol_error_is_the_callers_fault_only_when_it_is_about_params() {
        assert_eq!(rpc_fault("c", br#"{"code":-32602,"message":"no"}"#).code, Code::BAD_ARGUMENTS);
        assert_eq!(rpc_fault("c", br#"{"code":-32603,"message":"no"}"#).code, Code::BAD_ANSWER);
        assert_eq!(rpc_fault("c", b"7").code, Code::BAD_ANSWER);
    }
}
