//! What each method does, whatever it came over. Transports and eras differ in how messages travel; here
//! a request of a known caller becomes a reply.

use std::sync::Arc;

use bytes::Bytes;
use call::{Call, Downstream, Mounted, Outcome, Request};
use model::{CallKind, Code, Era, Fault, Key};
use wire::{Method, Object, RpcCode, object};

use crate::asked;
use crate::bridge::{Asks, Way};
use crate::door::{Door, Who};
use crate::endpoint::Endpoint;
use crate::names;
use crate::outbox::Outbox;
use crate::park::{AskableCall, Questions};
use crate::peer::slice_of;
use crate::rescue::{self, Reply};
use crate::session::Session;

/// Longest instructions that a gathering endpoint hands out, bytes.
const INSTRUCTIONS_MAX: usize = 16 * 1024;

/// A request on its way to a connection.
pub(crate) struct Routed {
    connection: Key,
    request: Request,
    arguments: Option<Bytes>,
    /// The task id as the client knows it, where the request is about a task.
    task: Option<String>,
}

impl Door {
    /// Answers one request. `params` is the raw object (`{}` when there was none).
    pub(crate) async fn serve(
        self: &Arc<Self>,
        who: &Who,
        method: Method,
        params: Bytes,
        outbox: &Arc<Outbox>,
        session: Option<&Arc<Session>>,
    ) -> Reply {
        match method {
            Method::Ping => Reply::Result(Bytes::from_static(b"{}")),
            Method::Discover => self.discover(who).await,
            Method::ToolsList
            | Method::PromptsList
            | Method::ResourcesList
            | Method::ResourcesTemplatesList => self.list(who, method, &params).await,
            Method::LoggingSetLevel => set_level(session, &params),
            Method::ResourcesSubscribe | Method::ResourcesUnsubscribe => {
                self.subscription(who, session, method == Method::ResourcesSubscribe, &params).await
            }
            Method::TasksList | Method::Initialize | Method::Listen => {
                Reply::error(RpcCode::METHOD_NOT_FOUND, &format!("`{}` is not served here", method.name()))
            }
            _ => self.call_method(who, method, params, outbox, session).await,
        }
    }

    /// Calls, reads, prompts, completions and tasks: what goes through the pipeline.
    async fn call_method(
        self: &Arc<Self>,
        who: &Who,
        method: Method,
        params: Bytes,
        outbox: &Arc<Outbox>,
        session: Option<&Arc<Session>>,
    ) -> Reply {
        let era = who.peer.era.unwrap_or(Era::Legacy);
        let kind = method.call_kind().unwrap_or(CallKind::Tool);
        let routed = match self.route(who, method, kind, &params).await {
            Ok(routed) => routed,
            Err(fault) => return rescue::reply(&fault, Some(kind), era),
        };
        let patience = self.settings().ask_timeout;
        if era == Era::Modern {
            let subject = format!("{} {} {}", who.endpoint, method.name(), routed.request.target);
            if let Ok(object) = Object::scan(&params)
                && let Some(reply) = self.resume(who, &subject, &object, outbox).await
            {
                return reply;
            }
            if who.peer.abilities != call::Abilities::default()
                && self.upstream_era(&routed.connection) == Some(Era::Legacy)
            {
                // Only here can a question come up in the middle: the call gets a life of its own.
                let questions = Arc::new(Questions::default());
                let way = Arc::new(Way::new(
                    Arc::clone(outbox),
                    Asks::Park(Arc::clone(&questions)),
                    Arc::clone(&who.peer),
                    patience,
                ));
                let downstream = Arc::clone(&way) as Arc<dyn Downstream>;
                let (door, who_owned) = (Arc::clone(self), who.clone());
                let work = async move { door.call_through(&who_owned, kind, routed, downstream).await };
                let call = AskableCall::start(who, subject, questions, way, patience, work);
                return self.drive(who, call).await;
            }
        }
        let asks = session.map_or(Asks::Nobody, |session| Asks::Session(Arc::clone(session)));
        let way = Way::new(Arc::clone(outbox), asks, Arc::clone(&who.peer), patience);
        self.call_through(who, kind, routed, Arc::new(way)).await
    }

