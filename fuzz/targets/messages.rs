//! `wire::Envelope`: which bytes are a message, of which kind, and that answers find their request.

use fuzz::target;
use serde_json::value::RawValue;
use wire::{Envelope, Incoming, Malformed, RpcCode, error, message};

use crate::json::{Members, is_json};

/// The kinds, told the long way round.
#[derive(Debug, PartialEq)]
enum Kind {
    Request(String, String, Option<String>),
    Notification(String, Option<String>),
    Response(String, String),
    Error(Option<String>, String),
}

/// JSON-RPC 2.0 as MCP narrows it: no positional parameters, ids are strings or integers.
fn by_definition(raw: &[u8]) -> Option<Kind> {
    let all = Members::of(raw).filter(Members::is_unique).filter(|all| all.0.len() <= 4096)?;
    let own = |key: &str| all.get(key).map(str::to_owned);
    if all.text("jsonrpc")? != "2.0" {
        return None;
    }
    let id = match own("id") {
        Some(raw) if raw == "null" && all.get("error").is_some() => None,
        Some(raw) if raw.starts_with('"') || (raw.len() <= 20 && raw.parse::<i128>().is_ok()) => Some(raw),
        Some(_) => return None,
        None => None,
    };
    let (result, failure) = (own("result"), own("error"));
    if all.get("method").is_some() {
        let method = all.text("method")?;
        let params = own("params");
        if result.is_some() || failure.is_some() || params.as_ref().is_some_and(|raw| !raw.starts_with('{')) {
            return None;
        }
        return Some(match id {
            Some(id) => Kind::Request(id, method, params),
            None => Kind::Notification(method, params),
        });
    }
    match (id, result, failure) {
        (Some(id), Some(result), None) => Some(Kind::Response(id, result)),
        (id, None, Some(failure)) if failure.starts_with('{') => Some(Kind::Error(id, failure)),
        _ => None,
    }
}

fn own(raw: &[u8]) -> String {
    String::from_utf8(raw.to_vec()).expect("a part of valid JSON is text")
}

fn seen(envelope: &Envelope<'_>) -> Kind {
    match envelope {
        Envelope::Request { id, method, params } => {
            Kind::Request(own(id), method.to_string(), params.map(own))
        }
        Envelope::Notification { method, params } => Kind::Notification(method.to_string(), params.map(own)),
        Envelope::Response { id, result } => Kind::Response(own(id), own(result)),
        Envelope::Error { id, error } => Kind::Error(id.map(own), own(error)),
    }
}

target!(
    /// Accepts exactly the messages of the definition; whatever it takes apart can be put together again,
    /// and an answer carries the id of its question byte for byte.
    envelope,
    |input: &[u8]| {
        let parsed = Envelope::parse(input);
        assert_eq!(parsed.as_ref().ok().map(seen), by_definition(input));
        assert_eq!(matches!(parsed, Err(Malformed::NotJson(_))), !is_json(input));
        let Ok(envelope) = parsed else { return };
        let again = match &envelope {
            Envelope::Request { id, method, params } => {
                let answer = message::response(id, b"{}");
                assert_eq!(Envelope::parse(&answer).unwrap().id(), Some(*id));
                let refusal = message::error(Some(id), RpcCode::INTERNAL, method, None);
                assert_eq!(Envelope::parse(&refusal).unwrap().id(), Some(*id));
                message::request(id, method, params.unwrap_or(b"{}"))
            }
            Envelope::Notification { method, params } => message::notification(method, params.unwrap_or(b"{}")),
            Envelope::Response { id, result } => message::response(id, result),
            Envelope::Error { id, error } => message::error_raw(*id, error),
        };
        let mut wanted = seen(&envelope);
        if let Kind::Request(_, _, params) | Kind::Notification(_, params) = &mut wanted {
            params.get_or_insert_with(|| "{}".to_owned());
        }
        assert_eq!(seen(&Envelope::parse(&again).unwrap()), wanted);
    }
);

target!(
    /// A frame is a batch when it is a list, else one message; the items of a batch are its own bytes.
    incoming,
    |input: &[u8]| {
        let items: Option<Vec<Box<RawValue>>> = serde_json::from_slice(input).ok();
        match (Incoming::parse(input), items) {
            (Ok(Incoming::Batch(seen)), Some(items)) => {
                let items: Vec<_> = items.iter().map(|item| item.get().as_bytes()).collect();
                assert_eq!(seen, items);
            }
            (Ok(Incoming::One(one)), None) => assert_eq!(Some(seen(&one)), by_definition(input)),
            (Err(_), None) => assert_eq!(by_definition(input), None),
            (parsed, items) => panic!("{parsed:?} for {items:?}"),
        }
    }
);

target!(
    /// Error objects: whatever a server sends is looked into without harm; what we write reads back.
    errors,
    |input: &[u8]| {
        let code = error::code_of(input);
        if is_json(input) {
            let all = Members::of(input).filter(Members::is_unique);
            let number = all.as_ref().and_then(|all| all.get("code")?.parse::<i64>().ok());
            assert_eq!(code.map(|code| code.0), number);
            assert_eq!(error::message_of(input), all.and_then(|all| all.text("message")));
        }
        let text = String::from_utf8_lossy(input);
        let code = RpcCode(text.len() as i64 - 32_700);
        let data = Some(input).filter(|data| is_json(data));
        let written = error::object(code, &text, data);
        assert_eq!(error::code_of(&written), Some(code));
        assert_eq!(error::message_of(&written).as_deref(), Some(&*text));
        assert_eq!(Members::of(&written).unwrap().get("data").is_some(), data.is_some());
    }
);
