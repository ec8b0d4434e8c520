//! Newline-delimited JSON over any byte stream: stdio, TCP, Unix sockets.
//!
//! The framing is that of the stdio transport (2026-07-28: custom transports over byte streams should reuse
//! it). On TCP and Unix sockets the first line authenticates; see docs/guides/mcp-over-bytes.md.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use model::{Caller, Code, Fault, Secret};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::Object;

use crate::Door;
use crate::conversation::Conversation;
use crate::endpoint::Endpoint;

/// How the other side of a byte stream is known.
pub enum LineAuth {
    /// Its first line says who it is and which endpoint it wants.
    FirstLine,
    /// It is known already: the operator's own terminal, a socket with peer credentials.
    Known(Arc<Caller>, Endpoint),
}

/// How long the first line may take.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest first line, bytes.
const AUTH_BYTES_MAX: usize = 4096;
/// What an idle connection keeps for reading; grows while lines are longer.
const READ_START: usize = 512;
/// How much is read at once into a buffer that is in use.
const READ_CHUNK: usize = 16 * 1024;
/// How many bytes of waiting frames go into one write.
const WRITE_MAX: usize = 64 * 1024;

impl Door {
    /// Serves one client on a byte stream until it ends. Returns when the client is gone.
    pub async fn serve_lines<R, W>(self: &Arc<Self>, reader: R, mut writer: W, auth: LineAuth)
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let mut lines = Lines::new(reader, self.settings().line_bytes_max);
        let (caller, key, endpoint) = match auth {
            LineAuth::Known(caller, endpoint) => (caller, None, endpoint),
            LineAuth::FirstLine => match self.first_line(&mut lines).await {
                Ok((caller, key, endpoint)) => {
                    if writer.write_all(b"{\"trunkline\":\"ready\"}\n").await.is_err() {
                        return;
                    }
                    (caller, Some(key), endpoint)
                }
                Err(fault) => {
                    let line = serde_json::json!({ "trunkline": "error", "code": fault.code, "detail": fault.detail, "hint": fault.hint });
                    let _ = writer.write_all(format!("{line}\n").as_bytes()).await;
                    let _ = writer.shutdown().await;
                    return;
                }
            },
        };
        let conversation = Conversation::new(self, caller, key, endpoint);
        self.converse(&conversation, lines, writer).await;
    }

    async fn converse<R, W>(&self, conversation: &Arc<Conversation>, mut lines: Lines<R>, mut writer: W)
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let mut tasks = FuturesUnordered::new();
        let mut is_reading = true;
        let mut out = BytesMut::new();
        loop {
            // What is ready goes out in one write, after everything that could be taken in was taken in.
            while out.len() < WRITE_MAX
                && let Some(frame) = conversation.outbox.try_next()
            {
                out.extend_from_slice(&frame);
                out.extend_from_slice(b"\n");
            }
            if !out.is_empty() {
                if writer.write_all(&out).await.is_err() || writer.flush().await.is_err() {
                    return;
                }
                out.clear();
                if out.capacity() > WRITE_MAX {
                    out = BytesMut::new();
                }
                continue;
            }
            if !is_reading && tasks.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                Some(()) = tasks.next(), if !tasks.is_empty() => {}
                line = lines.next(), if is_reading && tasks.len() < self.settings().open_calls_max => match line {
                    Ok(Some(line)) => {
                        if !line.iter().all(u8::is_ascii_whitespace) && let Some(task) = conversation.take(&line) {
                            tasks.push(task);
                        }
                        // Further whole lines are there already: take them in before anything is waited for.
                        while tasks.len() < self.settings().open_calls_max
                            && let Some(line) = lines.buffered()
                        {
                            if let Some(task) = conversation.take(&line) {
                                tasks.push(task);
                            }
                        }
                    }
                    // The client has said all it wants to say; what it asked for is still answered.
                    Ok(None) => {
                        is_reading = false;
                        if tasks.is_empty() {
                            conversation.outbox.close();
                        }
                    }
                    Err(LineProblem::TooLong(limit)) => {
                        conversation.refuse_frame(limit);
                        is_reading = false;
                        tasks.clear();
                    }
                    Err(LineProblem::Broken) => return,
                },
                frame = conversation.outbox.next() => match frame {
                    Some(frame) => {
                        out.extend_from_slice(&frame);
                        out.extend_from_slice(b"\n");
                    }
                    None => return,
                },
            }
        }
    }

    /// `{"trunkline":"auth","key":"trk_...","endpoint":"/mcp"}`.
    async fn first_line<R: AsyncRead + Unpin>(
        &self,
        lines: &mut Lines<R>,
    ) -> Result<(Arc<Caller>, Secret, Endpoint), Fault> {
        const EXAMPLE: &str =
            r#"the first line has to be {"trunkline":"auth","key":"trk_...","endpoint":"/mcp"}"#;
        let refuse = |why: &str| Fault::new(Code::UNAUTHENTICATED, why).with_hint(EXAMPLE);
        lines.limit = AUTH_BYTES_MAX;
        let line = tokio::time::timeout(AUTH_TIMEOUT, lines.next()).await;
        lines.limit = self.settings().line_bytes_max;
        let line = match line {
            Ok(Ok(Some(line))) => line,
            Ok(Err(LineProblem::TooLong(_))) => return Err(refuse("the first line is too long")),
            Ok(_) => return Err(refuse("the connection ended before its first line")),
            Err(_) => return Err(refuse("no first line came in time")),
        };
        let is_json = serde_json::from_slice::<&serde_json::value::RawValue>(&line).is_ok();
        let object =
            Object::scan(&line).ok().filter(|o| is_json && o.get_str("trunkline").as_deref() == Some("auth"));
        let object = object.ok_or_else(|| refuse("not an authentication line"))?;
        let key = object.get_str("key").ok_or_else(|| refuse("`key` is missing"))?;
        let caller = self.parts().identity.authenticate(&key, self.parts().clock.now())?;
        let endpoint = match object.get_str("endpoint") {
            None => Endpoint::All,
            Some(path) => Endpoint::parse(&path).ok_or_else(|| {
                Fault::new(Code::NOT_FOUND, "`endpoint` is not an MCP endpoint")
                    .with_hint("endpoints are /mcp, /mcp/c/{connection} and /mcp/s/{toolset}")
            })?,
        };
        Ok((caller, Secret::new(key), endpoint))
    }
}