    /// The pipeline, round after round while a modern upstream has questions for a legacy client.
    async fn call_through(
        &self,
        who: &Who,
        kind: CallKind,
        mut routed: Routed,
        downstream: Arc<dyn Downstream>,
    ) -> Reply {
        let era = who.peer.era.unwrap_or(Era::Legacy);
        for _ in 0..asked::ROUNDS_MAX {
            let outcome = self
                .parts()
                .pipeline
                .call(Call {
                    id: self.parts().pipeline.new_id(),
                    caller: Arc::clone(&who.caller),
                    door: "mcp",
                    connection: routed.connection.clone(),
                    request: routed.request.clone(),
                    arguments: routed.arguments.clone(),
                    peer: Arc::clone(&who.peer),
                    downstream: Arc::clone(&downstream),
                })
                .await;
            match outcome {
                Err(fault) => return rescue::reply(&fault, Some(kind), era),
                Ok(Outcome::InputRequired { result }) if era == Era::Legacy => {
                    match asked::next_round(&result, &routed.request.params, &downstream).await {
                        Ok(params) => routed.request.params = params,
                        Err(fault) => return rescue::reply(&fault, Some(kind), era),
                    }
                }
                Ok(outcome) => return self.shape(who, kind, &routed, outcome),
            }
        }
        let fault =
            Fault::new(Code::BAD_ANSWER, format!("the upstream asked for input {} times", asked::ROUNDS_MAX));
        rescue::reply(&fault, Some(kind), era)
    }

    fn upstream_era(&self, connection: &Key) -> Option<Era> {
        self.parts().pipeline.snapshot().connection(connection.as_str()).and_then(|m| m.inventory.era)
    }

    // === where a request goes ===

