//! WebSocket with the subprotocol `mcp`: one JSON-RPC message per text frame, closing cancels everything.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use outbound::{OutboundError, WsReader, WsWriter, dial_websocket};

use crate::channel::{Channel, within};
use crate::frames::{Sink, Source, SourceError, ended};
use crate::settings::{Leave, Parts, Settings};
use crate::signals::Signals;
use crate::trouble::{Ended, Trouble};

pub(super) async fn open(
    settings: &Settings,
    parts: &Parts,
    url: &str,
    signals: &Signals,
) -> Result<Arc<Channel>, Trouble> {
    let endpoint = super::endpoint(settings, parts, url)?;
    let mut headers = endpoint.headers;
    if let Some(Leave(tokens)) = &endpoint.tokens {
        let token = tokens.current().await.map_err(Trouble::Fault)?;
        headers.push("authorization", &format!("Bearer {}", token.expose()))?;
    }
    let (reader, writer) = dial_websocket(
        &endpoint.target,
        &headers,
        "mcp",
        settings.line_bytes_max,
        Arc::clone(&parts.entropy),
        within(settings.connect_timeout_ms),
    )
    .await?;
    Ok(Channel::start(reader, writer, None, signals.clone()))
}

impl Source for WsReader {
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        self.next().await.map_err(|error| match error {
            OutboundError::TooLarge { limit, .. } => SourceError::TooLong(limit),
            other => SourceError::Broken(other.to_string()),
        })
    }

    async fn farewell(&mut self, error: Option<SourceError>) -> Ended {
        ended(error)
    }
}

impl Sink for WsWriter {
    async fn send(&mut self, frames: &[Bytes]) -> io::Result<()> {
        self.send_text(frames).await
    }

    async fn close(&mut self) {
        Self::close(self).await;
    }
}
