//! HTTP+SSE of 2024-11-05: a GET stream whose first event names where to post, answers on the stream.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use outbound::Head;
use tokio::time::timeout_at;

use crate::channel::{Channel, within};
use crate::frames::{Sink, Source, SourceError, ended};
use crate::http::{Endpoint, Events, status_trouble};
use crate::signals::Signals;
use crate::trouble::{Ended, Trouble};

/// Time for the server to take one message.
const POST_MS: u64 = 30_000;

/// Opens the stream and waits for its `endpoint` event.
pub(crate) async fn open(
    endpoint: Endpoint,
    connect_ms: u64,
    signals: &Signals,
) -> Result<Arc<Channel>, Trouble> {
    let deadline = within(connect_ms);
    let mut head = endpoint.headers.with_room(64);
    head.push("accept", "text/event-stream")?;
    let mut events = match endpoint.get_events(&head, deadline).await? {
        Ok(events) => events,
        Err(status) => return Err(status_trouble(status, &Bytes::from_static(b"no event stream there"))),
    };
    let first = loop {
        let event = timeout_at(deadline, events.next()).await.map_err(|_| Trouble::Timeout {
            what: "with an `endpoint` event".to_owned(),
            was_sent: false,
        })??;
        match event {
            Some(event) if event.event == "endpoint" => break event,
            Some(_) => {}
            None => {
                return Err(Trouble::BadAnswer("its stream ended without an `endpoint` event".to_owned()));
            }
        }
    };
    let reference = String::from_utf8_lossy(&first.data).trim().to_owned();
    let post = Endpoint { target: endpoint.target.join(&reference)?, ..endpoint };
    let mut post_head = post.headers.with_room(64);
    post_head.push("content-type", "application/json")?;
    let sink = Post { endpoint: post, head: post_head };
    Ok(Channel::start(events, sink, None, signals.clone()))
}

impl Source for Events {
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        match self.next().await {
            Ok(event) => Ok(event.map(|event| Bytes::from(event.data))),
            Err(Trouble::Ended { ended, .. }) => match ended.too_large {
                Some(limit) => Err(SourceError::TooLong(limit)),
                None => Err(SourceError::Broken(ended.why.clone())),
            },
            Err(trouble) => Err(SourceError::Broken(trouble.to_string())),
        }
    }

    async fn farewell(&mut self, error: Option<SourceError>) -> Ended {
        ended(error)
    }
}

struct Post {
    endpoint: Endpoint,
    head: Head,
}

impl Post {
    async fn post(&self, frame: &Bytes) -> io::Result<()> {
        match self.endpoint.post_aside(&self.head, frame, within(POST_MS)).await {
            Ok(status) if status < 400 => Ok(()),
            // One message that it does not like is no reason to end the others' calls.
            Ok(status) if !matches!(status, 401 | 403 | 404 | 410 | 500..) => {
                tracing::debug!(status, "the server did not take a message");
                Ok(())
            }
            Ok(status) => Err(io::Error::other(format!("HTTP {status}"))),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }
}

impl Sink for Post {
    async fn send(&mut self, frames: &[Bytes]) -> io::Result<()> {
        // Requests may overtake each other; a notification (`initialized`) keeps its place.
        let is_notification = |frame: &Bytes| frame.starts_with(b"{\"jsonrpc\":\"2.0\",\"method\"");
        for group in frames.chunk_by(|a, b| !is_notification(a) && !is_notification(b)) {
            for outcome in join_all(group.iter().map(|frame| self.post(frame))).await {
                outcome?;
            }
        }
        Ok(())
    }

    async fn close(&mut self) {}
}
