//! A response: status, headers, and a body that streams or is collected within a bound.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::http1::Conn;
use crate::http2::{Broken, Incoming};
use crate::{OutboundError, Target, pool};

/// Most header lines in a response.
pub(crate) const HEADERS_MAX: usize = 96;
/// Longest line between chunks, and longest trailer section.
const CHUNK_LINE_MAX: usize = 8 * 1024;

/// The answer to a request.
#[derive(Debug)]
pub struct Response {
    /// The status code; 1xx never arrives here, save for 101.
    pub status: u16,
    /// The header lines.
    pub headers: Headers,
    /// The body. Dropping it before its end closes the connection, or resets the stream of a shared one: that is how a
    /// request is cancelled.
    pub body: Body,
}

impl Response {
    /// Under the route's limits of time. An event stream is exempt: its silence is nothing amiss.
    pub(crate) fn paced(mut self, target: &Target, began: Instant) -> Self {
        let times = target.origin.route.times();
        if (times.idle.is_some() || times.total.is_some()) && !self.headers.is_type("text/event-stream") {
            let total = times.total.map(|total| (began + total, total));
            self.body.pace = Some(Pace { idle: times.idle, total });
        }
        self
    }
}

/// Until when a body has to come.
#[derive(Debug, Clone, Copy)]
struct Pace {
    idle: Option<Duration>,
    total: Option<(Instant, Duration)>,
}

/// Header lines, as slices of the head.
#[derive(Debug, Clone)]
pub struct Headers {
    head: Bytes,
    lines: SmallVec<[[u32; 4]; 12]>,
}

impl Headers {
    pub(crate) fn new(head: &Bytes, parsed: &[httparse::Header<'_>]) -> Self {
        let offset = |part: &[u8]| {
            let start = (part.as_ptr() as usize).saturating_sub(head.as_ptr() as usize);
            u32::try_from(start).unwrap_or(0)
        };
        let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(0);
        let lines = parsed
            .iter()
            .map(|h| [offset(h.name.as_bytes()), length(h.name.as_bytes()), offset(h.value), length(h.value)])
            .collect();
        Self { head: head.clone(), lines }
    }

    /// Lines whose names and values stand in `block` at offset and length.
    pub(crate) fn of_block(block: Bytes, lines: Vec<[u32; 4]>) -> Self {
        Self { head: block, lines: lines.into() }
    }

    fn part(&self, start: u32, length: u32) -> &str {
        let (start, length) = (start as usize, length as usize);
        self.head.get(start..start + length).and_then(|raw| std::str::from_utf8(raw).ok()).unwrap_or("")
    }

    /// The first value under `name`, white space around it removed; `None` also when it is not UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All lines in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().map(|[n, nl, v, vl]| (self.part(*n, *nl), self.part(*v, *vl).trim()))
    }

    /// True when the media type is `wanted`, parameters aside.
    #[must_use]
    pub fn is_type(&self, wanted: &str) -> bool {
        self.get("content-type")
            .and_then(|value| value.split(';').next())
            .is_some_and(|media| media.trim().eq_ignore_ascii_case(wanted))
    }
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks.
    Chunked(Chunk),
    /// The end of the connection.
    UntilClose,
}

impl Framing {
    pub(crate) const fn chunked() -> Self {
        Self::Chunked(Chunk::Size)
    }
}

/// What a chunked body expects next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Chunk {
    Size,
    Data(u64),
    DataEnd,
    Trailer { seen: usize },
    Done,
}

/// A response body. It holds its connection, which goes back to this thread's pool at the end, or its stream of a
/// shared one.
#[derive(Debug)]
pub struct Body {
    conn: Option<Box<Conn>>,
    stream: Option<Box<Incoming>>,
    pace: Option<Pace>,
    framing: Framing,
    keep: bool,
    target: Target,
}

impl Body {
    pub(crate) fn new(conn: Box<Conn>, framing: Framing, keep: bool, target: &Target) -> Self {
        let mut body =
            Self { conn: Some(conn), stream: None, pace: None, framing, keep, target: target.clone() };
        if matches!(framing, Framing::Length(0)) {
            body.finish();
        }
        body
    }

    pub(crate) fn of_stream(incoming: Incoming, target: &Target) -> Self {
        Self {
            conn: None,
            stream: Some(Box::new(incoming)),
            pace: None,
            framing: Framing::UntilClose,
            keep: false,
            target: target.clone(),
        }
    }

