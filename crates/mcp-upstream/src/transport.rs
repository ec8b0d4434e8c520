//! Opening a channel: one file per way of travelling, one line here.

mod socket;
mod sse;
mod stdio;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use outbound::Target;

use crate::channel::Channel;
use crate::http::{Endpoint, own_headers};
use crate::settings::{Parts, Settings, Transport};
use crate::signals::Signals;
use crate::trouble::Trouble;

pub(crate) use sse::open as open_sse;

/// Opens a fresh channel: a new process, a new socket.
pub(crate) async fn open(
    settings: &Settings,
    parts: &Parts,
    signals: &Signals,
) -> Result<Arc<Channel>, Trouble> {
    let limit = settings.line_bytes_max;
    match &settings.transport {
        Transport::Stdio { .. } => stdio::open(settings, parts, signals),
        Transport::Tcp { addr } => {
            let stream = outbound::dial_tcp(addr, &settings.route).await?;
            Ok(socket::open(stream, limit, signals))
        }
        Transport::Unix { path } => {
            let stream = outbound::dial_unix(path, patience(settings)).await?;
            Ok(socket::open(stream, limit, signals))
        }
        Transport::WebSocket { url } => websocket::open(settings, parts, url, signals).await,
        Transport::Sse { url } | Transport::Http { url } => {
            sse::open(endpoint(settings, parts, url)?, settings.connect_timeout_ms, signals).await
        }
    }
}

/// The HTTP endpoint at `url`, under this connection's rules.
pub(crate) fn endpoint(settings: &Settings, parts: &Parts, url: &str) -> Result<Endpoint, Trouble> {
    Ok(Endpoint {
        client: parts.client,
        target: Target::parse(url, &settings.route)?,
        headers: own_headers(&settings.headers)?,
        tokens: settings.tokens.clone(),
        event_max: settings.line_bytes_max,
        result_max: settings.result_bytes_max,
    })
}

fn patience(settings: &Settings) -> Duration {
    Duration::from_millis(settings.connect_timeout_ms).min(outbound::target::CONNECT_TIMEOUT)
}
