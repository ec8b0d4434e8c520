//! Modern clients of legacy upstreams: a question from the upstream becomes an `input_required` answer, and
//! the upstream's call waits in the parking lot until the client comes back with what was asked.
//!
//! Parked calls are of this node and this process: the state that the client carries says which one, sealed
//! and bound to the caller and to what was called. Bounded in number and time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ahash::AHashMap;
use bytes::Bytes;
use call::{AskError, Question};
use model::{Code, Fault};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wire::{Object, object};

use crate::Door;
use crate::bridge::Way;
use crate::door::Who;
use crate::outbox::Outbox;
use crate::rescue::Reply;
use crate::session::lock;

/// What our own states begin with; an upstream's state passes through verbatim.
const STATE_PREFIX: &str = "tlp.";
/// Calls parked at once on this node.
const PARKED_MAX: usize = 4096;
/// Calls parked at once for one caller.
const PARKED_PER_CALLER_MAX: usize = 64;

/// Questions of one call that wait for the client.
#[derive(Default)]
pub(crate) struct Questions {
    posed: Mutex<BTreeMap<String, Posed>>,
    next: AtomicU64,
    changed: Notify,
}

struct Posed {
    question: Question,
    answer: oneshot::Sender<Bytes>,
}

/// A call that runs on its own and may be parked. Dropped = cancelled.
pub(crate) struct AskableCall {
    task: JoinHandle<Reply>,
    questions: Arc<Questions>,
    way: Arc<Way>,
    /// What was called; a retry has to be for the same.
    subject: String,
    principal: Arc<str>,
    until: Instant,
}

/// Where calls wait.
#[derive(Default)]
pub(crate) struct ParkingLot(Mutex<AHashMap<u128, AskableCall>>);

impl Questions {
    pub(crate) async fn ask(&self, question: Question, patience: Duration) -> Result<Bytes, AskError> {
        let (sender, receiver) = oneshot::channel();
        // Keys are never used twice within a call.
        let key =
            format!("{}-{}", short_name(&question.method), self.next.fetch_add(1, Ordering::Relaxed) + 1);
        lock(&self.posed).insert(key.clone(), Posed { question, answer: sender });
        self.changed.notify_one();
        let answer = tokio::time::timeout(patience, receiver).await;
        lock(&self.posed).remove(&key);
        answer.ok().and_then(Result::ok).ok_or(AskError::NoAnswer)
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.posed).is_empty()
    }

    /// Waits until there is a question.
    pub(crate) async fn posed(&self) {
        while lock(&self.posed).is_empty() {
            self.changed.notified().await;
        }
    }

    /// Hands over the answers that are there; true when no question is left.
    pub(crate) fn answer(&self, responses: Option<&Object<'_>>) -> bool {
        let mut posed = lock(&self.posed);
        let answered: Vec<String> =
            posed.keys().filter(|key| responses.is_some_and(|r| r.get(key).is_some())).cloned().collect();
        for key in answered {
            if let (Some(question), Some(answer)) = (posed.remove(&key), responses.and_then(|r| r.get(&key)))
            {
                let _ = question.answer.send(Bytes::copy_from_slice(answer));
            }
        }
        posed.is_empty()
    }

    /// The `inputRequests` object of all open questions.
    pub(crate) fn requests(&self) -> Vec<u8> {
        let mut out = Vec::from(*b"{");
        for (n, (key, posed)) in lock(&self.posed).iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            object::push_str(&mut out, key);
            out.extend_from_slice(b":{\"method\":");
            object::push_str(&mut out, &posed.question.method);
            out.extend_from_slice(b",\"params\":");
            out.extend_from_slice(&without_elicitation_id(&posed.question));
            out.push(b'}');
        }
        out.push(b'}');
        out
    }
}

impl AskableCall {
    /// Starts `work` on its own, so that it can outlive the request that began it.
    pub(crate) fn start(
        who: &Who,
        subject: String,
        questions: Arc<Questions>,
        way: Arc<Way>,
        patience: Duration,
        work: impl Future<Output = Reply> + Send + 'static,
    ) -> Self {
        Self {
            task: tokio::spawn(work),
            questions,
            way,
            subject,
            principal: Arc::clone(&who.caller.principal),
            until: Instant::now() + patience,
        }
    }
}

