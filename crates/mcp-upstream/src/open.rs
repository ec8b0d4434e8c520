//! The calls that are open on one channel or session: ids, answers, progress, and whom a server's question is for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use connector::{Abilities, AskError, Ctx, Downstream, Question};
use tokio::sync::{mpsc, oneshot};
use wire::object::quoted;
use wire::{Object, RpcCode, message, meta};

use crate::answer::Answer;
use crate::signals::Signals;
use crate::trouble::Trouble;

/// Questions that one call may have waiting.
const QUESTIONS_MAX: usize = 8;

/// A server's question on its way to a call. `id` is the server's own, raw.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: Bytes,
    pub(crate) question: Question,
}

/// The caller's side of an open call.
pub(crate) struct Side {
    downstream: Arc<dyn Downstream>,
    principal: Arc<str>,
    /// The token that the client gave, raw.
    client_token: Option<Bytes>,
    log_level: Option<Arc<str>>,
    /// Where questions go; `None` when this client can answer none.
    questions: Option<mpsc::Sender<Asked>>,
}

impl Side {
    /// The side of a call, and the queue its questions arrive in.
    pub(crate) fn of(ctx: &Ctx, client_token: Option<Bytes>) -> (Self, Option<mpsc::Receiver<Asked>>) {
        let (questions, asked) = if ctx.peer.abilities == Abilities::default() {
            (None, None)
        } else {
            let (sender, receiver) = mpsc::channel(QUESTIONS_MAX);
            (Some(sender), Some(receiver))
        };
        let side = Self {
            downstream: Arc::clone(&ctx.downstream),
            principal: Arc::clone(&ctx.caller.principal),
            client_token,
            log_level: ctx.peer.log_level.clone(),
            questions,
        };
        (side, asked)
    }
}

#[derive(Default)]
struct Call {
    /// Where the answer goes; `None` where it comes on the call's own stream.
    answer: Option<oneshot::Sender<Result<Answer, Trouble>>>,
    /// `None` for the hub's own requests.
    side: Option<Side>,
}

type Calls = HashMap<u64, Call, ahash::RandomState>;

/// The open calls.
#[derive(Default)]
pub(crate) struct OpenCalls {
    calls: Mutex<Calls>,
    next: AtomicU64,
}

/// What to do with a server's request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The call that it was handed to will answer.
    Later,
    /// Send this now.
    Now(Vec<u8>),
}

