//! Sessions of legacy clients.
//!
//! The id that a client gets is sealed and carries all that is needed to go on (revision, capabilities),
//! so that any node can serve it; it is bound to its caller and endpoint. What lives here beside it is
//! only what is under way: open calls, questions, subscriptions, the GET stream.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ahash::AHashMap;
use arc_swap::ArcSwap;
use bytes::Bytes;
use call::{AskError, Peer, Question};
use model::{Era, Key, hex};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wire::{Object, object};

use crate::Door;
use crate::door::Who;
use crate::events::WatchGuard;
use crate::outbox::Outbox;
use crate::resume::Streams;

/// How long a sealed session id opens, milliseconds.
const SESSION_AGE_MAX_MS: i64 = 24 * 3_600_000;
/// How long a session without a sign of life is kept in memory, milliseconds.
const IDLE_MAX_MS: i64 = 3_600_000;
/// Sessions in memory; past it the ones idle for longest have to be opened from their ids again.
const SESSIONS_MAX: usize = 100_000;
/// Ended ids that are remembered; past it the ones that expire first are forgotten.
const ENDED_MAX: usize = 500_000;
/// Questions open at once in one session.
const QUESTIONS_MAX: usize = 64;
/// Tasks of one session that its client hears of.
const TASKS_MAX: usize = 256;

/// What is under way with one legacy client.
pub(crate) struct Session {
    pub(crate) id: Arc<str>,
    principal: Arc<str>,
    endpoint: String,
    issued_ms: i64,
    peer: ArcSwap<Peer>,
    open: Mutex<AHashMap<Bytes, CancellationToken>>,
    waiting: Mutex<AHashMap<u64, oneshot::Sender<Result<Bytes, Bytes>>>>,
    next_question: AtomicU64,
    touched_ms: AtomicI64,
    /// The stream for what belongs to no call: the GET stream, or the byte stream itself.
    stream: Mutex<Option<Arc<Outbox>>>,
    is_stream_read: AtomicBool,
    pub(crate) watch: Mutex<Option<Arc<WatchGuard>>>,
    /// Tasks that its client has made: connection, the upstream's id, the client's id. The newest are told of.
    tasks: Mutex<VecDeque<(Key, Arc<str>, String)>>,
    pub(crate) streams: Streams,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Sessions {
    live: Mutex<AHashMap<Arc<str>, Arc<Session>>>,
    /// Ids (hashed) that were ended by their clients, until they would no longer open anyway.
    ended: Mutex<AHashMap<u64, i64>>,
    hashing: ahash::RandomState,
}

impl Session {
    fn new(id: Arc<str>, who: &Who, issued_ms: i64) -> Self {
        Self {
            id,
            principal: Arc::clone(&who.caller.principal),
            endpoint: who.endpoint.to_string(),
            issued_ms,
            peer: ArcSwap::new(Arc::clone(&who.peer)),
            open: Mutex::default(),
            waiting: Mutex::default(),
            next_question: AtomicU64::new(1),
            touched_ms: AtomicI64::new(issued_ms),
            stream: Mutex::default(),
            is_stream_read: AtomicBool::new(false),
            watch: Mutex::default(),
            tasks: Mutex::default(),
            streams: Streams::default(),
        }
    }

    /// Whether its client understands streams that end early and are polled (2025-11-25 on, over HTTP).
    pub(crate) fn can_poll(&self) -> bool {
        !self.id.is_empty() && self.peer().protocol_version.as_ref() >= "2025-11-25"
    }

    /// A session of a byte stream: it has no id, and ends with its connection.
    pub(crate) fn of_stream(who: &Who, outbox: &Arc<Outbox>) -> Arc<Self> {
        let session = Self::new("".into(), who, 0);
        session.set_stream(Some(Arc::clone(outbox)));
        Arc::new(session)
    }

    /// Remembers a task, so that its client hears how it goes.
    pub(crate) fn follow_task(&self, connection: Key, own: Arc<str>, shown: &str) {
        let mut tasks = lock(&self.tasks);
        if tasks.len() >= TASKS_MAX {
            tasks.pop_front();
        }
        tasks.push_back((connection, own, shown.to_owned()));
    }

