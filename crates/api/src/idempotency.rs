//! `Idempotency-Key`: the same request, sent again, is answered with what the first one got.
//!
//! For calls a key counts per principal, connection and tool, for everything else that changes something
//! per principal. It is claimed in the store before the work begins, and the answer is kept there, sealed,
//! for 24 hours: a restart and other nodes know it. On the node where the first request runs, others with
//! its key wait for it; elsewhere they are told to (409). A different request under the same key is refused
//! (422). The work goes on when its client leaves. What certainly did nothing (a refusal, an unreachable
//! upstream) is not remembered, so that it can be tried again with the same key. What was begun and never
//! answered (the hub was killed) and answers that are too large to keep are not done again either (409).
//!
//! Bounds: [`RUNNING_MAX`] at once and [`CLAIMS_PER_DAY_MAX`] in 24 hours, on each node.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use model::id::CallId;
use model::{Caller, Clock, Code, Fault, Retry, Sealer, Timestamp, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store::{Claim, RESPONSE_LEN_MAX, RequestCommand, RequestKey, RequestRow, Store, StoreError};
use tokio::sync::watch;

use crate::app::App;
use crate::body;
use crate::rescue::Problem;

/// How long an answer is remembered.
const KEEP_MS: i64 = 24 * HOUR_MS;
const HOUR_MS: i64 = 60 * 60 * 1000;
/// How many requests with a key run at once.
const RUNNING_MAX: usize = 10_000;
/// How many keys may be used in 24 hours: each is a row of the store.
const CLAIMS_PER_DAY_MAX: usize = 1_000_000;
/// The longest key, bytes.
const KEY_LEN_MAX: usize = 255;

/// Says that an answer is the one that an earlier request with the same key got.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The headers that are part of an answer.
const KEPT_HEADERS: [HeaderName; 4] = [CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER];
const SEALED_AS: &str = "idempotency";

/// Extension of an answer that says: for certain, nothing was done.
#[derive(Clone, Copy)]
pub(crate) struct DidNothing;

/// What a request asks for: the same key for something else is a mistake.
pub(crate) type Digest = [u8; 32];

/// One answer, as it can be given more than once.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    call_id: Option<CallId>,
    did_nothing: bool,
}

/// How an answer stands in the store, before its body and a line feed.
#[derive(Serialize, Deserialize)]
struct Head {
    /// Absent when the answer was too large to keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<CallId>,
}

/// What those who wait are told: the answer or why there is none, and whether it comes from the store.
type Told = Arc<(Result<Answer, Problem>, bool)>;

/// See the head of the file.
pub(crate) struct Idempotency {
    store: Arc<dyn Store>,
    sealer: Arc<dyn Sealer>,
    clock: Arc<dyn Clock>,
    here: Mutex<Here>,
}

/// What this node does.
#[derive(Default)]
struct Here {
    running: BTreeMap<RequestKey, Running>,
    /// How many keys were claimed in which hour, oldest first.
    claims: VecDeque<(i64, usize)>,
}

struct Running {
    digest: Digest,
    call_id: Option<CallId>,
    told: watch::Receiver<Option<Told>>,
}

/// The key in the headers.
///
/// # Errors
/// It is not one value of 1 to 255 visible ASCII characters.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key =
        value.to_str().ok().filter(|key| (1..=KEY_LEN_MAX).contains(&key.len()) && values.next().is_none());
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::bad_message(
            format!("Idempotency-Key has to be one value of 1 to {KEY_LEN_MAX} visible ASCII characters"),
            "use a fresh UUID per request",
        )),
    }
}

/// Which request a key stands for: `scope` keeps the keys of different kinds of requests apart.
pub(crate) fn slot(caller: &Caller, scope: &[&str], key: &str) -> RequestKey {
    let mut parts = scope.to_vec();
    parts.push(key);
    // Not under the master key, unlike what is asked for: a changed key does not make old requests new.
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let key = hex(&hash.finalize());
    RequestKey { workspace: caller.owner.workspace, caller: caller.principal.to_string(), key }
}

