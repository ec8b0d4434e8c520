//! Where a request goes: the connection, and the upstream's own names, behind the names that clients use.

use std::sync::Arc;

use bytes::Bytes;
use call::Request;
use model::{CallKind, Code, Era, Fault, Key};
use wire::{Method, Object, object};

use crate::door::{Door, Who};
use crate::endpoint::Endpoint;
use crate::names;
use crate::peer::slice_of;

/// A request on its way to a connection.
pub(crate) struct Routed {
    pub(crate) connection: Key,
    pub(crate) request: Request,
    pub(crate) arguments: Option<Bytes>,
    /// The client asks for a task (2025-11-25).
    pub(crate) wants_task: bool,
}

impl Door {
    /// Finds out where a request goes.
    pub(crate) async fn route(
        &self,
        who: &Who,
        method: Method,
        kind: CallKind,
        params: &Bytes,
        object: &Object<'_>,
    ) -> Result<Routed, Fault> {
        let text = |member: &str| {
            object
                .get_str(member)
                .ok_or_else(|| Fault::new(Code::BAD_MESSAGE, format!("`params.{member}` must be a string")))
        };
        let arguments = object.get("arguments").map(|raw| slice_of(params, raw));
        let wants_task = kind == CallKind::Tool
            && who.peer.era != Some(Era::Modern)
            && object.get("task").is_some_and(|task| task.first() == Some(&b'{'));
        let routed = |connection: Key, target: Arc<str>, params: Bytes, is_replayable: bool| Routed {
            connection,
            request: Request { kind, method: method.name(), target, params, is_replayable },
            arguments: arguments.clone(),
            wants_task,
        };
        match method {
            Method::ToolsCall | Method::PromptsGet => {
                let name = text("name")?;
                let (connection, own) = self.find_name(who, kind, &name).await?;
                let params = if own.as_ref() == name {
                    params.clone()
                } else {
                    object.edit(&[("name", Some(&object::quoted(&own)))]).into()
                };
                Ok(routed(connection, own, params, kind == CallKind::Prompt))
            }
            Method::ResourcesRead => {
                let uri = text("uri")?;
                let (connection, own) = self.find_uri(who, &uri)?;
                let params = if own.as_ref() == uri {
                    params.clone()
                } else {
                    object.edit(&[("uri", Some(&object::quoted(&own)))]).into()
                };
                Ok(routed(connection, own, params, true))
            }
            Method::Complete => {
                let reference = object.get("ref").and_then(|raw| Object::scan(raw).ok());
                let reference = reference
                    .ok_or_else(|| Fault::new(Code::BAD_MESSAGE, "`params.ref` must be an object"))?;
                let (member, connection, own) = match (reference.get_str("name"), reference.get_str("uri")) {
                    (Some(name), _) => {
                        let (connection, own) = self.find_name(who, CallKind::Prompt, &name).await?;
                        ("name", connection, own)
                    }
                    (None, Some(uri)) => {
                        let (connection, own) = self.find_uri(who, &uri)?;
                        ("uri", connection, own)
                    }
                    (None, None) => {
                        return Err(Fault::new(Code::BAD_MESSAGE, "`params.ref` needs `name` or `uri`"));
                    }
                };
                let reference = reference.edit(&[(member, Some(&object::quoted(&own)))]);
                let params = object.edit(&[("ref", Some(&reference))]).into();
                Ok(routed(connection, own, params, true))
            }
            _ => Err(Fault::new(Code::BAD_MESSAGE, format!("`{}` names nothing to call", method.name()))),
        }
    }

    /// The connection and own name behind a tool's or prompt's name.
    async fn find_name(&self, who: &Who, kind: CallKind, name: &str) -> Result<(Key, Arc<str>), Fault> {
        let pipeline = &self.parts().pipeline;
        match &who.endpoint {
            Endpoint::Connection(key) => return Ok((key.clone(), name.into())),
            Endpoint::All => {
                // By far the most names are `key__tool` of a tool that is there: no view is needed.
                let snapshot = pipeline.snapshot();
                if kind == CallKind::Tool
                    && let Some((key, own)) = names::split(name)
                    && let Some(mounted) = snapshot.connection(key)
                    // What the caller may not use is told like what is not there, which the view does.
                    && mounted.may_reach(&who.caller.access, own)
                {
                    if let Some(tool) = mounted.tool(own) {
                        return Ok((mounted.key.clone(), Arc::clone(&tool.tool.name)));
                    }
                    if !mounted.is_known() {
                        return Ok((mounted.key.clone(), own.into()));
                    }
                }
            }
            Endpoint::Toolset(_) => {}
        }
        let view = self.settled_view(who).await;
        let route = if kind == CallKind::Tool { view.tool(name) } else { view.prompt(name) };
        let route = route.ok_or_else(|| {
            let noun = if kind == CallKind::Tool { "tool" } else { "prompt" };
            Fault::new(Code::NOT_FOUND, format!("no {noun} `{name}` at {}", who.endpoint))
                .with_hint(format!("{noun}s/list shows what there is"))
        })?;
        Ok((route.connection.clone(), Arc::clone(&route.own)))
    }

    pub(crate) fn find_uri(&self, who: &Who, uri: &str) -> Result<(Key, Arc<str>), Fault> {
        let absent = || {
            Fault::new(Code::NOT_FOUND, format!("no resource `{uri}` at {}", who.endpoint))
                .with_hint("resources/list shows what there is")
        };
        match &who.endpoint {
            Endpoint::Connection(key) => Ok((key.clone(), uri.into())),
            Endpoint::All | Endpoint::Toolset(_) => {
                let (key, own) = names::unwrap_uri(uri).ok_or_else(absent)?;
                Ok((key.parse().map_err(|_| absent())?, own.into()))
            }
        }
    }
}
