//! Fuzz targets of this room: paths and names as clients send them, results and tools as servers do.

use ::fuzz::{parts, target};
use bytes::Bytes;
use serde_json::Value;

use crate::endpoint::Place;
use crate::names::{NAME_MAX, exposed, split, unwrap_uri, wrap_uri};
use crate::{peer, shape, view};

fn value(raw: &[u8]) -> Option<Value> {
    serde_json::from_slice(raw).ok()
}

target!(
    /// A path leads to an endpoint only in its one spelling (and that with a slash behind it).
    endpoints,
    |input: &[u8]| {
        let path = String::from_utf8_lossy(input);
        match Place::parse(&path) {
            Some(Place::Main(endpoint)) => {
                assert_eq!(path.strip_suffix('/').unwrap_or(&path), endpoint.to_string());
            }
            Some(Place::Sse(endpoint)) => {
                assert_eq!(path.strip_suffix('/').unwrap_or(&path), format!("{endpoint}/sse"));
            }
            None => assert!(!["/mcp", "/mcp/", "/mcp/sse"].contains(&&*path)),
        }
        assert!(Place::parse(&path).is_none() || !path.contains(['%', '.', '?', '\\', '\0']));
    }
);

target!(
    /// Names and URIs of a connection come back from a gathering endpoint as they were, and from no other
    /// connection. Parts: the connection's key, its name or URI.
    names,
    |input: &[u8]| {
        let parts = parts(input);
        let text = |at: usize| String::from_utf8_lossy(parts.get(at).copied().unwrap_or_default());
        let Ok(key) = text(0).parse::<model::Key>() else { return };
        let (key, own) = (key.as_str(), text(1));
        let shown = exposed(key, &own);
        assert!(shown.len() <= NAME_MAX);
        assert_eq!(shown, exposed(key, &own));
        if key.len() + 2 + own.len() <= NAME_MAX {
            assert_eq!(split(&shown), Some((key, &*own)), "{shown}");
        } else if own.is_ascii() {
            assert!(shown.starts_with(&format!("{key}__")), "{shown}");
        }
        let wrapped = wrap_uri(key, &own);
        assert_eq!(unwrap_uri(&wrapped), Some((key, own.clone())), "{wrapped}");
        if let Some((key, uri)) = unwrap_uri(&own).filter(|(key, _)| key.parse::<model::Key>().is_ok()) {
            assert_eq!(unwrap_uri(&wrap_uri(key, &uri)), Some((key, uri.clone())));
        }
    }
);

target!(
    /// A reshaped result is JSON whenever the result was, and differs only where it should.
    results,
    |input: &[u8]| {
        let Some(before) = value(input).filter(Value::is_object) else { return };
        let legacy = value(&shape::to_legacy(Bytes::copy_from_slice(input))).expect("still JSON");
        if wire::Object::scan(input).is_ok() {
            let mut wanted = before.clone();
            let members = wanted.as_object_mut().expect("an object");
            for modern in ["resultType", "ttlMs", "cacheScope"] {
                members.remove(modern);
            }
            if let Some(content) = members.get_mut("structuredContent").filter(|content| !content.is_object()) {
                *content = serde_json::json!({ "result": content.take() });
            }
            assert_eq!(legacy, wanted);
        }
        if let Some(rewritten) = shape::rewrite_result("up", input) {
            let mut after = value(&rewritten).expect("still JSON");
            unwrap_all(&mut after);
            assert_eq!(after, before, "only URIs changed, and each can be taken back");
        }
        if let Some(renamed) = shape::with_task_id(input, "tlt.x") {
            let after = value(&renamed).expect("still JSON");
            assert!(after["taskId"] == "tlt.x" || after["task"]["taskId"] == "tlt.x");
        }
    }
);

/// Takes back what `rewrite_result` did, at any depth.
fn unwrap_all(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(unwrap_all),
        Value::Object(members) => members.values_mut().for_each(unwrap_all),
        Value::String(text) => {
            if let Some(("up", own)) = unwrap_uri(text) {
                *text = own.into_owned();
            }
        }
        _ => {}
    }
}

target!(
    /// A renamed tool is the same tool under another name.
    tools,
    |input: &[u8]| {
        let raw = Bytes::copy_from_slice(input);
        let (Some(before), true) = (value(input), wire::Object::scan(input).is_ok()) else { return };
        let mut after = value(&view::rewrite_tool("up", &raw, "up__x", Some("said \"so\""))).expect("still JSON");
        assert_eq!((&after["name"], &after["description"]), (&"up__x".into(), &"said \"so\"".into()));
        let mut wanted = before;
        let places = ["/_meta/ui/resourceUri", "/_meta/ui~1resourceUri"];
        for (tool, is_shown) in [(&mut after, true), (&mut wanted, false)] {
            for place in places {
                if is_shown && let Some(Value::String(uri)) = tool.pointer_mut(place) {
                    *uri = unwrap_uri(uri).filter(|(key, _)| *key == "up").map_or_else(|| uri.clone(), |(_, own)| own.into_owned());
                }
            }
            let members = tool.as_object_mut().expect("an object");
            members.remove("name");
            members.remove("description");
        }
        assert_eq!(after, wanted);
    }
);

target!(
    /// Abilities are those whose member is an object; whatever else stands there grants nothing.
    capabilities,
    |input: &[u8]| {
        let abilities = peer::abilities(input);
        let Some(all) = value(input).filter(|_| wire::Object::scan(input).is_ok()) else { return };
        assert!(!abilities.roots || all["roots"].is_object());
        assert!(!abilities.sampling || all["sampling"].is_object());
        assert!(!abilities.sampling_tools || all["sampling"].get("tools").is_some());
        assert!(!(abilities.elicit_form || abilities.elicit_url) || all["elicitation"].is_object());
    }
);

target!(
    /// WebSocket frames of a client: see the check itself.
    frames,
    |input: &[u8]| crate::transport::websocket::frames::tests::check(input)
);