    async fn route(
        &self,
        who: &Who,
        method: Method,
        kind: CallKind,
        params: &Bytes,
    ) -> Result<Routed, Fault> {
        let object =
            Object::scan(params).map_err(|e| Fault::new(Code::BAD_MESSAGE, format!("params: {e}")))?;
        let text = |member: &str| {
            object
                .get_str(member)
                .ok_or_else(|| Fault::new(Code::BAD_MESSAGE, format!("`params.{member}` must be a string")))
        };
        let arguments = object.get("arguments").map(|raw| slice_of(params, raw));
        let routed =
            |connection: Key, target: Arc<str>, params: Bytes, is_replayable: bool, task: Option<String>| {
                Routed {
                    connection,
                    request: Request { kind, method: method.name(), target, params, is_replayable },
                    arguments: arguments.clone(),
                    task,
                }
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
                Ok(routed(connection, own, params, kind == CallKind::Prompt, None))
            }
            Method::ResourcesRead => {
                let uri = text("uri")?;
                let (connection, own) = self.find_uri(who, &uri)?;
                let params = if own.as_ref() == uri {
                    params.clone()
                } else {
                    object.edit(&[("uri", Some(&object::quoted(&own)))]).into()
                };
                Ok(routed(connection, own, params, true, None))
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
                Ok(routed(connection, own, params, true, None))
            }
            _ => {
                let shown = text("taskId")?;
                let (connection, own) = self.open_task(who, &shown)?;
                let params = object.edit(&[("taskId", Some(&object::quoted(&own)))]).into();
                let is_replayable = matches!(method, Method::TasksGet | Method::TasksResult);
                Ok(routed(connection, own, params, is_replayable, Some(shown.into_owned())))
            }
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

    // === tasks: ids are as good as passwords, so that clients get sealed ones ===

    pub(crate) fn seal_task(&self, who: &Who, connection: &Key, own: &str) -> Option<String> {
        let plain = format!("{connection} {own}");
        self.parts().sealer.seal("task", &who.caller.principal, plain.as_bytes()).ok()
    }

    pub(crate) fn open_task(&self, who: &Who, shown: &str) -> Result<(Key, Arc<str>), Fault> {
        let absent = || {
            Fault::new(Code::NOT_FOUND, "no such task")
                .with_hint("task ids are valid only for the caller that started the task")
        };
        let plain = self.parts().sealer.open("task", &who.caller.principal, shown).map_err(|_| absent())?;
        let plain = String::from_utf8(plain).map_err(|_| absent())?;
        let (key, own) = plain.split_once(' ').ok_or_else(absent)?;
        let key: Key = key.parse().map_err(|_| absent())?;
        if let Endpoint::Connection(only) = &who.endpoint
            && *only != key
        {
            return Err(absent());
        }
        Ok((key, own.into()))
    }

    // === what comes back ===

    /// The upstream's answer as this client's era and endpoint expect it. Bytes that fit already are not touched.
    fn shape(&self, who: &Who, kind: CallKind, routed: &Routed, outcome: Outcome) -> Reply {
        let era = who.peer.era.unwrap_or(Era::Legacy);
        let upstream_era = self.upstream_era(&routed.connection);
        let result = match outcome {
            Outcome::RpcError { error } => return shape_error(error, kind, era),
            Outcome::Task { result } => self.shape_task(who, &routed.connection, result),
            Outcome::Complete { result, .. } | Outcome::InputRequired { result } => result,
        };
        let mut result = match &routed.task {
            Some(shown) => with_task_id(&result, shown).unwrap_or(result),
            None => result,
        };
        if upstream_era != Some(era) {
            result = if era == Era::Modern { self.to_modern(who, kind, result) } else { to_legacy(result) };
        }
        if who.endpoint != Endpoint::Connection(routed.connection.clone()) {
            result = self.rewrite_uris(&routed.connection, result);
        }
        Reply::Result(result)
    }

    fn shape_task(&self, who: &Who, connection: &Key, result: Bytes) -> Bytes {
        let id = Object::scan(&result).ok().and_then(|object| {
            object
                .get_str("taskId")
                .or_else(|| {
                    object
                        .get("task")
                        .and_then(|t| Object::scan(t).ok())
                        .and_then(|t| t.get_str("taskId").map(|i| i.into_owned().into()))
                })
                .map(|id| id.into_owned())
        });
        let shown = id.and_then(|id| self.seal_task(who, connection, &id));
        shown.and_then(|shown| with_task_id(&result, &shown)).unwrap_or(result)
    }

    /// A legacy upstream's result for a modern client: what 2026-07-28 requires is added.
    fn to_modern(&self, who: &Who, kind: CallKind, result: Bytes) -> Bytes {
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

    // === who we are ===

    /// The `serverInfo` that an endpoint shows: the upstream's own for one connection, ours otherwise.
    pub(crate) fn server_info(&self, who: &Who) -> Bytes {
        if let Endpoint::Connection(key) = &who.endpoint {
            let snapshot = self.parts().pipeline.snapshot();
            if let Some(info) =
                snapshot.connection(key.as_str()).and_then(|m| m.inventory.server_info.clone())
            {
                return info;
            }
        }
        let version = object::quoted(&self.settings().version);
        let mut out = Vec::from(*b"{\"name\":\"trunkline\",\"title\":\"Trunkline\",\"version\":");
        out.extend_from_slice(&version);
        out.push(b'}');
        out.into()
    }

    /// Capabilities and instructions of an endpoint, once its connections have settled.
    async fn describe(&self, who: &Who) -> Result<(Vec<u8>, Option<String>), Fault> {
        let era = who.peer.era.unwrap_or(Era::Legacy);
        let view = self.settled_view(who).await;
        match &who.endpoint {
            Endpoint::Connection(key) => {
                let mounted = view.snapshot.connection(key.as_str()).ok_or_else(|| {
                    Fault::new(Code::NOT_FOUND, format!("no connection `{key}`")).with_hint("check the URL")
                })?;
                let capabilities = mounted.inventory.capabilities.clone().ok_or_else(|| down(mounted))?;
                Ok((
                    relayed(&capabilities, era, mounted.inventory.era),
                    mounted.inventory.instructions.as_deref().map(str::to_owned),
                ))
            }
            Endpoint::Toolset(key) => {
                if view.snapshot.toolset(key.as_str()).is_none() {
                    return Err(
                        Fault::new(Code::NOT_FOUND, format!("no toolset `{key}`")).with_hint("check the URL")
                    );
                }
                Ok((b"{\"tools\":{\"listChanged\":true}}".to_vec(), None))
            }
            Endpoint::All => Ok(gathered(&view, era)),
        }
    }

    /// `initialize`: the result, for a client whose peer is already known.
    pub(crate) async fn greet(&self, who: &Who) -> Reply {
        let (capabilities, instructions) = match self.describe(who).await {
            Ok(described) => described,
            Err(fault) => return rescue::reply(&fault, None, Era::Legacy),
        };
        let mut out = Vec::from(*b"{\"protocolVersion\":");
        object::push_str(&mut out, &who.peer.protocol_version);
        out.extend_from_slice(b",\"capabilities\":");
        out.extend_from_slice(&capabilities);
        out.extend_from_slice(b",\"serverInfo\":");
        out.extend_from_slice(&self.server_info(who));
        if let Some(instructions) = instructions {
            out.extend_from_slice(b",\"instructions\":");
            object::push_str(&mut out, &instructions);
        }
        out.push(b'}');
        Reply::Result(out.into())
    }

    /// `server/discover`.
    async fn discover(&self, who: &Who) -> Reply {
        let (capabilities, instructions) = match self.describe(who).await {
            Ok(described) => described,
            Err(fault) => return rescue::reply(&fault, None, Era::Modern),
        };
        let mut out = Vec::from(*b"{\"resultType\":\"complete\",\"supportedVersions\":[");
        for (n, version) in wire::version::MODERN.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            object::push_str(&mut out, version);
        }
        out.extend_from_slice(b"],\"capabilities\":");
        out.extend_from_slice(&capabilities);
        if let Some(instructions) = instructions {
            out.extend_from_slice(b",\"instructions\":");
            object::push_str(&mut out, &instructions);
        }
        out.extend_from_slice(b",\"ttlMs\":60000,\"cacheScope\":\"private\",\"_meta\":{\"");
        out.extend_from_slice(wire::meta::SERVER_INFO.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(&self.server_info(who));
        out.extend_from_slice(b"}}");
        Reply::Result(out.into())
    }
}

fn set_level(session: Option<&Arc<Session>>, params: &[u8]) -> Reply {
    const LEVELS: [&str; 8] =
        ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
    let level = Object::scan(params).ok().and_then(|p| p.get_str("level").map(|l| l.into_owned()));
    match (level.filter(|level| LEVELS.contains(&level.as_str())), session) {
        (Some(level), Some(session)) => {
            session.set_log_level(&level);
            Reply::Result(Bytes::from_static(b"{}"))
        }
        _ => Reply::error(
            RpcCode::INVALID_PARAMS,
            "`level` must be one of debug, info, notice, warning, error, critical, alert, emergency",
        ),
    }
}

fn down(mounted: &Mounted) -> Fault {
    let reason = mounted.connector.state().reason.unwrap_or_else(|| "it has not answered yet".to_owned());
    Fault::new(Code::UNREACHABLE, format!("connection `{}` is not up: {reason}", mounted.key))
        .with_hint(format!("`trunkline connection test {}` says which layer fails", mounted.key))
}

/// One upstream's capabilities, without what only exists in the era that this client does not speak.
fn relayed(capabilities: &[u8], era: Era, upstream: Option<Era>) -> Vec<u8> {
    let Ok(object) = Object::scan(capabilities) else { return b"{}".to_vec() };
    if upstream == Some(era) {
        // Listing all tasks of a session that callers share would show each the others'.
        let tasks = object
            .get("tasks")
            .and_then(|raw| Object::scan(raw).ok())
            .map(|tasks| tasks.edit(&[("list", None)]));
        return tasks.map_or_else(|| capabilities.to_vec(), |tasks| object.edit(&[("tasks", Some(&tasks))]));
    }
    match era {
        // Core tasks of 2025-11-25 and the tasks extension are different protocols; neither is bridged.
        Era::Modern => object.edit(&[("tasks", None)]),
        Era::Legacy => object.edit(&[("extensions", None)]),
    }
}

/// The union of what all connections can do, and their instructions within bounds.
fn gathered(view: &crate::view::View, era: Era) -> (Vec<u8>, Option<String>) {
    let mut has = [false; 4];
    let mut instructions = String::new();
    for mounted in view.snapshot.connections() {
        if let Some(object) = mounted.inventory.capabilities.as_deref().and_then(|c| Object::scan(c).ok()) {
            for (seen, member) in has.iter_mut().zip(["prompts", "resources", "completions", "logging"]) {
                *seen |= object.get(member).is_some();
            }
        }
        if let Some(text) = &mounted.inventory.instructions
            && instructions.len() + text.len() < INSTRUCTIONS_MAX
        {
            instructions.push_str(&format!("## {}\n{text}\n\n", mounted.key));
        }
    }
    let [prompts, resources, completions, logging] = has;
    let mut out = String::from("{\"tools\":{\"listChanged\":true}");
    if prompts {
        out.push_str(",\"prompts\":{\"listChanged\":true}");
    }
    if resources {
        out.push_str(",\"resources\":{\"subscribe\":true,\"listChanged\":true}");
    }
    if completions {
        out.push_str(",\"completions\":{}");
    }
    if logging || era == Era::Legacy {
        out.push_str(",\"logging\":{}");
    }
    out.push('}');
    (out.into_bytes(), (!instructions.is_empty()).then(|| instructions.trim_end().to_owned()))
}

/// Resource-not-found has another code in each era.
fn shape_error(error: Bytes, kind: CallKind, era: Era) -> Reply {
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
fn to_legacy(result: Bytes) -> Bytes {
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
fn with_task_id(result: &[u8], shown: &str) -> Option<Bytes> {
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
fn rewrite_result(key: &str, result: &[u8]) -> Option<Bytes> {
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
