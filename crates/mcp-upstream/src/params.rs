//! Parameters on their way up: each era gets what it asks for and nothing of the other's.

use bytes::Bytes;
use connector::{Abilities, Peer};
use model::Era;
use wire::object::quoted;
use wire::{Object, meta};

use crate::trouble::Trouble;

/// How the hub names itself to servers.
pub(crate) const CLIENT_INFO: &str =
    concat!(r#"{"name":"trunkline","title":"Trunkline","version":""#, env!("CARGO_PKG_VERSION"), "\"}");
/// The tasks extension (SEP-2663).
pub(crate) const TASKS: &str = wire::task::EXTENSION;
/// What the hub declares beside abilities when it reads an inventory, so that nothing is left out of it.
const EXTENSIONS: &str = r#"{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}"#;

/// Parameters ready to go, and the token under which the client wants to hear of progress.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) params: Bytes,
    pub(crate) client_token: Option<Bytes>,
}

/// The capabilities object that declares exactly these abilities. `extensions` is raw JSON.
pub(crate) fn capabilities(abilities: Abilities, extensions: Option<&[u8]>) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut elicitation: Vec<&str> = Vec::new();
    if abilities.elicit_form {
        elicitation.push("\"form\":{}");
    }
    if abilities.elicit_url {
        elicitation.push("\"url\":{}");
    }
    if !elicitation.is_empty() {
        parts.push(format!("\"elicitation\":{{{}}}", elicitation.join(",")).into_bytes());
    }
    if abilities.sampling {
        let inner = if abilities.sampling_tools { "\"tools\":{}" } else { "" };
        parts.push(format!("\"sampling\":{{{inner}}}").into_bytes());
    }
    if abilities.roots {
        parts.push(b"\"roots\":{}".to_vec());
    }
    if let Some(extensions) = extensions {
        parts.push([b"\"extensions\":", extensions].concat());
    }
    let mut out = vec![b'{'];
    out.extend_from_slice(&parts.join(&b','));
    out.push(b'}');
    out
}

/// `params` of `initialize` for a session of this class.
pub(crate) fn initialize(abilities: Abilities) -> Bytes {
    let capabilities = capabilities(abilities, None);
    let mut out =
        format!("{{\"protocolVersion\":\"{}\",\"capabilities\":", wire::version::LATEST_LEGACY).into_bytes();
    out.extend_from_slice(&capabilities);
    out.extend_from_slice(b",\"clientInfo\":");
    out.extend_from_slice(CLIENT_INFO.as_bytes());
    out.push(b'}');
    out.into()
}

/// `params` of the hub's own modern requests; `members` are raw, each with its key, joined by commas.
pub(crate) fn own_modern(version: &str, members: &str) -> Bytes {
    let comma = if members.is_empty() { "" } else { "," };
    let capabilities = capabilities(Abilities::ALL, Some(EXTENSIONS.as_bytes()));
    format!(
        "{{{members}{comma}\"_meta\":{{\"{}\":\"{version}\",\"{}\":{CLIENT_INFO},\"{}\":{}}}}}",
        meta::PROTOCOL_VERSION,
        meta::CLIENT_INFO,
        meta::CLIENT_CAPABILITIES,
        String::from_utf8_lossy(&capabilities),
    )
    .into()
}

/// `params` of the hub's own requests to a legacy server.
pub(crate) fn own_legacy(members: &str) -> Bytes {
    format!("{{{members}}}").into()
}

