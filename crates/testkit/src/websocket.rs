//! A small MCP client over WebSocket: one JSON message per text frame, under the subprotocol `mcp`.

use anyhow::{Context as _, bail};
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload};
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;

/// One connection.
pub struct WebSocketClient(FragmentCollector<TokioIo<Upgraded>>);

impl WebSocketClient {
    /// Connects to `http://authority/path` with an API key.
    ///
    /// # Errors
    /// When nothing listens there, or the upgrade is refused.
    pub async fn connect(url: &str, key: &str) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").with_context(|| format!("the URL {url}"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        #[expect(
            clippy::disallowed_methods,
            reason = "a test's client stands outside the product and its egress guard"
        )]
        let stream =
            TcpStream::connect(authority).await.with_context(|| format!("connecting to {authority}"))?;
        let request = Request::builder()
            .uri(format!("/{path}"))
            .header("host", authority)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", fastwebsockets::handshake::generate_key())
            .header("sec-websocket-protocol", "mcp")
            .header("authorization", format!("Bearer {key}"))
            .body(Empty::<Bytes>::new())?;
        let (socket, _) = fastwebsockets::handshake::client(&TokioExecutor::new(), request, stream).await?;
        Ok(Self(FragmentCollector::new(socket)))
    }

    /// Sends one message.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        let text = message.to_string();
        Ok(self.0.write_frame(Frame::text(Payload::Borrowed(text.as_bytes()))).await?)
    }

    /// The next message; `None` once the other side has closed.
    ///
    /// # Errors
    /// When what comes is no JSON in a text frame.
    pub async fn receive(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            let Ok(frame) = self.0.read_frame().await else { return Ok(None) };
            match frame.opcode {
                OpCode::Text => return Ok(Some(serde_json::from_slice(&frame.payload)?)),
                OpCode::Close => return Ok(None),
                OpCode::Ping | OpCode::Pong => {}
                other => bail!("a frame of the kind {other:?}"),
            }
        }
    }

    /// Sends a request and waits for its answer; what comes in between is passed over.
    ///
    /// # Errors
    /// When the connection ends first.
    pub async fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        self.send(request).await?;
        while let Some(message) = self.receive().await? {
            if message.get("id") == request.get("id") {
                return Ok(message);
            }
        }
        bail!("the connection ended without an answer")
    }
}
