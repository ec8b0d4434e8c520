//! Framing, whatever the sizes in which the bytes come.

use tokio::io::{AsyncWriteExt, DuplexStream, ReadBuf, duplex};

use super::*;

/// Gives its bytes in pieces of the given sizes, over and over.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    sizes: Vec<usize>,
    turn: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.turn += 1;
        // Every other turn there is nothing yet, so that the reader settles in between.
        if self.turn.is_multiple_of(2) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let size = self.sizes[(self.turn / 2) % self.sizes.len()];
        let end = (self.at + size.min(target.remaining())).min(self.bytes.len());
        target.put_slice(&self.bytes[self.at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

fn reader(bytes: &[u8], sizes: &[usize], line_bytes_max: usize) -> LineReader<Pieces> {
    LineReader::new(Pieces { bytes: bytes.to_vec(), at: 0, sizes: sizes.to_vec(), turn: 0 }, line_bytes_max)
}

async fn all<R: AsyncRead + Unpin>(reader: &mut LineReader<R>) -> Vec<Bytes> {
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line().await.unwrap() {
        lines.push(line);
    }
    lines
}

#[tokio::test]
async fn lines_are_the_same_in_whatever_pieces_they_come() {
    let long = "x".repeat(100_000);
    let said = format!("{{\"a\":1}}\n\r\n\nsecond\r\nin\rside\r\n{long}\n{long}\r\nlast");
    let expected = ["{\"a\":1}", "", "", "second", "in\rside", &long, &long, "last"];
    for sizes in [&[1][..], &[2], &[3, 1], &[7], &[8192], &[1, 65536], &[1 << 20]] {
        let mut reader = reader(said.as_bytes(), sizes, 100_000);
        assert_eq!(all(&mut reader).await, expected, "pieces of {sizes:?}");
        assert!(reader.next_line().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn random_lines_in_random_pieces() {
    use model::Entropy;
    let entropy = model::SeededEntropy::new(2);
    for round in 0..200 {
        let line_bytes_max = 1 + (entropy.next_u64() % 20_000) as usize;
        let lines: Vec<Vec<u8>> = (0..entropy.next_u64() % 40)
            .map(|_| {
                vec![
                    b'a' + (entropy.next_u64() % 26) as u8;
                    entropy.next_u64() as usize % (line_bytes_max + 1)
                ]
            })
            .collect();
        let mut said = Vec::new();
        for line in &lines {
            said.extend_from_slice(line);
            said.extend_from_slice(if entropy.next_u64().is_multiple_of(2) { b"\n" } else { b"\r\n" });
        }
        let sizes: Vec<usize> = (0..5).map(|_| 1 + (entropy.next_u64() % 9_000) as usize).collect();
        let mut reader = reader(&said, &sizes, line_bytes_max);
        assert_eq!(all(&mut reader).await, lines, "round {round}, limit {line_bytes_max}, pieces {sizes:?}");
    }
}

#[tokio::test]
async fn the_limit_is_exact() {
    for sizes in [&[1][..], &[4], &[1000]] {
        for fits in ["12345\n", "12345\r\n", "12345", "12345\r"] {
            assert_eq!(all(&mut reader(fits.as_bytes(), sizes, 5)).await, ["12345"], "{fits:?}");
        }
        for (too_long, before) in
            [("123456\n", 0), ("123456", 0), ("1\n1234567890", 1), ("1\n123456\r\n2\n", 1)]
        {
            let mut reader = reader(too_long.as_bytes(), sizes, 5);
            for _ in 0..before {
                assert_eq!(reader.next_line().await.unwrap().unwrap(), "1");
            }
            for _ in 0..2 {
                let error = reader.next_line().await.unwrap_err();
                assert!(matches!(error, LineError::LineTooLong { line_bytes_max: 5 }), "{too_long:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_writer_without_newlines_is_cut_at_the_limit() {
    let limit = 1024 * 1024;
    let mut reader = LineReader::new(tokio::io::repeat(b'x'), limit);
    let mut largest = 0;
    let error = poll_fn(|cx| {
        loop {
            largest = largest.max(reader.chunk_bytes);
            assert!(reader.buffer.len() <= limit + 2 && reader.buffer.capacity() <= limit + 2);
            match reader.buffered_line() {
                Ok(line) => assert!(line.is_none()),
                Err(error) => return Poll::Ready(error),
            }
            assert!(reader.poll_read(cx).is_ready());
        }
    })
    .await;
    assert!(matches!(error, LineError::LineTooLong { .. }));
    assert!(largest <= limit + 2, "{largest}");
    assert_eq!(reader.buffer.capacity(), 0, "the useless beginning is not kept");
    assert_eq!(error.fault().code, Code::ANSWER_TOO_LARGE);
}

async fn idle(reader: &mut LineReader<DuplexStream>) {
    let waited = poll_fn(|cx| Poll::Ready(reader.poll_line(cx).is_pending())).await;
    assert!(waited, "there is nothing to read");
}

#[tokio::test]
async fn an_idle_reader_is_small_again() {
    let (mut writer, source) = duplex(4 * 1024 * 1024);
    let mut reader = LineReader::new(source, LINE_BYTES_MAX);
    idle(&mut reader).await;
    assert_eq!(reader.chunk_bytes, CHUNK_BYTES_MIN);

    let mut long = vec![b'x'; 3 * 1024 * 1024];
    long.extend_from_slice(b"\n{\"beg");
    writer.write_all(&long).await.unwrap();
    let line = reader.next_line().await.unwrap().unwrap();
    assert_eq!(line.len(), 3 * 1024 * 1024);
    idle(&mut reader).await;
    assert_eq!(reader.chunk_bytes, CHUNK_BYTES_MIN);
    assert!(line.is_unique(), "the reader does not hold the memory of a line it gave away");

    writer.write_all(b"in\":1}\n").await.unwrap();
    assert_eq!(reader.next_line().await.unwrap().unwrap(), "{\"begin\":1}");
}

#[tokio::test]
async fn short_lines_share_one_buffer_that_is_used_again() {
    let (mut writer, source) = duplex(64 * 1024);
    let mut reader = LineReader::new(source, LINE_BYTES_MAX);
    let mut places = std::collections::BTreeSet::new();
    for round in 0..1_000 {
        writer.write_all(b"{\"jsonrpc\":\"2.0\"}\n{}\n").await.unwrap();
        assert_eq!(reader.next_line().await.unwrap().unwrap(), "{\"jsonrpc\":\"2.0\"}", "round {round}");
        let second = reader.buffered_line().unwrap().unwrap();
        assert_eq!(second, "{}");
        places.insert(second.as_ptr() as usize);
    }
    let spread = places.last().unwrap() - places.first().unwrap();
    assert!(spread < CHUNK_BYTES_MIN, "one chunk serves all: {spread}");
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let (mut writer, source) = duplex(1024);
    let mut reader = LineReader::new(source, LINE_BYTES_MAX);
    writer.write_all(b"half ").await.unwrap();
    tokio::select! {
        biased;
        line = reader.next_line() => panic!("no line yet: {line:?}"),
        () = std::future::ready(()) => {}
    }
    writer.write_all(b"and half\n").await.unwrap();
    drop(writer);
    assert_eq!(all(&mut reader).await, ["half and half"]);
}
