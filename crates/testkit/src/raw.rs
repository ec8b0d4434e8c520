//! A client that speaks bytes: for scenes in which one connection and what exactly is said on it matter.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long bytes may let themselves be waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub struct Raw {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Raw {
    /// Connects to `http://authority/...`.
    ///
    /// # Errors
    /// When nothing listens there.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").with_context(|| format!("the URL {url}"))?;
        let authority = rest.split('/').next().unwrap_or(rest);
        #[expect(
            clippy::disallowed_methods,
            reason = "a test's client stands outside the product and its egress guard"
        )]
        let stream =
            TcpStream::connect(authority).await.with_context(|| format!("connecting to {authority}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, heard: Vec::new() })
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        Ok(self.stream.write_all(bytes.as_ref()).await?)
    }

    /// All that comes up to and with `end`; what comes behind it stays for the next time.
    ///
    /// # Errors
    /// When the connection ends before, or it does not come in time; the message holds what came.
    pub async fn hear(&mut self, end: &[u8]) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.heard.windows(end.len()).position(|part| part == end) {
                let rest = self.heard.split_off(at + end.len());
                return Ok(std::mem::replace(&mut self.heard, rest));
            }
            if !self.more().await? {
                bail!("ended after: {}", String::from_utf8_lossy(&self.heard));
            }
        }
    }

    /// All that comes until the other side ends.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn rest(&mut self) -> anyhow::Result<Vec<u8>> {
        while self.more().await? {}
        Ok(std::mem::take(&mut self.heard))
    }

    async fn more(&mut self) -> anyhow::Result<bool> {
        let reading = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.heard)).await;
        let Ok(read) = reading else {
            bail!("nothing more after: {}", String::from_utf8_lossy(&self.heard));
        };
        Ok(read? > 0)
    }
}
