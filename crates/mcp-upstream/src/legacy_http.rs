//! One legacy session over Streamable HTTP: its id, its calls, the questions on their streams, going on
//! after a break (SEP-1699), and the session's own GET stream.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use connector::{Downstream, Silent};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use outbound::{Head, Outgoing};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use wire::{Envelope, Incoming, message};

use crate::answer::Answer;
use crate::ask::Ask;
use crate::channel::within;
use crate::http::{Endpoint, Events, cancelled, read_body, status_trouble};
use crate::open::{Asked, OpenCalls, Reply, Side, answer_question, question};
use crate::signals::{Nudge, Signals};
use crate::trouble::{Ended, Trouble};

/// How often in a row a stream is taken up again without anything new on it.
const RESUMES_MAX: u32 = 20;
/// Waits between streams, where the server does not say.
const RETRY_MS: u64 = 1000;
const RETRY_MS_MAX: u64 = 30_000;
/// Time for what nobody waits for: cancellations, goodbyes, answers.
const ASIDE_MS: u64 = 10_000;

/// A session. Dropping it says goodbye to the server.
pub(crate) struct LegacyHttp {
    endpoint: Endpoint,
    /// POST headers; the session and the revision among them once known.
    head: Head,
    /// GET headers.
    get_head: Head,
    session: Option<String>,
    pub(crate) open: Arc<OpenCalls>,
    signals: Signals,
    home: Handle,
    is_gone: AtomicBool,
    last_used: AtomicU64,
    stop: CancellationToken,
}

/// What the answer to `initialize` was.
pub(crate) struct Greeting {
    pub(crate) answer: Answer,
    pub(crate) session: Option<String>,
}

/// Sends `initialize`, before there is a session.
pub(crate) async fn initialize(
    endpoint: &Endpoint,
    params: &[u8],
    deadline: Instant,
) -> Result<Greeting, Trouble> {
    let head = endpoint.post_head(None)?;
    let response = endpoint.post_request(&head, 0, "initialize", params, true, deadline).await?;
    let status = response.status;
    let session = response.headers.get(wire::header::SESSION_ID).map(str::to_owned);
    let is_spelled = session.as_deref().is_none_or(|id| id.bytes().all(|b| b.is_ascii_graphic()));
    if !is_spelled {
        return Err(Trouble::BadAnswer("its session id is not visible ASCII".to_owned()));
    }
    let frame = if response.headers.is_type("text/event-stream") {
        let mut events = Events::new(response.body, endpoint.event_max);
        loop {
            let event = timeout_at(deadline, events.next())
                .await
                .map_err(|_| Trouble::Timeout { what: "initialize".to_owned(), was_sent: true })??;
            let Some(event) = event else {
                return Err(Trouble::BadAnswer(
                    "the stream ended before the answer to initialize".to_owned(),
                ));
            };
            let frame = Bytes::from(event.data);
            if !matches!(
                Envelope::parse(&frame),
                Ok(Envelope::Notification { .. } | Envelope::Request { .. })
            ) {
                break frame;
            }
        }
    } else {
        read_body(response, endpoint.result_max, deadline).await?
    };
    match Answer::from_frame(&frame, b"0") {
        Ok(answer) if !matches!(status, 401 | 403) => Ok(Greeting { answer, session }),
        Err(trouble) if (200..300).contains(&status) => Err(trouble),
        _ => Err(status_trouble(status, &frame)),
    }
}

