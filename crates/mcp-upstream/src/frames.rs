//! Frames in both directions over anything that carries whole messages: lines, WebSocket, HTTP+SSE.

use std::future::Future;
use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use process::{LineError, LineReader};

use crate::trouble::Ended;

/// Why no more frames come.
#[derive(Debug)]
pub(crate) enum SourceError {
    /// One frame was longer than the limit, bytes.
    TooLong(usize),
    /// In words.
    Broken(String),
    /// The hub wants no more.
    Stopped,
}

/// Where frames come from.
pub(crate) trait Source: Send + 'static {
    /// The next frame; `None` at the end. Dropping the future loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, SourceError>> + Send;

    /// Lets go of what is behind it, and says how it ended. `error`: why reading stopped, if it did.
    fn farewell(&mut self, error: Option<SourceError>) -> impl Future<Output = Ended> + Send;
}

/// Where frames go.
pub(crate) trait Sink: Send + 'static {
    /// Sends frames in order, in as few writes as it can.
    fn send(&mut self, frames: &[Bytes]) -> impl Future<Output = io::Result<()>> + Send;

    /// Says that nothing more comes.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// How most sources end.
pub(crate) fn ended(error: Option<SourceError>) -> Ended {
    match error {
        None => Ended::because("closed the connection"),
        Some(SourceError::TooLong(limit)) => Ended {
            too_large: Some(limit),
            ..Ended::because(format!("sent more than {limit} bytes in one message and was cut off"))
        },
        Some(SourceError::Stopped) => Ended::because("was stopped by the hub"),
        Some(SourceError::Broken(why)) => Ended::because(format!("lost the connection: {why}")),
    }
}

impl From<LineError> for SourceError {
    fn from(error: LineError) -> Self {
        match error {
            LineError::LineTooLong { line_bytes_max } => Self::TooLong(line_bytes_max),
            LineError::Read(error) => Self::Broken(error.to_string()),
        }
    }
}

/// Lines of a socket.
pub(crate) struct Lines<R>(pub(crate) LineReader<R>);

impl<R: AsyncRead + Unpin + Send + 'static> Source for Lines<R> {
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        Ok(self.0.next_line().await?)
    }

    async fn farewell(&mut self, error: Option<SourceError>) -> Ended {
        ended(error)
    }
}

/// Lines into a socket or pipe. Buffers only while it writes.
pub(crate) struct LineSink<W> {
    io: Option<W>,
    batch: Vec<u8>,
}

/// A write buffer larger than this is given back.
const BATCH_KEEP_MAX: usize = 64 * 1024;

impl<W> LineSink<W> {
    pub(crate) const fn new(io: W) -> Self {
        Self { io: Some(io), batch: Vec::new() }
    }
}

impl<W: AsyncWrite + Unpin + Send + 'static> Sink for LineSink<W> {
    async fn send(&mut self, frames: &[Bytes]) -> io::Result<()> {
        let Some(io) = self.io.as_mut() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        self.batch.clear();
        for frame in frames {
            push_line(&mut self.batch, frame);
        }
        io.write_all(&self.batch).await?;
        io.flush().await?;
        if self.batch.capacity() > BATCH_KEEP_MAX {
            self.batch = Vec::new();
        }
        Ok(())
    }

    async fn close(&mut self) {
        if let Some(mut io) = self.io.take() {
            let _ = io.shutdown().await;
        }
    }
}

/// One message as one line. JSON text may hold raw line breaks between its tokens, where a space is the same.
fn push_line(out: &mut Vec<u8>, frame: &[u8]) {
    let start = out.len();
    out.extend_from_slice(frame);
    if memchr::memchr2(b'\n', b'\r', frame).is_some() {
        for byte in out.iter_mut().skip(start) {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_message_is_one_line_however_it_was_laid_out() {
        let mut out = Vec::new();
        super::push_line(&mut out, b"{\r\n  \"a\": \"x\\ny\"\n}");
        assert_eq!(out, b"{    \"a\": \"x\\ny\" }\n");
    }
}
