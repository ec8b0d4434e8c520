//! Tools that run as tasks, for clients that do not follow tasks: the hub makes the task, looks after it within the
//! time of the call, and answers with its result. A client that goes away cancels it.
//!
//! Also where tasks are asked for on a client's behalf: a modern client that declares the extension gets tasks of
//! a legacy server's tools that can run so.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connector::{AskError, Ctx, Downstream, Outcome, Question, Request};
use model::{CallKind, Code, Era, Fault};
use tokio::time::Instant;
use wire::object::{push_str, quoted};
use wire::task::{Status, Support, Task};
use wire::{Object, RpcCode, task};

use crate::handshake::Live;
use crate::inner::Inner;
use crate::inventory::own_request;
use crate::trouble::Trouble;

/// Time for the server to take a cancellation.
const CANCEL_MS: u64 = 5_000;

/// What is to be done about tasks in one call of a tool.
enum Plan {
    /// Nothing: it goes as it came.
    AsIs,
    /// The client follows the task that comes.
    Theirs(Request),
    /// The hub does.
    Ours(Request),
}

impl Inner {
    /// One request; where its tool runs only as a task that this client cannot follow, the task's result.
    pub(crate) async fn call_followed(
        self: &Arc<Self>,
        live: &Arc<Live>,
        ctx: &Ctx,
        request: &Request,
        deadline: Instant,
    ) -> Result<Outcome, Trouble> {
        if request.kind != CallKind::Tool {
            return self.call_once(live, ctx, request, deadline).await;
        }
        if live.facts.era == Era::Modern {
            let answered = self.call_once(live, ctx, request, deadline).await?;
            if ctx.peer.era == Some(Era::Modern) || !needs_task(&answered) {
                // A modern client hears what it lacks in the server's own words.
                return Ok(answered);
            }
            let Some(request) = with_task(request, true) else { return Ok(answered) };
            let answered = self.call_once(live, ctx, &request, deadline).await?;
            return self.follow(live, ctx, answered, deadline).await;
        }
        match self.plan(live, ctx, request) {
            Plan::AsIs => self.call_once(live, ctx, request, deadline).await,
            Plan::Theirs(request) => self.call_once(live, ctx, &request, deadline).await,
            Plan::Ours(request) => {
                let answered = self.call_once(live, ctx, &request, deadline).await?;
                self.follow(live, ctx, answered, deadline).await
            }
        }
    }

    /// What a legacy server's tool needs. Only servers with tasks are looked at more closely.
    fn plan(&self, live: &Live, ctx: &Ctx, request: &Request) -> Plan {
        let is_modern = ctx.peer.era == Some(Era::Modern);
        let support =
            if live.facts.has_core_tasks() { self.support(&request.target) } else { Support::Forbidden };
        // `task` means nothing in the modern era, and must not mean something here.
        let is_asked = memchr::memmem::find(&request.params, b"\"task\"").is_some()
            && Object::scan(&request.params).is_ok_and(|params| params.get("task").is_some());
        let plan = match support {
            Support::Required | Support::Optional
                if is_modern && task::has_extension(&ctx.peer.capabilities) =>
            {
                with_task(request, true).map(Plan::Theirs)
            }
            Support::Required if is_modern || !is_asked => with_task(request, true).map(Plan::Ours),
            _ if is_modern && is_asked => with_task(request, false).map(Plan::Theirs),
            _ => None,
        };
        plan.unwrap_or(Plan::AsIs)
    }

    fn support(&self, tool: &str) -> Support {
        let inventory = self.inventory.load();
        let found = inventory.tools.iter().find(|known| *known.name == *tool);
        found.map_or(Support::Forbidden, |tool| task::support(&tool.raw))
    }

    /// Looks after a task until it is over.
    async fn follow(
        self: &Arc<Self>,
        live: &Arc<Live>,
        ctx: &Ctx,
        started: Outcome,
        deadline: Instant,
    ) -> Result<Outcome, Trouble> {
        let Outcome::Task { result } = started else { return Ok(started) };
        let ctx = &Ctx { downstream: Arc::new(Unrelated(Arc::clone(&ctx.downstream))), ..ctx.clone() };
        let first = Task::read(&result).ok_or_else(|| bad("it hands out a task without id or status"))?;
        let mut abandoned = Abandoned { inner: self, live, id: Some(first.id.clone()) };
        let mut answered: HashSet<String> = HashSet::new();
        let mut wait_ms = first.poll_ms();
        let mut now = result.clone();
        loop {
            let task = Task::read(&now).ok_or_else(|| bad("a task without id or status"))?;
            let is_legacy = live.facts.era == Era::Legacy;
            match task.status {
                Status::Cancelled => {
                    abandoned.id = None;
                    return Err(Trouble::Fault(
                        Fault::new(Code::CANCELLED, "the server cancelled the task that the tool runs as")
                            .with_hint("call the tool again"),
                    ));
                }
                // Questions come on the stream of this request; its answer is the task's.
                Status::InputRequired | Status::Completed | Status::Failed if is_legacy => {
                    let over = about(&first.id, "tasks/result", true, None);
                    let over = self.call_once(live, ctx, &over, deadline).await?;
                    abandoned.id = None;
                    return Ok(unrelated(over));
                }
                Status::Completed => {
                    abandoned.id = None;
                    let raw = task.get("result").ok_or_else(|| bad("a completed task without a result"))?;
                    let result = Bytes::copy_from_slice(raw);
                    let is_error =
                        Object::scan(raw).map_err(|error| bad(&error.to_string()))?.is_true("isError");
                    return Ok(Outcome::Complete { result, is_error });
                }
                Status::Failed => {
                    abandoned.id = None;
                    let raw =
                        task.get("error").unwrap_or(b"{\"code\":-32603,\"message\":\"the task failed\"}");
                    return Ok(Outcome::RpcError { error: Bytes::copy_from_slice(raw) });
                }
                Status::InputRequired => {
                    let requests = task.get("inputRequests").unwrap_or(b"{}");
                    if let Some(responses) = put(ctx, requests, &mut answered).await? {
                        let update = about(&first.id, "tasks/update", false, Some(&responses));
                        if let Outcome::RpcError { error } =
                            self.call_once(live, ctx, &update, deadline).await?
                        {
                            return Ok(Outcome::RpcError { error });
                        }
                    }
                }
                Status::Working => {}
            }
            drop(task);
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            let get = about(&first.id, "tasks/get", true, None);
            now = match self.call_once(live, ctx, &get, deadline).await? {
                Outcome::Complete { result, .. } => result,
                Outcome::RpcError { error } => return Ok(Outcome::RpcError { error }),
                _ => return Err(bad("tasks/get is not answered with a task")),
            };
            wait_ms = Task::read(&now).map_or(wait_ms, |task| task.poll_ms());
        }
    }
}

