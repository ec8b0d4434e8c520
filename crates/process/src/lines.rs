//! Newline-delimited messages over any byte stream: pipes, TCP, Unix sockets.
//!
//! Lines are handed out as slices of the read buffer, without copying, and no more than one longest line
//! is ever buffered. A line that is kept keeps its buffer alive: copy it to keep a little for long.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::{Code, Fault};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The usual longest line: 16 MiB.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The buffer of a stream that says little.
const CHUNK_BYTES_MIN: usize = 8 * 1024;
/// The buffer of a stream that says much, unless one line is longer.
const CHUNK_BYTES_BUSY: usize = 64 * 1024;
/// Less room than this is not worth a system call.
const ROOM_BYTES_MIN: usize = 2 * 1024;

/// Why no more lines can be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// A line is longer than allowed. The stream is in the middle of it and cannot be used any more.
    #[error("a line is longer than {line_bytes_max} bytes")]
    LineTooLong {
        /// The limit.
        line_bytes_max: usize,
    },
    /// The stream broke.
    #[error("the stream broke")]
    Read(#[source] io::Error),
}

impl LineError {
    /// The same for the edges, when the other side is an upstream.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::LineTooLong { .. } => Fault::new(Code::ANSWER_TOO_LARGE, self.to_string())
                .with_hint("make it answer in pages, or raise the limit on the length of a message"),
            Self::Read(source) => Fault::new(Code::GONE_MIDWAY, format!("{self}: {source}")),
        }
    }
}

/// Reads lines from `R`. Ends of line are `\n` or `\r\n`, and are taken off; empty lines are handed out
/// like others; what comes after the last newline is a line too.
#[derive(Debug)]
pub struct LineReader<R> {
    source: R,
    buffer: BytesMut,
    /// Size of the allocation behind `buffer`, lines that were handed out included.
    chunk_bytes: usize,
    /// So many bytes at the front of `buffer` are known to hold no newline.
    scanned: usize,
    line_bytes_max: usize,
    is_busy: bool,
    has_ended: bool,
    is_too_long: bool,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Lines of at most `line_bytes_max` bytes, the end of line not counted.
    pub fn new(source: R, line_bytes_max: usize) -> Self {
        Self {
            source,
            buffer: BytesMut::new(),
            chunk_bytes: 0,
            scanned: 0,
            line_bytes_max,
            is_busy: false,
            has_ended: false,
            is_too_long: false,
        }
    }

    /// The next line; `None` at the end of the stream. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`LineError`]; after [`LineError::LineTooLong`] every further call says the same.
    pub async fn next_line(&mut self) -> Result<Option<Bytes>, LineError> {
        poll_fn(|cx| self.poll_line(cx)).await
    }

    /// The next line if it has been read already: takes a batch without waiting, after
    /// [`LineReader::next_line`] gave its first.
    ///
    /// # Errors
    /// As [`LineReader::next_line`].
    pub fn buffered_line(&mut self) -> Result<Option<Bytes>, LineError> {
        if self.is_too_long {
            return Err(self.too_long());
        }
        let unscanned = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(at) = memchr::memchr(b'\n', unscanned) else {
            self.scanned = self.buffer.len();
            // A carriage return at the limit may be half of an end of line.
            let said = self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer).len();
            return if said > self.line_bytes_max { Err(self.too_long()) } else { Ok(None) };
        };
        let line = self.buffer.split_to(self.scanned + at);
        self.buffer.advance(1);
        self.scanned = 0;
        self.finish(line).map(Some)
    }

    /// [`LineReader::next_line`] for those who poll.
    ///
    /// # Errors
    /// As [`LineReader::next_line`].
    pub fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, LineError>> {
        loop {
            if let Some(line) = self.buffered_line()? {
                return Poll::Ready(Ok(Some(line)));
            }
            if self.has_ended {
                self.scanned = 0;
                let rest = std::mem::take(&mut self.buffer);
                return Poll::Ready(if rest.is_empty() { Ok(None) } else { self.finish(rest).map(Some) });
            }
            ready!(self.poll_read(cx)).map_err(LineError::Read)?;
        }
    }

    /// Reads once. The buffer holds the beginning of one line at most, shorter than the limit.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.make_room();
        let room = (self.buffer.capacity() - self.buffer.len()).min(self.bytes_left());
        let mut target = (&mut self.buffer).limit(room);
        // Reading into a buffer keeps no state between polls, so that a fresh future each time is the same.
        let read = pin!(self.source.read_buf(&mut target)).poll(cx);
        match read {
            Poll::Ready(Ok(count)) => {
                self.has_ended = count == 0;
                self.is_busy = count == room;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.settle();
                Poll::Pending
            }
        }
    }

    /// How many bytes may still be buffered: the longest line and its `\r\n`.
    fn bytes_left(&self) -> usize {
        self.line_bytes_max.saturating_add(2).saturating_sub(self.buffer.len())
    }

    fn make_room(&mut self) {
        let wanted = ROOM_BYTES_MIN.min(self.bytes_left());
        let may_grow = self.is_busy && self.chunk_bytes < CHUNK_BYTES_BUSY;
        let has_room = |buffer: &BytesMut| buffer.capacity() - buffer.len() >= wanted;
        if has_room(&self.buffer) && self.chunk_bytes > 0 {
            return;
        }
        if !may_grow && self.chunk_bytes > 0 && self.buffer.try_reclaim(wanted) {
            return;
        }
        let chunk = if may_grow { self.chunk_bytes * 2 } else { self.chunk_bytes.min(CHUNK_BYTES_BUSY) };
        self.relocate(chunk.max(self.buffer.len().saturating_mul(2)));
    }

    /// Called when there is nothing to read: an idle stream must not hold on to the memory of a busy one,
    /// nor to a chunk whose lines were handed out long ago.
    fn settle(&mut self) {
        self.is_busy = false;
        if self.chunk_bytes > CHUNK_BYTES_MIN.max(self.buffer.len().saturating_mul(4)) {
            self.relocate(self.buffer.len().saturating_mul(2));
        }
    }

    /// Moves what is buffered to a fresh chunk of about `bytes`, never larger than the longest line.
    fn relocate(&mut self, bytes: usize) {
        let longest = self.line_bytes_max.saturating_add(2);
        self.chunk_bytes = bytes.max(CHUNK_BYTES_MIN).min(longest).max(self.buffer.len() + 1);
        let mut fresh = BytesMut::with_capacity(self.chunk_bytes);
        fresh.extend_from_slice(&self.buffer);
        self.buffer = fresh;
    }

    fn finish(&mut self, mut line: BytesMut) -> Result<Bytes, LineError> {
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        if line.len() > self.line_bytes_max { Err(self.too_long()) } else { Ok(line.freeze()) }
    }

    fn too_long(&mut self) -> LineError {
        self.is_too_long = true;
        // Nobody can use it any more, and the caller may take its time to hang up.
        self.buffer = BytesMut::new();
        LineError::LineTooLong { line_bytes_max: self.line_bytes_max }
    }
}

#[cfg(test)]
mod tests;
