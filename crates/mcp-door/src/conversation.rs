//! One client on a byte stream (stdio, TCP, Unix socket), a WebSocket, or the legacy HTTP+SSE pair: both
//! directions on one channel, messages of both eras side by side.

use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ahash::AHashMap;
use bytes::Bytes;
use call::Peer;
use model::{Caller, Code, Era, Fault, Secret};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wire::{Envelope, Incoming, Malformed, Meta, Method, Object, RpcCode, version};

use crate::Door;
use crate::door::Who;
use crate::endpoint::Endpoint;
use crate::http::take_in;
use crate::outbox::Outbox;
use crate::peer;
use crate::rescue::Reply;
use crate::session::{Session, lock};
use crate::standing::Listed;

/// How long a key counts as good without being looked at, milliseconds.
const RECHECK_MS: i64 = 1000;
/// Listen streams on one conversation.
const LISTENS_MAX: usize = 16;

/// What is left to do for a message: the transport polls it beside its reading.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The state of one conversation. Its end (drop) cancels what is under way, because the transport owns the tasks.
pub(crate) struct Conversation {
    door: Arc<Door>,
    caller: Arc<Caller>,
    /// What every request is checked with again, because keys are revoked; `None` where each message is let in
    /// by itself, or no key is needed.
    key: Option<Secret>,
    /// Under which epoch of the keys, and when, it was last good.
    checked: (AtomicU64, AtomicI64),
    endpoint: Endpoint,
    /// Places for listen streams.
    listens: Semaphore,
    pub(crate) outbox: Arc<Outbox>,
    _listed: Listed,
    session: Mutex<Option<Arc<Session>>>,
    /// Open modern requests by raw id: what `notifications/cancelled` may name. They are this channel's own.
    open: Mutex<AHashMap<Bytes, CancellationToken>>,
}

impl Conversation {
    pub(crate) fn new(
        door: &Arc<Door>,
        caller: Arc<Caller>,
        key: Option<Secret>,
        endpoint: Endpoint,
    ) -> Arc<Self> {
        let outbox = Arc::default();
        let listed = door.list_stream(&caller, &outbox);
        Arc::new(Self {
            door: Arc::clone(door),
            caller,
            key,
            checked: (AtomicU64::new(u64::MAX), AtomicI64::new(0)),
            endpoint,
            listens: Semaphore::new(LISTENS_MAX),
            outbox,
            _listed: listed,
            session: Mutex::default(),
            open: Mutex::default(),
        })
    }

    /// Takes in one frame. What wants work is handed back; all else is done at once.
    pub(crate) fn take(self: &Arc<Self>, frame: &Bytes) -> Option<Task> {
        match Incoming::parse(frame) {
            Err(malformed) => {
                let code = match malformed {
                    Malformed::NotJson(_) => RpcCode::PARSE,
                    Malformed::NotRpc(_) => RpcCode::INVALID_REQUEST,
                };
                self.say(wire::message::error(None, code, &malformed.to_string(), None));
                None
            }
            Ok(Incoming::Batch(_)) => {
                self.say(wire::message::error(
                    None,
                    RpcCode::INVALID_REQUEST,
                    "batches are not served on this transport",
                    None,
                ));
                None
            }
            Ok(Incoming::One(Envelope::Request { id, method, params })) => {
                if let Err(fault) = self.check_key() {
                    self.say(wire::message::error(Some(id), RpcCode::INTERNAL, &fault.to_string(), None));
                    self.outbox.close();
                    return None;
                }
                let id = peer::slice_of(frame, id);
                let params =
                    params.map_or_else(|| Bytes::from_static(b"{}"), |raw| peer::slice_of(frame, raw));
                // Taken apart once: at a hundred thousand messages a second every pass over one counts.
                let object = Object::scan(&params).ok();
                match object.as_ref().and_then(|object| Meta::of(object).ok()).filter(|meta| meta.is_claim) {
                    Some(meta) => self.modern(id, &method, &params, &meta),
                    None => self.legacy(id, &method, params.clone()),
                }
            }
            Ok(Incoming::One(other)) => {
                self.note(other, frame);
                None
            }
        }
    }

