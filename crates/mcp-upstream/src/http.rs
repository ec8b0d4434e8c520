//! What both eras share over HTTP: an endpoint with its standing headers, and answers as JSON or as events.

use std::collections::VecDeque;

use bytes::Bytes;
use connector::oauth::Challenge;
use model::{Code, Fault, Secret};
use outbound::{Body, Client, Head, OutboundError, Outgoing, Response, Target};
use tokio::time::{Instant, timeout_at};
use wire::message;
use wire::sse::{SseEvent, SseReader};

use crate::settings::Leave;
use crate::trouble::Trouble;

/// Longest body that is read where only a status is wanted.
const ASIDE_MAX: usize = 64 * 1024;

/// Header names that the protocol fills in itself.
const RESERVED: &[&str] = &[
    "accept",
    "content-type",
    "last-event-id",
    wire::header::PROTOCOL_VERSION,
    wire::header::METHOD,
    wire::header::NAME,
    wire::header::SESSION_ID,
];

/// An MCP endpoint.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) client: Client,
    pub(crate) target: Target,
    /// The connection's own header lines.
    pub(crate) headers: Head,
    /// Where the token of each request comes from.
    pub(crate) tokens: Option<Leave>,
    pub(crate) event_max: usize,
    pub(crate) result_max: usize,
}

/// The connection's own headers as a block.
pub(crate) fn own_headers(headers: &[(String, Secret)]) -> Result<Head, OutboundError> {
    let mut head = Head::new();
    for (name, value) in headers {
        if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            tracing::warn!(header = %name, "left out: this header belongs to the protocol");
            continue;
        }
        head.push(name, value.expose())?;
    }
    Ok(head)
}

impl Endpoint {
    /// The headers of a POST in either era, the revision among them where there is one already.
    pub(crate) fn post_head(&self, version: Option<&str>) -> Result<Head, OutboundError> {
        let mut head = self.headers.with_room(256);
        head.push("content-type", "application/json")?;
        head.push("accept", "application/json, text/event-stream")?;
        if let Some(version) = version {
            head.push(wire::header::PROTOCOL_VERSION, version)?;
        }
        Ok(head)
    }

    /// Posts one JSON-RPC request without joining its parts first.
    pub(crate) async fn post_request(
        &self,
        head: &Head,
        id: u64,
        method: &str,
        params: &[u8],
        is_replayable: bool,
        deadline: Instant,
    ) -> Result<Response, Trouble> {
        let mut digits = itoa::Buffer::new();
        let id = digits.format(id);
        let body: [&[u8]; 7] = [
            b"{\"jsonrpc\":\"2.0\",\"id\":",
            id.as_bytes(),
            b",\"method\":\"",
            method.as_bytes(),
            b"\",\"params\":",
            params,
            b"}",
        ];
        self.send(Outgoing { method: "POST", head, body: &body, is_replayable, deadline }).await
    }

    /// Sends a request, with the token in force where there is one. One that is refused for its token was not
    /// looked at: it is sent once more with another.
    async fn send(&self, request: Outgoing<'_>) -> Result<Response, Trouble> {
        let Some(Leave(tokens)) = &self.tokens else {
            return Ok(self.client.send(&self.target, request).await?);
        };
        let mut token = tokens.current().await.map_err(Trouble::Fault)?;
        let mut is_second = false;
        loop {
            let mut head = request.head.with_room(64 + token.expose().len());
            head.push("authorization", &format!("Bearer {}", token.expose()))?;
            let response = self.client.send(&self.target, Outgoing { head: &head, ..request }).await?;
            match response.status {
                401 if !is_second => {
                    is_second = true;
                    let _ = timeout_at(request.deadline, response.body.collect(ASIDE_MAX)).await;
                    token = tokens.renew(&token).await.map_err(Trouble::Fault)?;
                }
                403 => {
                    let challenge = response.headers.get("www-authenticate").map(Challenge::read);
                    let Some(scope) = challenge
                        .filter(|challenge| challenge.error.as_deref() == Some("insufficient_scope"))
                        .and_then(|challenge| challenge.scope)
                    else {
                        return Ok(response);
                    };
                    tokens.wants(&scope).await;
                    let what = format!("the server wants further leave for this: {scope}");
                    return Err(Trouble::Fault(
                        Fault::new(Code::LEAVE_NEEDED, what)
                            .with_hint("`trunkline connection authorize` asks for it; then call again"),
                    ));
                }
                _ => return Ok(response),
            }
        }
    }

