//! The modern era over HTTP: every request stands for itself, closing its stream cancels it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use connector::Ctx;
use model::Era;
use outbound::Head;
use tokio::time::{Instant, timeout_at};
use wire::{Envelope, Method, RpcCode};

use crate::answer::Answer;
use crate::ask::Ask;
use crate::http::{Endpoint, Events, read_body, status_trouble};
use crate::signals::Signals;
use crate::trouble::Trouble;

/// A modern HTTP server.
pub(crate) struct ModernHttp {
    endpoint: Endpoint,
    /// Everything but what differs per request.
    head: Head,
    next_id: AtomicU64,
    signals: Signals,
}

/// What a modern server answered, with what only HTTP says.
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) status: u16,
}

impl ModernHttp {
    pub(crate) fn new(endpoint: Endpoint, version: &str, signals: Signals) -> Result<Arc<Self>, Trouble> {
        let head = endpoint.post_head(Some(version))?;
        Ok(Arc::new(Self { endpoint, head, next_id: AtomicU64::new(0), signals }))
    }

    /// Sends a request and waits for its answer. `extra` are further header lines.
    pub(crate) async fn request(
        &self,
        ask: Ask<'_>,
        extra: &[(String, String)],
    ) -> Result<Answered, Trouble> {
        let (response, id) = self.send(&ask, extra).await?;
        let status = response.status;
        if response.headers.is_type("text/event-stream") {
            let events = Events::new(response.body, self.endpoint.event_max);
            let hearing = self.hear(events, id, ask.ctx);
            let answer = timeout_at(ask.deadline, hearing).await.map_err(|_| late(ask.method))??;
            return Ok(Answered { answer, status });
        }
        let body = read_body(response, self.endpoint.result_max, ask.deadline).await?;
        if matches!(status, 401 | 403) {
            return Err(status_trouble(status, &body));
        }
        let mut digits = itoa::Buffer::new();
        match Answer::from_frame(&body, digits.format(id).as_bytes()) {
            Ok(answer) => Ok(Answered { answer, status }),
            Err(_) if !(200..300).contains(&status) => Err(status_trouble(status, &body)),
            Err(trouble) => Err(trouble),
        }
    }

    /// Opens a listen stream.
    pub(crate) async fn listen(&self, params: Bytes, deadline: Instant) -> Result<Events, Trouble> {
        let ask = Ask::own(Method::Listen.name(), params, deadline);
        let (response, id) = self.send(&ask, &[]).await?;
        if response.headers.is_type("text/event-stream") && response.status == 200 {
            return Ok(Events::new(response.body, self.endpoint.event_max));
        }
        let status = response.status;
        let body = read_body(response, self.endpoint.result_max, deadline).await?;
        let mut digits = itoa::Buffer::new();
        match Answer::from_frame(&body, digits.format(id).as_bytes()) {
            Ok(answer) => answer.into_result().and_then(|_| Err(status_trouble(status, &body))),
            Err(_) => Err(status_trouble(status, &body)),
        }
    }

    /// One message of a listen stream; false when it was the last.
    pub(crate) fn heard(&self, data: &[u8]) -> bool {
        match Envelope::parse(data) {
            Ok(Envelope::Notification { method, params }) => {
                self.signals.notification(&method, params);
                true
            }
            Ok(Envelope::Response { .. } | Envelope::Error { .. }) => false,
            Ok(Envelope::Request { .. }) | Err(_) => true,
        }
    }

    async fn send(
        &self,
        ask: &Ask<'_>,
        extra: &[(String, String)],
    ) -> Result<(outbound::Response, u64), Trouble> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let mut head = self.head.with_room(128);
        head.push(wire::header::METHOD, ask.method)?;
        let has_name = Method::find(ask.method, Era::Modern).is_some_and(|m| m.target_member().is_some());
        if has_name && !ask.target.is_empty() {
            head.push(wire::header::NAME, &wire::header::encode(ask.target))?;
        }
        for (name, value) in extra {
            head.push(name, &wire::header::encode(value))?;
        }
        let sent =
            self.endpoint.post_request(&head, id, ask.method, &ask.params, ask.is_replayable, ask.deadline);
        Ok((sent.await?, id))
    }

    /// Reads the events of one request: what is said on the way goes to the client, the answer ends it.
    async fn hear(&self, mut events: Events, id: u64, ctx: Option<&Ctx>) -> Result<Answer, Trouble> {
        let mut digits = itoa::Buffer::new();
        let id = digits.format(id).as_bytes();
        while let Some(event) = events.next().await? {
            let frame = Bytes::from(event.data);
            match Envelope::parse(&frame) {
                Ok(Envelope::Notification { method, params }) => match (ctx, &*method) {
                    (Some(ctx), "notifications/progress" | "notifications/message") => {
                        let params =
                            params.map_or_else(|| Bytes::from_static(b"{}"), |raw| frame.slice_ref(raw));
                        ctx.downstream.notify(&method, params);
                    }
                    _ => {
                        self.signals.notification(&method, params);
                    }
                },
                Ok(Envelope::Request { .. }) => {
                    return Err(Trouble::BadAnswer(
                        "it asks a question on the wire, which this era has no way to answer".to_owned(),
                    ));
                }
                Ok(_) | Err(_) => return Answer::from_frame(&frame, id),
            }
        }
        Err(Trouble::Ended {
            ended: Arc::new(crate::trouble::Ended::because("ended the stream before its answer")),
            was_sent: true,
        })
    }
}

fn late(method: &str) -> Trouble {
    Trouble::Timeout { what: method.to_owned(), was_sent: true }
}

/// The error code of an answer, when it is an error.
pub(crate) fn code_of(answer: &Answer) -> Option<RpcCode> {
    match answer {
        Answer::Error(error) => wire::error::code_of(error),
        Answer::Result(_) => None,
    }
}