impl LegacyHttp {
    /// A session that `initialize` was answered for: confirms it and opens its GET stream.
    pub(crate) async fn begin(
        endpoint: Endpoint,
        version: &str,
        session: Option<String>,
        signals: Signals,
        deadline: Instant,
    ) -> Result<Arc<Self>, Trouble> {
        // Revisions before 2025-06-18 know no version header; sending it to them does no harm.
        let mut head = endpoint.post_head(Some(version))?;
        let mut get_head = endpoint.headers.with_room(256);
        get_head.push("accept", "text/event-stream")?;
        get_head.push(wire::header::PROTOCOL_VERSION, version)?;
        if let Some(id) = &session {
            head.push(wire::header::SESSION_ID, id)?;
            get_head.push(wire::header::SESSION_ID, id)?;
        }
        let this = Arc::new(Self {
            endpoint,
            head,
            get_head,
            session,
            open: Arc::new(OpenCalls::default()),
            signals,
            home: Handle::current(),
            is_gone: AtomicBool::new(false),
            last_used: AtomicU64::new(0),
            stop: CancellationToken::new(),
        });
        let ready = message::notification("notifications/initialized", b"");
        let status = this.endpoint.post_aside(&this.head, &ready, deadline).await?;
        if status >= 400 {
            return Err(status_trouble(status, &Bytes::from_static(b"to notifications/initialized")));
        }
        tokio::spawn(follow(Arc::downgrade(&this), this.stop.clone()));
        Ok(this)
    }