impl OpenCalls {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An id that no other call of this channel has.
    pub(crate) fn mint(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn open(
        &self,
        id: u64,
        answer: Option<oneshot::Sender<Result<Answer, Trouble>>>,
        side: Option<Side>,
    ) {
        self.lock().insert(id, Call { answer, side });
    }

    /// Forgets a call; true when it was still open.
    pub(crate) fn close(&self, id: u64) -> bool {
        self.lock().remove(&id).is_some()
    }

    /// True when a client's call is open; the hub's own requests do not count.
    pub(crate) fn is_busy(&self) -> bool {
        self.lock().values().any(|call| call.side.is_some())
    }

    /// Hands over an answer; false when nobody waits for it.
    pub(crate) fn answered(&self, raw_id: &[u8], answer: Result<Answer, Trouble>) -> bool {
        let Some(id) = id_of(raw_id) else { return false };
        let sender = self.lock().remove(&id).and_then(|call| call.answer);
        sender.is_some_and(|sender| sender.send(answer).is_ok())
    }

    /// An error without an id belongs to the only request there is, if there is only one.
    pub(crate) fn answered_only(&self, error: Bytes) -> bool {
        let mut calls = self.lock();
        let only = if calls.len() == 1 { calls.keys().next().copied() } else { None };
        let sender = only.and_then(|id| calls.remove(&id)).and_then(|call| call.answer);
        drop(calls);
        sender.is_some_and(|sender| sender.send(Ok(Answer::Error(error))).is_ok())
    }

    /// Ends all of them.
    pub(crate) fn fail_all(&self, trouble: &Trouble) {
        let calls = std::mem::take(&mut *self.lock());
        for sender in calls.into_values().filter_map(|call| call.answer) {
            let _ = sender.send(Err(trouble.clone()));
        }
    }

    /// Sorts a notification: progress to its call, log messages to those who asked, the rest to everyone.
    pub(crate) fn notification(&self, method: &str, params: Option<&[u8]>, signals: &Signals) {
        let is_ours = match method {
            meta_methods::PROGRESS => {
                self.progress(params.unwrap_or_default());
                true
            }
            meta_methods::MESSAGE => self.log(params.unwrap_or_default()),
            meta_methods::CANCELLED => {
                // A server tears down a listen so on byte streams; anything else named is not open.
                let id =
                    params.and_then(|raw| Object::scan(raw).ok()).and_then(|object| object.get("requestId"));
                if let Some(id) = id {
                    self.answered(id, Err(Trouble::BadAnswer("the server cancelled it".to_owned())));
                }
                true
            }
            _ => false,
        };
        if !is_ours && !signals.notification(method, params) {
            tracing::debug!(method, "a notification that means nothing here");
        }
    }

    fn progress(&self, params: &[u8]) {
        let Ok(object) = Object::scan(params) else { return };
        let Some(id) = object.get(meta::PROGRESS_TOKEN).and_then(id_of) else { return };
        let target =
            self.lock().get(&id).and_then(|call| call.side.as_ref()).and_then(|side| {
                side.client_token.clone().map(|token| (Arc::clone(&side.downstream), token))
            });
        if let Some((downstream, token)) = target {
            let renamed = object.edit(&[(meta::PROGRESS_TOKEN, Some(&token))]);
            downstream.notify(meta_methods::PROGRESS, renamed.into());
        }
    }

    /// Log messages of a shared channel name no call. They go to the open calls that asked for this level,
    /// but only while all open calls are the same principal's: a message may speak about a call.
    fn log(&self, params: &[u8]) -> bool {
        let level =
            Object::scan(params).ok().and_then(|o| o.get_str("level").map(std::borrow::Cow::into_owned));
        let targets: Vec<Arc<dyn Downstream>> = {
            let calls = self.lock();
            if !is_one_principal(&calls) {
                return false;
            }
            let wants = |side: &&Side| {
                side.log_level
                    .as_deref()
                    .is_some_and(|floor| severity(level.as_deref().unwrap_or("info")) >= severity(floor))
            };
            calls
                .values()
                .filter_map(|call| call.side.as_ref())
                .filter(wants)
                .map(|s| Arc::clone(&s.downstream))
                .collect()
        };
        for downstream in &targets {
            downstream.notify(meta_methods::MESSAGE, Bytes::copy_from_slice(params));
        }
        !targets.is_empty()
    }

    /// Finds the call that a server's request on a shared channel is for.
    pub(crate) fn request(&self, id: &[u8], method: &str, params: Option<&[u8]>) -> Reply {
        let refuse = |code, why: &str| Reply::Now(message::error(Some(id), code, why, None));
        match method {
            "ping" => return Reply::Now(message::response(id, b"{}")),
            "elicitation/create" | "sampling/createMessage" | "roots/list" => {}
            _ => return refuse(RpcCode::METHOD_NOT_FOUND, "the client does not serve this method"),
        }
        let questions = {
            let calls = self.lock();
            let newest = calls.iter().filter(|(_, call)| call.side.is_some()).max_by_key(|(id, _)| **id);
            let Some(side) = newest.and_then(|(_, call)| call.side.as_ref()) else {
                return refuse(RpcCode::INVALID_REQUEST, "no call is open that this could be asked for");
            };
            if !is_one_principal(&calls) {
                let why = "calls of several clients are open on this session, so it is unknown whom to ask";
                return refuse(RpcCode::INVALID_REQUEST, why);
            }
            side.questions.clone()
        };
        let Some(questions) = questions else {
            return refuse(RpcCode::METHOD_NOT_FOUND, "the calling client cannot answer this");
        };
        let asked = Asked { id: Bytes::copy_from_slice(id), question: question(method, params) };
        match questions.try_send(asked) {
            Ok(()) => Reply::Later,
            Err(_) => refuse(RpcCode::INTERNAL, "too many questions are open already"),
        }
    }
}

mod meta_methods {
    pub(super) const PROGRESS: &str = "notifications/progress";
    pub(super) const MESSAGE: &str = "notifications/message";
    pub(super) const CANCELLED: &str = "notifications/cancelled";
}

fn is_one_principal(calls: &Calls) -> bool {
    let mut sides = calls.values().filter_map(|call| call.side.as_ref());
    let Some(first) = sides.next() else { return true };
    sides.all(|side| side.principal == first.principal)
}

pub(crate) fn question(method: &str, params: Option<&[u8]>) -> Question {
    Question { method: method.into(), params: Bytes::copy_from_slice(params.unwrap_or(b"{}")) }
}

/// Asks the calling client, and makes the frame that answers the server.
pub(crate) async fn answer_question(downstream: Arc<dyn Downstream>, asked: Asked) -> Bytes {
    let id = Some(&asked.id[..]);
    let method = Arc::clone(&asked.question.method);
    match &*method {
        "ping" => return message::response(&asked.id, b"{}").into(),
        "elicitation/create" | "sampling/createMessage" | "roots/list" => {}
        _ => {
            let why = "the client does not serve this method";
            return message::error(id, RpcCode::METHOD_NOT_FOUND, why, None).into();
        }
    }
    match downstream.ask(asked.question).await {
        Ok(result) => message::response(&asked.id, &result),
        Err(AskError::Refused(error)) => message::error_raw(id, &error),
        Err(error @ AskError::Unable(_)) => {
            message::error(id, RpcCode::METHOD_NOT_FOUND, &error.to_string(), Some(&quoted(&method)))
        }
        Err(error @ AskError::NoAnswer) => message::error(id, RpcCode::INTERNAL, &error.to_string(), None),
    }
    .into()
}

/// Our own ids are integers; some servers send them back as text.
pub(crate) fn id_of(raw: &[u8]) -> Option<u64> {
    let digits = raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(raw);
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Order of log levels (RFC 5424).
pub(crate) fn severity(level: &str) -> usize {
    const LEVELS: [&str; 8] =
        ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
    LEVELS.iter().position(|known| *known == level).unwrap_or(1)
}