/// Puts the questions that were not put yet; the answers as an object, `None` when there was nothing new.
async fn put(ctx: &Ctx, requests: &[u8], answered: &mut HashSet<String>) -> Result<Option<Vec<u8>>, Trouble> {
    let requests = Object::scan(requests).map_err(|error| bad(&error.to_string()))?;
    let mut out = vec![b'{'];
    for (key, request) in requests.iter() {
        if !answered.insert(key.to_owned()) {
            continue;
        }
        let request = Object::scan(request).map_err(|error| bad(&error.to_string()))?;
        let method = request.get_str("method").ok_or_else(|| bad("an input request without a method"))?;
        let params = Bytes::copy_from_slice(request.get("params").unwrap_or(b"{}"));
        let answer = match ctx.downstream.ask(Question { method: method.as_ref().into(), params }).await {
            Ok(answer) => answer,
            Err(AskError::Refused(_)) if method == "elicitation/create" => {
                Bytes::from_static(b"{\"action\":\"cancel\"}")
            }
            Err(error) => {
                return Err(Trouble::Fault(
                    Fault::new(Code::UNANSWERED, format!("the tool needs an answer to {method}: {error}"))
                        .with_hint("use a client that declares the capability, or answer in time"),
                ));
            }
        };
        if out.len() > 1 {
            out.push(b',');
        }
        push_str(&mut out, key);
        out.push(b':');
        out.extend_from_slice(&answer);
    }
    out.push(b'}');
    Ok((out.len() > 2).then_some(out))
}

/// The way back of a client that knows of no task: what names one is taken out of questions to it.
struct Unrelated(Arc<dyn Downstream>);

#[async_trait]
impl Downstream for Unrelated {
    fn notify(&self, method: &str, params: Bytes) {
        self.0.notify(method, params);
    }

    fn pause(&self) {
        self.0.pause();
    }

    async fn ask(&self, mut question: Question) -> Result<Bytes, AskError> {
        if memchr::memmem::find(&question.params, task::RELATED.as_bytes()).is_some()
            && let Some(params) = task::related_to(&question.params, None)
        {
            question.params = params.into();
        }
        self.0.ask(question).await
    }
}

fn unrelated(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Complete { result, is_error } => {
            let result = task::related_to(&result, None).map_or(result, Bytes::from);
            Outcome::Complete { result, is_error }
        }
        other => other,
    }
}

/// Cancels the task of a call that ends before it.
struct Abandoned<'a> {
    inner: &'a Arc<Inner>,
    live: &'a Arc<Live>,
    id: Option<String>,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let live = Arc::clone(self.live);
        self.inner.home.spawn(async move {
            let members = format!("\"taskId\":{}", String::from_utf8_lossy(&quoted(&id)));
            if let Err(trouble) = own_request(&live, "tasks/cancel", &members, CANCEL_MS).await {
                tracing::debug!(%trouble, "an abandoned task could not be cancelled");
            }
        });
    }
}

/// The call with the wish for a task, or without.
fn with_task(request: &Request, is_wanted: bool) -> Option<Request> {
    let params = Object::scan(&request.params).ok()?;
    let task = is_wanted.then_some(&b"{}"[..]);
    Some(Request { params: params.edit(&[("task", task)]).into(), ..request.clone() })
}

/// A request about a task.
fn about(id: &str, method: &'static str, is_replayable: bool, responses: Option<&[u8]>) -> Request {
    let mut params = Vec::from(*b"{\"taskId\":");
    push_str(&mut params, id);
    if let Some(responses) = responses {
        params.extend_from_slice(b",\"inputResponses\":");
        params.extend_from_slice(responses);
    }
    params.push(b'}');
    Request { kind: CallKind::Task, method, target: id.into(), params: params.into(), is_replayable }
}

/// Whether a modern server refused because the client does not follow tasks.
fn needs_task(outcome: &Outcome) -> bool {
    let Outcome::RpcError { error } = outcome else { return false };
    wire::error::code_of(error) == Some(RpcCode::MISSING_CAPABILITY)
        && Object::scan(error)
            .ok()
            .and_then(|error| Object::scan(error.get("data")?).ok()?.get("requiredCapabilities"))
            .is_some_and(task::has_extension)
}

fn bad(why: &str) -> Trouble {
    Trouble::BadAnswer(format!("about a task: {why}"))
}
