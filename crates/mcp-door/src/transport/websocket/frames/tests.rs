//! Scenes of framing: honest clients in every way of cutting, and hostile ones.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;

use super::{BINARY, CLOSE, CONTINUATION, Frames, PING, PONG, READ_CHUNK, READ_START, Said, TEXT, Trouble};

const LIMIT: usize = 100_000;
const FINAL: u8 = 0x80;

/// A masked frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    super::push_opening(&mut out, 0, payload.len());
    out[0] = first;
    out[1] |= 0x80;
    let mask = [0x11, 0xa2, 0x00, 0xff];
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// Bytes that come one by one.
struct Drops<'a>(&'a [u8]);

impl tokio::io::AsyncRead for Drops<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if let Some((first, rest)) = self.0.split_first() {
            buf.put_slice(&[*first]);
            self.0 = rest;
        }
        Poll::Ready(Ok(()))
    }
}

/// Whatever comes is heard the same way in one piece and byte by byte, never beyond the limit, and to an end.
pub(crate) fn check(raw: &[u8]) {
    const SMALL: usize = 200;
    fn all<R: tokio::io::AsyncRead + Unpin>(reader: R) -> (Vec<Said>, Trouble) {
        let mut frames = Frames::new(reader, SMALL, BytesMut::new());
        let mut said = Vec::new();
        loop {
            match frames.next().now_or_never().expect("all of it is there") {
                Ok(one) => said.push(one),
                Err(trouble) => return (said, trouble),
            }
        }
    }
    let (said, trouble) = all(raw);
    for one in &said {
        match one {
            Said::Text(text) => assert!(text.len() <= SMALL && std::str::from_utf8(text).is_ok()),
            Said::Ping(payload) => assert!(payload.len() <= 125),
            Said::Pong | Said::Close(_) => {}
        }
    }
    assert_eq!(all(Drops(raw)), (said, trouble));
}

/// All that is said by these bytes, and how it ended.
async fn heard(raw: &[u8]) -> (Vec<Said>, Trouble) {
    let mut frames = Frames::new(raw, LIMIT, BytesMut::new());
    let mut said = Vec::new();
    loop {
        match frames.next().await {
            Ok(one) => said.push(one),
            Err(trouble) => return (said, trouble),
        }
    }
}

async fn trouble(raw: &[u8]) -> Trouble {
    let (said, trouble) = heard(raw).await;
    assert_eq!(said, [], "nothing of it is taken in");
    trouble
}

fn text(payload: &[u8]) -> Said {
    Said::Text(Bytes::copy_from_slice(payload))
}

#[tokio::test]
async fn messages_of_every_length_come_as_they_were_sent() {
    for length in
        [0, 1, 3, 4, 7, 8, 9, 125, 126, 127, 1023, 1024, 5000, 16_383, 16_384, 65_535, 65_536, LIMIT]
    {
        let payload: Vec<u8> = (0..length).map(|at| b'a' + u8::try_from(at % 23).unwrap()).collect();
        let twice = [frame(FINAL | TEXT, &payload), frame(FINAL | TEXT, b"next")].concat();
        let (said, end) = heard(&twice).await;
        assert_eq!(said, [text(&payload), text(b"next")], "{length}");
        assert_eq!(end, Trouble::Gone);
    }
}

#[tokio::test]
async fn a_message_that_comes_byte_by_byte_is_heard_once_and_whole() {
    let (mut client, server) = tokio::io::duplex(1);
    let writing = tokio::spawn(async move {
        let raw = [frame(FINAL | TEXT, &[b'x'; 300]), frame(FINAL | PING, b"p")].concat();
        for byte in raw {
            client.write_all(&[byte]).await.unwrap();
        }
    });
    let mut frames = Frames::new(server, LIMIT, BytesMut::new());
    assert_eq!(frames.next().await, Ok(text(&[b'x'; 300])));
    assert_eq!(frames.next().await, Ok(Said::Ping(Bytes::from_static(b"p"))));
    assert_eq!(frames.next().await, Err(Trouble::Gone));
    writing.await.unwrap();
}

#[tokio::test]
async fn waiting_that_is_given_up_loses_nothing() {
    let (mut client, server) = tokio::io::duplex(64);
    let mut frames = Frames::new(server, LIMIT, BytesMut::new());
    let raw = frame(FINAL | TEXT, b"in two parts");
    client.write_all(&raw[..5]).await.unwrap();
    let waited = tokio::time::timeout(std::time::Duration::from_millis(5), frames.next()).await;
    assert!(waited.is_err(), "half a frame is no message");
    client.write_all(&raw[5..]).await.unwrap();
    assert_eq!(frames.next().await, Ok(text(b"in two parts")));
}

#[tokio::test]
async fn fragments_are_put_together_and_pings_come_between_them() {
    // The two bytes of `é` are torn apart, which is allowed.
    let raw = [
        frame(TEXT, b"caf\xc3"),
        frame(FINAL | PING, b"still there?"),
        frame(CONTINUATION, b""),
        frame(FINAL | CONTINUATION, b"\xa9"),
        frame(FINAL | TEXT, b"after"),
    ]
    .concat();
    let (said, _) = heard(&raw).await;
    assert_eq!(
        said,
        [Said::Ping(Bytes::from_static(b"still there?")), text("café".as_bytes()), text(b"after")]
    );
}