    /// True once the server has said that it does not know the session.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    pub(crate) fn last_used_ms(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    pub(crate) fn touch(&self, now_ms: u64) {
        self.last_used.store(now_ms, Ordering::Relaxed);
    }

    /// Sends a request under an id that was minted before, and waits for its answer.
    pub(crate) async fn request_as(&self, id: u64, ask: Ask<'_>) -> Result<Answer, Trouble> {
        let (side, mut asked) = match ask.ctx {
            Some(ctx) => {
                let (side, asked) = Side::of(ctx, ask.client_token.clone());
                (Some(side), asked)
            }
            None => (None, None),
        };
        self.open.open(id, None, side);
        let mut guard = OpenGuard { session: self, id, is_over: false };
        let outcome = timeout_at(ask.deadline, self.exchange(id, &ask, &mut asked)).await;
        match outcome {
            Ok(answer) => {
                guard.is_over = true;
                answer
            }
            Err(_) => Err(Trouble::Timeout { what: ask.method.to_owned(), was_sent: true }),
        }
    }

    async fn exchange(
        &self,
        id: u64,
        ask: &Ask<'_>,
        asked: &mut Option<Receiver<Asked>>,
    ) -> Result<Answer, Trouble> {
        let sent = self.endpoint.post_request(
            &self.head,
            id,
            ask.method,
            &ask.params,
            ask.is_replayable,
            ask.deadline,
        );
        let response = sent.await?;
        let status = response.status;
        if status == 404 && self.session.is_some() {
            // Only a server without this session answers so (2025-03-26, session management); nothing was run.
            self.is_gone.store(true, Ordering::Relaxed);
            return Err(Trouble::SessionGone);
        }
        let mut digits = itoa::Buffer::new();
        let raw_id = digits.format(id).as_bytes();
        if response.headers.is_type("text/event-stream") && (200..300).contains(&status) {
            let events = Events::new(response.body, self.endpoint.event_max);
            return self.hear(events, raw_id, ask, asked).await;
        }
        let body = read_body(response, self.endpoint.result_max, ask.deadline).await?;
        if matches!(status, 401 | 403) {
            return Err(status_trouble(status, &body));
        }
        // 2025-03-26 may answer with a batch: notifications and the answer together.
        if let Ok(Incoming::Batch(items)) = Incoming::parse(&body) {
            for item in items {
                if let Taken::Answer(answer) = self.take(&body.slice_ref(item), raw_id) {
                    return answer;
                }
            }
            return Err(Trouble::BadAnswer("a batch without the answer".to_owned()));
        }
        match Answer::from_frame(&body, raw_id) {
            Ok(answer) => Ok(answer),
            Err(_) if !(200..300).contains(&status) => Err(status_trouble(status, &body)),
            Err(trouble) => Err(trouble),
        }
    }

    /// Reads a call's stream, going on by GET where it breaks, and puts questions to the calling client.
    async fn hear(
        &self,
        mut events: Events,
        raw_id: &[u8],
        ask: &Ask<'_>,
        asked: &mut Option<Receiver<Asked>>,
    ) -> Result<Answer, Trouble> {
        let mut replies = FuturesUnordered::new();
        let mut resumes = 0;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                Some(question) = next_asked(asked) => {
                    replies.push(answer_question(downstream_of(ask), question));
                    continue;
                }
                Some(reply) = replies.next(), if !replies.is_empty() => {
                    self.aside(&reply).await;
                    continue;
                }
            };
            let why = match event {
                Ok(Some(event)) => {
                    resumes = 0;
                    match self.take(&Bytes::from(event.data), raw_id) {
                        Taken::Answer(answer) => return answer,
                        Taken::Asked(question) => replies.push(answer_question(downstream_of(ask), question)),
                        Taken::Nothing => {}
                    }
                    continue;
                }
                // An event that is too long would be too long again.
                Err(trouble @ Trouble::Ended { .. }) => return Err(trouble),
                Err(trouble) => trouble,
                Ok(None) => Trouble::Ended {
                    ended: Arc::new(Ended::because("ended the stream before its answer")),
                    was_sent: true,
                },
            };
            let Some(last_id) = events.last_id.clone() else { return Err(why) };
            resumes += 1;
            if resumes > RESUMES_MAX {
                return Err(why);
            }
            // The server wants to be polled; whoever waits for this call may want to do the same.
            if let Some(ctx) = ask.ctx {
                ctx.downstream.pause();
            }
            let retry_ms = events.retry_ms;
            tokio::time::sleep(Duration::from_millis(retry_ms.unwrap_or(RETRY_MS).min(RETRY_MS_MAX))).await;
            match self.get_stream(Some(&last_id), ask.deadline).await {
                Ok(Ok(fresh)) => {
                    events = fresh;
                    events.last_id = Some(last_id);
                    events.retry_ms = retry_ms;
                }
                Ok(Err(_)) => return Err(why),
                // The server may be on its way up again; the old stream goes on reporting its end.
                Err(Trouble::Outbound(error)) if error.is_unsent() => {}
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// One message on a call's own stream.
    fn take(&self, frame: &Bytes, raw_id: &[u8]) -> Taken {
        match Envelope::parse(frame) {
            Ok(Envelope::Notification { method, params }) => {
                self.open.notification(&method, params, &self.signals);
                Taken::Nothing
            }
            Ok(Envelope::Request { id, method, params }) => {
                Taken::Asked(Asked { id: Bytes::copy_from_slice(id), question: question(&method, params) })
            }
            Ok(Envelope::Response { id, .. } | Envelope::Error { id: Some(id), .. }) if id != raw_id => {
                tracing::debug!("an answer that nobody waits for");
                Taken::Nothing
            }
            _ => Taken::Answer(Answer::from_frame(frame, raw_id)),
        }
    }

    /// Posts what is no request: answers, notifications. Failure shows in the call that it belongs to.
    async fn aside(&self, frame: &[u8]) {
        match self.endpoint.post_aside(&self.head, frame, within(ASIDE_MS)).await {
            Ok(status) if status < 400 => {}
            Ok(status) => tracing::debug!(status, "the server did not take a message"),
            Err(error) => tracing::debug!(%error, "the server did not take a message"),
        }
    }

    async fn get_stream(
        &self,
        last_id: Option<&str>,
        deadline: Instant,
    ) -> Result<Result<Events, u16>, Trouble> {
        let mut head = self.get_head.with_room(64);
        if let Some(last_id) = last_id {
            head.push("last-event-id", last_id)?;
        }
        self.endpoint.get_events(&head, deadline).await
    }
}

/// What one message on a call's stream was.
enum Taken {
    Answer(Result<Answer, Trouble>),
    Asked(Asked),
    Nothing,
}

/// Who is asked; the hub's own requests have nobody behind them.
fn downstream_of(ask: &Ask<'_>) -> Arc<dyn Downstream> {
    ask.ctx.map_or_else(|| Arc::new(Silent) as Arc<dyn Downstream>, |ctx| Arc::clone(&ctx.downstream))
}

