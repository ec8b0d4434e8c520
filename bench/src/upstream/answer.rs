//! What the measured upstream answers to one message, whatever carried it.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Eras;
use crate::message::{LEGACY_VERSION, MODERN_VERSION};

const SERVER_INFO: &str = r#"{"name":"bench-upstream","version":"0.1.0"}"#;

/// What the server was told to be.
#[derive(Debug)]
pub(crate) struct Server {
    eras: Eras,
    /// The array of tools, rendered once.
    tools: String,
}

/// The headers of a request that mirror its body; absent on byte streams.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mirrored<'a> {
    pub(crate) version: Option<&'a [u8]>,
    pub(crate) method: Option<&'a [u8]>,
    pub(crate) name: Option<&'a [u8]>,
    pub(crate) session: Option<&'a [u8]>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status that goes with it.
    pub(crate) status: u16,
    /// The JSON-RPC object; empty for a notification, which is not answered.
    pub(crate) body: Bytes,
    /// Whether a session begins with it.
    pub(crate) begins_session: bool,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<Arguments<'a>>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<&'a RawValue>,
}

impl Server {
    /// A server that offers `echo`, or `tools` numbered tools that echo as well.
    pub(crate) fn new(eras: Eras, tools: Option<usize>) -> Self {
        Self { eras, tools: render_tools(tools) }
    }

