//! The little of RFC 6455 that a measuring client needs: the upgrade, masked text frames out, whole messages in.

use std::net::SocketAddr;
use std::ops::Range;

use anyhow::{Result, bail};

/// The bit that ends a message.
const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// One frame at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where its payload lies.
    pub(crate) payload: Range<usize>,
}

/// What a client does with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A piece of a message; whether it is the last.
    Message { is_last: bool },
    /// To be answered with the same payload.
    Ping,
    /// To be ignored.
    Pong,
}

/// The request that asks for the upgrade. The key is fixed: it only proves that a server read the request.
pub(crate) fn upgrade(address: SocketAddr, path: &str, key: Option<&str>) -> String {
    let authorization = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mcp\r\n\r\n"
    )
}

/// The header of a text frame of `length` bytes. Its mask is zero, which is allowed and leaves the payload as it is:
/// the server does the same work for any mask, and the generator is spared its own.
pub(crate) fn text_header(length: usize) -> Vec<u8> {
    header(TEXT, length)
}

/// The frame that answers a ping.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    [header(PONG, payload.len()).as_slice(), payload].concat()
}

/// The frame at the start of `input`, or `None` while it is not complete. A close frame is an error.
pub(crate) fn parse(input: &[u8]) -> Result<Option<Frame>> {
    let [first, second, rest @ ..] = input else { return Ok(None) };
    if second & 0x80 != 0 {
        bail!("a server must not mask its frames");
    }
    let (length, head) = match (second & 0x7F, rest) {
        (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 4),
        (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 10),
        (126 | 127, _) => return Ok(None),
        (short, _) => (u64::from(short), 2),
    };
    let end = usize::try_from(length)?.saturating_add(head);
    if input.len() < end {
        return Ok(None);
    }
    let kind = match first & 0x0F {
        0x0..=0x2 => Kind::Message { is_last: first & FIN != 0 },
        PING => Kind::Ping,
        PONG => Kind::Pong,
        0x8 => bail!("the server closed the WebSocket"),
        other => bail!("frame type {other} is not known"),
    };
    Ok(Some(Frame { kind, payload: head..end }))
}

fn header(opcode: u8, length: usize) -> Vec<u8> {
    let mut head = vec![FIN | opcode];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => head.push(0x80 | short),
        (_, Ok(medium)) => {
            head.push(0x80 | 126);
            head.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend_from_slice(&u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    head.extend_from_slice(&[0; 4]);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_each_size_is_read_when_it_is_complete_and_not_before() {
        for length in [0_usize, 125, 126, 65_535, 65_536] {
            // A server's frame is a client's without the mask: its bit and its four bytes.
            let mut frame = text_header(length);
            frame.truncate(frame.len() - 4);
            frame[1] &= 0x7F;
            let head = frame.len();
            frame.resize(head + length, b'x');
            assert_eq!(parse(&frame[..frame.len() - 1]).unwrap(), None, "{length} without its last byte");
            let read = parse(&frame).unwrap().unwrap();
            assert_eq!(read, Frame { kind: Kind::Message { is_last: true }, payload: head..head + length });
        }
    }

    #[test]
    fn a_close_or_a_masked_frame_is_an_error() {
        assert!(parse(&[0x88, 0]).is_err());
        assert!(parse(&text_header(3)).is_err());
        assert_eq!(parse(&[0x89, 0]).unwrap().unwrap().kind, Kind::Ping);
    }
}
