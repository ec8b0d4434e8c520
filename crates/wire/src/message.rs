//! Framing: the four kinds of message put together from raw parts. All ids and payloads are raw JSON.

use crate::error::{self, RpcCode};
use crate::object::push_str;

const HEAD: &[u8] = b"{\"jsonrpc\":\"2.0\"";

/// `{"jsonrpc":"2.0","id":ID,"method":"..","params":{..}}`
#[must_use]
pub fn request(id: &[u8], method: &str, params: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD.len() + id.len() + method.len() + params.len() + 32);
    out.extend_from_slice(HEAD);
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id);
    out.extend_from_slice(b",\"method\":");
    push_str(&mut out, method);
    out.extend_from_slice(b",\"params\":");
    out.extend_from_slice(params);
    out.push(b'}');
    out
}

/// `{"jsonrpc":"2.0","method":"..","params":{..}}`; empty `params` are left out.
#[must_use]
pub fn notification(method: &str, params: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD.len() + method.len() + params.len() + 32);
    out.extend_from_slice(HEAD);
    out.extend_from_slice(b",\"method\":");
    push_str(&mut out, method);
    if !params.is_empty() {
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(params);
    }
    out.push(b'}');
    out
}

/// `{"jsonrpc":"2.0","id":ID,"result":RESULT}`
#[must_use]
pub fn response(id: &[u8], result: &[u8]) -> Vec<u8> {
    let mut out = response_head(id, result.len() + 1);
    out.extend_from_slice(result);
    out.push(b'}');
    out
}

/// The bytes before a result; after it comes one `}`. For results too large to copy.
#[must_use]
pub fn response_head(id: &[u8], spare: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD.len() + id.len() + 16 + spare);
    out.extend_from_slice(HEAD);
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id);
    out.extend_from_slice(b",\"result\":");
    out
}

/// `{"jsonrpc":"2.0","id":ID,"error":ERROR}` with a ready `error` object; without an id where there is none.
#[must_use]
pub fn error_raw(id: Option<&[u8]>, error: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD.len() + error.len() + 48);
    out.extend_from_slice(HEAD);
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        out.extend_from_slice(id);
    }
    out.extend_from_slice(b",\"error\":");
    out.extend_from_slice(error);
    out.push(b'}');
    out
}

/// An error message from its parts.
#[must_use]
pub fn error(id: Option<&[u8]>, code: RpcCode, message: &str, data: Option<&[u8]>) -> Vec<u8> {
    error_raw(id, &error::object(code, message, data))
}
