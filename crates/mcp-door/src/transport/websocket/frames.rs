//! The server's half of WebSocket framing (RFC 6455 §5), without extensions.
//!
//! Own framing, because it is small, and because an idle client then costs a kilobyte for reading instead of
//! eight: a buffer grows with the message that needs it and is given back after it.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What an idle connection keeps for reading.
const READ_START: usize = 1024;
/// How much is read at once of a longer message; shorter ones are copied out of the buffer, which stays.
const READ_CHUNK: usize = 16 * 1024;
/// Longest control frame payload (§5.5).
const CONTROL_MAX: u64 = 125;
/// Room for the opening of the frame that may follow.
const OPENING_MAX: usize = 14;

const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
/// A frame of text.
pub(super) const TEXT: u8 = 1;
/// A frame that ends the connection.
pub(super) const CLOSE: u8 = 8;
/// A frame that wants a pong.
pub(super) const PING: u8 = 9;
/// A frame that answers a ping.
pub(super) const PONG: u8 = 10;

/// What the client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A whole message, valid UTF-8.
    Text(Bytes),
    /// It wants this back.
    Ping(Bytes),
    /// It is alive.
    Pong,
    /// It goes, with the code that it gave.
    Close(Option<u16>),
}

/// Why nothing more can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The connection is gone.
    Gone,
    /// Against the protocol.
    Protocol,
    /// Text that is no UTF-8.
    NotText,
    /// Binary messages are not spoken here.
    Binary,
    /// Longer than allowed.
    TooLarge,
}

/// A frame's opening, once all of it is there.
#[derive(Clone, Copy)]
struct Opening {
    is_final: bool,
    opcode: u8,
    mask: [u8; 4],
    header: usize,
    length: usize,
}

