//! What comes back, as the client's era and endpoint expect it. Bytes that fit already are not touched.

use bytes::Bytes;
use call::Outcome;
use model::{CallKind, Code, Era, Fault, Key};
use wire::task::Task;
use wire::{Object, RpcCode, object};

use crate::door::{Door, Who};
use crate::endpoint::Endpoint;
use crate::names;
use crate::rescue::Reply;
use crate::routing::Routed;
use crate::tasks::legacy_status;

impl Door {
    /// The upstream's answer as this client's era and endpoint expect it. Bytes that fit already are not touched.
    pub(crate) fn shape(&self, who: &Who, kind: CallKind, routed: &Routed, outcome: Outcome) -> Reply {
        let era = who.peer.era.unwrap_or(Era::Legacy);
        let upstream_era = self.upstream_era(&routed.connection);
        let result = match outcome {
            Outcome::RpcError { error } => return shape_error(error, kind, era),
            Outcome::Task { result } => return self.shape_task(who, &routed.connection, &result),
            Outcome::Complete { result, is_error }
                if routed.wants_task && upstream_era == Some(Era::Modern) && era == Era::Legacy =>
            {
                // The client waits for a task, and the upstream had no need of one.
                let result = self.place_uris(who, &routed.connection, to_legacy(result));
                return self
                    .keep_result(who, &routed.connection, result, is_error)
                    .unwrap_or_else(|fault| crate::rescue::reply(&fault, None, era));
            }
            Outcome::Complete { result, .. } | Outcome::InputRequired { result } => result,
        };
        let mut result = result;
        if upstream_era != Some(era) {
            result = if era == Era::Modern { self.to_modern(who, kind, result) } else { to_legacy(result) };
        }
        Reply::Result(self.place_uris(who, &routed.connection, result))
    }

    /// URIs in a result as this client's endpoint names them.
    pub(crate) fn place_uris(&self, who: &Who, connection: &Key, result: Bytes) -> Bytes {
        match &who.endpoint {
            Endpoint::Connection(only) if only == connection => result,
            _ => self.rewrite_uris(connection, result),
        }
    }

    /// A task that an upstream hands out, in this client's form and under an id of its own.
    fn shape_task(&self, who: &Who, connection: &Key, result: &Bytes) -> Reply {
        let era = who.peer.era.unwrap_or(Era::Legacy);
        let sealed = Task::read(result)
            .and_then(|task| self.seal_task(who, connection, &task.id).map(|shown| (task, shown)));
        let Some((task, shown)) = sealed else {
            let fault =
                Fault::new(Code::BAD_ANSWER, "the upstream hands out a task without an id or a status");
            return crate::rescue::reply(&fault, Some(CallKind::Tool), era);
        };
        if self.upstream_era(connection) == Some(era) {
            let renamed = with_task_id(result, &shown);
            return Reply::Result(renamed.unwrap_or_else(|| result.clone()));
        }
        match era {
            Era::Modern => {
                let mut out = Vec::from(*b"{\"resultType\":\"task\",");
                out.extend_from_slice(&task.modern_members(&shown, task.status));
                out.push(b'}');
                Reply::Result(self.to_modern(who, CallKind::Task, out.into()))
            }
            Era::Legacy => {
                let mut out = Vec::from(*b"{\"task\":{");
                out.extend_from_slice(&task.legacy_members(&shown, legacy_status(&task)));
                out.extend_from_slice(b"}}");
                Reply::Result(out.into())
            }
        }
    }

    /// A legacy upstream's result for a modern client: what 2026-07-28 requires is added.
    pub(crate) fn to_modern(&self, who: &Who, kind: CallKind, result: Bytes) -> Bytes {
        let Ok(object) = Object::scan(&result) else { return result };
        let meta = object.get("_meta").and_then(|raw| Object::scan(raw).ok());
        let info = self.server_info(who);
        let meta = match meta {
            Some(meta) => meta.edit(&[(wire::meta::SERVER_INFO, Some(&info))]),
            None => {
                let mut meta = Vec::from(*b"{\"");
                meta.extend_from_slice(wire::meta::SERVER_INFO.as_bytes());
                meta.extend_from_slice(b"\":");
                meta.extend_from_slice(&info);
                meta.push(b'}');
                meta
            }
        };
        let mut edits: Vec<(&str, Option<&[u8]>)> = vec![("_meta", Some(&meta))];
        if object.get("resultType").is_none() {
            edits.push(("resultType", Some(b"\"complete\"")));
        }
        if kind == CallKind::Resource {
            edits.push(("ttlMs", Some(b"0")));
            edits.push(("cacheScope", Some(b"\"private\"")));
        }
        object.edit(&edits).into()
    }

