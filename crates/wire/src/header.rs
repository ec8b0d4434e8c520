//! Header names, and the encoding of values that repeat parts of the body (2026-07-28, SEP-2243).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
pub const METHOD: &str = "mcp-method";
pub const NAME: &str = "mcp-name";
pub const SESSION_ID: &str = "mcp-session-id";
/// Prefix of headers that repeat arguments.
pub const PARAM_PREFIX: &str = "mcp-param-";

const OPEN: &str = "=?base64?";
const CLOSE: &str = "?=";

/// A value as it stands in a header: itself when it is visible ASCII without edge spaces and does not look
/// encoded already, else `=?base64?..?=`.
#[must_use]
pub fn encode(value: &str) -> Cow<'_, str> {
    let is_plain = value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~'))
        && value.trim_matches([' ', '\t']).len() == value.len()
        && !(value.starts_with(OPEN) && value.ends_with(CLOSE));
    if is_plain {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("{OPEN}{}{CLOSE}", STANDARD.encode(value)))
    }
}

/// The value that a header stands for; `None` when its encoding is broken or not canonical.
#[must_use]
pub fn decode(header: &str) -> Option<Cow<'_, str>> {
    let trimmed = header.trim_matches([' ', '\t']);
    let Some(inner) = trimmed.strip_prefix(OPEN).and_then(|rest| rest.strip_suffix(CLOSE)) else {
        return trimmed.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')).then_some(Cow::Borrowed(trimmed));
    };
    let bytes = STANDARD.decode(inner).ok()?;
    if STANDARD.encode(&bytes) != inner {
        return None;
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn what_is_encoded_decodes_and_plain_stays_plain() {
        for value in ["echo", "a b", "", " edge", "é", "line\nbreak", "=?base64?eA==?=", "\u{7f}"] {
            assert_eq!(decode(&encode(value)).as_deref(), Some(value), "{value:?}");
        }
        assert_eq!(encode("files__read"), "files__read");
    }

    #[test]
    fn broken_or_doubtful_encodings_are_refused() {
        for bad in ["=?base64?e?=", "=?base64?eA?=", "=?base64?eB==?=", "=?base64?/w==?=", "é"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