async fn next_asked(asked: &mut Option<Receiver<Asked>>) -> Option<Asked> {
    match asked {
        Some(asked) => asked.recv().await,
        None => None,
    }
}

impl Drop for LegacyHttp {
    fn drop(&mut self) {
        self.stop.cancel();
        if self.session.is_none() || self.is_gone() {
            return;
        }
        let (endpoint, head) = (self.endpoint.clone(), self.head.clone());
        self.home.spawn(async move {
            let request = Outgoing {
                method: "DELETE",
                head: &head,
                body: &[],
                is_replayable: true,
                deadline: within(ASIDE_MS),
            };
            // A server may refuse to end sessions (405); it will forget this one in time.
            let _ = endpoint.client.send(&endpoint.target, request).await;
        });
    }
}

/// Forgets the call however its future ends, and tells the server when that was early.
struct OpenGuard<'a> {
    session: &'a LegacyHttp,
    id: u64,
    is_over: bool,
}

impl Drop for OpenGuard<'_> {
    fn drop(&mut self) {
        self.session.open.close(self.id);
        if self.is_over || self.session.is_gone() {
            return;
        }
        // In this era closing a stream does not cancel (2025-03-26, transports): it has to be said.
        let (endpoint, head, id) = (self.session.endpoint.clone(), self.session.head.clone(), self.id);
        self.session.home.spawn(async move {
            let _ = endpoint.post_aside(&head, &cancelled(id), within(ASIDE_MS)).await;
        });
    }
}

/// Follows the session's own stream for as long as the session is there.
async fn follow(session: Weak<LegacyHttp>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = follow_on(&session) => {}
    }
}

async fn follow_on(session: &Weak<LegacyHttp>) {
    let (mut last_id, mut retry_ms, mut failures) = (None::<String>, None, 0_u32);
    let mut was_open = false;
    loop {
        let opened = {
            let Some(strong) = session.upgrade() else { return };
            // The request outlives the borrow of the session: the stream must not keep it alive.
            let (endpoint, mut head) = (strong.endpoint.clone(), strong.get_head.with_room(64));
            drop(strong);
            if let Some(last_id) = &last_id
                && head.push("last-event-id", last_id).is_err()
            {
                return;
            }
            endpoint.get_events(&head, within(ASIDE_MS)).await
        };
        match opened {
            Ok(Ok(mut events)) => {
                failures = 0;
                was_open = true;
                while let Ok(Some(event)) = events.next().await {
                    let Some(strong) = session.upgrade() else { return };
                    strong.heard(&Bytes::from(event.data)).await;
                }
                last_id = events.last_id.or(last_id);
                retry_ms = events.retry_ms.or(retry_ms);
            }
            // A server that had this stream and now has not has forgotten the session.
            Ok(Err(404)) if was_open => {
                if let Some(strong) = session.upgrade() {
                    strong.is_gone.store(true, Ordering::Relaxed);
                    strong.signals.nudge(Nudge::SessionReplaced);
                }
                return;
            }
            // It has no such stream (405).
            Ok(Err(status)) if (400..500).contains(&status) => return,
            Ok(Err(_)) | Err(_) => failures = failures.saturating_add(1),
        }
        let wait_ms = retry_ms.unwrap_or(RETRY_MS).max(50) << failures.min(5);
        tokio::time::sleep(Duration::from_millis(wait_ms.min(RETRY_MS_MAX))).await;
    }
}

impl LegacyHttp {
    /// One message on the session's own stream.
    async fn heard(&self, frame: &Bytes) {
        match Envelope::parse(frame) {
            Ok(Envelope::Notification { method, params }) => {
                self.open.notification(&method, params, &self.signals);
            }
            Ok(Envelope::Request { id, method, params }) => {
                if let Reply::Now(reply) = self.open.request(id, &method, params) {
                    self.aside(&reply).await;
                }
            }
            Ok(_) => tracing::debug!("an answer on a stream that carries none"),
            Err(error) => tracing::debug!(%error, "an unusable message"),
        }
    }
}