    /// Keys are revoked and run out: the one that opened this conversation has to be good still. It is looked
    /// at again when any key has changed, and every second.
    fn check_key(&self) -> Result<(), Fault> {
        let Some(key) = &self.key else { return Ok(()) };
        let parts = self.door.parts();
        let (epoch, now) = (parts.identity.epoch(), parts.clock.now());
        let (checked_under, checked_at) = &self.checked;
        let is_fresh = checked_under.load(Ordering::Relaxed) == epoch
            && now.0.saturating_sub(checked_at.load(Ordering::Relaxed)) < RECHECK_MS;
        if is_fresh {
            return Ok(());
        }
        parts.identity.authenticate(key.expose(), now)?;
        checked_under.store(epoch, Ordering::Relaxed);
        checked_at.store(now.0, Ordering::Relaxed);
        Ok(())
    }

    fn note(&self, message: Envelope<'_>, frame: &Bytes) {
        if let Envelope::Notification { method, params } = &message
            && method == "notifications/cancelled"
            && let Some(id) = params.and_then(|raw| Object::scan(raw).ok()).and_then(|p| p.get("requestId"))
            && let Some(token) = lock(&self.open).get(id)
        {
            token.cancel();
        }
        if let Some(session) = lock(&self.session).clone() {
            take_in(&session, message, frame);
        }
    }

    fn modern(self: &Arc<Self>, id: Bytes, method: &str, params: &Bytes, meta: &Meta<'_>) -> Option<Task> {
        let refuse = |code, text: &str, data: Option<&[u8]>| {
            self.say(wire::message::error(Some(&id), code, text, data));
            None
        };
        let (Some(claim), Some(_)) = (meta.protocol_version.as_deref(), meta.client_capabilities) else {
            return refuse(
                RpcCode::INVALID_PARAMS,
                "`params._meta` needs the protocol version (a string) and clientCapabilities (an object)",
                None,
            );
        };
        if !version::MODERN.contains(&claim) {
            let data = serde_json::json!({ "supported": version::MODERN, "requested": claim }).to_string();
            return refuse(
                RpcCode::UNSUPPORTED_VERSION,
                &format!("protocol version `{claim}` is not served"),
                Some(data.as_bytes()),
            );
        }
        let Some(method) = Method::find(method, Era::Modern) else {
            return refuse(
                RpcCode::METHOD_NOT_FOUND,
                &format!("method `{method}` is not known in {claim}"),
                None,
            );
        };
        let who = self.who(Arc::new(peer::modern(meta, params, &self.door.modern_version)));
        let token = CancellationToken::new();
        {
            let mut open = lock(&self.open);
            if open.contains_key(&id) {
                drop(open);
                return refuse(RpcCode::INVALID_REQUEST, "a request with this id is already open", None);
            }
            let limit = self.door.settings().open_calls_max;
            if open.len() >= limit {
                drop(open);
                return refuse(
                    RpcCode::INTERNAL,
                    &format!("{limit} requests are already open on this connection [TL-1301]"),
                    None,
                );
            }
            open.insert(id.clone(), token.clone());
        }
        let this = Arc::clone(self);
        let params = params.clone();
        Some(Box::pin(async move {
            let forget = Forget { conversation: &this, id: &id };
            if method == Method::Listen {
                this.listen(&who, &id, &params, &token).await;
            } else {
                tokio::select! {
                    biased;
                    // Cancelled: nothing more is sent for this id.
                    () = token.cancelled() => {}
                    reply = this.door.serve(&who, method, params, &this.outbox, None) => this.say(reply.message(&id)),
                }
            }
            drop(forget);
        }))
    }

    async fn listen(&self, who: &Who, id: &Bytes, params: &[u8], token: &CancellationToken) {
        // A place of its own, so that calls under way on the same channel do not count as streams.
        let Ok(_place) = self.listens.try_acquire() else {
            let reply = Reply::error(
                RpcCode::INTERNAL,
                &format!("{LISTENS_MAX} listen streams are already open here [TL-1301]"),
            );
            self.say(reply.message(id));
            return;
        };
        match self.door.listen(who, id, params, &self.outbox).await {
            Ok(listening) => {
                token.cancelled().await;
                self.outbox.push(listening.farewell());
            }
            Err(reply) => self.say(reply.message(id)),
        }
    }

