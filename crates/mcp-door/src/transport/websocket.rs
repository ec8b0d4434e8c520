//! WebSocket on the endpoints' own paths: subprotocol `mcp`, one JSON-RPC message per text frame.
//!
//! A custom transport by the convention that client SDKs follow (RFC 6455, no extensions). The request was
//! checked for origin and key before it gets here. One connection is one session; its end cancels all.

pub(crate) mod frames;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderValue, Request, Response, StatusCode};
use model::{Caller, Code, Fault, Secret};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::Door;
use crate::conversation::Conversation;
use crate::endpoint::Endpoint;
use crate::guard::presented;
use crate::http::{DoorBody, refusal};
use frames::{CLOSE, Frames, PING, PONG, Said, TEXT, Trouble};

/// How often a silent client is asked for a sign of life.
const ALIVE: Duration = Duration::from_secs(30);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// How many bytes of waiting frames go into one write.
const WRITE_MAX: usize = 64 * 1024;

pub(crate) fn handle(
    door: &Arc<Door>,
    caller: Arc<Caller>,
    endpoint: Endpoint,
    mut request: Request<hyper::body::Incoming>,
) -> Response<DoorBody> {
    if !door.settings().has_websocket {
        let fault =
            Fault::new(Code::UNSUPPORTED, "WebSocket is switched off").with_hint("set `mcp.websocket: true`");
        return refusal(StatusCode::NOT_FOUND, &fault);
    }
    let key = presented(request.headers()).ok().map(Secret::new);
    let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let speaks_mcp =
        offered.filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(|p| p.trim() == "mcp");
    if !speaks_mcp {
        let fault = Fault::new(Code::BAD_MESSAGE, "the subprotocol `mcp` has to be offered")
            .with_hint("send `Sec-WebSocket-Protocol: mcp`");
        return refusal(StatusCode::BAD_REQUEST, &fault);
    }
    let (response, upgrade) = match fastwebsockets::upgrade::upgrade(&mut request) {
        Ok(upgraded) => upgraded,
        Err(error) => {
            let fault = Fault::new(Code::BAD_MESSAGE, format!("not a WebSocket upgrade: {error}"));
            return refusal(StatusCode::BAD_REQUEST, &fault);
        }
    };
    let conversation = Conversation::new(door, caller, key, endpoint);
    let (line_bytes_max, open_calls_max) = (door.settings().line_bytes_max, door.settings().open_calls_max);
    tokio::spawn(async move {
        // The library's socket has a large buffer from the start, so only its stream is taken.
        let Ok(stream) = upgrade.await.map(fastwebsockets::WebSocket::into_inner) else { return };
        let (reader, mut writer) = tokio::io::split(stream);
        let mut frames = Frames::new(reader, line_bytes_max, BytesMut::new());
        if let Some(farewell) = converse(&conversation, &mut frames, &mut writer, open_calls_max).await {
            let mut out = Vec::new();
            frames::push_frame(&mut out, CLOSE, &farewell);
            let _ = tokio::time::timeout(GOODBYE, async {
                write(&mut writer, &out).await?;
                writer.shutdown().await?;
                // A socket that is closed with something unread takes the last words back.
                frames.drain().await
            })
            .await;
        }
    });
    let mut response = response.map(|_| DoorBody::empty());
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mcp"));
    response
}

/// Talks until it is over. What comes back is what to say in the last frame; `None` when nobody would hear it.
async fn converse<R, W>(
    conversation: &Arc<Conversation>,
    frames: &mut Frames<R>,
    writer: &mut W,
    open_calls_max: usize,
) -> Option<Vec<u8>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut tasks = FuturesUnordered::new();
    let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + ALIVE, ALIVE);
    let mut is_silent = false;
    let mut pong = None;
    loop {
        // What is ready goes out in one write, and what was asked back goes before it.
        let payload: Option<Bytes> = pong.take();
        let first = conversation.outbox.try_next();
        if payload.is_some() || first.is_some() {
            send(conversation, writer, payload.as_deref(), first).await.ok()?;
            continue;
        }
        let said = tokio::select! {
            biased;
            Some(()) = tasks.next(), if !tasks.is_empty() => continue,
            said = frames.next(), if tasks.len() < open_calls_max => said,
            frame = conversation.outbox.next() => {
                let Some(frame) = frame else { return Some(last(1001, "going away")) };
                send(conversation, writer, None, Some(frame)).await.ok()?;
                continue;
            }
            _ = ping.tick() => {
                if is_silent {
                    return None;
                }
                let mut out = Vec::new();
                frames::push_frame(&mut out, PING, b"");
                write(writer, &out).await.ok()?;
                is_silent = true;
                continue;
            }
        };
        is_silent = false;
        match said {
            Ok(Said::Text(message)) => tasks.extend(conversation.take(&message)),
            Ok(Said::Ping(payload)) => pong = Some(payload),
            Ok(Said::Pong) => {}
            Ok(Said::Close(code)) => return Some(code.map_or_else(Vec::new, |code| last(code, ""))),
            Err(trouble) => return farewell(trouble),
        }
    }
}

/// What is said to a client that cannot be understood any more.
fn farewell(trouble: Trouble) -> Option<Vec<u8>> {
    match trouble {
        Trouble::Gone => None,
        Trouble::Protocol => Some(last(1002, "protocol error")),
        Trouble::NotText => Some(last(1007, "invalid UTF-8")),
        Trouble::Binary => Some(last(1003, "text frames only")),
        Trouble::TooLarge => Some(last(1009, "message too large")),
    }
}

/// The payload of a close frame.
fn last(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// Sends a pong, a frame, and what else waits, as much of it as fits one write.
async fn send<W: AsyncWrite + Unpin>(
    conversation: &Conversation,
    writer: &mut W,
    pong: Option<&[u8]>,
    first: Option<Bytes>,
) -> std::io::Result<()> {
    // Made anew each time: an idle client holds nothing for writing.
    let mut out = Vec::new();
    if let Some(payload) = pong {
        frames::push_frame(&mut out, PONG, payload);
    }
    let mut next = first;
    while let Some(frame) = next {
        if frame.len() > WRITE_MAX {
            // Too large to be copied: its opening goes with what is waiting, itself alone.
            frames::push_opening(&mut out, TEXT, frame.len());
            writer.write_all(&out).await?;
            writer.write_all(&frame).await?;
            out.clear();
        } else {
            frames::push_frame(&mut out, TEXT, &frame);
        }
        if out.len() >= WRITE_MAX {
            break;
        }
        next = conversation.outbox.try_next();
    }
    write(writer, &out).await
}

async fn write<W: AsyncWrite + Unpin>(writer: &mut W, out: &[u8]) -> std::io::Result<()> {
    writer.write_all(out).await?;
    // Over TLS, what was written may still wait for its record to be sent.
    writer.flush().await
}
