//! The bytes a client has received and not yet used.

use anyhow::{Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The most one answer may hold.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A buffer that is filled by one read at a time.
#[derive(Debug)]
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    filled: usize,
}

impl Inbox {
    /// An empty inbox with room for `bytes`; it grows when an answer is larger.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { buffer: vec![0; bytes], filled: 0 }
    }

    /// What has arrived and was not consumed.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    /// Waits for more bytes; an end of the stream is an error, because an answer is still owed.
    pub(crate) async fn fill(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<()> {
        if self.filled == self.buffer.len() {
            if self.filled >= BYTES_MAX {
                bail!("the answer is larger than {BYTES_MAX} bytes");
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match from.read(room).await? {
            0 => bail!("the connection was closed before the answer"),
            count => self.filled += count,
        }
        Ok(())
    }

    /// Drops the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        let count = count.min(self.filled);
        self.buffer.copy_within(count..self.filled, 0);
        self.filled -= count;
    }
}