/// Makes a client's parameters fit a modern server. A member `task` means that a task is wanted, in the words of
/// 2025-11-25: here it becomes the extension. `token` replaces the client's progress token where
/// several calls share one channel.
pub(crate) fn for_modern(
    peer: &Peer,
    version: &str,
    params: &Bytes,
    token: Option<u64>,
    is_about_task: bool,
) -> Result<Prepared, Trouble> {
    // Where the request has a stream of its own, whatever else it holds concerns nobody but its sender.
    let is_claimed = || memchr::memmem::find(params, meta::PROTOCOL_VERSION.as_bytes()).is_some();
    if peer.era == Some(Era::Modern) && token.is_none() && is_claimed() {
        return Ok(Prepared { params: params.clone(), client_token: None });
    }
    let object = scan(params)?;
    let raw_meta = object.get("_meta").unwrap_or(b"{}");
    let old = scan(raw_meta)?;
    let client_token = old.get(meta::PROGRESS_TOKEN).map(|raw| params.slice_ref(raw));
    let minted = token.filter(|_| client_token.is_some()).map(|id| id.to_string());
    let (quoted_version, log_level, declared, info);
    let is_bridged = peer.era != Some(Era::Modern);
    let follows_tasks = is_bridged && (is_about_task || object.get("task").is_some());
    let mut edits: Vec<(&str, Option<&[u8]>)> = Vec::with_capacity(5);
    if peer.era != Some(Era::Modern) || old.get(meta::PROTOCOL_VERSION).is_none() {
        quoted_version = quoted(version);
        declared = capabilities(peer.abilities, relayed_extensions(peer, follows_tasks).as_deref());
        info = peer.client_info.clone().unwrap_or(Bytes::from_static(CLIENT_INFO.as_bytes()));
        edits.push((meta::PROTOCOL_VERSION, Some(&quoted_version)));
        edits.push((meta::CLIENT_INFO, Some(&info)));
        edits.push((meta::CLIENT_CAPABILITIES, Some(&declared)));
        if let Some(level) = &peer.log_level {
            log_level = quoted(level);
            edits.push((meta::LOG_LEVEL, Some(&log_level)));
        }
    }
    if let Some(minted) = &minted {
        edits.push((meta::PROGRESS_TOKEN, Some(minted.as_bytes())));
    }
    if edits.is_empty() {
        return Ok(Prepared { params: params.clone(), client_token });
    }
    let new_meta = old.edit(&edits);
    let mut members: Vec<(&str, Option<&[u8]>)> = vec![("_meta", Some(&new_meta))];
    if is_bridged && object.get("task").is_some() {
        members.push(("task", None));
    }
    Ok(Prepared { params: object.edit(&members).into(), client_token })
}

/// The extensions a legacy client declared, with tasks only where one may come in answer.
fn relayed_extensions(peer: &Peer, follows_tasks: bool) -> Option<Vec<u8>> {
    let tasks = follows_tasks.then_some(&b"{}"[..]);
    let declared = Object::scan(&peer.capabilities).ok().and_then(|all| all.get("extensions"));
    match declared.and_then(|raw| Object::scan(raw).ok()) {
        Some(extensions) => Some(extensions.edit(&[(TASKS, tasks)])),
        None => tasks.map(|_| format!("{{\"{TASKS}\":{{}}}}").into_bytes()),
    }
}

/// Makes a client's parameters fit a legacy server. `token` is the progress token that stands for the
/// client's own, should it have one.
pub(crate) fn for_legacy(peer: &Peer, params: &Bytes, token: u64) -> Result<Prepared, Trouble> {
    // A key can be spelled otherwise only with `\u` escapes: without them, what is not found is not there.
    let holds = |text: &[u8]| memchr::memmem::find(params, text).is_some();
    if peer.era != Some(Era::Modern) && !holds(b"\"_meta\"") && !holds(b"\\u") {
        return Ok(Prepared { params: params.clone(), client_token: None });
    }
    let object = scan(params)?;
    let mut client_token = None;
    let mut new_meta = None;
    if let Some(raw_meta) = object.get("_meta") {
        let old = scan(raw_meta)?;
        client_token = old.get(meta::PROGRESS_TOKEN).map(|raw| params.slice_ref(raw));
        let minted = token.to_string();
        let mut edits: Vec<(&str, Option<&[u8]>)> = vec![
            (meta::PROTOCOL_VERSION, None),
            (meta::CLIENT_INFO, None),
            (meta::CLIENT_CAPABILITIES, None),
            (meta::LOG_LEVEL, None),
        ];
        if client_token.is_some() {
            edits.push((meta::PROGRESS_TOKEN, Some(minted.as_bytes())));
        }
        let edited = old.edit(&edits);
        new_meta = (edited != b"{}").then_some(edited);
    }
    let edited =
        object.edit(&[("_meta", new_meta.as_deref()), ("inputResponses", None), ("requestState", None)]);
    Ok(Prepared { params: edited.into(), client_token })
}