    /// Posts a notification or an answer; the status says whether it arrived.
    pub(crate) async fn post_aside(
        &self,
        head: &Head,
        frame: &[u8],
        deadline: Instant,
    ) -> Result<u16, Trouble> {
        let request = Outgoing { method: "POST", head, body: &[frame], is_replayable: false, deadline };
        let response = self.send(request).await?;
        let status = response.status;
        // Read, so that the connection can be used again.
        let _ = tokio::time::timeout_at(deadline, response.body.collect(ASIDE_MAX)).await;
        Ok(status)
    }

    /// Opens an event stream; `None` when the server offers none.
    pub(crate) async fn get_events(
        &self,
        head: &Head,
        deadline: Instant,
    ) -> Result<Result<Events, u16>, Trouble> {
        let request = Outgoing { method: "GET", head, body: &[], is_replayable: true, deadline };
        let response = self.send(request).await?;
        if response.status == 200 && response.headers.is_type("text/event-stream") {
            return Ok(Ok(Events::new(response.body, self.event_max)));
        }
        Ok(Err(response.status))
    }
}

/// Server-sent events of one response.
pub(crate) struct Events {
    body: Body,
    reader: SseReader,
    queue: VecDeque<SseEvent>,
    event_max: usize,
    /// The last event id, for going on after a break.
    pub(crate) last_id: Option<String>,
    /// How long the server asks to wait before that.
    pub(crate) retry_ms: Option<u64>,
}

impl Events {
    pub(crate) fn new(body: Body, event_max: usize) -> Self {
        Self {
            body,
            reader: SseReader::new(event_max),
            queue: VecDeque::new(),
            event_max,
            last_id: None,
            retry_ms: None,
        }
    }

    /// The next event with data in it (or an event without data but with a name); `None` at the end of the stream.
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<SseEvent>, Trouble> {
        loop {
            while let Some(event) = self.queue.pop_front() {
                if let Some(id) = &event.id {
                    self.last_id = Some(id.clone());
                }
                self.retry_ms = event.retry_ms.or(self.retry_ms);
                if !event.data.is_empty() {
                    return Ok(Some(event));
                }
            }
            let Some(chunk) = self.body.chunk().await? else { return Ok(None) };
            let queue = &mut self.queue;
            if self.reader.feed(&chunk, |event| queue.push_back(event)).is_err() {
                let limit = self.event_max;
                let ended = crate::frames::ended(Some(crate::frames::SourceError::TooLong(limit)));
                return Err(Trouble::Ended { ended: ended.into(), was_sent: true });
            }
        }
    }
}

/// A response that is no answer to the request: the trouble that its status stands for.
pub(crate) fn status_trouble(status: u16, body: &Bytes) -> Trouble {
    if matches!(status, 401 | 403) {
        return Trouble::Refused { status };
    }
    let text: String = String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(200).collect();
    let said = if text.is_empty() { String::new() } else { format!(": {text}") };
    Trouble::Status { status, said }
}

/// Reads a body that is not an event stream.
pub(crate) async fn read_body(response: Response, limit: usize, deadline: Instant) -> Result<Bytes, Trouble> {
    match tokio::time::timeout_at(deadline, response.body.collect(limit)).await {
        Ok(body) => Ok(body?),
        Err(_) => Err(Trouble::Timeout { what: "the request completely".to_owned(), was_sent: true }),
    }
}

/// A `notifications/cancelled` frame.
pub(crate) fn cancelled(id: u64) -> Vec<u8> {
    let params = format!("{{\"requestId\":{id},\"reason\":\"no longer needed\"}}");
    message::notification("notifications/cancelled", params.as_bytes())
}
