//! JSON-RPC and MCP error codes, and the bytes of an error object.

use crate::object::push_str;

/// The codes we send and recognise (JSON-RPC 2.0 §5.1; MCP 2026-07-28, basic).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RpcCode(pub i64);

impl RpcCode {
    pub const PARSE: Self = Self(-32700);
    pub const INVALID_REQUEST: Self = Self(-32600);
    pub const METHOD_NOT_FOUND: Self = Self(-32601);
    pub const INVALID_PARAMS: Self = Self(-32602);
    pub const INTERNAL: Self = Self(-32603);
    /// Resource not found, legacy revisions only; modern ones say `INVALID_PARAMS`.
    pub const RESOURCE_NOT_FOUND: Self = Self(-32002);
    /// A mirrored header disagrees with the body.
    pub const HEADER_MISMATCH: Self = Self(-32020);
    /// `data.requiredCapabilities` says what the client would have to declare.
    pub const MISSING_CAPABILITY: Self = Self(-32021);
    /// `data.supported`, `data.requested`.
    pub const UNSUPPORTED_VERSION: Self = Self(-32022);
    /// URL-mode elicitation needed, revision 2025-11-25 only.
    pub const URL_ELICITATION: Self = Self(-32042);
    /// A server of the SDK generation before 2026 that has no session yet.
    pub const SERVER_NOT_INITIALIZED: Self = Self(-32000);

    /// True for the three codes by which only a modern server answers.
    #[must_use]
    pub const fn is_modern(self) -> bool {
        matches!(self.0, -32022..=-32020)
    }
}

/// The `error` object: `{"code":..,"message":..,"data":..}`. `data` is raw JSON.
#[must_use]
pub fn object(code: RpcCode, message: &str, data: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + message.len() + data.map_or(0, <[u8]>::len));
    out.extend_from_slice(b"{\"code\":");
    out.extend_from_slice(itoa::Buffer::new().format(code.0).as_bytes());
    out.extend_from_slice(b",\"message\":");
    push_str(&mut out, message);
    if let Some(data) = data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data);
    }
    out.push(b'}');
    out
}

/// The code inside a raw `error` object.
#[must_use]
pub fn code_of(error: &[u8]) -> Option<RpcCode> {
    let object = crate::Object::scan(error).ok()?;
    std::str::from_utf8(object.get("code")?).ok()?.parse().ok().map(RpcCode)
}

/// The message inside a raw `error` object.
#[must_use]
pub fn message_of(error: &[u8]) -> Option<String> {
    crate::Object::scan(error).ok()?.get_str("message").map(std::borrow::Cow::into_owned)
}
