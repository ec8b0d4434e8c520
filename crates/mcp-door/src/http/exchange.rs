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
use crate::resume::Reading;
use crate::session::Session;

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

/// A stream that can be come back to, and the session that keeps it.
struct Log {
    reading: Reading,
    session: Arc<Session>,
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
    /// Ends once what is in front has been written.
    is_ending: bool,
    /// Where the events are numbered and kept, for streams that can be come back to.
    log: Option<Log>,
    _keep: Option<Keep>,
}

impl EventStream {
    pub(crate) fn new(outbox: Arc<Outbox>, work: Option<(Bytes, Work)>, keep: Option<Keep>) -> Self {
        Self {
            outbox,
            work,
            first: BytesMut::new(),
            next: None,
            alive: None,
            is_over: false,
            is_ending: false,
            log: None,
            _keep: keep,
        }
    }

    /// A stream of a legacy session that its client may come back to. It ends when its outbox is closed, or
    /// when it is asked to hang up for now.
    pub(crate) fn resumable(session: &Arc<Session>, reading: Reading) -> Self {
        let mut stream = Self::new(Arc::clone(&reading.0.outbox), None, None);
        stream.log = Some(Log { reading, session: Arc::clone(session) });
        stream
    }

    fn framed(&self, message: &[u8]) -> Bytes {
        match &self.log {
            Some(log) => log.reading.0.event(message),
            None => sse::event(None, message).into(),
        }
    }

    /// Puts a message in front of what the outbox holds.
    pub(crate) fn starting_with(mut self, message: Option<Bytes>) -> Self {
        if let Some(message) = message {
            let event = self.framed(&message);
            self.first.extend_from_slice(&event);
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
        self.is_over |= self.is_ending;
        while !self.is_over && (out.len() < WRITE_MAX || done.is_some()) {
            let Some(frame) = self.outbox.try_next() else { break };
            if !frame.is_empty() {
                out.extend_from_slice(&self.framed(&frame));
            } else if self.log.is_some() {
                self.is_over = true;
                break;
            }
        }
        if let Some(message) = done {
            out.extend_from_slice(&self.framed(&message));
            self.work = None;
            self.is_over = true;
        }
        if out.is_empty() && self.is_over {
            return Poll::Ready(None);
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
                if frame.is_empty() {
                    // Asked to hang up. A stream that nobody can come back to has to stay.
                    self.is_over = self.log.is_some();
                    if self.is_over {
                        return Poll::Ready(None);
                    }
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                return Poll::Ready(Some(self.framed(&frame)));
            }
            Poll::Ready(None) => {
                self.is_over = true;
                if let Some(log) = &self.log {
                    log.session.streams.finish(&log.reading.0);
                }
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

/// The answer of a legacy session. Once it is a stream, the work goes on by itself and its client may come
/// back to it: for legacy clients a disconnect is not a cancellation.
pub(crate) async fn answer_session(
    id: Bytes,
    work: Work,
    outbox: Arc<Outbox>,
    session: &Arc<Session>,
    stream_after: Duration,
) -> Response<DoorBody> {
    let mut work = Enduring(Some(work));
    let frame = tokio::select! {
        biased;
        reply = &mut work => return plain(&id, &reply, StatusCode::OK),
        frame = outbox.next() => frame,
        () = tokio::time::sleep(stream_after) => None,
    };
    let is_hung_up = frame.as_ref().is_some_and(Bytes::is_empty);
    let reading = session.streams.open(Arc::clone(&outbox));
    let priming = session.can_poll().then(|| reading.0.priming());
    if let Some(work) = work.0.take() {
        tokio::spawn(async move {
            let reply = work.await;
            outbox.push(reply.message(&id).into());
            outbox.close();
        });
    }
    let stream = EventStream::resumable(session, reading).starting_with_event(&priming.unwrap_or_default());
    let mut stream = stream.starting_with(frame.filter(|frame| !frame.is_empty()));
    stream.is_ending = is_hung_up;
    streamed(stream)
}

/// Work that goes on when its client hangs up before it has become a stream.
struct Enduring(Option<Work>);

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
