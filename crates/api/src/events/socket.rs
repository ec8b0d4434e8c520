//! Events over WebSocket: one per text frame (RFC 6455, no extensions).

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, WebSocket, WebSocketError, WebSocketWrite,
};
use http::HeaderValue;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use crate::live::reader::{Next, Reader};
use crate::rescue::Problem;

/// The subprotocol that is agreed to when it is offered.
const PROTOCOL: &str = "trunkline.events";
/// The largest message of a client, bytes. None is read.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// How long the last frame may take to leave.
const FAREWELL: std::time::Duration = std::time::Duration::from_millis(500);

type Stream = TokioIo<Upgraded>;
type Writer = WebSocketWrite<WriteHalf<Stream>>;

/// Answers the upgrade, and shows the reader's events on what becomes of it.
pub(super) fn upgrade(mut request: Request, reader: Reader) -> Result<Response, Problem> {
    let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offered = offered.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let agrees = offered.any(|one| one.trim() == PROTOCOL);
    let (response, upgraded) = fastwebsockets::upgrade::upgrade(&mut request).map_err(|error| {
        Problem::bad_message(
            format!("not a WebSocket upgrade: {error}"),
            "GET /api/v1/events has the same as server-sent events",
        )
    })?;
    tokio::spawn(async move {
        if let Ok(mut socket) = upgraded.await {
            socket.set_max_message_size(MESSAGE_BYTES_MAX);
            socket.set_auto_close(false);
            socket.set_auto_pong(false);
            show(socket, reader).await;
        }
    });
    let mut response = response.map(|_| Body::empty());
    if agrees {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    Ok(response)
}

async fn show(socket: WebSocket<Stream>, mut reader: Reader) {
    let (incoming, mut writer) = socket.split(tokio::io::split);
    // Reading a frame is not cancel-safe: it happens in a future of its own that is never dropped midway.
    let (sender, mut pings) = mpsc::channel::<Vec<u8>>(1);
    let mut reading = std::pin::pin!(read_all(FragmentCollectorRead::new(incoming), sender));
    loop {
        let sent = tokio::select! {
            () = &mut reading => return,
            Some(payload) = pings.recv() => write(&mut writer, &mut reader, OpCode::Pong, &payload).await,
            next = reader.next() => match next {
                Next::Events(events) => {
                    let mut sent = Ok(());
                    for event in events {
                        sent = write(&mut writer, &mut reader, OpCode::Text, event.json().as_bytes()).await;
                        if sent.is_err() {
                            break;
                        }
                    }
                    sent
                }
                Next::Nothing(_) => write(&mut writer, &mut reader, OpCode::Ping, b"").await,
                end => Err(Some(end)),
            },
        };
        match sent {
            Ok(()) => {}
            Err(None) => return,
            Err(Some(end)) => {
                let (code, text): (u16, &[u8]) = match end {
                    Next::Fallen => (1008, b"the key is not what it was"),
                    _ => (1001, b"going away"),
                };
                let farewell = writer.write_frame(Frame::close(code, text));
                // A client that reads nothing does not read this either.
                let _ = tokio::time::timeout(FAREWELL, farewell).await;
                return;
            }
        }
    }
}

/// Writes one frame. A client that does not read holds up nobody, and its key may still be revoked.
async fn write(
    writer: &mut Writer,
    reader: &mut Reader,
    opcode: OpCode,
    payload: &[u8],
) -> Result<(), Option<Next>> {
    tokio::select! {
        written = writer.write_frame(Frame::new(true, opcode, None, Payload::Borrowed(payload))) => {
            written.map_err(|_| None)
        }
        end = reader.end() => Err(Some(end)),
    }
}

/// Reads until the client closes or breaks the protocol; pings are handed on, the rest is passed over.
async fn read_all(mut incoming: FragmentCollectorRead<ReadHalf<Stream>>, pings: mpsc::Sender<Vec<u8>>) {
    loop {
        let mut no_obligations = |_: Frame<'_>| std::future::ready(Ok::<(), WebSocketError>(()));
        match incoming.read_frame(&mut no_obligations).await {
            Ok(frame) if frame.opcode == OpCode::Close => return,
            Ok(frame) if frame.opcode == OpCode::Ping => {
                // One answer at a time is enough (RFC 6455 §5.5.3).
                let _ = pings.try_send(frame.payload.to_vec());
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
