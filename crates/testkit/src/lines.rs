//! A client of the doors that speak newline-delimited JSON: TCP, Unix sockets, and a program's standard streams.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(60);

/// One connection that carries a JSON object per line each way.
pub struct JsonLines {
    incoming: Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>,
    outgoing: Box<dyn AsyncWrite + Send + Unpin>,
    /// The program at the other end, when there is one; it is killed when this is dropped.
    child: Option<Child>,
}

impl JsonLines {
    /// Connects to a TCP address.
    ///
    /// # Errors
    /// When nothing listens there.
    pub async fn tcp(address: &str) -> anyhow::Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test's client stands outside the product and its egress guard"
        )]
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        let (incoming, outgoing) = stream.into_split();
        Ok(Self::over(incoming, outgoing, None))
    }

    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// When nothing listens there.
    pub async fn unix(path: &std::path::Path) -> anyhow::Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test's client stands outside the product and its egress guard"
        )]
        let stream = UnixStream::connect(path).await.with_context(|| path.display().to_string())?;
        let (incoming, outgoing) = stream.into_split();
        Ok(Self::over(incoming, outgoing, None))
    }

    /// Starts a program and talks to its standard streams.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn program(command: std::process::Command) -> anyhow::Result<Self> {
        let mut child = Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let outgoing = child.stdin.take().context("its standard input")?;
        let incoming = child.stdout.take().context("its standard output")?;
        Ok(Self::over(incoming, outgoing, Some(child)))
    }

    fn over(
        incoming: impl AsyncRead + Send + Unpin + 'static,
        outgoing: impl AsyncWrite + Send + Unpin + 'static,
        child: Option<Child>,
    ) -> Self {
        let incoming: Box<dyn AsyncRead + Send + Unpin> = Box::new(incoming);
        Self { incoming: BufReader::new(incoming).lines(), outgoing: Box::new(outgoing), child }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// When the other side has closed.
    pub async fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        self.outgoing.write_all(format!("{message}\n").as_bytes()).await?;
        Ok(self.outgoing.flush().await?)
    }

    /// The next message, `None` when the other side has closed.
    ///
    /// # Errors
    /// When none comes in a minute, or what comes is not JSON.
    pub async fn receive(&mut self) -> anyhow::Result<Option<Value>> {
        let line =
            tokio::time::timeout(PATIENCE, self.incoming.next_line()).await.context("nothing came")??;
        line.map(|line| serde_json::from_str(&line).with_context(|| format!("the line {line}"))).transpose()
    }

    /// Sends a request and waits for the message that answers it; whatever else comes meanwhile is passed over.
    ///
    /// # Errors
    /// When the other side closes first.
    pub async fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        self.send(request).await?;
        while let Some(message) = self.receive().await? {
            if message.get("id") == request.get("id") && message.get("method").is_none() {
                return Ok(message);
            }
        }
        anyhow::bail!("closed before an answer to {request}")
    }

    /// Closes our side and waits until the program at the other end has ended.
    ///
    /// # Errors
    /// When there is no program, or it does not end in a minute.
    pub async fn finish(mut self) -> anyhow::Result<std::process::ExitStatus> {
        self.outgoing.shutdown().await?;
        drop(self.outgoing);
        let mut child = self.child.context("no program at the other end")?;
        Ok(tokio::time::timeout(PATIENCE, child.wait()).await.context("it goes on running")??)
    }
}
