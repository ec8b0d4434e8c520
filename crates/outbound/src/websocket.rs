//! A WebSocket client (RFC 6455): the upgrade and minimal framing, without extensions.
//!
//! Own framing, because it is small and an idle connection then costs no more than its socket and an empty buffer.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use model::Entropy;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{Client, Head, OutboundError, Outgoing, Stream, Target};

/// What RFC 6455 §1.3 appends to the key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// Longest control frame payload (RFC 6455 §5.5).
const CONTROL_MAX: u64 = 125;

/// The writing side. Cheap to clone; frames of clones do not mix.
#[derive(Clone)]
pub struct WsWriter {
    io: Arc<Mutex<WriteHalf<Stream>>>,
    entropy: Arc<dyn Entropy>,
}

/// The reading side.
pub struct WsReader {
    io: ReadHalf<Stream>,
    writer: WsWriter,
    buf: BytesMut,
    /// Fragments of a message so far.
    partial: Option<Vec<u8>>,
    message_max: usize,
    host: String,
}

/// Upgrades a connection to `target`, with `head` added to the handshake.
///
/// # Errors
/// When the server does not grant the upgrade or the subprotocol.
pub async fn dial_websocket(
    target: &Target,
    head: &Head,
    subprotocol: &str,
    message_max: usize,
    entropy: Arc<dyn Entropy>,
    deadline: Instant,
) -> Result<(WsReader, WsWriter), OutboundError> {
    let mut nonce = [0; 16];
    entropy.fill(&mut nonce);
    let key = STANDARD.encode(nonce);
    let mut head = head.with_room(192);
    // `Connection` is the client's own header; this request is the one that says something else with it.
    head.push_trusted("connection", "Upgrade");
    head.push_trusted("upgrade", "websocket");
    head.push_trusted("sec-websocket-version", "13");
    head.push_trusted("sec-websocket-key", &key);
    head.push_trusted("sec-websocket-protocol", subprotocol);
    let request = Outgoing { method: "GET", head: &head, body: &[], is_replayable: true, deadline };
    let response = Client::new().send_alone(target, request).await?;
    let host = target.origin.host.clone();
    let refused = |why| OutboundError::Upgrade { host: host.clone(), status: response.status, why };
    if response.status != 101 {
        return Err(refused("it did not answer 101"));
    }
    let digest = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}{GUID}").as_bytes(),
    );
    if response.headers.get("sec-websocket-accept") != Some(STANDARD.encode(digest.as_ref()).as_str()) {
        return Err(refused("its accept key is wrong"));
    }
    // A server that names none (older libraries) is tolerated; one that names another is not.
    if response.headers.get("sec-websocket-protocol").is_some_and(|named| named != subprotocol) {
        return Err(refused("it chose another subprotocol"));
    }
    let conn = response.body.into_conn();
    let Some(conn) = conn else {
        return Err(OutboundError::Upgrade { host, status: 101, why: "the connection is gone" });
    };
    let crate::http1::Conn { io, inbuf, .. } = *conn;
    let (read, write) = tokio::io::split(io);
    let writer = WsWriter { io: Arc::new(Mutex::new(write)), entropy };
    let reader = WsReader { io: read, writer: writer.clone(), buf: inbuf, partial: None, message_max, host };
    Ok((reader, writer))
}