impl Drop for AskableCall {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ParkingLot {
    /// Drops what nobody came back for.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        lock(&self.0).retain(|_, call| call.until > now);
    }
}

impl Door {
    /// Goes on with a call until it is done or has a question.
    pub(crate) async fn drive(&self, who: &Who, mut call: AskableCall) -> Reply {
        let questions = Arc::clone(&call.questions);
        tokio::select! {
            biased;
            done = &mut call.task => done.unwrap_or_else(|_| {
                Reply::error(wire::RpcCode::INTERNAL, "the call ended unexpectedly [TL-1901]")
            }),
            () = questions.posed() => self.park(who, call),
        }
    }

    fn park(&self, who: &Who, mut call: AskableCall) -> Reply {
        let mut number = [0; 16];
        self.parts().entropy.fill(&mut number);
        let binding = binding(&call.principal, &call.subject);
        let Ok(state) = self.parts().sealer.seal("park", &binding, &number) else {
            return Reply::error(wire::RpcCode::INTERNAL, "the state could not be sealed [TL-1901]");
        };
        call.way.lead_to(None);
        call.until = Instant::now() + self.settings().ask_timeout;
        let requests = call.questions.requests();
        {
            let mut parked = lock(&self.parking.0);
            let theirs = parked.values().filter(|p| p.principal == call.principal).count();
            if parked.len() >= PARKED_MAX || theirs >= PARKED_PER_CALLER_MAX {
                let fault =
                    Fault::new(Code::BUSY, format!("{theirs} of your calls already wait for an answer"))
                        .with_hint("answer or abandon the open ones first");
                return crate::rescue::reply(&fault, None, model::Era::Modern);
            }
            parked.insert(u128::from_le_bytes(number), call);
        }
        let mut out = Vec::from(*b"{\"resultType\":\"input_required\",\"inputRequests\":");
        out.extend_from_slice(&requests);
        out.extend_from_slice(b",\"requestState\":");
        object::push_str(&mut out, &format!("{STATE_PREFIX}{state}"));
        out.extend_from_slice(b",\"_meta\":{\"");
        out.extend_from_slice(wire::meta::SERVER_INFO.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(&self.server_info(who));
        out.extend_from_slice(b"}}");
        Reply::Result(out.into())
    }

    /// A request that carries one of our states: goes on with the parked call. `None` = the state is not ours.
    pub(crate) async fn resume(
        &self,
        who: &Who,
        subject: &str,
        params: &Object<'_>,
        outbox: &Arc<Outbox>,
    ) -> Option<Reply> {
        let state = params.get_str("requestState")?;
        let sealed = state.strip_prefix(STATE_PREFIX)?;
        let stale = || {
            let fault = Fault::new(
                Code::STALE_STATE,
                "`requestState` is unknown, expired, or was made for another call",
            )
            .with_hint("call again without requestState and inputResponses");
            crate::rescue::reply(&fault, None, model::Era::Modern)
        };
        let opened = self.parts().sealer.open("park", &binding(&who.caller.principal, subject), sealed).ok();
        let number = opened.and_then(|plain| <[u8; 16]>::try_from(plain).ok()).map(u128::from_le_bytes);
        let Some(call) = number.and_then(|number| lock(&self.parking.0).remove(&number)) else {
            return Some(stale());
        };
        if call.until <= Instant::now() {
            return Some(stale());
        }
        let responses = params.get("inputResponses").and_then(|raw| Object::scan(raw).ok());
        if !call.questions.answer(responses.as_ref()) {
            // Something is still unanswered: it is asked again rather than called an error.
            return Some(self.park(who, call));
        }
        call.way.lead_to(Some(Arc::clone(outbox)));
        Some(self.drive(who, call).await)
    }
}

fn binding(principal: &str, subject: &str) -> String {
    format!("{principal} {subject}")
}

fn short_name(method: &str) -> &str {
    method.split('/').next().unwrap_or("question")
}

/// 2026-07-28 has no `elicitationId`.
fn without_elicitation_id(question: &Question) -> Bytes {
    match Object::scan(&question.params) {
        Ok(params) if params.get("elicitationId").is_some() => params.edit(&[("elicitationId", None)]).into(),
        _ => question.params.clone(),
    }
}
