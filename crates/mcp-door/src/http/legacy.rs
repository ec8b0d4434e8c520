//! Legacy requests over Streamable HTTP: sessions, the GET stream, DELETE, and the batches of 2025-03-26.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use model::{Code, Era, Fault};
use wire::{Envelope, Method, Object, RpcCode, header, version};

use super::body::DoorBody;
use super::exchange::{self, EventStream, Work};
use super::{Visit, empty, json, refusal, rpc_refusal};
use crate::conversation::legacy_peer;
use crate::door::Who;
use crate::outbox::Outbox;
use crate::peer;
use crate::rescue::Reply;
use crate::session::Session;

/// How long an answer may wait before it becomes a stream. Whoever can come back to a stream gets it after
/// a moment: from then on a lost connection loses nothing.
const STREAM_AFTER: Duration = Duration::from_secs(5);
const RESUMABLE_AFTER: Duration = Duration::from_millis(50);
/// Messages in one batch.
const BATCH_MAX: usize = 64;

impl Visit {
    pub(crate) async fn legacy_post(self, message: Envelope<'_>, body: &Bytes) -> Response<DoorBody> {
        if let Envelope::Request { id, method, params } = &message
            && method == "initialize"
        {
            return self.initialize(id, params.unwrap_or(b"{}")).await;
        }
        let (who, session) = match self.session() {
            Ok(found) => found,
            Err(refused) => return refused,
        };
        match message {
            Envelope::Request { id, method, params } => {
                let id = peer::slice_of(body, id);
                let params = peer::slice_of(body, params.unwrap_or(b"{}"));
                let outbox = Arc::new(Outbox::default());
                let work = self.work(&who, &session, &id, &method, params, &outbox);
                let stream_after = if session.can_poll() { RESUMABLE_AFTER } else { STREAM_AFTER };
                exchange::answer_session(id, work, outbox, &session, stream_after).await
            }
            other => {
                take_in(&session, other, body);
                empty(StatusCode::ACCEPTED)
            }
        }
    }

    /// The future that answers one request of a session.
    fn work(
        &self,
        who: &Who,
        session: &Arc<Session>,
        id: &[u8],
        method: &str,
        params: Bytes,
        outbox: &Arc<Outbox>,
    ) -> Work {
        let Some(method) = Method::find(method, Era::Legacy) else {
            let reply = Reply::error(RpcCode::METHOD_NOT_FOUND, &format!("method `{method}` is not known"));
            return Box::pin(std::future::ready(reply));
        };
        let open = session.open_call(id);
        let (door, who, session, outbox) =
            (Arc::clone(&self.door), who.clone(), Arc::clone(session), Arc::clone(outbox));
        Box::pin(async move {
            tokio::select! {
                biased;
                () = open.token.cancelled() => {
                    Reply::error(RpcCode(i64::from(Code::CANCELLED.0)), "cancelled by the client [TL-1602]")
                }
                reply = door.serve(&who, method, params, &outbox, Some(&session)) => reply,
            }
        })
    }

    async fn initialize(self, id: &[u8], params: &[u8]) -> Response<DoorBody> {
        let peer = match legacy_peer(params) {
            Ok(peer) => peer,
            Err(why) => return rpc_refusal(Some(id), RpcCode::INVALID_PARAMS, &why),
        };
        let who =
            Who { caller: Arc::clone(&self.caller), endpoint: self.endpoint.clone(), peer: Arc::new(peer) };
        let reply = self.door.greet(&who).await;
        let mut response = exchange::plain(id, &reply, StatusCode::OK);
        if matches!(reply, Reply::Result(_)) {
            let session = self.door.start_session(&who);
            let value = session.and_then(|session| HeaderValue::from_str(&session.id).ok());
            match value {
                Some(value) => response.headers_mut().insert(header::SESSION_ID, value),
                None => {
                    return rpc_refusal(
                        Some(id),
                        RpcCode::INTERNAL,
                        "the session could not be made [TL-1901]",
                    );
                }
            };
        }
        response
    }

    /// The session that the request belongs to.
    fn session(&self) -> Result<(Who, Arc<Session>), Response<DoorBody>> {
        if let Some(version) = self.text(header::PROTOCOL_VERSION)
            && !version::LEGACY.contains(&version)
        {
            let fault = Fault::new(Code::UNSUPPORTED, format!("protocol version `{version}` is not served"));
            return Err(refusal(StatusCode::BAD_REQUEST, &fault));
        }
        let who = Who {
            caller: Arc::clone(&self.caller),
            endpoint: self.endpoint.clone(),
            peer: Arc::new(call::Peer::plain()),
        };
        let Some(id) = self.text(header::SESSION_ID) else {
            let fault = Fault::new(Code::BAD_MESSAGE, "Bad Request: no Mcp-Session-Id")
                .with_hint("send `initialize` first");
            return Err(refusal(StatusCode::BAD_REQUEST, &fault));
        };
        let Some(session) = self.door.find_session(&who, id) else {
            let fault = Fault::new(Code::STALE_STATE, "this session is not known or over")
                .with_hint("send `initialize` again");
            return Err(refusal(StatusCode::NOT_FOUND, &fault));
        };
        let who = Who { peer: session.peer(), ..who };
        Ok((who, session))
    }

