//! Tasks across eras: which upstream task stands behind an id that a client shows, and what its questions, its status
//! and its result look like in the client's form.
//!
//! 2025-11-25 has `tasks/get`, `tasks/result` (waits, and carries questions) and `tasks/cancel`; the extension of
//! 2026-07-28 has `tasks/get` (carries result and questions), `tasks/update` and `tasks/cancel`. Between equal eras
//! requests pass through. docs/reference/tasks.md has the table.

mod id;
mod kept;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ahash::AHashMap;
use bytes::Bytes;
use call::{Call, Downstream, Outcome, Peer, Request};
use model::{CallKind, Code, Era, Fault, Key};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wire::task::{Status, Task};
use wire::{Method, Object, RpcCode, object, task};

pub(crate) use self::id::TaskRef;
use self::kept::Kept;
use crate::asked;
use crate::bridge::{Asks, Way};
use crate::door::{Door, Who};
use crate::outbox::Outbox;
use crate::park::Questions;
use crate::related::Related;
use crate::rescue::{self, Reply};
use crate::session::{Session, lock};
use crate::shape::{shape_error, to_legacy};

/// How long `tasks/result` waits for a task.
const RESULT_WAIT_MAX: Duration = Duration::from_secs(3600);
/// How long `tasks/get` waits for a question or a result that the upstream has announced.
const FETCH_WAIT: Duration = Duration::from_millis(1500);
/// Results that are fetched or kept for clients: in all, for one caller, and for how long.
const HELD_MAX: usize = 1024;
const HELD_PER_CALLER_MAX: usize = 64;
const HELD_FOR: Duration = Duration::from_secs(600);

/// Connection, the upstream's own task id, and whose.
type Fetched = (Key, Arc<str>, Arc<str>);

/// What this node holds of tasks.
#[derive(Default)]
pub(crate) struct Tasks {
    fetched: Mutex<AHashMap<Fetched, Arc<Fetch>>>,
    kept: Mutex<AHashMap<String, Kept>>,
}

/// A legacy upstream's `tasks/result` on behalf of a modern client, which asks for it bit by bit.
struct Fetch {
    questions: Arc<Questions>,
    done: watch::Receiver<Option<Reply>>,
    work: JoinHandle<()>,
    until: Instant,
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Tasks {
    /// Lets go of what nobody came back for.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        lock(&self.fetched).retain(|_, fetch| fetch.until > now);
        lock(&self.kept).retain(|_, kept| kept.until > now);
    }
}

// === requests about tasks ===

impl Door {
    /// `tasks/get`, `tasks/result`, `tasks/update`, `tasks/cancel`.
    pub(crate) async fn task_method(
        self: &Arc<Self>,
        who: &Who,
        method: Method,
        params: &Object<'_>,
        outbox: &Arc<Outbox>,
        session: Option<&Arc<Session>>,
    ) -> Reply {
        let era = who.peer.era.unwrap_or(Era::Legacy);
        let Some(shown) = params.get_str("taskId") else {
            return Reply::error(RpcCode::INVALID_PARAMS, "`params.taskId` must be a string");
        };
        let task = match self.open_task(who, &shown) {
            Ok(task) => task,
            Err(fault) => return rescue::reply(&fault, Some(CallKind::Task), era),
        };
        if task.is_kept {
            return self.kept(who, method, &task, &shown);
        }
        let asks = session.map_or(Asks::Nobody, |session| Asks::Session(Arc::clone(session)));
        let way = Way::new(Arc::clone(outbox), asks, Arc::clone(&who.peer), self.settings().ask_timeout);
        let way: Arc<dyn Downstream> = Arc::new(Related::new(Arc::new(way), Some(shown.to_string())));
        let asked = About { door: self, who, task: &task, way };
        match (era, self.upstream_era(&task.connection)) {
            (Era::Modern, Some(Era::Legacy)) => match method {
                Method::TasksGet => self.get_for_modern(&asked, &shown).await,
                Method::TasksUpdate => self.update_for_modern(&asked, params).await,
                _ => self.cancel_for_modern(&asked).await,
            },
            (Era::Modern, _) => {
                let edited = params.edit(&[("taskId", Some(&object::quoted(&task.own)))]);
                asked.shaped(method, edited.into(), &shown).await
            }
            (Era::Legacy, upstream) => match method {
                Method::TasksResult => asked.result_for_legacy(upstream, &shown).await,
                Method::TasksGet => asked.status_for_legacy(&shown).await,
                _ => asked.cancel_for_legacy(upstream, &shown).await,
            },
        }
    }
}

/// Requests about one task on behalf of one client.
struct About<'a> {
    door: &'a Arc<Door>,
    who: &'a Who,
    task: &'a TaskRef,
    way: Arc<dyn Downstream>,
}