fn scan(raw: &[u8]) -> Result<Object<'_>, Trouble> {
    Object::scan(raw).map_err(|error| {
        Trouble::Fault(model::Fault::new(model::Code::BAD_MESSAGE, format!("unusable parameters: {error}")))
    })
}

#[cfg(test)]
mod tests {
    use super::{for_legacy, for_modern};
    use bytes::Bytes;
    use connector::{Abilities, Peer};
    use model::Era;
    use serde_json::{Value, json};

    fn bytes(value: &Value) -> Bytes {
        Bytes::from(value.to_string())
    }

    fn value(raw: &Bytes) -> Value {
        serde_json::from_slice(raw).unwrap()
    }

    #[test]
    fn a_legacy_callers_request_becomes_a_full_modern_one() {
        let abilities = Abilities { elicit_form: true, ..Abilities::default() };
        let peer = Peer {
            era: Some(Era::Legacy),
            abilities,
            log_level: Some("info".into()),
            client_info: Some(Bytes::from_static(br#"{"name":"c","version":"1"}"#)),
            capabilities: Bytes::from_static(
                br#"{"extensions":{"io.modelcontextprotocol/tasks":{},"x/y":{"a":1}}}"#,
            ),
            ..Peer::plain()
        };
        let params =
            bytes(&json!({"name":"t","arguments":{},"_meta":{"progressToken":"p","traceparent":"00-1"}}));
        let prepared = for_modern(&peer, "2026-07-28", &params, Some(9), false).unwrap();
        assert_eq!(prepared.client_token.as_deref(), Some(&b"\"p\""[..]));
        assert_eq!(
            value(&prepared.params)["_meta"],
            json!({"progressToken":9,"traceparent":"00-1","io.modelcontextprotocol/protocolVersion":"2026-07-28",
                "io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},
                "io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{}},"extensions":{"x/y":{"a":1}}},
                "io.modelcontextprotocol/logLevel":"info"})
        );
    }

    #[test]
    fn a_modern_callers_request_passes_byte_for_byte_where_it_has_its_own_stream() {
        let peer = Peer { era: Some(Era::Modern), ..Peer::plain() };
        let params = Bytes::from_static(br#"{ "name":"t", "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28", "progressToken":1} }"#);
        assert_eq!(for_modern(&peer, "2026-07-28", &params, None, false).unwrap().params, params);
        let shared = for_modern(&peer, "2026-07-28", &params, Some(7), false).unwrap();
        assert_eq!(value(&shared.params)["_meta"]["progressToken"], 7);
        assert!(value(&shared.params)["_meta"].get("io.modelcontextprotocol/clientInfo").is_none());
    }

    #[test]
    fn a_legacy_server_sees_nothing_modern() {
        let peer = Peer { era: Some(Era::Modern), ..Peer::plain() };
        let params = bytes(&json!({"name":"t","requestState":"s","inputResponses":{},"task":{"ttl":1},
            "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}));
        let prepared = for_legacy(&peer, &params, 3).unwrap();
        assert_eq!(value(&prepared.params), json!({"name":"t","task":{"ttl":1}}));
        // An escaped key does not smuggle a token of the client's own choice past the others'.
        let hidden = Bytes::from_static(br#"{"_m\u0065ta":{"progr\u0065ssToken":1}}"#);
        for prepared in
            [for_legacy(&Peer::plain(), &hidden, 3), for_modern(&peer, "2026-07-28", &hidden, Some(3), false)]
        {
            let prepared = prepared.unwrap();
            assert_eq!(value(&prepared.params)["_meta"]["progressToken"], 3);
            assert_eq!(prepared.client_token.as_deref(), Some(&b"1"[..]));
        }
        let plain = Bytes::from_static(br#"{"name":"t"}"#);
        assert_eq!(for_legacy(&Peer::plain(), &plain, 3).unwrap().params, plain);
    }
}
