//! WebSocket on the endpoints' own paths: subprotocol `mcp`, one JSON-RPC message per text frame.
//!
//! A custom transport by the convention that client SDKs follow (RFC 6455, no extensions). The request was
//! checked for origin and key before it gets here. One connection is one session; its end cancels all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::{FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError, WebSocketWrite};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use model::{Caller, Code, Fault, Secret};
use tokio::io::{AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use crate::Door;
use crate::conversation::Conversation;
use crate::endpoint::Endpoint;
use crate::guard::presented;
use crate::http::{DoorBody, refusal};

/// How often a silent client is asked for a sign of life.
const PING: Duration = Duration::from_secs(30);

type Stream = TokioIo<hyper::upgrade::Upgraded>;

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
        if let Ok(mut socket) = upgrade.await {
            socket.set_max_message_size(line_bytes_max);
            socket.set_auto_close(false);
            socket.set_auto_pong(false);
            converse(&conversation, socket, open_calls_max).await;
        }
    });
    let mut response = response.map(|_| DoorBody::empty());
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mcp"));
    response
}

/// What the reading half has to tell.
enum Read {
    Message(Bytes),
    Ping(Vec<u8>),
    Pong,
    Binary,
}

async fn converse(
    conversation: &Arc<Conversation>,
    socket: fastwebsockets::WebSocket<Stream>,
    open_calls_max: usize,
) {
    let (reader, mut writer) = socket.split(tokio::io::split);
    let mut reader = FragmentCollectorRead::new(reader);
    let mut tasks = FuturesUnordered::new();
    // Reading a frame is not cancel-safe: it happens in a future of its own that is never dropped midway.
    let (sender, mut frames) = mpsc::channel::<Read>(1);
    let mut reading = std::pin::pin!(read_all(&mut reader, sender));
    let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + PING, PING);
    let mut is_silent = false;
    loop {
        while let Some(frame) = conversation.outbox.try_next() {
            if send(&mut writer, OpCode::Text, &frame).await.is_err() {
                return;
            }
        }
        tokio::select! {
            biased;
            Some(()) = tasks.next(), if !tasks.is_empty() => {}
            frame = frames.recv(), if tasks.len() < open_calls_max => match frame {
                Some(Read::Message(message)) => {
                    is_silent = false;
                    if let Some(task) = conversation.take(&message) {
                        tasks.push(task);
                    }
                }
                Some(Read::Ping(payload)) => {
                    if send(&mut writer, OpCode::Pong, &payload).await.is_err() {
                        return;
                    }
                }
                Some(Read::Pong) => is_silent = false,
                Some(Read::Binary) => {
                    let _ = close(&mut writer, 1003, b"text frames only").await;
                    return;
                }
                None => return,
            },
            problem = &mut reading => {
                let (code, text): (u16, &[u8]) = match problem {
                    Some(WebSocketError::FrameTooLarge) => (1009, b"message too large"),
                    Some(WebSocketError::InvalidUTF8) => (1007, b"invalid UTF-8"),
                    Some(_) => (1002, b"protocol error"),
                    None => (1000, b""),
                };
                let _ = close(&mut writer, code, text).await;
                return;
            }
            frame = conversation.outbox.next() => match frame {
                Some(frame) => {
                    if send(&mut writer, OpCode::Text, &frame).await.is_err() {
                        return;
                    }
                }
                None => {
                    let _ = close(&mut writer, 1001, b"going away").await;
                    return;
                }
            },
            _ = ping.tick() => {
                if is_silent || send(&mut writer, OpCode::Ping, b"").await.is_err() {
                    return;
                }
                is_silent = true;
            }
        }
    }
}

/// Reads frame after frame until the client closes (`None`) or breaks the protocol.
async fn read_all(
    reader: &mut FragmentCollectorRead<ReadHalf<Stream>>,
    sender: mpsc::Sender<Read>,
) -> Option<WebSocketError> {
    loop {
        let mut no_obligations = |_: Frame<'_>| std::future::ready(Ok::<(), WebSocketError>(()));
        let frame = match reader.read_frame(&mut no_obligations).await {
            Ok(frame) => frame,
            Err(WebSocketError::UnexpectedEOF | WebSocketError::ConnectionClosed) => return None,
            Err(error) => return Some(error),
        };
        let read = match frame.opcode {
            OpCode::Text => Read::Message(Bytes::copy_from_slice(&frame.payload)),
            OpCode::Ping => Read::Ping(frame.payload.to_vec()),
            OpCode::Pong => Read::Pong,
            OpCode::Close => return None,
            OpCode::Binary | OpCode::Continuation => Read::Binary,
        };
        if sender.send(read).await.is_err() {
            return None;
        }
    }
}

async fn send<W: AsyncWrite + Unpin>(
    writer: &mut WebSocketWrite<W>,
    opcode: OpCode,
    payload: &[u8],
) -> Result<(), WebSocketError> {
    writer.write_frame(Frame::new(true, opcode, None, Payload::Borrowed(payload))).await
}

async fn close(
    writer: &mut WebSocketWrite<WriteHalf<Stream>>,
    code: u16,
    reason: &[u8],
) -> Result<(), WebSocketError> {
    writer.write_frame(Frame::close(code, reason)).await
}