impl About<'_> {
    /// One request to the upstream, recorded like every other.
    async fn ask(&self, method: Method, params: Bytes) -> Result<Outcome, Fault> {
        let pipeline = &self.door.parts().pipeline;
        let peer = Peer { abilities: self.task.abilities, ..Peer::clone(&self.who.peer) };
        let request = Request {
            kind: CallKind::Task,
            method: method.name(),
            target: Arc::clone(&self.task.own),
            params,
            is_replayable: matches!(method, Method::TasksGet | Method::TasksResult),
        };
        pipeline
            .call(Call {
                id: pipeline.new_id(),
                caller: Arc::clone(&self.who.caller),
                door: "mcp",
                connection: self.task.connection.clone(),
                request,
                arguments: None,
                peer: Arc::new(peer),
                downstream: Arc::clone(&self.way),
            })
            .await
    }

    fn params(&self, further: &[u8]) -> Bytes {
        let mut out = Vec::from(*b"{\"taskId\":");
        object::push_str(&mut out, &self.task.own);
        out.extend_from_slice(further);
        out.push(b'}');
        out.into()
    }

    fn refuse(&self, fault: &Fault) -> Reply {
        rescue::reply(fault, Some(CallKind::Task), self.who.peer.era.unwrap_or(Era::Legacy))
    }

    fn era(&self) -> Era {
        self.who.peer.era.unwrap_or(Era::Legacy)
    }

    /// A request whose answer is this client's kind already, its id aside.
    async fn shaped(&self, method: Method, params: Bytes, shown: &str) -> Reply {
        match self.ask(method, params).await {
            Err(fault) => self.refuse(&fault),
            Ok(Outcome::RpcError { error }) => shape_error(error, CallKind::Task, self.era()),
            Ok(outcome) => {
                let result = outcome.bytes().clone();
                let result = crate::shape::with_task_id(&result, shown).unwrap_or(result);
                Reply::Result(self.door.place_uris(self.who, &self.task.connection, result))
            }
        }
    }

    /// The raw answer to `tasks/get`.
    async fn status(&self) -> Result<Bytes, Reply> {
        match self.ask(Method::TasksGet, self.params(b"")).await {
            Err(fault) => Err(self.refuse(&fault)),
            Ok(Outcome::RpcError { error }) => Err(shape_error(error, CallKind::Task, self.era())),
            Ok(outcome) => Ok(outcome.bytes().clone()),
        }
    }

    fn unusable(&self) -> Reply {
        self.refuse(&Fault::new(Code::BAD_ANSWER, "the upstream answers tasks/get without a task"))
    }

    // === legacy clients ===

    async fn status_for_legacy(&self, shown: &str) -> Reply {
        let raw = match self.status().await {
            Ok(raw) => raw,
            Err(reply) => return reply,
        };
        Task::read(&raw).map_or_else(|| self.unusable(), |task| Reply::Result(flat_legacy(&task, shown)))
    }

    /// `tasks/cancel` answers with the task.
    async fn cancel_for_legacy(&self, upstream: Option<Era>, shown: &str) -> Reply {
        if upstream == Some(Era::Legacy) {
            return self.shaped(Method::TasksCancel, self.params(b""), shown).await;
        }
        let over = |word: &str| {
            Reply::error(RpcCode::INVALID_PARAMS, &format!("the task is {word} and cannot be cancelled"))
        };
        match self.status().await {
            Err(reply) => return reply,
            Ok(raw) => match Task::read(&raw) {
                None => return self.unusable(),
                Some(task) if task.status.is_final() => return over(task.status.word()),
                Some(_) => {}
            },
        }
        match self.ask(Method::TasksCancel, self.params(b"")).await {
            Err(fault) => self.refuse(&fault),
            Ok(Outcome::RpcError { error }) => shape_error(error, CallKind::Task, Era::Legacy),
            Ok(_) => self.status_for_legacy(shown).await,
        }
    }

    /// `tasks/result` waits until the task is over, and carries its questions.
    async fn result_for_legacy(&self, upstream: Option<Era>, shown: &str) -> Reply {
        let until = Instant::now() + RESULT_WAIT_MAX;
        let mut answered = ahash::AHashSet::new();
        while Instant::now() < until {
            let raw = match self.status().await {
                Ok(raw) => raw,
                Err(reply) => return reply,
            };
            let Some(task) = Task::read(&raw) else { return self.unusable() };
            if upstream == Some(Era::Legacy) {
                if task.status != Status::Working {
                    match self.ask(Method::TasksResult, self.params(b"")).await {
                        // It has been answered and works on: the waiting is ours to do.
                        Err(fault) if fault.code == Code::TIMEOUT => {}
                        Err(fault) => return self.refuse(&fault),
                        Ok(Outcome::RpcError { error }) => {
                            return shape_error(error, CallKind::Task, Era::Legacy);
                        }
                        Ok(outcome) => return self.last_for_legacy(outcome.bytes().clone(), shown),
                    }
                }
            } else {
                match task.status {
                    Status::Completed => {
                        let result = task.get("result").unwrap_or(b"{}");
                        return self.last_for_legacy(to_legacy(Bytes::copy_from_slice(result)), shown);
                    }
                    Status::Failed => {
                        let error =
                            task.get("error").unwrap_or(b"{\"code\":-32603,\"message\":\"the task failed\"}");
                        return shape_error(Bytes::copy_from_slice(error), CallKind::Task, Era::Legacy);
                    }
                    Status::Cancelled => {
                        return Reply::error(
                            RpcCode(i64::from(Code::CANCELLED.0)),
                            "the task was cancelled [TL-1602]",
                        );
                    }
                    Status::InputRequired => {
                        let requests = task.get("inputRequests").unwrap_or(b"{}");
                        match asked::answers(requests, &self.way, &mut answered).await {
                            Err(fault) => return self.refuse(&fault),
                            Ok(None) => {}
                            Ok(Some(answers)) => {
                                let mut further = Vec::from(*b",\"inputResponses\":");
                                further.extend_from_slice(&answers);
                                match self.ask(Method::TasksUpdate, self.params(&further)).await {
                                    Err(fault) => return self.refuse(&fault),
                                    Ok(Outcome::RpcError { error }) => {
                                        return shape_error(error, CallKind::Task, Era::Legacy);
                                    }
                                    Ok(_) => {}
                                }
                            }
                        }
                    }
                    Status::Working => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(task.poll_ms())).await;
        }
        let fault =
            Fault::new(Code::TIMEOUT, "the task is not over yet").with_hint("ask for its result again");
        self.refuse(&fault)
    }

    fn last_for_legacy(&self, result: Bytes, shown: &str) -> Reply {
        let result = task::related_to(&result, Some(shown)).map_or(result, Bytes::from);
        Reply::Result(self.door.place_uris(self.who, &self.task.connection, result))
    }
}