enum LineProblem {
    TooLong(usize),
    Broken,
}

/// Lines of a byte stream, within bounds. Small while idle: ten thousand of them may be waiting.
struct Lines<R> {
    reader: R,
    buffer: BytesMut,
    /// How far the buffer has been searched for a line's end already.
    searched: usize,
    limit: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(reader: R, limit: usize) -> Self {
        Self { reader, buffer: BytesMut::new(), searched: 0, limit }
    }

    /// The next line without its end. Cancel-safe.
    async fn next(&mut self) -> Result<Option<Bytes>, LineProblem> {
        loop {
            if let Some(line) = self.buffered() {
                return Ok(Some(line));
            }
            if self.buffer.len() > self.limit {
                return Err(LineProblem::TooLong(self.limit));
            }
            let grow = if self.buffer.is_empty() { READ_START } else { READ_CHUNK };
            self.buffer.reserve(grow);
            match self.reader.read_buf(&mut self.buffer).await {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                // A last line without its end counts as one.
                Ok(0) => return Ok(Some(self.buffer.split().freeze())),
                Ok(_) => {}
                Err(_) => return Err(LineProblem::Broken),
            }
        }
    }

    /// A whole line that has been read already.
    fn buffered(&mut self) -> Option<Bytes> {
        let rest = self.buffer.get(self.searched..)?;
        let Some(found) = memchr::memchr(b'\n', rest) else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + found;
        if end > self.limit {
            return None;
        }
        let mut line = self.buffer.split_to(end);
        self.buffer.advance(1);
        self.searched = 0;
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Some(line.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[tokio::test]
    async fn lines_come_whole_and_too_long_ones_are_refused() {
        let mut lines = Lines::new(&b"one\r\n\ntwo\nlast"[..], 16);
        let mut seen = Vec::new();
        while let Ok(Some(line)) = lines.next().await {
            seen.push(String::from_utf8(line.to_vec()).unwrap());
        }
        assert_eq!(seen, ["one", "", "two", "last"]);
        let mut endless = Lines::new(tokio::io::repeat(b'x'), 1000);
        assert!(endless.next().await.is_err());
        assert!(endless.buffer.capacity() < 100_000);
    }
}