    /// The stream for what belongs to no call: one reader at a time.
    pub(crate) fn legacy_get(self) -> Response<DoorBody> {
        if !self
            .text("accept")
            .is_some_and(|accept| accept.contains("text/event-stream") || accept.contains("*/*"))
        {
            let fault = Fault::new(Code::BAD_MESSAGE, "`Accept` must list text/event-stream");
            return refusal(StatusCode::NOT_ACCEPTABLE, &fault);
        }
        let (who, session) = match self.session() {
            Ok(found) => found,
            Err(refused) => return refused,
        };
        if let Some(last) = self.text("last-event-id")
            && let Some((reading, missed)) = session.streams.resume(last)
        {
            return exchange::streamed(
                EventStream::resumable(&session, reading).starting_with_event(&missed),
            );
        }
        let Some(lease) = session.lease_stream() else {
            // The first reader keeps it: whoever learned the id must not be able to take the stream over.
            let fault = Fault::new(Code::BUSY, "this session already has its stream open");
            return refusal(StatusCode::CONFLICT, &fault);
        };
        let outbox = match session.stream() {
            Some(outbox) if !outbox.is_closed() => outbox,
            _ => {
                let outbox = Arc::new(Outbox::default());
                session.set_stream(Some(Arc::clone(&outbox)));
                self.door.watch_session(&who, &session, &outbox);
                outbox
            }
        };
        exchange::streamed(EventStream::new(outbox, None, Some(Box::new(lease))))
    }

    pub(crate) fn legacy_delete(self) -> Response<DoorBody> {
        match self.session() {
            Ok((_, session)) => {
                self.door.end_session(&session);
                empty(StatusCode::OK)
            }
            Err(refused) => refused,
        }
    }

    /// A batch: only revision 2025-03-26 has them. Answered as one JSON array.
    pub(crate) async fn legacy_batch(self, messages: Vec<Bytes>) -> Response<DoorBody> {
        let (who, session) = match self.session() {
            Ok(found) => found,
            Err(refused) => return refused,
        };
        if who.peer.protocol_version.as_ref() != version::ASSUMED_LEGACY
            || messages.is_empty()
            || messages.len() > BATCH_MAX
        {
            let text = format!(
                "batches have 1 to {BATCH_MAX} messages and exist only in {}",
                version::ASSUMED_LEGACY
            );
            return rpc_refusal(None, RpcCode::INVALID_REQUEST, &text);
        }
        let mut answers = Vec::new();
        for raw in &messages {
            match Envelope::parse(raw) {
                Ok(Envelope::Request { id, method, params }) => {
                    let outbox = Arc::new(Outbox::default());
                    let params = peer::slice_of(raw, params.unwrap_or(b"{}"));
                    let reply = self.work(&who, &session, id, &method, params, &outbox).await;
                    answers.push(reply.message(id));
                }
                Ok(other) => take_in(&session, other, raw),
                Err(error) => answers.push(wire::message::error(
                    None,
                    RpcCode::INVALID_REQUEST,
                    &error.to_string(),
                    None,
                )),
            }
        }
        if answers.is_empty() {
            return empty(StatusCode::ACCEPTED);
        }
        let mut out = Vec::from(*b"[");
        out.extend_from_slice(&answers.join(&b','));
        out.push(b']');
        json(StatusCode::OK, out)
    }
}

/// Takes in what wants no answer: a cancellation, or the client's answer to a question of ours.
pub(crate) fn take_in(session: &Session, message: Envelope<'_>, body: &Bytes) {
    match message {
        Envelope::Notification { method, params } if method == "notifications/cancelled" => {
            let id = params.and_then(|raw| Object::scan(raw).ok()).and_then(|p| p.get("requestId"));
            if let Some(id) = id {
                session.cancel(id);
            }
        }
        Envelope::Response { id, result } => {
            session.answer(id, Ok(peer::slice_of(body, result)));
        }
        Envelope::Error { id: Some(id), error } => {
            session.answer(id, Err(peer::slice_of(body, error)));
        }
        _ => {}
    }
}