// === modern clients of legacy upstreams ===

impl Door {
    async fn get_for_modern(self: &Arc<Self>, about: &About<'_>, shown: &str) -> Reply {
        let raw = match about.status().await {
            Ok(raw) => raw,
            Err(reply) => return reply,
        };
        let Some(task) = Task::read(&raw) else { return about.unusable() };
        if matches!(task.status, Status::Working | Status::Cancelled) {
            return self.detailed(about.who, &task, shown, task.status, None);
        }
        // What the upstream has to ask or to give comes with `tasks/result`.
        let fetch = match self.fetch(about) {
            Ok(fetch) => fetch,
            Err(fault) => return about.refuse(&fault),
        };
        let mut done = fetch.done.clone();
        tokio::select! {
            biased;
            _ = done.wait_for(Option::is_some) => {}
            () = fetch.questions.posed() => {}
            () = tokio::time::sleep(FETCH_WAIT) => {}
        }
        let over = done.borrow().clone();
        match over {
            Some(Reply::Result(result)) => {
                let result = task::related_to(&result, None).map_or(result, Bytes::from);
                self.detailed(about.who, &task, shown, Status::Completed, Some(("result", &result)))
            }
            Some(Reply::Error(_, error)) => {
                self.detailed(about.who, &task, shown, Status::Failed, Some(("error", &error)))
            }
            None if !fetch.questions.is_empty() => {
                let requests = fetch.questions.requests();
                self.detailed(
                    about.who,
                    &task,
                    shown,
                    Status::InputRequired,
                    Some(("inputRequests", &requests)),
                )
            }
            None => self.detailed(about.who, &task, shown, Status::Working, None),
        }
    }

    async fn update_for_modern(self: &Arc<Self>, about: &About<'_>, params: &Object<'_>) -> Reply {
        let Some(responses) = params.get("inputResponses").and_then(|raw| Object::scan(raw).ok()) else {
            return Reply::error(RpcCode::INVALID_PARAMS, "`params.inputResponses` must be an object");
        };
        let found = lock(&self.tasks.fetched).get(&fetch_key(about)).cloned();
        match found {
            Some(fetch) => {
                fetch.questions.answer(Some(&responses));
            }
            // Nothing is being asked; it still has to be a task.
            None => {
                if let Err(reply) = about.status().await {
                    return reply;
                }
            }
        }
        self.acknowledged(about.who)
    }