#[tokio::test]
async fn fragments_count_together_against_the_limit() {
    let half = vec![b'x'; LIMIT / 2 + 1];
    let raw = [frame(TEXT, &half), frame(FINAL | CONTINUATION, &half)].concat();
    assert_eq!(trouble(&raw).await, Trouble::TooLarge);
    assert_eq!(trouble(&frame(FINAL | TEXT, &vec![b'x'; LIMIT + 1])).await, Trouble::TooLarge);
}

#[tokio::test]
async fn a_length_that_is_a_lie_takes_no_room() {
    // Just within the limit, and then nothing comes.
    let (mut client, server) = tokio::io::duplex(64);
    let mut frames = Frames::new(server, 1 << 30, BytesMut::new());
    let opening = [&[FINAL | TEXT, 0x80 | 127][..], &(1_u64 << 30).to_be_bytes(), &[0; 4], b"x"].concat();
    client.write_all(&opening).await.unwrap();
    let waited = tokio::time::timeout(std::time::Duration::from_millis(5), frames.next()).await;
    assert!(waited.is_err());
    assert!(frames.buffer.capacity() < 4 * READ_CHUNK, "{}", frames.buffer.capacity());
    // And lengths that no memory has are refused with their opening.
    for length in [(1 << 30) + 1, u64::MAX >> 1] {
        let raw = [&[FINAL | TEXT, 0x80 | 127][..], &length.to_be_bytes(), &[0; 4]].concat();
        assert_eq!(trouble(&raw).await, Trouble::TooLarge);
    }
    let raw = [&[FINAL | TEXT, 0x80 | 127][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat();
    assert_eq!(trouble(&raw).await, Trouble::Protocol, "the highest bit has to be zero");
}

#[tokio::test]
async fn an_idle_client_keeps_no_large_buffer() {
    for length in [READ_START, 10_000, READ_CHUNK, LIMIT] {
        let (mut client, server) = tokio::io::duplex(4096);
        let mut frames = Frames::new(server, LIMIT, BytesMut::new());
        let raw = frame(FINAL | TEXT, &vec![b'x'; length]);
        let writing = tokio::spawn(async move {
            client.write_all(&raw).await.unwrap();
            client
        });
        let message = frames.next().await;
        assert!(matches!(message, Ok(Said::Text(message)) if message.len() == length));
        let waited = tokio::time::timeout(std::time::Duration::from_millis(5), frames.next()).await;
        assert!(waited.is_err(), "nothing more was said");
        assert!(frames.buffer.capacity() <= 2 * READ_START, "{length}: {}", frames.buffer.capacity());
        drop(writing.await.unwrap());
    }
}

#[tokio::test]
async fn what_breaks_the_protocol_is_refused() {
    let mut bare = Vec::new();
    super::push_frame(&mut bare, TEXT, b"not masked");
    assert_eq!(trouble(&bare).await, Trouble::Protocol, "clients have to mask");
    for reserved in [0x40, 0x20, 0x10] {
        assert_eq!(trouble(&frame(FINAL | reserved | TEXT, b"x")).await, Trouble::Protocol);
    }
    for unknown in (3..=7).chain(11..=15) {
        assert_eq!(trouble(&frame(FINAL | unknown, b"x")).await, Trouble::Protocol, "{unknown}");
    }
    assert_eq!(trouble(&frame(FINAL | CONTINUATION, b"of nothing")).await, Trouble::Protocol);
    assert_eq!(
        trouble(&[frame(TEXT, b"begun"), frame(FINAL | TEXT, b"another")].concat()).await,
        Trouble::Protocol
    );
    for control in [PING, PONG, CLOSE] {
        assert_eq!(trouble(&frame(control, b"cut")).await, Trouble::Protocol, "{control}");
        assert_eq!(trouble(&frame(FINAL | control, &[b'x'; 126])).await, Trouble::Protocol, "{control}");
    }
    assert_eq!(trouble(&frame(FINAL | BINARY, b"x")).await, Trouble::Binary);
    assert_eq!(trouble(&frame(BINARY, b"x")).await, Trouble::Binary);
}

#[tokio::test]
async fn what_is_no_text_is_refused_in_one_piece_and_in_many() {
    for wrong in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf"] {
        assert_eq!(trouble(&frame(FINAL | TEXT, wrong)).await, Trouble::NotText);
        let cut = [frame(TEXT, b"fine "), frame(FINAL | CONTINUATION, wrong)].concat();
        assert_eq!(trouble(&cut).await, Trouble::NotText);
    }
}

#[tokio::test]
async fn goodbyes_are_heard_when_they_are_well_formed() {
    for code in [1000, 1001, 1003, 1007, 1011, 3000, 4999_u16] {
        let payload = [&code.to_be_bytes()[..], "schön".as_bytes()].concat();
        let (said, _) = heard(&frame(FINAL | CLOSE, &payload)).await;
        assert_eq!(said, [Said::Close(Some(code))]);
    }
    assert_eq!(heard(&frame(FINAL | CLOSE, b"")).await.0, [Said::Close(None)]);
    assert_eq!(trouble(&frame(FINAL | CLOSE, b"\x03")).await, Trouble::Protocol, "half a code");
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, u16::MAX] {
        assert_eq!(trouble(&frame(FINAL | CLOSE, &code.to_be_bytes())).await, Trouble::Protocol, "{code}");
    }
    assert_eq!(trouble(&frame(FINAL | CLOSE, b"\x03\xe8\xff")).await, Trouble::NotText);
}
