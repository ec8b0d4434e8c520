//! The JSON-RPC messages the bench sends, in both eras, and the stamp that makes each of them unique.
//!
//! A message is built once per connection; sending it again only overwrites ten digits in place. The same digits
//! are the id and, in a tool call, part of the text, so that the echo proves that an answer belongs to its question.

use clap::ValueEnum;

/// The protocol revision the bench speaks in the modern era.
pub(crate) const MODERN_VERSION: &str = "2026-07-28";
/// The protocol revision the bench speaks in the legacy era.
pub(crate) const LEGACY_VERSION: &str = "2025-11-25";

/// The first number; all numbers have as many digits.
const FIRST: u64 = 1_000_000_000;
const FIRST_DIGITS: &[u8] = b"1000000000";
const DIGITS: usize = FIRST_DIGITS.len();

/// How the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Stateless MCP: every request carries its `_meta` and, over HTTP, the mirrored headers.
    Modern,
    /// MCP with `initialize` and a session.
    Legacy,
    /// No MCP at all: `GET` of the address.
    Plain,
}

/// One message before it is framed for a transport.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The JSON-RPC object.
    pub(crate) body: String,
    /// Its `method`, mirrored in a header.
    pub(crate) method: &'static str,
    /// `params.name`, mirrored in a header.
    pub(crate) name: Option<String>,
}

impl Message {
    /// `tools/call` of `tool` with a text of about `text_bytes` bytes.
    pub(crate) fn call(mode: Mode, tool: &str, text_bytes: usize) -> Self {
        let filler: String =
            "the quick brown fox jumps over the lazy dog; ".chars().cycle().take(text_bytes).collect();
        let name = json_string(tool);
        let text = json_string(&format!("call {FIRST} {filler}"));
        let params = format!(r#""name":{name},"arguments":{{"text":{text}}}"#);
        Self::request(mode, "tools/call", &params, Some(tool.to_owned()))
    }

    /// `tools/list`, of the page that `cursor` points at.
    pub(crate) fn list(mode: Mode, cursor: Option<&str>) -> Self {
        let params = cursor.map(|cursor| format!(r#""cursor":{}"#, json_string(cursor))).unwrap_or_default();
        Self::request(mode, "tools/list", &params, None)
    }

    /// The cheapest request an MCP server answers by itself: `ping` in the legacy era, `server/discover` in the modern.
    pub(crate) fn greet(mode: Mode) -> Self {
        let method = if mode == Mode::Modern { "server/discover" } else { "ping" };
        Self::request(mode, method, "", None)
    }

    /// A subscription to changes of the tool list, which stays open.
    pub(crate) fn listen() -> Self {
        Self::request(
            Mode::Modern,
            "subscriptions/listen",
            r#""notifications":{"toolsListChanged":true}"#,
            None,
        )
    }

    /// The first request of a legacy session.
    pub(crate) fn initialize() -> Self {
        let params = format!(
            r#""protocolVersion":"{LEGACY_VERSION}","capabilities":{{}},"clientInfo":{{"name":"bench","version":"{}"}}"#,
            env!("CARGO_PKG_VERSION")
        );
        Self::request(Mode::Legacy, "initialize", &params, None)
    }

    /// The notification that ends a legacy handshake.
    pub(crate) fn initialized() -> Self {
        let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned();
        Self { body, method: "notifications/initialized", name: None }
    }

    fn request(mode: Mode, method: &'static str, params: &str, name: Option<String>) -> Self {
        let meta = if mode == Mode::Modern { modern_meta() } else { String::new() };
        let comma = if meta.is_empty() || params.is_empty() { "" } else { "," };
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{FIRST},"method":"{method}","params":{{{params}{comma}{meta}}}}}"#
        );
        Self { body, method, name }
    }
}

/// Framed bytes whose numbers can be overwritten in place.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    /// `head`, then `body` with its numbers remembered, then `tail`.
    pub(crate) fn new(head: &[u8], body: &str, tail: &[u8]) -> Self {
        let places =
            memchr::memmem::find_iter(body.as_bytes(), FIRST_DIGITS).map(|at| at + head.len()).collect();
        Self { bytes: [head, body.as_bytes(), tail].concat(), places }
    }

    /// The bytes to send, as last stamped.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes `stamp` over every number.
    pub(crate) fn stamp(&mut self, stamp: Stamp) {
        for at in &self.places {
            if let Some(place) = self.bytes.get_mut(*at..*at + DIGITS) {
                place.copy_from_slice(&stamp.0);
            }
        }
    }
}

/// A number of ten digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp([u8; DIGITS]);

impl Stamp {
    /// The number of the `sequence`-th request of a connection; unique for 800 connections of ten million requests.
    pub(crate) fn new(connection: usize, sequence: u64) -> Self {
        let lane = u64::try_from(connection % 800).unwrap_or(0);
        let mut rest = FIRST + lane * 10_000_000 + sequence % 10_000_000;
        let mut digits = [b'0'; DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        Self(digits)
    }

    /// The digits, as they stand in the message.
    pub(crate) fn digits(&self) -> &[u8] {
        &self.0
    }
}

fn modern_meta() -> String {
    format!(
        r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN_VERSION}","io.modelcontextprotocol/clientCapabilities":{{}},"io.modelcontextprotocol/clientInfo":{{"name":"bench","version":"{}"}}}}"#,
        env!("CARGO_PKG_VERSION")
    )
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_lands_in_the_id_and_in_the_text_and_nowhere_else() {
        let message = Message::call(Mode::Modern, "up__echo", 40);
        let mut template = Template::new(b"HEAD 1000000000\r\n", &message.body, b"\n");
        template.stamp(Stamp::new(3, 7));

        let text = std::str::from_utf8(template.bytes()).unwrap();
        let json: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        assert_eq!(json["id"], 1_030_000_007);
        assert!(json["params"]["arguments"]["text"].as_str().unwrap().starts_with("call 1030000007 "));
        assert_eq!(json["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], MODERN_VERSION);
        assert!(text.starts_with("HEAD 1000000000\r\n"), "the head is not stamped: {text}");
    }

    #[test]
    fn a_legacy_message_carries_no_modern_meta() {
        for message in
            [Message::call(Mode::Legacy, "echo", 8), Message::list(Mode::Legacy, None), Message::initialize()]
        {
            let json: serde_json::Value = serde_json::from_str(&message.body).unwrap();
            assert!(json["params"].is_object());
            assert!(json["params"].get("_meta").is_none(), "{json}");
        }
    }
}