    /// The client's id of an upstream's task.
    pub(crate) fn task(&self, connection: &Key, own: &str) -> Option<String> {
        let tasks = lock(&self.tasks);
        tasks.iter().find(|(key, id, _)| key == connection && **id == *own).map(|(_, _, shown)| shown.clone())
    }

    pub(crate) fn peer(&self) -> Arc<Peer> {
        self.peer.load_full()
    }

    /// `logging/setLevel`.
    pub(crate) fn set_log_level(&self, level: &str) {
        let mut peer = Peer::clone(&self.peer());
        peer.log_level = Some(level.into());
        self.peer.store(Arc::new(peer));
    }

    pub(crate) fn set_stream(&self, stream: Option<Arc<Outbox>>) {
        *lock(&self.stream) = stream;
    }

    pub(crate) fn stream(&self) -> Option<Arc<Outbox>> {
        lock(&self.stream).clone()
    }

    /// The right to read the stream; `None` while somebody has it. Given back when dropped.
    pub(crate) fn lease_stream(self: &Arc<Self>) -> Option<StreamLease> {
        let was_read = self.is_stream_read.swap(true, Ordering::AcqRel);
        (!was_read).then(|| StreamLease(Arc::clone(self)))
    }

    /// Remembers an open call, so that `notifications/cancelled` finds it. Ends with the guard.
    pub(crate) fn open_call(self: &Arc<Self>, id: &[u8]) -> OpenCall {
        let token = CancellationToken::new();
        let id = Bytes::copy_from_slice(id);
        lock(&self.open).insert(id.clone(), token.clone());
        OpenCall { session: Arc::clone(self), id, token }
    }

    /// `notifications/cancelled`: raw `requestId`.
    pub(crate) fn cancel(&self, request_id: &[u8]) {
        if let Some(token) = lock(&self.open).get(request_id) {
            token.cancel();
        }
    }

    /// Asks the client over `outbox` and waits for its answer.
    pub(crate) async fn ask(
        &self,
        outbox: &Outbox,
        question: &Question,
        patience: Duration,
    ) -> Result<Bytes, AskError> {
        let number = self.next_question.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = lock(&self.waiting);
            if waiting.len() >= QUESTIONS_MAX {
                return Err(AskError::NoAnswer);
            }
            waiting.insert(number, sender);
        }
        let _forget = Forget { session: self, number };
        let id = format!("\"tl-{number}\"");
        outbox.push(wire::message::request(id.as_bytes(), &question.method, &question.params).into());
        match tokio::time::timeout(patience, receiver).await {
            Ok(Ok(answer)) => answer.map_err(AskError::Refused),
            _ => Err(AskError::NoAnswer),
        }
    }

    /// An answer of the client to one of our questions; `false` when there was no such question.
    pub(crate) fn answer(&self, id: &[u8], answer: Result<Bytes, Bytes>) -> bool {
        let number =
            object::as_str(id).and_then(|text| text.strip_prefix("tl-").and_then(|n| n.parse::<u64>().ok()));
        let sender = number.and_then(|number| lock(&self.waiting).remove(&number));
        sender.is_some_and(|sender| sender.send(answer).is_ok())
    }

    fn touch(&self, now_ms: i64) {
        self.touched_ms.store(now_ms, Ordering::Relaxed);
    }
}

/// The right to read a session's stream.
pub(crate) struct StreamLease(Arc<Session>);

impl Drop for StreamLease {
    fn drop(&mut self) {
        self.0.is_stream_read.store(false, Ordering::Release);
    }
}

/// An open call of a legacy client.
pub(crate) struct OpenCall {
    session: Arc<Session>,
    id: Bytes,
    pub(crate) token: CancellationToken,
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        lock(&self.session.open).remove(&self.id);
    }
}

struct Forget<'a> {
    session: &'a Session,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.session.waiting).remove(&self.number);
    }
}

impl Sessions {
    fn remember_ended(&self, session: &Session) {
        let mut ended = lock(&self.ended);
        if ended.len() >= ENDED_MAX {
            let mut until: Vec<i64> = ended.values().copied().collect();
            let (_, median, _) = until.select_nth_unstable(ENDED_MAX / 2);
            let median = *median;
            ended.retain(|_, until| *until > median);
        }
        ended.insert(self.hashing.hash_one(&*session.id), session.issued_ms + SESSION_AGE_MAX_MS);
    }
}