/// The layer of every route that changes something, calls aside: those have a scope of their own.
pub(crate) async fn layer(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(key) = key_of(request.headers())? else { return Ok(next.run(request).await) };
    let Some(caller) = request.extensions().get::<Arc<Caller>>().cloned() else {
        return Err(Problem::new(Code::BUG, "an idempotency key needs a caller, and this route has none"));
    };
    let (head, body) = request.into_parts();
    let body = body::read(body, app.parts.settings.body_bytes_max).await?;
    let target = head.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let condition = head.headers.get(IF_MATCH).map_or(&[][..], HeaderValue::as_bytes);
    let parts = [head.method.as_str().as_bytes(), target.as_bytes(), condition, &body];
    let digest = app.idempotency.digest(&parts);
    let request = Request::from_parts(head, Body::from(body));
    let work = async move { Answer::of(next.run(request).await, None).await };
    app.idempotency.once(slot(&caller, &["api"], &key), digest, None, work).await
}

/// Whether the fault says for certain that nothing was done: the hub refused before it began, or the
/// upstream was not reached.
pub(crate) const fn did_nothing(fault: &Fault) -> bool {
    matches!(fault.retry, Retry::Safe | Retry::AfterMs(_))
        || matches!(fault.code.0, 1000..=1399 | 1407 | 1409 | 1410 | 1501)
}

// === impl Answer ===

impl Answer {
    /// Reads a response into one that can be given again. The body is in memory already: nothing that
    /// changes something answers with a stream.
    pub(crate) async fn of(response: Response, call_id: Option<CallId>) -> Self {
        let (head, body) = response.into_parts();
        let did_nothing = head.extensions.get::<DidNothing>().is_some();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Self { status: head.status, headers: head.headers, body, call_id, did_nothing }
    }

    fn respond(&self, is_replayed: bool) -> Response {
        let mut response = (self.status, self.headers.clone(), self.body.clone()).into_response();
        if is_replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }

    /// As it is kept: the whole, or when that is too large only that there was one.
    fn to_bytes(&self) -> Vec<u8> {
        let headers = KEPT_HEADERS.iter().filter_map(|name| {
            let value = self.headers.get(name)?.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        });
        let status = Some(self.status.as_u16());
        let head = Head { status, headers: headers.collect(), call_id: self.call_id };
        let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// `Ok(Err(_))` is an answer that was too large to keep, with the call it was for.
    fn from_bytes(bytes: &[u8]) -> Option<Result<Self, Option<CallId>>> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head: Head = serde_json::from_slice(bytes.get(..end)?).ok()?;
        let Some(status) = head.status else { return Some(Err(head.call_id)) };
        let mut headers = HeaderMap::new();
        for (name, value) in head.headers {
            headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        Some(Ok(Self {
            status: StatusCode::from_u16(status).ok()?,
            headers,
            body: Bytes::copy_from_slice(bytes.get(end + 1..)?),
            call_id: head.call_id,
            did_nothing: false,
        }))
    }
}

// === impl Idempotency ===

impl Idempotency {
    pub(crate) fn new(store: Arc<dyn Store>, sealer: Arc<dyn Sealer>, clock: Arc<dyn Clock>) -> Self {
        Self { store, sealer, clock, here: Mutex::default() }
    }

    /// What a request asks for. Keyed: bodies hold secrets, and the store is to tell nobody which.
    pub(crate) fn digest(&self, parts: &[&[u8]]) -> Digest {
        self.sealer.digest(SEALED_AS, parts)
    }

    /// Does `work`, unless the first request of `key` is here already; then its answer comes.
    ///
    /// # Errors
    /// The key was used for something else, its answer is not to be had, or the store refuses.
    pub(crate) async fn once(
        self: &Arc<Self>,
        key: RequestKey,
        digest: Digest,
        call_id: Option<CallId>,
        work: impl Future<Output = Answer> + Send + 'static,
    ) -> Result<Response, Problem> {
        let (mut told, is_joined) = self.enter(key, digest, call_id, work)?;
        let found = told.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        let Some(found) = found else {
            // Only a task that panicked, or was shut down with its runtime, ends without an answer.
            let lost = Fault::new(Code::BUG, "the request ended without an answer")
                .with_retry(Retry::OutcomeUnknown);
            let lost = Problem::from(lost);
            return Err(if let Some(id) = call_id { lost.with_call(id) } else { lost });
        };
        let (answer, is_stored) = &*found;
        answer.as_ref().map(|answer| answer.respond(is_joined || *is_stored)).map_err(Clone::clone)
    }

