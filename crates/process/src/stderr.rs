//! What a child says on stderr: the end of it is kept, each line is traced, and neither can be flooded.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::time::Sleep;

/// How much is kept, in bytes.
const TAIL_BYTES_MAX: usize = 64 * 1024;
/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;
/// The longest line that is traced in one piece.
const TRACED_BYTES_MAX: usize = 4 * 1024;
/// How many lines are traced per window; the rest are counted.
const TRACED_LINES_MAX: u32 = 100;
/// How long a window is.
const WINDOW: Duration = Duration::from_secs(1);

/// The last [`TAIL_BYTES_MAX`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    has_lost_some: bool,
}

/// Reads `pipe` to its end, as fast as the child writes. The returned future holds no buffer while it waits.
///
/// # Errors
/// When the descriptor cannot be registered with the runtime.
pub(crate) fn drain(
    pipe: OwnedFd,
    tail: Arc<Tail>,
    connection: String,
) -> io::Result<impl Future<Output = ()> + Send> {
    let pipe = Receiver::from_owned_fd(pipe)?;
    let mut tracer = Tracer { connection, part: Vec::new(), traced: 0, skipped: 0, window: None };
    Ok(async move {
        loop {
            tokio::select! {
                ready = pipe.readable() => {
                    if ready.is_err() || !read_some(&pipe, &tail, &mut tracer) {
                        break;
                    }
                }
                () = end_of(&mut tracer.window) => tracer.open_window(),
            }
            // A child that never stops must not keep the other tasks of this thread waiting.
            tokio::task::consume_budget().await;
        }
        tracer.line_ended();
        tracer.open_window();
    })
}

async fn end_of(window: &mut Option<Pin<Box<Sleep>>>) {
    match window {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}

/// False at the end of the stream.
fn read_some(pipe: &Receiver, tail: &Tail, tracer: &mut Tracer) -> bool {
    let mut buffer = [0; READ_BYTES];
    match pipe.try_read(&mut buffer) {
        Ok(0) => false,
        Ok(count) => {
            let said = buffer.get(..count).unwrap_or_default();
            tail.push(said);
            tracer.push(said);
            true
        }
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

// === impl Tail ===

impl Tail {
    fn push(&self, said: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = said.get(said.len().saturating_sub(TAIL_BYTES_MAX)..).unwrap_or_default();
        let excess = (kept.bytes.len() + said.len()).saturating_sub(TAIL_BYTES_MAX);
        kept.has_lost_some |= excess > 0;
        kept.bytes.drain(..excess);
        kept.bytes.extend(said);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_lost_some = kept.has_lost_some;
        let mut bytes: &[u8] = kept.bytes.make_contiguous();
        // The oldest line has lost its beginning; half a line misleads, unless it is all there is.
        if has_lost_some && let Some(at) = memchr::memchr(b'\n', bytes) {
            bytes = bytes.get(at + 1..).unwrap_or_default();
        }
        String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
    }
}

// === impl Tracer ===

/// Traces lines at debug, at most [`TRACED_LINES_MAX`] per [`WINDOW`].
struct Tracer {
    connection: String,
    part: Vec<u8>,
    traced: u32,
    skipped: u64,
    /// Open while lines come; an idle child has no timer.
    window: Option<Pin<Box<Sleep>>>,
}

impl Tracer {
    fn push(&mut self, said: &[u8]) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            self.part = Vec::new();
            return;
        }
        let mut pieces = said.split(|byte| *byte == b'\n');
        if let Some(first) = pieces.next() {
            self.add(first);
        }
        for piece in pieces {
            self.line_ended();
            self.add(piece);
        }
    }

    fn add(&mut self, mut piece: &[u8]) {
        while let Some((head, rest)) = piece.split_at_checked(TRACED_BYTES_MAX - self.part.len()) {
            self.part.extend_from_slice(head);
            self.line_ended();
            piece = rest;
        }
        self.part.extend_from_slice(piece);
    }

    fn line_ended(&mut self) {
        let line = std::mem::take(&mut self.part);
        if line.is_empty() {
            return;
        }
        if self.window.is_none() {
            self.window = Some(Box::pin(tokio::time::sleep(WINDOW)));
        }
        if self.traced < TRACED_LINES_MAX {
            self.traced += 1;
            let text = String::from_utf8_lossy(&line);
            tracing::debug!(connection = %self.connection, "stderr: {}", text.trim_end_matches('\r'));
        } else {
            self.skipped += 1;
        }
    }

    fn open_window(&mut self) {
        if self.skipped > 0 {
            tracing::debug!(connection = %self.connection, skipped = self.skipped, "stderr: too many lines");
        }
        (self.traced, self.skipped, self.window) = (0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_end_in_whole_lines() {
        let tail = Tail::default();
        tail.push(b"first \xff\r\nsecond\n");
        assert_eq!(tail.lines(), ["first \u{fffd}", "second"]);
        for number in 0..20_000 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        let lines = tail.lines();
        assert_eq!(lines.last().unwrap(), "line 19999");
        assert!(lines.iter().all(|line| line.starts_with("line ")), "no half line");
        assert!(tail.0.lock().unwrap().bytes.len() <= TAIL_BYTES_MAX);
    }

    #[test]
    fn one_endless_line_shows_its_end() {
        let tail = Tail::default();
        tail.push(&vec![b'a'; TAIL_BYTES_MAX + 10]);
        tail.push(b"end");
        let lines = tail.lines();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].len() == TAIL_BYTES_MAX && lines[0].ends_with("aend"));
    }

    #[tokio::test]
    async fn only_so_many_lines_are_traced_per_window() {
        let connection = "notes".to_owned();
        let mut tracer = Tracer { connection, part: Vec::new(), traced: 0, skipped: 0, window: None };
        tracer.add(b"no line yet");
        assert!(tracer.window.is_none(), "no timer while nothing is traced");
        tracer.add(&vec![b'x'; 10 * TRACED_BYTES_MAX]);
        assert!(tracer.part.len() < TRACED_BYTES_MAX, "an endless line is traced in pieces");
        assert_eq!((tracer.traced, tracer.skipped), (10, 0));
        for _ in 0..200 {
            tracer.add(b"again");
            tracer.line_ended();
        }
        assert_eq!((tracer.traced, tracer.skipped), (TRACED_LINES_MAX, 110));
        tracer.open_window();
        assert_eq!((tracer.traced, tracer.skipped, tracer.window.is_some()), (0, 0, false));
    }
}
