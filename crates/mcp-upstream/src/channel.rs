//! One byte stream to a server that many calls share: an owner for each direction, a map of open calls.
//!
//! The writer takes everything that is queued and writes it at once; the reader hands each answer to the
//! call it belongs to. Both end together, and every open call then ends with the reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use wire::{Envelope, Incoming, Malformed, Object, message};

use crate::answer::Answer;
use crate::ask::Ask;
use crate::frames::{Sink, Source, SourceError};
use crate::open::{OpenCalls, Reply, Side, answer_question};
use crate::signals::Signals;
use crate::trouble::{Ended, Trouble};

/// Frames that may wait for the writer.
const QUEUE_MAX: usize = 1024;
/// Frames that go out in one write.
const BATCH_MAX: usize = 64;
/// Frames without meaning that are read over before the server is given up.
const GARBAGE_MAX: u32 = 1000;

/// A channel. Dropping the last handle ends it.
pub(crate) struct Channel {
    out: mpsc::Sender<Bytes>,
    pub(crate) open: Arc<OpenCalls>,
    ended: watch::Receiver<Option<Arc<Ended>>>,
    stop: CancellationToken,
    pid: Option<u32>,
    last_used: AtomicU64,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Channel {
    /// Starts both directions on the current runtime.
    pub(crate) fn start(
        source: impl Source,
        sink: impl Sink,
        pid: Option<u32>,
        signals: Signals,
    ) -> Arc<Self> {
        let (out, queue) = mpsc::channel(QUEUE_MAX);
        let (end, ended) = watch::channel(None);
        let stop = CancellationToken::new();
        let open = Arc::new(OpenCalls::default());
        tokio::spawn(write(queue, sink, stop.clone()));
        let reader = Reader { open: Arc::clone(&open), signals, out: out.downgrade(), garbage: 0 };
        tokio::spawn(read(reader, source, end, stop.clone()));
        Arc::new(Self { out, open, ended, stop, pid, last_used: AtomicU64::new(0) })
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&self) -> Option<Arc<Ended>> {
        self.ended.borrow().clone()
    }

    /// True when nothing can be sent any more.
    pub(crate) fn is_over(&self) -> bool {
        self.out.is_closed() || self.ended.borrow().is_some()
    }

    /// Waits for its end.
    pub(crate) async fn wait_end(&self) -> Arc<Ended> {
        let mut ended = self.ended.clone();
        let outcome = ended.wait_for(Option::is_some).await;
        outcome.ok().and_then(|end| end.clone()).unwrap_or_else(|| Arc::new(Ended::because("was stopped")))
    }

    /// Ends it from our side.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    pub(crate) const fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Milliseconds of the caller's clock at the last request.
    pub(crate) fn last_used_ms(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    pub(crate) fn touch(&self, now_ms: u64) {
        self.last_used.store(now_ms, Ordering::Relaxed);
    }

    /// Sends a notification; lost when the channel is gone or stuffed.
    pub(crate) fn notify(&self, method: &str, params: &[u8]) {
        let _ = self.out.try_send(message::notification(method, params).into());
    }

    /// Sends a request under a fresh id and waits for its answer. Dropping the future, and running out of time,
    /// cancel it at the server.
    pub(crate) async fn request(&self, ask: Ask<'_>) -> Result<Answer, Trouble> {
        let id = self.open.mint();
        self.request_as(id, ask).await
    }

    /// The same under an id that was minted before, because the parameters name it.
    pub(crate) async fn request_as(&self, id: u64, ask: Ask<'_>) -> Result<Answer, Trouble> {
        let (sender, answer) = oneshot::channel();
        let (side, asked) = match ask.ctx {
            Some(ctx) => {
                let (side, asked) = Side::of(ctx, ask.client_token.clone());
                (Some(side), asked)
            }
            None => (None, None),
        };
        self.open.open(id, Some(sender), side);
        let mut guard =
            OpenGuard { channel: self, id, is_cancellable: ask.method != "initialize", was_sent: false };
        if let Some(ended) = self.ended() {
            return Err(Trouble::Ended { ended, was_sent: false });
        }
        let mut digits = itoa::Buffer::new();
        let frame = Bytes::from(message::request(digits.format(id).as_bytes(), ask.method, &ask.params));
        let late = |was_sent| Trouble::Timeout { what: ask.method.to_owned(), was_sent };
        match timeout_at(ask.deadline, self.out.send(frame)).await {
            Err(_) => return Err(late(false)),
            Ok(Err(_)) => return Err(Trouble::Ended { ended: self.wait_end().await, was_sent: false }),
            Ok(Ok(())) => guard.was_sent = true,
        }
        match timeout_at(ask.deadline, self.hear(&ask, answer, asked)).await {
            Err(_) => Err(late(true)),
            Ok(answer) => answer,
        }
    }

    /// Waits for the answer, and meanwhile puts the server's questions to the calling client.
    async fn hear(
        &self,
        ask: &Ask<'_>,
        mut answer: oneshot::Receiver<Result<Answer, Trouble>>,
        asked: Option<mpsc::Receiver<crate::open::Asked>>,
    ) -> Result<Answer, Trouble> {
        let gone = || Trouble::BadAnswer("the channel forgot the call".to_owned());
        let (Some(mut asked), Some(ctx)) = (asked, ask.ctx) else {
            return answer.await.unwrap_or_else(|_| Err(gone()));
        };
        let mut replies = FuturesUnordered::new();
        loop {
            tokio::select! {
                answer = &mut answer => return answer.unwrap_or_else(|_| Err(gone())),
                Some(question) = asked.recv() => {
                    replies.push(answer_question(Arc::clone(&ctx.downstream), question));
                }
                Some(reply) = replies.next(), if !replies.is_empty() => {
                    let _ = self.out.send(reply).await;
                }
            }
        }
    }
}

/// Forgets the call however its future ends, and tells the server when that was early.
struct OpenGuard<'a> {
    channel: &'a Channel,
    id: u64,
    is_cancellable: bool,
    was_sent: bool,
}

impl Drop for OpenGuard<'_> {
    fn drop(&mut self) {
        let was_open = self.channel.open.close(self.id);
        if was_open && self.was_sent && self.is_cancellable {
            let params = format!("{{\"requestId\":{},\"reason\":\"no longer needed\"}}", self.id);
            self.channel.notify("notifications/cancelled", params.as_bytes());
        }
    }
}