impl Door {
    /// A new session for a client that has just been greeted.
    pub(crate) fn start_session(&self, who: &Who) -> Option<Arc<Session>> {
        let now = self.parts().clock.now().0;
        let mut nonce = [0; 16];
        self.parts().entropy.fill(&mut nonce);
        let peer = &who.peer;
        let info = peer.client_info.as_deref().unwrap_or(b"null");
        let mut plain =
            format!("{{\"t\":{now},\"n\":\"{}\",\"v\":\"{}\",\"c\":", hex(&nonce), peer.protocol_version)
                .into_bytes();
        plain.extend_from_slice(&peer.capabilities);
        plain.extend_from_slice(b",\"i\":");
        plain.extend_from_slice(info);
        plain.push(b'}');
        let id: Arc<str> = self.parts().sealer.seal("session", &binding(who), &plain).ok()?.into();
        let session = Arc::new(Session::new(id, who, now));
        self.keep(&session);
        Some(session)
    }

    /// The session of that id, if it is this caller's, of this endpoint, and not over.
    pub(crate) fn find_session(&self, who: &Who, id: &str) -> Option<Arc<Session>> {
        let now = self.parts().clock.now().0;
        if let Some(session) = lock(&self.sessions.live).get(id) {
            let is_theirs =
                session.principal == who.caller.principal && session.endpoint == who.endpoint.to_string();
            if !is_theirs || now - session.issued_ms > SESSION_AGE_MAX_MS {
                return None;
            }
            session.touch(now);
            return Some(Arc::clone(session));
        }
        if lock(&self.sessions.ended).contains_key(&self.sessions.hashing.hash_one(id)) {
            return None;
        }
        let plain = self.parts().sealer.open("session", &binding(who), id).ok()?;
        let body = Bytes::from(plain);
        let state = Object::scan(&body).ok()?;
        let issued: i64 = std::str::from_utf8(state.get("t")?).ok()?.parse().ok()?;
        if now - issued > SESSION_AGE_MAX_MS {
            return None;
        }
        let capabilities = crate::peer::slice_of(&body, state.get("c")?);
        let peer = Peer {
            era: Some(Era::Legacy),
            protocol_version: state.get_str("v")?.into(),
            client_info: state.get("i").filter(|i| *i != b"null").map(|i| crate::peer::slice_of(&body, i)),
            abilities: crate::peer::abilities(&capabilities),
            capabilities,
            log_level: None,
        };
        let who = Who { peer: Arc::new(peer), ..who.clone() };
        let session = Arc::new(Session::new(id.into(), &who, issued));
        session.touch(now);
        self.keep(&session);
        Some(session)
    }

    /// DELETE: the client is done with it.
    pub(crate) fn end_session(&self, session: &Session) {
        lock(&self.sessions.live).remove(&session.id);
        self.sessions.remember_ended(session);
        if let Some(stream) = session.stream() {
            stream.close();
        }
        for token in lock(&session.open).values() {
            token.cancel();
        }
        lock(&session.watch).take();
    }

    fn keep(&self, session: &Arc<Session>) {
        let mut live = lock(&self.sessions.live);
        if live.len() >= SESSIONS_MAX {
            let mut idle: Vec<_> =
                live.values().map(|s| (s.touched_ms.load(Ordering::Relaxed), Arc::clone(&s.id))).collect();
            idle.sort_unstable();
            for (_, id) in idle.into_iter().take(SESSIONS_MAX / 10) {
                live.remove(&id);
            }
        }
        live.insert(Arc::clone(&session.id), Arc::clone(session));
    }
}

/// Lets go of sessions that nobody uses, once a minute.
pub(crate) async fn sweep(door: Weak<Door>) {
    loop {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let Some(door) = door.upgrade() else { return };
        let now = door.parts().clock.now().0;
        lock(&door.sessions.live).retain(|_, session| {
            let is_busy = session.is_stream_read.load(Ordering::Acquire) || !lock(&session.open).is_empty();
            is_busy || now - session.touched_ms.load(Ordering::Relaxed) < IDLE_MAX_MS
        });
        lock(&door.sessions.ended).retain(|_, until| *until > now);
        door.parking.sweep();
        door.tasks.sweep();
    }
}

fn binding(who: &Who) -> String {
    format!("{} {}", who.caller.principal, who.endpoint)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
