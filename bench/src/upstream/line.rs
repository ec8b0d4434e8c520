//! The newline-JSON faces of the measured upstream: TCP, and standard input and output.

use std::io::{self, BufRead, Write};
use std::net::TcpListener;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::Server;

/// The longest line that is read; a longer one ends the connection.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Serves what `listener` accepts, for ever.
pub(crate) async fn serve(listener: TcpListener, server: Arc<Server>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        if stream.set_nodelay(true).is_ok() {
            tokio::spawn(serve_stream(stream, Arc::clone(&server)));
        }
    }
}

/// Serves standard input and output until the input ends. Answers to lines that arrived together leave together.
pub(crate) fn serve_stdio(server: &Server) -> io::Result<()> {
    let mut input = io::BufReader::with_capacity(64 * 1024, io::stdin().lock());
    let mut output = io::stdout().lock();
    let (mut line, mut out) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        answer_line(server, &line, &mut out);
        if !input.buffer().contains(&b'\n') {
            output.write_all(&out)?;
            output.flush()?;
            out.clear();
        }
    }
}

async fn serve_stream(mut stream: TcpStream, server: Arc<Server>) -> io::Result<()> {
    let (mut inbox, mut out) = (BytesMut::with_capacity(8 * 1024), Vec::new());
    loop {
        if stream.read_buf(&mut inbox).await? == 0 || inbox.len() > LINE_BYTES_MAX {
            return Ok(());
        }
        while let Some(end) = memchr::memchr(b'\n', &inbox) {
            answer_line(&server, inbox.get(..end).unwrap_or_default(), &mut out);
            inbox.advance(end + 1);
        }
        if !out.is_empty() {
            stream.write_all(&out).await?;
            out.clear();
        }
    }
}

fn answer_line(server: &Server, line: &[u8], out: &mut Vec<u8>) {
    if line.trim_ascii().is_empty() {
        return;
    }
    let answer = server.answer(line, None);
    if !answer.body.is_empty() {
        out.extend_from_slice(&answer.body);
        out.push(b'\n');
    }
}