impl WsWriter {
    /// Sends text messages in one write.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_text(&self, messages: &[Bytes]) -> std::io::Result<()> {
        let mut out = Vec::with_capacity(messages.iter().map(|m| m.len() + 14).sum());
        for message in messages {
            self.push_frame(&mut out, TEXT, message);
        }
        self.write(&out).await
    }

    /// Says goodbye; the server's answer is not waited for.
    pub async fn close(&self) {
        let mut out = Vec::new();
        self.push_frame(&mut out, CLOSE, &1000_u16.to_be_bytes());
        let _ = self.write(&out).await;
        let _ = self.io.lock().await.shutdown().await;
    }

    async fn write(&self, out: &[u8]) -> std::io::Result<()> {
        let mut io = self.io.lock().await;
        io.write_all(out).await?;
        io.flush().await
    }

    /// One final frame, masked as clients have to (RFC 6455 §5.3).
    fn push_frame(&self, out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
        out.push(0x80 | opcode);
        match payload.len() {
            length @ 0..=125 => out.push(0x80 | u8::try_from(length).unwrap_or(0)),
            length @ 126..=65535 => {
                out.push(0x80 | 126);
                out.extend_from_slice(&u16::try_from(length).unwrap_or(0).to_be_bytes());
            }
            length => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let mut mask = [0; 4];
        self.entropy.fill(&mut mask);
        out.extend_from_slice(&mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
}

/// A frame's opening, once all of it is in the buffer.
struct Opening {
    is_final: bool,
    opcode: u8,
    header: usize,
    length: u64,
}

impl WsReader {
    /// The next message; `None` when the server has closed. Pings are answered on the way.
    ///
    /// # Errors
    /// When the connection breaks, the framing is wrong, or a message is longer than allowed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, OutboundError> {
        loop {
            let Some(opening) = self.opening()? else {
                if self.fill().await? {
                    continue;
                }
                return Ok(None);
            };
            let total = opening.header + usize::try_from(opening.length).unwrap_or(usize::MAX);
            while self.buf.len() < total {
                if !self.fill().await? {
                    return Ok(None);
                }
            }
            let mut frame = self.buf.split_to(total);
            let payload = frame.split_off(opening.header).freeze();
            match opening.opcode {
                PING => {
                    let mut out = Vec::new();
                    self.writer.push_frame(&mut out, PONG, &payload);
                    self.writer.write(&out).await.map_err(|error| self.closed(error.to_string()))?;
                }
                PONG => {}
                CLOSE => {
                    self.writer.close().await;
                    return Ok(None);
                }
                TEXT | BINARY if opening.is_final => return Ok(Some(payload)),
                TEXT | BINARY => self.partial = Some(payload.to_vec()),
                _ => {
                    let Some(partial) = self.partial.as_mut() else {
                        return Err(self.broken("a continuation of nothing"));
                    };
                    partial.extend_from_slice(&payload);
                    if opening.is_final {
                        return Ok(self.partial.take().map(Bytes::from));
                    }
                }
            }
        }
    }

    fn opening(&self) -> Result<Option<Opening>, OutboundError> {
        let (Some(first), Some(second)) = (self.buf.first().copied(), self.buf.get(1).copied()) else {
            return Ok(None);
        };
        let (is_final, opcode) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 || second & 0x80 != 0 {
            return Err(self.broken("reserved bits or a masked frame"));
        }
        let (header, length) = match second & 0x7f {
            126 => match self.buf.get(2..4).and_then(|raw| <[u8; 2]>::try_from(raw).ok()) {
                Some(raw) => (4, u64::from(u16::from_be_bytes(raw))),
                None => return Ok(None),
            },
            127 => match self.buf.get(2..10).and_then(|raw| <[u8; 8]>::try_from(raw).ok()) {
                Some(raw) => (10, u64::from_be_bytes(raw)),
                None => return Ok(None),
            },
            short => (2, u64::from(short)),
        };
        let is_control = opcode >= 8;
        match opcode {
            0..=2 | 8..=10 => {}
            _ => return Err(self.broken("an unknown kind of frame")),
        }
        if is_control && (!is_final || length > CONTROL_MAX) {
            return Err(self.broken("a control frame that is too long or cut"));
        }
        if !is_control && opcode != 0 && self.partial.is_some() {
            return Err(self.broken("a message within a message"));
        }
        let so_far = self.partial.as_ref().map_or(0, Vec::len) as u64;
        if !is_control && so_far.saturating_add(length) > self.message_max as u64 {
            return Err(OutboundError::TooLarge { host: self.host.clone(), limit: self.message_max });
        }
        Ok(Some(Opening { is_final, opcode, header, length }))
    }

    async fn fill(&mut self) -> Result<bool, OutboundError> {
        self.buf.reserve(2048);
        match self.io.read_buf(&mut self.buf).await {
            Ok(count) => Ok(count > 0),
            Err(error) => Err(self.closed(error.to_string())),
        }
    }

    fn closed(&self, why: String) -> OutboundError {
        OutboundError::Closed { host: self.host.clone(), why, was_sent: true }
    }

    fn broken(&self, why: &'static str) -> OutboundError {
        OutboundError::NotHttp { host: self.host.clone(), why }
    }
}
