//! One JSON-RPC message, validated once and borrowed from the bytes it came in.

use std::borrow::Cow;

use serde_json::value::RawValue;
use thiserror::Error;

use crate::object::{NotAnObject, Object, as_str};

/// Why bytes are not a JSON-RPC message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Not JSON at all: `-32700`.
    #[error("not valid JSON: {0}")]
    NotJson(String),
    /// JSON, but no JSON-RPC 2.0 message: `-32600`.
    #[error("not a JSON-RPC 2.0 message: {0}")]
    NotRpc(String),
}

/// What one frame (HTTP body, line, WebSocket message) holds.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// One message.
    One(Envelope<'a>),
    /// A batch, which only revision 2025-03-26 knows: the raw messages.
    Batch(Vec<&'a [u8]>),
}

/// A message by kind. `id` is the raw JSON (a string or an integer).
#[derive(Debug, Clone)]
pub enum Envelope<'a> {
    /// Wants an answer.
    Request { id: &'a [u8], method: Cow<'a, str>, params: Option<&'a [u8]> },
    /// Wants none.
    Notification { method: Cow<'a, str>, params: Option<&'a [u8]> },
    /// Answers `id` with a result.
    Response { id: &'a [u8], result: &'a [u8] },
    /// Answers with an error; `id` is `None` where the other side could not tell which request it was.
    Error { id: Option<&'a [u8]>, error: &'a [u8] },
}

impl<'a> Incoming<'a> {
    /// Reads one frame.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(raw: &'a [u8]) -> Result<Self, Malformed> {
        let valid = validate(raw)?;
        if valid.first() == Some(&b'[') {
            let items = crate::object::items(valid)
                .ok_or_else(|| Malformed::NotRpc("unreadable batch".to_owned()))?;
            return Ok(Self::Batch(items));
        }
        Envelope::of_valid(valid).map(Self::One)
    }
}

impl<'a> Envelope<'a> {
    /// Reads one message; a batch is refused.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(raw: &'a [u8]) -> Result<Self, Malformed> {
        Self::of_valid(validate(raw)?)
    }

    /// The request id, for answering; `None` for notifications and id-less errors.
    #[must_use]
    pub const fn id(&self) -> Option<&'a [u8]> {
        match self {
            Self::Request { id, .. } | Self::Response { id, .. } => Some(id),
            Self::Error { id, .. } => *id,
            Self::Notification { .. } => None,
        }
    }

    fn of_valid(raw: &'a [u8]) -> Result<Self, Malformed> {
        let refuse = |why: &str| Malformed::NotRpc(why.to_owned());
        let object = Object::scan(raw).map_err(|error: NotAnObject| Malformed::NotRpc(error.to_string()))?;
        if object.get_str("jsonrpc").as_deref() != Some("2.0") {
            return Err(refuse("`jsonrpc` must be \"2.0\""));
        }
        let id = match object.get("id") {
            None => None,
            Some(id) if is_id(id) => Some(id),
            Some(b"null") if object.get("error").is_some() => None,
            Some(_) => return Err(refuse("`id` must be a string or an integer")),
        };
        if let Some(method) = object.get("method") {
            let method = as_str(method).ok_or_else(|| refuse("`method` must be a string"))?;
            let params = object.get("params");
            if params.is_some_and(|p| !matches!(p.first(), Some(b'{'))) {
                return Err(refuse("`params` must be an object"));
            }
            if object.get("result").is_some() || object.get("error").is_some() {
                return Err(refuse("`method` beside `result` or `error`"));
            }
            return Ok(match id {
                Some(id) => Self::Request { id, method, params },
                None => Self::Notification { method, params },
            });
        }
        match (object.get("result"), object.get("error"), id) {
            (Some(result), None, Some(id)) => Ok(Self::Response { id, result }),
            (None, Some(error), id) if error.first() == Some(&b'{') => Ok(Self::Error { id, error }),
            _ => Err(refuse("neither a request, a notification nor an answer")),
        }
    }
}

/// The one JSON value in `raw`, white space trimmed.
fn validate(raw: &[u8]) -> Result<&[u8], Malformed> {
    serde_json::from_slice::<&RawValue>(raw)
        .map(|value| value.get().as_bytes())
        .map_err(|error| Malformed::NotJson(error.to_string()))
}

/// A string or an integer; `1.0` and `1e3` are neither.
fn is_id(raw: &[u8]) -> bool {
    match raw.first() {
        Some(b'"') => true,
        Some(b'-' | b'0'..=b'9') => raw.iter().all(|b| b.is_ascii_digit() || *b == b'-') && raw.len() <= 20,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Envelope, Incoming, Malformed};

    #[test]
    fn tells_the_four_kinds_apart() {
        let parse = |text: &'static str| Envelope::parse(text.as_bytes()).unwrap();
        assert!(
            matches!(parse(r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#), Envelope::Request { id, .. } if id == b"\"a\"")
        );
        assert!(matches!(
            parse(r#" {"method":"x","jsonrpc":"2.0","params":{}} "#),
            Envelope::Notification { params: Some(b"{}"), .. }
        ));
        assert!(
            matches!(parse(r#"{"jsonrpc":"2.0","id":7,"result":{"a":1}}"#), Envelope::Response { result, .. } if result == br#"{"a":1}"#)
        );
        assert!(matches!(
            parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#),
            Envelope::Error { id: None, .. }
        ));
        assert!(matches!(Incoming::parse(b"[{},{}]"), Ok(Incoming::Batch(items)) if items.len() == 2));
    }

    #[test]
    fn refuses_what_is_neither_json_nor_rpc_and_says_why() {
        for bad in ["", "{", "nope", "{}x", "\u{1}"] {
            assert!(matches!(Envelope::parse(bad.as_bytes()), Err(Malformed::NotJson(_))), "{bad}");
        }
        assert!(matches!(
            Envelope::parse(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}"),
            Err(Malformed::NotJson(_))
        ));
        for bad in [
            "{}",
            "[]",
            r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","result":{}}"#,
        ] {
            assert!(matches!(Envelope::parse(bad.as_bytes()), Err(Malformed::NotRpc(_))), "{bad}");
        }
    }
}