    /// Answers one message. `headers` is `None` on a byte stream, where nothing is mirrored and the connection is
    /// the session.
    pub(crate) fn answer(&self, message: &[u8], headers: Option<Mirrored<'_>>) -> Answer {
        let Ok(message) = serde_json::from_slice::<Message<'_>>(message) else {
            return error(400, "null", -32700, "not a JSON-RPC object");
        };
        let method = message.method.map(unquoted).unwrap_or_default();
        let Some(id) = message.id.map(RawValue::get) else {
            return Answer { status: 202, body: Bytes::new(), begins_session: false };
        };
        let meta = message.params.as_ref().and_then(|params| params.meta.as_ref());
        let claim = meta.and_then(|meta| meta.version).map(unquoted);
        match (claim, self.eras) {
            (Some(claim), Eras::Modern | Eras::Both) => {
                let is_complete = meta.is_some_and(|meta| meta.capabilities.is_some());
                if claim != MODERN_VERSION || !is_complete {
                    return error(400, id, -32602, "the _meta of the request is not complete");
                }
                self.answer_modern(id, method, message.params.as_ref(), headers)
            }
            (None, Eras::Legacy | Eras::Both) => {
                self.answer_legacy(id, method, message.params.as_ref(), headers)
            }
            (None, Eras::Modern) => error(400, id, -32602, "the request carries no protocol version"),
            (Some(_), Eras::Legacy) => error(400, id, -32000, "Bad Request: Server not initialized"),
        }
    }

    fn answer_modern(
        &self,
        id: &str,
        method: &str,
        params: Option<&Params<'_>>,
        headers: Option<Mirrored<'_>>,
    ) -> Answer {
        let name = params.and_then(|params| params.name).map(unquoted);
        if let Some(headers) = headers {
            let is_mirrored = headers.version == Some(MODERN_VERSION.as_bytes())
                && headers.method == Some(method.as_bytes())
                && (method != "tools/call" || headers.name == name.map(str::as_bytes));
            if !is_mirrored {
                return error(400, id, -32020, "a header does not match the body");
            }
        }
        let meta = format_args!(r#""_meta":{{"io.modelcontextprotocol/serverInfo":{SERVER_INFO}}}"#);
        let fresh = r#""ttlMs":60000,"cacheScope":"public""#;
        match method {
            "server/discover" => result(
                id,
                format_args!(
                    r#""supportedVersions":["{MODERN_VERSION}"],"capabilities":{{"tools":{{}}}},{fresh},"resultType":"complete",{meta}"#
                ),
            ),
            "tools/list" => {
                result(id, format_args!(r#""tools":{},{fresh},"resultType":"complete",{meta}"#, self.tools))
            }
            "tools/call" => match echoed(params) {
                Some(text) => result(
                    id,
                    format_args!(
                        r#""content":[{{"type":"text","text":{text}}}],"resultType":"complete",{meta}"#
                    ),
                ),
                None => error(200, id, -32602, "unknown tool, or no text"),
            },
            _ => error(404, id, -32601, "unknown method"),
        }
    }

    fn answer_legacy(
        &self,
        id: &str,
        method: &str,
        params: Option<&Params<'_>>,
        headers: Option<Mirrored<'_>>,
    ) -> Answer {
        let has_session = headers.is_none_or(|headers| headers.session.is_some_and(is_our_session));
        if method != "initialize" && !has_session {
            return error(400, id, -32000, "Bad Request: no valid session id");
        }
        match method {
            "initialize" => {
                let mut answer = result(
                    id,
                    format_args!(
                        r#""protocolVersion":"{LEGACY_VERSION}","capabilities":{{"tools":{{}}}},"serverInfo":{SERVER_INFO}"#
                    ),
                );
                answer.begins_session = true;
                answer
            }
            "ping" => result(id, format_args!("")),
            "tools/list" => result(id, format_args!(r#""tools":{}"#, self.tools)),
            "tools/call" => match echoed(params) {
                Some(text) => result(id, format_args!(r#""content":[{{"type":"text","text":{text}}}]"#)),
                None => error(200, id, -32602, "unknown tool, or no text"),
            },
            _ => error(200, id, -32601, "unknown method"),
        }
    }
}

/// The prefix of every session id this server gives out; any id that begins so is known to it.
pub(crate) const SESSION_PREFIX: &str = "bench-session-";

fn is_our_session(session: &[u8]) -> bool {
    session.starts_with(SESSION_PREFIX.as_bytes())
}

/// The text to send back, still as the JSON string it came as.
fn echoed<'a>(params: Option<&'a Params<'a>>) -> Option<&'a str> {
    let params = params?;
    let name = unquoted(params.name?);
    if name != "echo" && !name.starts_with("tool_") {
        return None;
    }
    params.arguments.as_ref()?.text.map(RawValue::get).filter(|text| text.starts_with('"'))
}

/// The inside of a JSON string that holds no escapes, which no name the bench uses does.
fn unquoted(raw: &RawValue) -> &str {
    let text = raw.get();
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

fn result(id: &str, members: std::fmt::Arguments<'_>) -> Answer {
    let mut body = String::with_capacity(512);
    // Writing to a string cannot fail.
    let _ = write!(body, r#"{{"jsonrpc":"2.0","id":{id},"result":{{{members}}}}}"#);
    Answer { status: 200, body: Bytes::from(body), begins_session: false }
}

fn error(status: u16, id: &str, code: i32, message: &str) -> Answer {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#);
    Answer { status, body: Bytes::from(body), begins_session: false }
}

fn render_tools(count: Option<usize>) -> String {
    let schema = r#"{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}"#;
    let tool = |name: &str, description: &str| {
        format!(r#"{{"name":"{name}","description":"{description}","inputSchema":{schema}}}"#)
    };
    let tools: Vec<String> = match count {
        None => vec![tool("echo", "Sends the text back.")],
        Some(count) => (1..=count)
            .map(|number| {
                let description = format!(
                    "Tool number {number} of a long list: it sends back the text it was given, unchanged."
                );
                tool(&format!("tool_{number:04}"), &description)
            })
            .collect(),
    };
    format!("[{}]", tools.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message as Outgoing, Mode};

    fn mirrored<'a>(method: &'a str, name: Option<&'a str>) -> Option<Mirrored<'a>> {
        Some(Mirrored {
            version: Some(MODERN_VERSION.as_bytes()),
            method: Some(method.as_bytes()),
            name: name.map(str::as_bytes),
            session: None,
        })
    }

    fn json(answer: &Answer) -> serde_json::Value {
        serde_json::from_slice(&answer.body).unwrap()
    }

    #[test]
    fn a_modern_call_is_echoed_with_its_result_type() {
        let server = Server::new(Eras::Modern, None);
        let call = Outgoing::call(Mode::Modern, "echo", 60);
        let answer = server.answer(call.body.as_bytes(), mirrored("tools/call", Some("echo")));
        let body = json(&answer);
        assert_eq!((answer.status, &body["result"]["resultType"]), (200, &"complete".into()));
        assert!(body["result"]["content"][0]["text"].as_str().unwrap().starts_with("call 1000000000 "));
        assert!(!answer.begins_session, "the modern era has no sessions");
    }

    #[test]
    fn a_gateway_that_forgets_to_rename_the_header_is_caught() {
        let server = Server::new(Eras::Both, None);
        let call = Outgoing::call(Mode::Modern, "echo", 60);
        let answer = server.answer(call.body.as_bytes(), mirrored("tools/call", Some("up__echo")));
        assert_eq!((answer.status, &json(&answer)["error"]["code"]), (400, &(-32020).into()));
    }

    #[test]
    fn a_legacy_request_needs_its_session_over_http_and_gets_no_modern_members() {
        let server = Server::new(Eras::Both, Some(2));
        let list = Outgoing::list(Mode::Legacy, None);
        assert_eq!(server.answer(list.body.as_bytes(), Some(Mirrored::default())).status, 400);

        let begun = server.answer(Outgoing::initialize().body.as_bytes(), Some(Mirrored::default()));
        assert!(begun.begins_session);

        let session = Mirrored { session: Some(b"bench-session-1"), ..Mirrored::default() };
        let body = json(&server.answer(list.body.as_bytes(), Some(session)));
        assert_eq!(body["result"]["tools"][1]["name"], "tool_0002");
        assert!(
            body["result"].get("resultType").is_none() && body["result"].get("ttlMs").is_none(),
            "{body}"
        );
    }

    #[test]
    fn each_era_refuses_the_others_greeting() {
        let discover = Outgoing::greet(Mode::Modern);
        let legacy = Server::new(Eras::Legacy, None)
            .answer(discover.body.as_bytes(), mirrored("server/discover", None));
        assert_eq!(legacy.status, 400);
        let modern = Server::new(Eras::Modern, None).answer(Outgoing::initialize().body.as_bytes(), None);
        assert!(json(&modern)["error"].is_object() && !modern.begins_session);
    }

    #[test]
    fn a_notification_is_accepted_and_not_answered() {
        let answer = Server::new(Eras::Both, None).answer(Outgoing::initialized().body.as_bytes(), None);
        assert_eq!((answer.status, answer.body.len()), (202, 0));
    }
}