    fn legacy(self: &Arc<Self>, id: Bytes, method: &str, params: Bytes) -> Option<Task> {
        if method == "initialize" {
            return self.initialize(id, params);
        }
        let refuse = |code, text: &str| {
            self.say(wire::message::error(Some(&id), code, text, None));
            None
        };
        if method == "ping" {
            self.say(wire::message::response(&id, b"{}"));
            return None;
        }
        if method == "server/discover" {
            // A probe without the required `_meta`: told what is missing, so that the prober can go on.
            return refuse(
                RpcCode::INVALID_PARAMS,
                "`params._meta` needs the protocol version and clientCapabilities",
            );
        }
        let Some(session) = lock(&self.session).clone() else {
            return refuse(
                RpcCode::SERVER_NOT_INITIALIZED,
                "send `initialize` first, or modern `_meta` with each request",
            );
        };
        let Some(method) = Method::find(method, Era::Legacy) else {
            return refuse(RpcCode::METHOD_NOT_FOUND, &format!("method `{method}` is not known"));
        };
        let who = self.who(session.peer());
        let open = session.open_call(&id);
        let this = Arc::clone(self);
        Some(Box::pin(async move {
            tokio::select! {
                biased;
                () = open.token.cancelled() => {}
                reply = this.door.serve(&who, method, params, &this.outbox, Some(&session)) => this.say(reply.message(&id)),
            }
        }))
    }

    fn initialize(self: &Arc<Self>, id: Bytes, params: Bytes) -> Option<Task> {
        let peer = match legacy_peer(&params) {
            Ok(peer) => peer,
            Err(why) => {
                self.say(wire::message::error(Some(&id), RpcCode::INVALID_PARAMS, &why, None));
                return None;
            }
        };
        if lock(&self.session).is_some() {
            self.say(wire::message::error(Some(&id), RpcCode::INVALID_REQUEST, "already initialized", None));
            return None;
        }
        let who = self.who(Arc::new(peer));
        let session = Session::of_stream(&who, &self.outbox);
        self.door.watch_session(&who, &session, &self.outbox);
        *lock(&self.session) = Some(session);
        let this = Arc::clone(self);
        Some(Box::pin(async move {
            let reply = this.door.greet(&who).await;
            this.say(reply.message(&id));
        }))
    }

    fn who(&self, peer: Arc<Peer>) -> Who {
        Who { caller: Arc::clone(&self.caller), endpoint: self.endpoint.clone(), peer }
    }

    fn say(&self, message: Vec<u8>) {
        self.outbox.push(message.into());
    }

    /// The frame was too long to be read.
    pub(crate) fn refuse_frame(&self, limit: usize) {
        let fault = Fault::new(Code::TOO_LARGE, format!("a message is longer than {limit} bytes"))
            .with_hint("send less, or raise `limits.line_bytes`");
        self.say(wire::message::error(None, RpcCode::INVALID_REQUEST, &fault.to_string(), None));
    }
}

struct Forget<'a> {
    conversation: &'a Conversation,
    id: &'a Bytes,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.conversation.open).remove(self.id);
    }
}

/// The peer behind `initialize`. It has bytes of its own, because the session outlives the message.
pub(crate) fn legacy_peer(params: &[u8]) -> Result<Peer, String> {
    let object = Object::scan(params).map_err(|error| format!("`params`: {error}"))?;
    let requested = object.get_str("protocolVersion").ok_or("`params.protocolVersion` must be a string")?;
    let is_object = |raw: &&[u8]| raw.first() == Some(&b'{');
    let capabilities = object.get("capabilities").filter(is_object).unwrap_or(b"{}");
    Ok(Peer {
        era: Some(Era::Legacy),
        protocol_version: version::negotiate_legacy(&requested).into(),
        client_info: object.get("clientInfo").filter(is_object).map(Bytes::copy_from_slice),
        capabilities: Bytes::copy_from_slice(capabilities),
        abilities: peer::abilities(capabilities),
        log_level: None,
    })
}