    fn enter(
        self: &Arc<Self>,
        key: RequestKey,
        digest: Digest,
        call_id: Option<CallId>,
        work: impl Future<Output = Answer> + Send + 'static,
    ) -> Result<(watch::Receiver<Option<Told>>, bool), Problem> {
        let now = self.clock.now();
        let mut here = self.lock();
        if let Some(running) = here.running.get(&key) {
            if running.digest != digest {
                return Err(other_request(running.call_id));
            }
            return Ok((running.told.clone(), true));
        }
        here.make_room(now)?;
        let (sender, told) = watch::channel(None);
        here.running.insert(key.clone(), Running { digest, call_id, told: told.clone() });
        drop(here);
        let leaving = Leaving { of: Arc::clone(self), key: key.clone() };
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let told = this.run(&key, digest, now, work).await;
            // First out of the map, then told: whoever comes now finds the answer in the store.
            drop(leaving);
            sender.send_replace(Some(Arc::new(told)));
        });
        Ok((told, false))
    }

    /// Claims the key, works, and keeps the answer; or finds what is kept.
    async fn run(
        &self,
        key: &RequestKey,
        digest: Digest,
        now: Timestamp,
        work: impl Future<Output = Answer> + Send,
    ) -> (Result<Answer, Problem>, bool) {
        let expires_at = Timestamp(now.0.saturating_add(KEEP_MS));
        let row = RequestRow { key: key.clone(), digest, response: None, created_at: now, expires_at };
        match self.store.claim_request(row, now).await {
            Ok(Claim::Ours) => {}
            Ok(Claim::Before(row)) => return (self.open(row, digest), true),
            Err(StoreError::Claimed) => {
                let busy = Fault::new(Code::BUSY, "another request with this Idempotency-Key ended just now");
                return (Err(busy.with_hint("send it again").into()), false);
            }
            Err(error) => return (Err(error.into()), false),
        }
        let answer = work.await;
        let command = if answer.did_nothing {
            RequestCommand::Abandon { key: key.clone(), digest }
        } else {
            match self.seal(key, &answer) {
                Some(response) => RequestCommand::Finish { key: key.clone(), digest, response, expires_at },
                None => return (Ok(answer), false),
            }
        };
        if let Err(error) = self.store.change_request(command).await {
            tracing::warn!(%error, "the answer to a request with an Idempotency-Key could not be kept");
        }
        (Ok(answer), false)
    }

    /// `None` when it cannot be sealed: then the key stays used, without an answer.
    fn seal(&self, key: &RequestKey, answer: &Answer) -> Option<Vec<u8>> {
        let seal = |plain: &[u8]| self.sealer.seal(SEALED_AS, &bound_to(key), plain).ok();
        let whole = seal(&answer.to_bytes())?;
        if whole.len() <= RESPONSE_LEN_MAX {
            return Some(whole.into_bytes());
        }
        let head = Head { status: None, headers: BTreeMap::new(), call_id: answer.call_id };
        let mut bytes = serde_json::to_vec(&head).ok()?;
        bytes.push(b'\n');
        seal(&bytes).map(String::into_bytes)
    }

    /// The answer that is kept, where the same was asked.
    fn open(&self, row: RequestRow, digest: Digest) -> Result<Answer, Problem> {
        let is_answered = row.response.is_some();
        let opened = row
            .response
            .and_then(|response| String::from_utf8(response).ok())
            .and_then(|text| self.sealer.open(SEALED_AS, &bound_to(&row.key), &text).ok())
            .and_then(|bytes| Answer::from_bytes(&bytes));
        if row.digest != digest {
            let call_id =
                opened.and_then(|kept| kept.map_or_else(|call_id| call_id, |answer| answer.call_id));
            return Err(other_request(call_id));
        }
        match opened {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(call_id)) => Err(gone(call_id)),
            // Sealed under a master key that is no more.
            None if is_answered => Err(gone(None)),
            None => Err(unanswered(row.created_at)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bound_to(key: &RequestKey) -> String {
    format!("{}\n{}\n{}", key.workspace, key.caller, key.key)
}

fn other_request(call_id: Option<CallId>) -> Problem {
    let fault = Fault::new(Code::KEY_REUSED, "this Idempotency-Key was used with another request")
        .with_hint("use a fresh key for every different request");
    with_call(fault.into(), call_id)
}

fn unanswered(since: Timestamp) -> Problem {
    let detail = format!(
        "a request with this Idempotency-Key was begun at {} and has no answer yet: it runs on another node, \
         or was interrupted",
        since.to_rfc3339()
    );
    let fault = Fault::new(Code::KEY_REUSED, detail)
        .with_hint(
            "ask again in a moment; when it stays so, look at what it did (calls: /api/v1/calls) before \
             sending it with a fresh key",
        )
        .with_retry(Retry::OutcomeUnknown);
    Problem::from(fault).with_status(StatusCode::CONFLICT)
}

fn gone(call_id: Option<CallId>) -> Problem {
    let fault = Fault::new(
        Code::KEY_REUSED,
        "the request with this Idempotency-Key was done; its answer is not held",
    )
    .with_hint(
        "look at what it did (calls: `call_id` under /api/v1/calls) before sending it with a fresh key",
    );
    with_call(Problem::from(fault).with_status(StatusCode::CONFLICT), call_id)
}

fn with_call(problem: Problem, call_id: Option<CallId>) -> Problem {
    match call_id {
        Some(id) => problem.with_call(id),
        None => problem,
    }
}

/// Takes a request out of the map, also when its task panics.
struct Leaving {
    of: Arc<Idempotency>,
    key: RequestKey,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.of.lock().running.remove(&self.key);
    }
}

// === impl Here ===

impl Here {
    /// Counts one more, or says that there are too many.
    fn make_room(&mut self, now: Timestamp) -> Result<(), Problem> {
        let hour = now.0.div_euclid(HOUR_MS);
        while self.claims.front().is_some_and(|(then, _)| hour - then >= 24) {
            self.claims.pop_front();
        }
        let (what, hint) = if self.running.len() >= RUNNING_MAX {
            (
                format!("{RUNNING_MAX} requests with an Idempotency-Key are running already"),
                "try again shortly",
            )
        } else if self.claims.iter().map(|(_, count)| count).sum::<usize>() >= CLAIMS_PER_DAY_MAX {
            (
                format!("{CLAIMS_PER_DAY_MAX} requests with an Idempotency-Key were made in 24 hours"),
                "use keys only where sending twice would do harm",
            )
        } else {
            match self.claims.back_mut() {
                Some((then, count)) if *then == hour => *count += 1,
                _ => self.claims.push_back((hour, 1)),
            }
            return Ok(());
        };
        Err(Fault::new(Code::BUSY, what).with_hint(hint).into())
    }
}

#[cfg(test)]
mod tests {
    use model::{Code, Timestamp};

    use super::{CLAIMS_PER_DAY_MAX, HOUR_MS, Here};

    #[test]
    fn so_many_keys_a_day_and_no_more() {
        let mut here = Here::default();
        here.make_room(Timestamp(0)).unwrap();
        here.claims.back_mut().unwrap().1 = CLAIMS_PER_DAY_MAX - 1;
        here.make_room(Timestamp(5 * HOUR_MS)).unwrap();
        let refused = here.make_room(Timestamp(24 * HOUR_MS - 1)).unwrap_err();
        assert_eq!(refused.fault().code, Code::BUSY);
        here.make_room(Timestamp(24 * HOUR_MS)).unwrap();
        assert_eq!(here.claims.len(), 2, "the first hour is forgotten");
    }
}