async fn write(mut queue: mpsc::Receiver<Bytes>, mut sink: impl Sink, stop: CancellationToken) {
    let mut batch = Vec::new();
    loop {
        batch.clear();
        let count = tokio::select! {
            count = queue.recv_many(&mut batch, BATCH_MAX) => count,
            () = stop.cancelled() => 0,
        };
        if count == 0 {
            break;
        }
        let sent = tokio::select! {
            sent = sink.send(&batch) => sent,
            () = stop.cancelled() => break,
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "the server takes no more input");
            break;
        }
    }
    sink.close().await;
    // Nobody can be answered who cannot be asked. The reader notices most ends by itself, and knows more about
    // them, so it gets a moment.
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(std::time::Duration::from_millis(500)) => stop.cancel(),
    }
}

async fn read(
    mut reader: Reader,
    mut source: impl Source,
    end: watch::Sender<Option<Arc<Ended>>>,
    stop: CancellationToken,
) {
    let error = loop {
        let frame = tokio::select! {
            frame = source.next() => frame,
            () = stop.cancelled() => break Some(SourceError::Stopped),
        };
        match frame {
            Ok(Some(frame)) => reader.take(&frame),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
        if reader.garbage > GARBAGE_MAX {
            break Some(SourceError::Broken(format!("{GARBAGE_MAX} lines in a row were no messages")));
        }
    };
    let ended = Arc::new(source.farewell(error).await);
    // First the mark, then the calls: one that is opened in between sees the mark.
    let _ = end.send(Some(Arc::clone(&ended)));
    reader.open.fail_all(&Trouble::Ended { ended, was_sent: true });
    stop.cancel();
}

struct Reader {
    open: Arc<OpenCalls>,
    signals: Signals,
    /// Weak, so that the queue closes when the channel is dropped.
    out: mpsc::WeakSender<Bytes>,
    garbage: u32,
}

impl Reader {
    fn take(&mut self, frame: &Bytes) {
        if frame.is_empty() {
            return;
        }
        match Incoming::parse(frame) {
            Ok(Incoming::One(envelope)) => {
                self.garbage = 0;
                self.handle(frame, envelope);
            }
            Ok(Incoming::Batch(items)) => {
                self.garbage = 0;
                for item in items {
                    match Envelope::parse(item) {
                        Ok(envelope) => self.handle(frame, envelope),
                        Err(error) => tracing::debug!(%error, "an unusable message in a batch"),
                    }
                }
            }
            Err(Malformed::NotJson(why)) => {
                // Many servers print to their standard output what belongs to their standard error.
                self.garbage += 1;
                tracing::debug!(%why, "a line that is no message");
            }
            Err(Malformed::NotRpc(why)) => {
                self.garbage += 1;
                let id = loose_id(frame);
                tracing::debug!(%why, ?id, "a message that is not JSON-RPC");
                if let Some(id) = id {
                    self.open.answered(id.to_string().as_bytes(), Err(Trouble::BadAnswer(why)));
                }
            }
        }
    }

    fn handle(&self, frame: &Bytes, envelope: Envelope<'_>) {
        match envelope {
            Envelope::Response { id, result } => {
                if !self.open.answered(id, Ok(Answer::Result(frame.slice_ref(result)))) {
                    tracing::debug!("an answer that nobody waits for");
                }
            }
            Envelope::Error { id: Some(id), error } => {
                if !self.open.answered(id, Ok(Answer::Error(frame.slice_ref(error)))) {
                    tracing::debug!("an error that nobody waits for");
                }
            }
            Envelope::Error { id: None, error } => {
                if !self.open.answered_only(frame.slice_ref(error)) {
                    tracing::debug!("an error without an id");
                }
            }
            Envelope::Notification { method, params } => {
                self.open.notification(&method, params, &self.signals)
            }
            Envelope::Request { id, method, params } => {
                if let Reply::Now(reply) = self.open.request(id, &method, params)
                    && let Some(out) = self.out.upgrade()
                {
                    // A server that asks faster than it reads loses answers, not the channel.
                    let _ = out.try_send(reply.into());
                }
            }
        }
    }
}

/// The id of something that is JSON but not JSON-RPC (a key twice, say), so that its call ends now
/// and not in a timeout.
fn loose_id(frame: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Loose {
        id: Option<serde_json::Value>,
    }
    let strict = Object::scan(frame).ok().and_then(|object| object.get("id").and_then(crate::open::id_of));
    strict.or_else(|| serde_json::from_slice::<Loose>(frame).ok()?.id?.as_u64())
}

/// When something that may take `ms` has to be over.
pub(crate) fn within(ms: u64) -> Instant {
    Instant::now() + std::time::Duration::from_millis(ms)
}