    /// Resource links in results, as a gathering endpoint names them.
    fn rewrite_uris(&self, connection: &Key, result: Bytes) -> Bytes {
        let snapshot = self.parts().pipeline.snapshot();
        let has_resources = snapshot
            .connection(connection.as_str())
            .is_some_and(|m| !m.inventory.resources.is_empty() || !m.inventory.templates.is_empty());
        if !has_resources || memchr::memmem::find(&result, b"\"uri\"").is_none() {
            return result;
        }
        rewrite_result(connection.as_str(), &result).unwrap_or(result)
    }
}

/// Resource-not-found has another code in each era.
pub(crate) fn shape_error(error: Bytes, kind: CallKind, era: Era) -> Reply {
    let code = wire::error::code_of(&error).unwrap_or(RpcCode::INTERNAL);
    let wanted = match (code, era, kind) {
        (RpcCode::RESOURCE_NOT_FOUND, Era::Modern, _) => RpcCode::INVALID_PARAMS,
        (RpcCode::INVALID_PARAMS, Era::Legacy, CallKind::Resource) => RpcCode::RESOURCE_NOT_FOUND,
        _ => return Reply::Error(code, error),
    };
    let edited = Object::scan(&error)
        .ok()
        .map(|object| object.edit(&[("code", Some(wanted.0.to_string().as_bytes()))]));
    Reply::Error(wanted, edited.map_or(error, Bytes::from))
}

/// A modern upstream's result for a legacy client: what only 2026-07-28 knows is left out.
pub(crate) fn to_legacy(result: Bytes) -> Bytes {
    let Ok(object) = Object::scan(&result) else { return result };
    let wrapped = object.get("structuredContent").filter(|raw| raw.first() != Some(&b'{')).map(|raw| {
        let mut out = Vec::from(*b"{\"result\":");
        out.extend_from_slice(raw);
        out.push(b'}');
        out
    });
    let mut edits: Vec<(&str, Option<&[u8]>)> =
        vec![("resultType", None), ("ttlMs", None), ("cacheScope", None)];
    if let Some(wrapped) = &wrapped {
        edits.push(("structuredContent", Some(wrapped)));
    }
    object.edit(&edits).into()
}

/// `taskId` at the top or inside `task`, replaced.
pub(crate) fn with_task_id(result: &[u8], shown: &str) -> Option<Bytes> {
    let object = Object::scan(result).ok()?;
    let quoted = object::quoted(shown);
    if object.get("taskId").is_some() {
        return Some(object.edit(&[("taskId", Some(&quoted))]).into());
    }
    let task = Object::scan(object.get("task")?).ok()?;
    let task = task.edit(&[("taskId", Some(&quoted))]);
    Some(object.edit(&[("task", Some(&task))]).into())
}

/// `contents[].uri`, and `uri` of resource links and embedded resources in `content[]` and `messages[].content`.
pub(crate) fn rewrite_result(key: &str, result: &[u8]) -> Option<Bytes> {
    let object = Object::scan(result).ok()?;
    let contents = object.get("contents").and_then(|raw| rewrite_items(raw, |item| rewrite_uri(key, item)));
    let content = object.get("content").and_then(|raw| rewrite_items(raw, |item| rewrite_content(key, item)));
    let messages = object.get("messages").and_then(|raw| {
        rewrite_items(raw, |message| {
            let message = Object::scan(message).ok()?;
            let content = rewrite_content(key, message.get("content")?)?;
            Some(message.edit(&[("content", Some(&content))]))
        })
    });
    let edits: Vec<(&str, Option<&[u8]>)> =
        [("contents", &contents), ("content", &content), ("messages", &messages)]
            .into_iter()
            .filter_map(|(member, edited)| edited.as_deref().map(|edited| (member, Some(edited))))
            .collect();
    (!edits.is_empty()).then(|| object.edit(&edits).into())
}

fn rewrite_content(key: &str, item: &[u8]) -> Option<Vec<u8>> {
    let object = Object::scan(item).ok()?;
    match object.get_str("type").as_deref() {
        Some("resource_link") => rewrite_uri(key, item),
        Some("resource") => {
            let inner = rewrite_uri(key, object.get("resource")?)?;
            Some(object.edit(&[("resource", Some(&inner))]))
        }
        _ => None,
    }
}

fn rewrite_uri(key: &str, item: &[u8]) -> Option<Vec<u8>> {
    let object = Object::scan(item).ok()?;
    let uri = names::wrap_uri(key, &object.get_str("uri")?);
    Some(object.edit(&[("uri", Some(&object::quoted(&uri)))]))
}

/// An array with `rewrite` applied where it has something to say; `None` when it never had.
fn rewrite_items(raw: &[u8], rewrite: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let items = object::items(raw)?;
    let mut out = Vec::with_capacity(raw.len() + 64);
    let mut is_changed = false;
    out.push(b'[');
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        match rewrite(item) {
            Some(rewritten) => {
                is_changed = true;
                out.extend_from_slice(&rewritten);
            }
            None => out.extend_from_slice(item),
        }
    }
    out.push(b']');
    is_changed.then_some(out)
}
