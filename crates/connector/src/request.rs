//! One request to a connection and what comes back: raw bytes, so that what nobody needs to read
//! passes through untouched.

use std::sync::Arc;

use bytes::Bytes;
use model::{CallKind, Code, Fault};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a connection is asked to do. All names and URIs are the upstream's own.
#[derive(Debug, Clone)]
pub struct Request {
    /// What kind of call.
    pub kind: CallKind,
    /// The MCP method: `tools/call`, `resources/read`, `prompts/get`, `completion/complete`, `tasks/get`...
    pub method: &'static str,
    /// Tool name, resource URI, prompt name or task id.
    pub target: Arc<str>,
    /// The raw `params` object as the client sent it, `_meta` included, renamed to the upstream's names.
    pub params: Bytes,
    /// May be sent again when it is unknown whether it arrived: reads, and tools whose operator says so.
    pub is_replayable: bool,
}

// === impl Request ===

impl Request {
    /// The `arguments` of a tool call; absent ones are none.
    ///
    /// # Errors
    /// They are no JSON object.
    pub fn arguments(&self) -> Result<Map<String, Value>, Fault> {
        #[derive(Deserialize)]
        struct Params {
            #[serde(default)]
            arguments: Option<Map<String, Value>>,
        }
        let params: Params = serde_json::from_slice(&self.params)
            .map_err(|error| Fault::new(Code::BAD_ARGUMENTS, format!("arguments: {error}")))?;
        Ok(params.arguments.unwrap_or_default())
    }
}

/// What an upstream answered. All bytes are raw JSON objects.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The `result`. `is_error` repeats a tool result's `isError`.
    Complete { result: Bytes, is_error: bool },
    /// A modern `result` with `resultType: input_required`: the caller has to answer and come again.
    InputRequired { result: Bytes },
    /// A `result` that hands out a task (modern `resultType: task`, legacy `task` member).
    Task { result: Bytes },
    /// The `error` object of a JSON-RPC error answer: `{code, message, data?}`.
    RpcError { error: Bytes },
}

impl Outcome {
    /// The raw bytes, whichever they are.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        match self {
            Self::Complete { result, .. } | Self::InputRequired { result } | Self::Task { result } => result,
            Self::RpcError { error } => error,
        }
    }
}
