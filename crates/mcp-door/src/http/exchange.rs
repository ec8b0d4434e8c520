//! One POST with a request in it: answered as plain JSON when the answer comes first, as a stream when
//! something has to be said before it.
//!
//! Not committing to a stream until then keeps fast calls plain and lets early errors have their HTTP status.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tokio::time::{Instant, Sleep};
use wire::sse;

use super::body::DoorBody;
use crate::outbox::Outbox;
use crate::rescue::Reply;

/// How often an idle stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Results from this size on are sent beside their envelope instead of being copied into it.
const COPY_MAX: usize = 16 * 1024;
/// How many bytes of waiting frames go into one write.
const WRITE_MAX: usize = 64 * 1024;

/// The work behind an answer. It is polled by whoever waits for the answer; dropped = cancelled.
pub(crate) type Work = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// What keeps a stream open beside its work: dropped with it.
pub(crate) type Keep = Box<dyn std::any::Any + Send + Sync>;

/// Waits for `work` or for the first frame in `outbox`, whichever is first.
pub(crate) async fn answer(
    id: Bytes,
    mut work: Work,
    outbox: Arc<Outbox>,
    stream_after: Duration,
    status_of: fn(&Reply) -> StatusCode,
) -> Response<DoorBody> {
    tokio::select! {
        biased;
        reply = &mut work => plain(&id, &reply, status_of(&reply)),
        frame = outbox.next() => {
            let stream = EventStream::new(outbox, Some((id, work)), None);
            streamed(stream.starting_with(frame))
        }
        () = tokio::time::sleep(stream_after) => streamed(EventStream::new(outbox, Some((id, work)), None)),
    }
}

/// The answer as one JSON body.
pub(crate) fn plain(id: &[u8], reply: &Reply, status: StatusCode) -> Response<DoorBody> {
    let body = match reply {
        Reply::Result(result) if result.len() > COPY_MAX => DoorBody::parts([
            wire::message::response_head(id, 0).into(),
            result.clone(),
            Bytes::from_static(b"}"),
        ]),
        _ => DoorBody::full(reply.message(id).into()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The answer as a stream.
pub(crate) fn streamed(stream: EventStream) -> Response<DoorBody> {
    let mut response = Response::new(DoorBody::events(stream));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// Server-sent events: frames of an outbox, and at the end the answer of the work behind it.
pub(crate) struct EventStream {
    outbox: Arc<Outbox>,
    work: Option<(Bytes, Work)>,
    first: BytesMut,
    /// Waiting for the next frame; boxed once, because it borrows the outbox by `Arc`.
    next: Option<Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>>,
    alive: Option<Pin<Box<Sleep>>>,
    is_over: bool,
    _keep: Option<Keep>,
}

impl EventStream {
    pub(crate) fn new(outbox: Arc<Outbox>, work: Option<(Bytes, Work)>, keep: Option<Keep>) -> Self {
        Self { outbox, work, first: BytesMut::new(), next: None, alive: None, is_over: false, _keep: keep }
    }

    /// Puts a message in front of what the outbox holds.
    pub(crate) fn starting_with(mut self, message: Option<Bytes>) -> Self {
        if let Some(message) = message {
            self.first.extend_from_slice(&sse::event(None, &message));
        }
        self
    }

    /// Puts a ready event in front of what the outbox holds.
    pub(crate) fn starting_with_event(mut self, event: &[u8]) -> Self {
        self.first.extend_from_slice(event);
        self
    }

    /// The next bytes to write; `None` at the end.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        // The work is polled first: what it says while being polled is in the outbox when we look.
        let done = match &mut self.work {
            Some((id, work)) => match work.as_mut().poll(cx) {
                Poll::Ready(reply) => Some(reply.message(id)),
                Poll::Pending => None,
            },
            None => None,
        };
        let mut out = std::mem::take(&mut self.first);
        while out.len() < WRITE_MAX || done.is_some() {
            let Some(frame) = self.outbox.try_next() else { break };
            out.extend_from_slice(&sse::event(None, &frame));
        }
        if let Some(message) = done {
            out.extend_from_slice(&sse::event(None, &message));
            self.work = None;
            self.is_over = true;
        }
        if !out.is_empty() {
            self.alive = None;
            self.next = None;
            return Poll::Ready(Some(out.freeze()));
        }
        let outbox = &self.outbox;
        let next = self.next.get_or_insert_with(|| {
            let outbox = Arc::clone(outbox);
            Box::pin(async move { outbox.next().await })
        });
        match next.as_mut().poll(cx) {
            Poll::Ready(Some(frame)) => {
                self.next = None;
                self.alive = None;
                return Poll::Ready(Some(sse::event(None, &frame).into()));
            }
            Poll::Ready(None) => {
                self.is_over = true;
                return Poll::Ready(None);
            }
            Poll::Pending => {}
        }
        let alive = self.alive.get_or_insert_with(|| Box::pin(tokio::time::sleep(KEEP_ALIVE)));
        if alive.as_mut().poll(cx).is_ready() {
            alive.as_mut().reset(Instant::now() + KEEP_ALIVE);
            // Registers the timer again for the next time.
            let _ = alive.as_mut().poll(cx);
            return Poll::Ready(Some(Bytes::from_static(sse::KEEP_ALIVE)));
        }
        Poll::Pending
    }
}

/// Work that goes on when its client hangs up: for legacy clients a disconnect is not a cancellation.
pub(crate) struct Enduring(Option<Work>);

impl Enduring {
    pub(crate) fn new(work: Work) -> Self {
        Self(Some(work))
    }
}

impl Future for Enduring {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl Drop for Enduring {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}