    /// The connection itself, with what was read ahead: after a 101.
    pub(crate) fn into_conn(mut self) -> Option<Box<Conn>> {
        self.conn.take()
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the connection ends early or the framing is broken.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, OutboundError> {
        if self.stream.is_some() {
            return self.shared_chunk().await;
        }
        loop {
            let Some(conn) = self.conn.as_mut() else { return Ok(None) };
            match step(&mut conn.inbuf, &mut self.framing) {
                Ok(Step::Piece(piece)) => {
                    if matches!(self.framing, Framing::Length(0)) {
                        self.finish();
                    }
                    return Ok(Some(piece));
                }
                Ok(Step::End) => {
                    self.finish();
                    return Ok(None);
                }
                Ok(Step::More) => {
                    conn.io.ack_now();
                    self.fill().await?;
                }
                Err(why) => {
                    self.conn = None;
                    return Err(OutboundError::NotHttp { host: self.target.origin.host.clone(), why });
                }
            }
        }
    }

    /// The whole body, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Body::chunk`], and [`OutboundError::TooLarge`].
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, OutboundError> {
        let too_large =
            |body: &Self| OutboundError::TooLarge { host: body.target.origin.host.clone(), limit };
        if let Framing::Length(length) = self.framing
            && self.stream.is_none()
        {
            let length =
                usize::try_from(length).ok().filter(|l| *l <= limit).ok_or_else(|| too_large(&self))?;
            // The usual case: wait until all of it stands in the buffer, and hand that out without a copy.
            while self.conn.as_ref().is_some_and(|conn| conn.inbuf.len() < length) {
                self.fill().await?;
            }
            let Some(conn) = self.conn.as_mut() else { return Ok(Bytes::new()) };
            let whole = conn.inbuf.split_to(length).freeze();
            self.finish();
            return Ok(whole);
        }
        let mut whole = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            if whole.len() + piece.len() > limit {
                return Err(too_large(&self));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Reads more. The end of the connection is an error, save where it is the end of the body.
    async fn fill(&mut self) -> Result<(), OutboundError> {
        let Some(conn) = self.conn.as_mut() else { return Ok(()) };
        let filled = match self.pace {
            None => Ok(conn.fill().await),
            Some(pace) => pace.keep(conn.fill()).await,
        };
        let why = match filled {
            Ok(Ok(0)) if matches!(self.framing, Framing::UntilClose) => {
                self.framing = Framing::Length(conn.inbuf.len() as u64);
                return Ok(());
            }
            Ok(Ok(0)) => "ended within the body".to_owned(),
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(late) => {
                self.conn = None;
                return Err(late.told(&self.target));
            }
        };
        self.conn = None;
        Err(OutboundError::Closed { host: self.target.origin.host.clone(), why, was_sent: true })
    }

    /// The next piece of a stream that shares its connection.
    async fn shared_chunk(&mut self) -> Result<Option<Bytes>, OutboundError> {
        let Some(stream) = self.stream.as_mut() else { return Ok(None) };
        let found = match self.pace {
            None => Ok(stream.chunk().await),
            Some(pace) => pace.keep(stream.chunk()).await,
        };
        let host = || self.target.origin.host.clone();
        let ended = match found {
            Ok(Ok(Some(piece))) => return Ok(Some(piece)),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(Broken::NotHttp(why))) => Err(OutboundError::NotHttp { host: host(), why }),
            Ok(Err(Broken::Ended { why, .. })) => {
                Err(OutboundError::Closed { host: host(), why, was_sent: true })
            }
            Ok(Err(_)) => {
                Err(OutboundError::Closed { host: host(), why: "it was reset".to_owned(), was_sent: true })
            }
            Err(late) => Err(late.told(&self.target)),
        };
        self.stream = None;
        ended
    }

    /// The body is read: the connection may serve another request, unless bytes follow that nobody asked for.
    fn finish(&mut self) {
        let Some(mut conn) = self.conn.take() else { return };
        if self.keep && conn.inbuf.is_empty() {
            conn.slim();
            pool::put(self.target.origin.id, conn);
        }
    }
}

/// Which limit of time a body went over.
enum Late {
    Idle(Duration),
    Total(Duration),
}

impl Late {
    fn told(self, target: &Target) -> OutboundError {
        let (why, limit, advice) = match self {
            Self::Idle(limit) => (
                "sent nothing more of its answer for",
                limit,
                "raise `egress.timeouts.idle`, or ask for less",
            ),
            Self::Total(limit) => {
                ("did not finish its answer within", limit, "raise `egress.timeouts.total`, or ask for less")
            }
        };
        OutboundError::Stalled { host: target.origin.host.clone(), why, limit_ms: limit.as_millis(), advice }
    }
}

impl Pace {
    /// Waits for what comes next, within the limits.
    async fn keep<T>(self, coming: impl Future<Output = T>) -> Result<T, Late> {
        let idle = self.idle.map(|idle| (Instant::now() + idle, Late::Idle(idle)));
        let total = self.total.map(|(at, total)| (at, Late::Total(total)));
        let first = [idle, total].into_iter().flatten().min_by_key(|(at, _)| *at);
        match first {
            None => Ok(coming.await),
            Some((at, late)) => tokio::time::timeout_at(at, coming).await.map_err(|_| late),
        }
    }
}

enum Step {
    Piece(Bytes),
    More,
    End,
}

/// Takes the next piece of a body out of the buffer.
fn step(buf: &mut BytesMut, framing: &mut Framing) -> Result<Step, &'static str> {
    match framing {
        Framing::Length(0) => Ok(Step::End),
        Framing::Length(left) | Framing::Chunked(Chunk::Data(left)) => {
            if buf.is_empty() {
                return Ok(Step::More);
            }
            let take = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
            *left -= take as u64;
            let is_chunk_over = *left == 0;
            if is_chunk_over && let Framing::Chunked(chunk) = framing {
                *chunk = Chunk::DataEnd;
            }
            Ok(Step::Piece(buf.split_to(take).freeze()))
        }
        Framing::UntilClose if buf.is_empty() => Ok(Step::More),
        Framing::UntilClose => Ok(Step::Piece(buf.split().freeze())),
        Framing::Chunked(chunk) => chunk_step(buf, chunk),
    }
}

/// The lines around the chunks (RFC 9112 §7.1); goes on until data, the end, or the buffer runs out.
fn chunk_step(buf: &mut BytesMut, chunk: &mut Chunk) -> Result<Step, &'static str> {
    if matches!(chunk, Chunk::Done) {
        return Ok(Step::End);
    }
    let Some(end) = memchr::memchr(b'\n', buf) else {
        return if buf.len() > CHUNK_LINE_MAX { Err("a chunk line is too long") } else { Ok(Step::More) };
    };
    let line = buf.split_to(end + 1);
    let line = line.strip_suffix(b"\r\n").ok_or("a chunk line ends without a carriage return")?;
    if line.contains(&b'\r') || line.len() > CHUNK_LINE_MAX {
        return Err("a chunk line is malformed");
    }
    *chunk = match *chunk {
        Chunk::Size => {
            let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
            let is_hex = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
            let text =
                std::str::from_utf8(digits).ok().filter(|_| is_hex).ok_or("a chunk size is no number")?;
            match u64::from_str_radix(text, 16) {
                Ok(0) => Chunk::Trailer { seen: 0 },
                Ok(size) => Chunk::Data(size),
                Err(_) => return Err("a chunk size is no number"),
            }
        }
        Chunk::DataEnd if line.is_empty() => Chunk::Size,
        Chunk::DataEnd => return Err("a chunk is longer than it says"),
        Chunk::Trailer { .. } if line.is_empty() => Chunk::Done,
        Chunk::Trailer { seen } if seen + line.len() <= CHUNK_LINE_MAX => {
            Chunk::Trailer { seen: seen + line.len() + 2 }
        }
        Chunk::Trailer { .. } => return Err("the trailers are too long"),
        other @ (Chunk::Data(_) | Chunk::Done) => other,
    };
    match chunk {
        Chunk::Data(left) => {
            // Bytes that are here already go out in the same step.
            let take = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
            if take == 0 {
                return Ok(Step::More);
            }
            *left -= take as u64;
            if *left == 0 {
                *chunk = Chunk::DataEnd;
            }
            Ok(Step::Piece(buf.split_to(take).freeze()))
        }
        Chunk::Done => Ok(Step::End),
        _ => chunk_step(buf, chunk),
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::{Chunk, Framing, Step, step};
    use bytes::BytesMut;

    /// Feeds the bytes one at a time and gives back what came out, or the error.
    fn dechunk(text: &[u8]) -> Result<(Vec<u8>, bool), &'static str> {
        let mut framing = Framing::Chunked(Chunk::Size);
        let (mut buf, mut out) = (BytesMut::new(), Vec::new());
        for byte in text {
            buf.extend_from_slice(&[*byte]);
            loop {
                match step(&mut buf, &mut framing)? {
                    Step::Piece(piece) => out.extend_from_slice(&piece),
                    Step::More => break,
                    Step::End => return Ok((out, buf.is_empty())),
                }
            }
        }
        Err("unfinished")
    }