    async fn cancel_for_modern(self: &Arc<Self>, about: &About<'_>) -> Reply {
        match about.ask(Method::TasksCancel, about.params(b"")).await {
            Err(fault) => about.refuse(&fault),
            Ok(Outcome::RpcError { error }) => match about.status().await {
                // It was over already, which the extension does not call an error.
                Ok(raw) if Task::read(&raw).is_some_and(|task| task.status.is_final()) => {
                    self.acknowledged(about.who)
                }
                _ => shape_error(error, CallKind::Task, Era::Modern),
            },
            Ok(_) => self.acknowledged(about.who),
        }
    }

    fn acknowledged(&self, who: &Who) -> Reply {
        Reply::Result(self.to_modern(who, CallKind::Task, Bytes::from_static(b"{}")))
    }

    /// The answer to a modern `tasks/get`.
    fn detailed(
        &self,
        who: &Who,
        task: &Task<'_>,
        shown: &str,
        status: Status,
        further: Option<(&str, &[u8])>,
    ) -> Reply {
        let mut out = vec![b'{'];
        out.extend_from_slice(&task.modern_members(shown, status));
        if let Some((member, raw)) = further {
            out.push(b',');
            object::push_str(&mut out, member);
            out.push(b':');
            out.extend_from_slice(raw);
        }
        out.push(b'}');
        Reply::Result(self.to_modern(who, CallKind::Task, out.into()))
    }

    /// The upstream's `tasks/result` for this task, begun where it is not under way yet.
    fn fetch(self: &Arc<Self>, about: &About<'_>) -> Result<Arc<Fetch>, Fault> {
        let key = fetch_key(about);
        let mut fetched = lock(&self.tasks.fetched);
        if let Some(fetch) = fetched.get(&key) {
            // One that broke off begins again.
            let is_broken = matches!(&*fetch.done.borrow(), Some(Reply::Error(code, _)) if *code == BROKEN);
            if !is_broken {
                return Ok(Arc::clone(fetch));
            }
        }
        let theirs = fetched.keys().filter(|(_, _, principal)| *principal == key.2).count();
        check_room(fetched.len(), theirs)?;
        let questions = Arc::new(Questions::default());
        let (sender, done) = watch::channel(None);
        let patience = self.settings().ask_timeout;
        let asks = Asks::Park(Arc::clone(&questions));
        let way = Way::new(Arc::default(), asks, Arc::clone(&about.who.peer), patience);
        way.lead_to(None);
        let way: Arc<dyn Downstream> = Arc::new(Related::new(Arc::new(way), None));
        let (door, who) = (Arc::clone(self), about.who.clone());
        let task = TaskRef {
            connection: about.task.connection.clone(),
            own: Arc::clone(&about.task.own),
            ..*about.task
        };
        let work = tokio::spawn(async move {
            let about = About { door: &door, who: &who, task: &task, way };
            let reply = match about.ask(Method::TasksResult, about.params(b"")).await {
                Err(fault) => Reply::Error(
                    BROKEN,
                    wire::error::object(RpcCode::INTERNAL, &fault.to_string(), None).into(),
                ),
                Ok(Outcome::RpcError { error }) => shape_error(error, CallKind::Task, Era::Modern),
                Ok(outcome) => {
                    let result = door.to_modern(&who, CallKind::Task, outcome.bytes().clone());
                    Reply::Result(door.place_uris(&who, &task.connection, result))
                }
            };
            sender.send_replace(Some(reply));
        });
        let fetch = Arc::new(Fetch { questions, done, work, until: Instant::now() + HELD_FOR + patience });
        fetched.insert(key, Arc::clone(&fetch));
        Ok(fetch)
    }
}

/// How a fetch that got no answer is told from one whose answer was an error.
const BROKEN: RpcCode = RpcCode(0);

fn fetch_key(about: &About<'_>) -> Fetched {
    let (task, caller) = (about.task, &about.who.caller);
    (task.connection.clone(), Arc::clone(&task.own), Arc::clone(&caller.principal))
}

fn check_room(all: usize, theirs: usize) -> Result<(), Fault> {
    if all >= HELD_MAX || theirs >= HELD_PER_CALLER_MAX {
        return Err(Fault::new(Code::BUSY, format!("{theirs} results of your tasks are held here already"))
            .with_hint("try again in ten minutes, or call without a task"));
    }
    Ok(())
}

fn flat_legacy(task: &Task<'_>, shown: &str) -> Bytes {
    let mut out = vec![b'{'];
    out.extend_from_slice(&task.legacy_members(shown, legacy_status(task)));
    out.push(b'}');
    out.into()
}

/// A tool that says it failed is `completed` in the extension and `failed` in 2025-11-25.
pub(crate) fn legacy_status(task: &Task<'_>) -> Status {
    let says_failed = || {
        let result = task.get("result").and_then(|raw| Object::scan(raw).ok());
        result.is_some_and(|result| result.is_true("isError"))
    };
    if task.status == Status::Completed && says_failed() { Status::Failed } else { task.status }
}