/// Reads frames and puts fragments together.
pub(super) struct Frames<R> {
    reader: R,
    buffer: BytesMut,
    /// The buffer has grown beyond what an idle connection may keep.
    is_grown: bool,
    /// Fragments of a message so far.
    partial: Option<Vec<u8>>,
    message_max: usize,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) const fn new(reader: R, message_max: usize, buffer: BytesMut) -> Self {
        Self { reader, buffer, is_grown: false, partial: None, message_max }
    }

    /// The next thing said. Cancel-safe: what has been read stays in the buffer.
    pub(super) async fn next(&mut self) -> Result<Said, Trouble> {
        loop {
            if let Some(said) = self.buffered()? {
                return Ok(said);
            }
            self.make_room()?;
            match self.reader.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(Trouble::Gone),
                Ok(_) => {}
            }
        }
    }

    /// Reads on without listening, until the client ends.
    pub(super) async fn drain(&mut self) -> std::io::Result<()> {
        loop {
            self.buffer.clear();
            self.buffer.reserve(READ_START);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    /// What is there already in whole.
    fn buffered(&mut self) -> Result<Option<Said>, Trouble> {
        while let Some(opening) = self.opening()? {
            if self.buffer.len() < opening.header + opening.length {
                return Ok(None);
            }
            if let Some(said) = self.take(opening)? {
                return Ok(Some(said));
            }
        }
        Ok(None)
    }

    /// Takes one frame out of the buffer; `None` for a fragment that is not the last.
    fn take(&mut self, opening: Opening) -> Result<Option<Said>, Trouble> {
        let is_control = opening.opcode >= CLOSE;
        if !is_control && (!opening.is_final || self.partial.is_some()) {
            let mut partial = self.partial.take().unwrap_or_default();
            let from = partial.len();
            self.buffer.advance(opening.header);
            partial.extend_from_slice(self.buffer.get(..opening.length).unwrap_or_default());
            unmask(partial.get_mut(from..).unwrap_or_default(), opening.mask);
            self.buffer.advance(opening.length);
            self.shrink();
            if opening.is_final {
                return text(partial.into()).map(Some);
            }
            self.partial = Some(partial);
            return Ok(None);
        }
        let payload = self.payload(opening);
        match opening.opcode {
            PING => Ok(Some(Said::Ping(payload))),
            PONG => Ok(Some(Said::Pong)),
            CLOSE => close(&payload).map(Some),
            _ => text(payload).map(Some),
        }
    }

    /// The payload of a frame that is wholly there, unmasked.
    fn payload(&mut self, opening: Opening) -> Bytes {
        self.buffer.advance(opening.header);
        if opening.length < READ_CHUNK {
            // A copy of its own size: what keeps a part of a message must not keep the buffer with it.
            let mut payload = BytesMut::from(self.buffer.get(..opening.length).unwrap_or_default());
            unmask(&mut payload, opening.mask);
            self.buffer.advance(opening.length);
            self.shrink();
            return payload.freeze();
        }
        let mut payload = self.buffer.split_to(opening.length);
        // What comes after it goes into a buffer of its own, or the large one would stay for as long as that.
        self.buffer = BytesMut::from(&*self.buffer);
        self.is_grown = self.buffer.len() > READ_START;
        unmask(&mut payload, opening.mask);
        payload.freeze()
    }

    /// Gives back a buffer that is larger than an idle connection may keep, once it is empty.
    fn shrink(&mut self) {
        if self.buffer.is_empty() && self.is_grown {
            self.buffer = BytesMut::new();
            self.is_grown = false;
        }
    }

    /// Room for the next read: for a small message to begin with, and for what is known to be missing then. Never
    /// for all that a length promises: it may be a lie.
    fn make_room(&mut self) -> Result<(), Trouble> {
        let whole = self.opening()?.map_or(0, |opening| opening.header + opening.length + OPENING_MAX);
        let missing = whole.saturating_sub(self.buffer.len()).min(READ_CHUNK);
        let room = if self.buffer.is_empty() { READ_START } else { missing.max(READ_START / 2) };
        self.is_grown |= self.buffer.len() + room > READ_START * 2;
        self.buffer.reserve(room);
        Ok(())
    }

    /// The opening at the front of the buffer, once it is all there. Refuses as early as it can.
    fn opening(&self) -> Result<Option<Opening>, Trouble> {
        let (Some(first), Some(second)) = (self.buffer.first().copied(), self.buffer.get(1).copied()) else {
            return Ok(None);
        };
        let (is_final, opcode) = (first & 0x80 != 0, first & 0x0f);
        // No extension gives the reserved bits a meaning, and a client has to mask (§5.1).
        if first & 0x70 != 0 || second & 0x80 == 0 {
            return Err(Trouble::Protocol);
        }
        match opcode {
            CONTINUATION if self.partial.is_none() => return Err(Trouble::Protocol),
            TEXT | BINARY if self.partial.is_some() => return Err(Trouble::Protocol),
            BINARY => return Err(Trouble::Binary),
            CONTINUATION | TEXT | CLOSE | PING | PONG => {}
            _ => return Err(Trouble::Protocol),
        }
        let (end, length) = match second & 0x7f {
            126 => match self.at::<2>(2) {
                Some(raw) => (4, u64::from(u16::from_be_bytes(raw))),
                None => return Ok(None),
            },
            127 => match self.at::<8>(2) {
                Some(raw) => (10, u64::from_be_bytes(raw)),
                None => return Ok(None),
            },
            short => (2, u64::from(short)),
        };
        if opcode >= CLOSE {
            if !is_final || length > CONTROL_MAX {
                return Err(Trouble::Protocol);
            }
        } else if length >> 63 != 0 {
            return Err(Trouble::Protocol);
        } else {
            let so_far = self.partial.as_ref().map_or(0, Vec::len) as u64;
            if so_far.saturating_add(length) > self.message_max as u64 {
                return Err(Trouble::TooLarge);
            }
        }
        let Some(mask) = self.at::<4>(end) else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| Trouble::TooLarge)?;
        Ok(Some(Opening { is_final, opcode, mask, header: end + 4, length }))
    }

    fn at<const N: usize>(&self, from: usize) -> Option<[u8; N]> {
        self.buffer.get(from..from + N).and_then(|raw| raw.try_into().ok())
    }
}

fn text(payload: Bytes) -> Result<Said, Trouble> {
    match std::str::from_utf8(&payload) {
        Ok(_) => Ok(Said::Text(payload)),
        Err(_) => Err(Trouble::NotText),
    }
}

/// The code of a close frame (§5.5.1, §7.4).
fn close(payload: &[u8]) -> Result<Said, Trouble> {
    let Some((raw, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(Said::Close(None)) } else { Err(Trouble::Protocol) };
    };
    let code = u16::from_be_bytes(*raw);
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => {}
        _ => return Err(Trouble::Protocol),
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(Said::Close(Some(code))),
        Err(_) => Err(Trouble::NotText),
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c, d]) {
        *byte ^= key;
    }
}

/// Appends one final frame as servers send it: not masked.
pub(super) fn push_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    push_opening(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// Appends the opening of a final frame of that length.
pub(super) fn push_opening(out: &mut Vec<u8>, opcode: u8, length: usize) {
    out.push(0x80 | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => out.push(short),
        (_, Ok(middle)) => {
            out.push(126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