    #[test]
    fn chunks_come_out_whole_however_they_are_cut() {
        assert_eq!(
            dechunk(b"4;x=y\r\nabcd\r\n0A\r\n0123456789\r\n0\r\nX: y\r\n\r\n"),
            Ok((b"abcd0123456789".to_vec(), true))
        );
        let mut whole = BytesMut::from(&b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"[..]);
        let mut framing = Framing::Chunked(Chunk::Size);
        let mut pieces = Vec::new();
        while let Ok(Step::Piece(piece)) = step(&mut whole, &mut framing) {
            pieces.push(piece);
        }
        assert_eq!(pieces.concat(), b"abcde");
    }

    #[test]
    fn crooked_chunks_are_refused() {
        for bad in [
            &b"4\nabcd\r\n0\r\n\r\n"[..],
            b"-1\r\n",
            b"0x4\r\n",
            b"\r\n",
            b"4\r\nabcde\r\n0\r\n\r\n",
            b"1g\r\n",
            b"fffffffffffffffff\r\n",
            b"4\r\nabcd\n\r\n",
            b"1\r\nab\r\n",
        ] {
            assert!(
                matches!(dechunk(bad), Err(why) if why != "unfinished"),
                "{:?}",
                String::from_utf8_lossy(bad)
            );
        }
    }
}
