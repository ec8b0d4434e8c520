//! `process::LineReader`: the same lines for every way of arriving, and never more in memory than one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use fuzz::{parts, pieces, target};
use process::{LineError, LineReader};
use tokio::io::{AsyncRead, ReadBuf};

/// Hands out pieces, each after being asked in vain once, and watches how far the reader reads ahead.
struct Trickle {
    pieces: Vec<Vec<u8>>,
    is_ready: bool,
    read: usize,
    handed_on: Arc<AtomicUsize>,
    ahead_max: usize,
}

impl AsyncRead for Trickle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.is_ready = !self.is_ready;
        if !self.is_ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let buffered = self.read - self.handed_on.load(Ordering::Relaxed);
        assert!(out.remaining() > 0 && buffered + out.remaining() <= self.ahead_max, "reads too far ahead");
        let Some(first) = self.pieces.first_mut() else { return Poll::Ready(Ok(())) };
        let count = first.len().min(out.remaining());
        out.put_slice(&first.drain(..count).collect::<Vec<_>>());
        if first.is_empty() {
            self.pieces.remove(0);
        }
        self.read += count;
        Poll::Ready(Ok(()))
    }
}

/// The lines, each with where the bytes behind it begin; the error where one is too long.
fn by_definition(data: &[u8], limit: usize) -> Vec<Result<(Vec<u8>, usize), ()>> {
    let mut lines = Vec::new();
    let mut start = 0;
    while start < data.len() {
        let newline = data[start..].iter().position(|byte| *byte == b'\n').map(|at| start + at);
        let line = &data[start..newline.unwrap_or(data.len())];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > limit {
            lines.push(Err(()));
            break;
        }
        start = newline.map_or(data.len(), |at| at + 1);
        lines.push(Ok((line.to_vec(), start)));
    }
    lines
}

async fn check(data: &[u8], sizes: &[u8], limit: usize) {
    let handed_on = Arc::new(AtomicUsize::new(0));
    let pieces = pieces(data, sizes).into_iter().map(<[u8]>::to_vec).collect();
    let counter = Arc::clone(&handed_on);
    let source = Trickle { pieces, is_ready: false, read: 0, handed_on: counter, ahead_max: limit + 2 };
    let mut reader = LineReader::new(source, limit);
    for wanted in by_definition(data, limit) {
        match (reader.next_line().await, wanted) {
            (Ok(Some(line)), Ok((wanted, behind))) => {
                assert_eq!(line, wanted);
                handed_on.store(behind, Ordering::Relaxed);
            }
            (Err(LineError::LineTooLong { .. }), Err(())) => {
                assert!(
                    matches!(reader.next_line().await, Err(LineError::LineTooLong { .. })),
                    "and goes on so"
                );
                return;
            }
            (line, wanted) => panic!("{line:?} instead of {wanted:?}"),
        }
    }
    assert!(matches!(reader.next_line().await, Ok(None)));
}

target!(
    /// Parts: the limit (its low five bits), the sizes of the pieces, the stream.
    lines,
    |input: &[u8]| {
        let parts = parts(input);
        let [limit, sizes, data] = parts[..] else { return };
        let limit = usize::from(limit.first().copied().unwrap_or_default() & 31);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for sizes in [sizes, b"", b"a"] {
                check(data, sizes, limit).await;
                check(data, sizes, 4096).await;
            }
        });
    },
    2000
);
