//! One client connection over any of the doors: it sends framed bytes and returns the body of the answer.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Join};
use tokio::net::TcpStream;
use tokio::process::{ChildStdin, ChildStdout};

use super::inbox::Inbox;
use super::response::{self, Body};
use super::websocket::{self, Kind};
use crate::message::{LEGACY_VERSION, MODERN_VERSION, Message, Mode, Template};
use crate::spawn::{self, Program};
use crate::target::{Target, dial};

/// Messages a peer may send on its own before the answer.
const UNASKED_MAX: usize = 64;

/// An open connection.
#[derive(Debug)]
pub(crate) enum Channel {
    /// HTTP/1.1 with keep-alive.
    Http(Http),
    /// Newline JSON over TCP.
    Line(Line<TcpStream>),
    /// WebSocket text messages.
    WebSocket(WebSocket),
    /// Newline JSON over the standard streams of a program, which ends with the connection.
    Stdio { line: Line<Join<ChildStdout, ChildStdin>>, _program: Program },
}

/// HTTP/1.1 with keep-alive.
#[derive(Debug)]
pub(crate) struct Http {
    stream: TcpStream,
    inbox: Inbox,
    joined: Vec<u8>,
    consumed: usize,
    address: SocketAddr,
    path: String,
    key: Option<String>,
    session: Option<String>,
}

/// Newline JSON over any stream.
#[derive(Debug)]
pub(crate) struct Line<S> {
    stream: S,
    inbox: Inbox,
    consumed: usize,
}

/// WebSocket text messages.
#[derive(Debug)]
pub(crate) struct WebSocket {
    stream: TcpStream,
    inbox: Inbox,
    message: Vec<u8>,
}

/// How a connection is opened.
#[derive(Debug, Clone)]
pub(crate) struct Opening<'a> {
    /// Where to.
    pub(crate) target: &'a Target,
    /// The API key, if the door asks for one.
    pub(crate) key: Option<&'a str>,
    /// The loopback address to come from.
    pub(crate) from: Option<IpAddr>,
    /// Bytes of buffer to begin with: small for connections that only wait.
    pub(crate) buffer_bytes: usize,
}

impl Channel {
    /// Connects, and takes the door's own first step (the key line, the upgrade).
    pub(crate) async fn open(opening: &Opening<'_>) -> Result<Self> {
        let Opening { target, key, from, buffer_bytes } = opening;
        let inbox = Inbox::new(*buffer_bytes);
        Ok(match target {
            Target::Http { address, path } => Self::Http(Http {
                stream: dial(*address, *from).await?,
                inbox,
                joined: Vec::new(),
                consumed: 0,
                address: *address,
                path: path.clone(),
                key: key.map(str::to_owned),
                session: None,
            }),
            Target::Tcp { address, path } => {
                let mut line = Line { stream: dial(*address, *from).await?, inbox, consumed: 0 };
                if let Some(key) = key {
                    line.authenticate(key, path).await?;
                }
                Self::Line(line)
            }
            Target::WebSocket { address, path } => {
                let stream = dial(*address, *from).await?;
                let mut socket = WebSocket { stream, inbox, message: Vec::new() };
                socket.upgrade(*address, path, *key).await?;
                Self::WebSocket(socket)
            }
            Target::Stdio { command, environment } => {
                let (line, program) = open_stdio(command, environment, inbox)?;
                Self::Stdio { line, _program: program }
            }
        })
    }

    /// `initialize` and `notifications/initialized`, remembering the session the server gives.
    pub(crate) async fn begin_session(&mut self) -> Result<()> {
        let initialize = self.frame(&Message::initialize(), Mode::Legacy);
        let answer = self.exchange(initialize.bytes()).await?;
        if memchr::memmem::find(answer, b"\"protocolVersion\"").is_none() {
            bail!("initialize was answered with {}", String::from_utf8_lossy(answer));
        }
        let initialized = self.frame(&Message::initialized(), Mode::Legacy);
        self.notify(initialized.bytes()).await
    }

    /// The bytes that carry `message` over this connection.
    pub(crate) fn frame(&self, message: &Message, mode: Mode) -> Template {
        match self {
            Self::Http(http) => {
                Template::new(http.head(message, mode).as_bytes(), http.body(message, mode), b"")
            }
            Self::Line(_) | Self::Stdio { .. } => Template::new(b"", &message.body, b"\n"),
            Self::WebSocket(_) => {
                Template::new(&websocket::text_header(message.body.len()), &message.body, b"")
            }
        }
    }

    /// Sends a framed request and waits for its answer, whose status must be a success.
    pub(crate) async fn exchange(&mut self, framed: &[u8]) -> Result<&[u8]> {
        match self {
            Self::Http(http) => http.exchange(framed).await,
            Self::Line(line) => line.exchange(framed).await,
            Self::Stdio { line, .. } => line.exchange(framed).await,
            Self::WebSocket(socket) => socket.exchange(framed).await,
        }
    }

    /// Sends a framed request whose answer is a stream that stays open, and waits for the stream's first event. Only
    /// HTTP has such answers.
    pub(crate) async fn subscribe(&mut self, framed: &[u8]) -> Result<()> {
        match self {
            Self::Http(http) => http.subscribe(framed).await,
            _ => bail!("only HTTP has streams of events"),
        }
    }

    /// The open socket, if it is one.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Http(http) => Some(&http.stream),
            Self::Line(line) => Some(&line.stream),
            Self::WebSocket(socket) => Some(&socket.stream),
            Self::Stdio { .. } => None,
        }
    }

    async fn notify(&mut self, framed: &[u8]) -> Result<()> {
        match self {
            Self::Http(http) => http.exchange(framed).await.map(drop),
            Self::Line(line) => line.send(framed).await,
            Self::Stdio { line, .. } => line.send(framed).await,
            Self::WebSocket(socket) => Ok(socket.stream.write_all(framed).await?),
        }
    }
}

// === impl Http ===

impl Http {
    fn head(&self, message: &Message, mode: Mode) -> String {
        let Self { address, path, .. } = self;
        let authorization =
            self.key.as_ref().map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
        if mode == Mode::Plain {
            return format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}\r\n");
        }
        let version = match (mode, message.method) {
            // The version is what `initialize` agrees on, so its own request does not name one.
            (_, "initialize") => String::new(),
            (Mode::Modern, method) => {
                format!("MCP-Protocol-Version: {MODERN_VERSION}\r\nMcp-Method: {method}\r\n")
            }
            _ => format!("MCP-Protocol-Version: {LEGACY_VERSION}\r\n"),
        };
        let name = match &message.name {
            Some(name) if mode == Mode::Modern => format!("Mcp-Name: {name}\r\n"),
            _ => String::new(),
        };
        let session = self.session.as_ref().map(|id| format!("Mcp-Session-Id: {id}\r\n")).unwrap_or_default();
        format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Content-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{version}{name}{session}Content-Length: {}\r\n\r\n",
            message.body.len()
        )
    }

    fn body<'a>(&self, message: &'a Message, mode: Mode) -> &'a str {
        if mode == Mode::Plain { "" } else { &message.body }
    }

    async fn exchange(&mut self, framed: &[u8]) -> Result<&[u8]> {
        self.inbox.consume(std::mem::take(&mut self.consumed));
        self.stream.write_all(framed).await?;
        loop {
            self.inbox.fill(&mut self.stream).await?;
            let Some(response) = response::parse(self.inbox.bytes(), &mut self.joined)? else { continue };
            self.consumed = response.consumed;
            if let Some(session) = response.session
                && self.session.is_none()
            {
                self.session = Some(session);
            }
            let body = match response.body {
                Body::InPlace(range) => self.inbox.bytes().get(range).unwrap_or_default(),
                Body::Joined => &self.joined,
            };
            if !matches!(response.status, 200 | 202) {
                bail!("status {}: {}", response.status, String::from_utf8_lossy(body));
            }
            return Ok(body);
        }
    }

    async fn subscribe(&mut self, framed: &[u8]) -> Result<()> {
        self.stream.write_all(framed).await?;
        loop {
            self.inbox.fill(&mut self.stream).await?;
            let Some(head) = response::parse_head(self.inbox.bytes())? else { continue };
            if head.status != 200 {
                let text = String::from_utf8_lossy(self.inbox.bytes());
                bail!("the subscription was answered with {text}");
            }
            if memchr::memmem::find(self.inbox.bytes(), b"data:").is_some() {
                return Ok(());
            }
        }
    }
}

// === impl Line ===

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    async fn authenticate(&mut self, key: &str, endpoint: &str) -> Result<()> {
        let first = serde_json::json!({"trunkline": "auth", "key": key, "endpoint": endpoint});
        self.send(format!("{first}\n").as_bytes()).await?;
        let line = self.receive().await?;
        let answer: serde_json::Value =
            serde_json::from_slice(line).context("the key line was not answered in JSON")?;
        if answer.get("trunkline").and_then(serde_json::Value::as_str) != Some("ready") {
            bail!("the key line was answered with {answer}");
        }
        Ok(())
    }

    async fn send(&mut self, framed: &[u8]) -> Result<()> {
        self.stream.write_all(framed).await?;
        Ok(self.stream.flush().await?)
    }

    async fn receive(&mut self) -> Result<&[u8]> {
        self.inbox.consume(std::mem::take(&mut self.consumed));
        loop {
            if let Some(end) = memchr::memchr(b'\n', self.inbox.bytes()) {
                self.consumed = end + 1;
                return Ok(self.inbox.bytes().get(..end).unwrap_or_default());
            }
            self.inbox.fill(&mut self.stream).await?;
        }
    }

    async fn exchange(&mut self, framed: &[u8]) -> Result<&[u8]> {
        self.send(framed).await?;
        for _ in 0..UNASKED_MAX {
            if is_answer(self.receive().await?) {
                let end = self.consumed.saturating_sub(1);
                return Ok(self.inbox.bytes().get(..end).unwrap_or_default());
            }
        }
        bail!("{UNASKED_MAX} messages came, and none was the answer")
    }
}

// === impl WebSocket ===

impl WebSocket {
    async fn upgrade(&mut self, address: SocketAddr, path: &str, key: Option<&str>) -> Result<()> {
        self.stream.write_all(websocket::upgrade(address, path, key).as_bytes()).await?;
        loop {
            self.inbox.fill(&mut self.stream).await?;
            let Some(head) = response::parse_head(self.inbox.bytes())? else { continue };
            if head.status != 101 {
                bail!("the upgrade was answered with {}", String::from_utf8_lossy(self.inbox.bytes()));
            }
            self.inbox.consume(head.bytes);
            return Ok(());
        }
    }

    async fn exchange(&mut self, framed: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(framed).await?;
        for _ in 0..UNASKED_MAX {
            self.receive().await?;
            if is_answer(&self.message) {
                return Ok(&self.message);
            }
        }
        bail!("{UNASKED_MAX} messages came, and none was the answer")
    }

    /// Reads one whole message into `self.message`, answering pings on the way.
    async fn receive(&mut self) -> Result<()> {
        self.message.clear();
        loop {
            let Some(frame) = websocket::parse(self.inbox.bytes())? else {
                self.inbox.fill(&mut self.stream).await?;
                continue;
            };
            let end = frame.payload.end;
            let payload = self.inbox.bytes().get(frame.payload).unwrap_or_default();
            let is_whole = match frame.kind {
                Kind::Message { is_last } => {
                    self.message.extend_from_slice(payload);
                    is_last
                }
                Kind::Ping => {
                    let pong = websocket::pong(payload);
                    self.stream.write_all(&pong).await?;
                    false
                }
                Kind::Pong => false,
            };
            self.inbox.consume(end);
            if is_whole {
                return Ok(());
            }
        }
    }
}

/// Whether a message answers a request; a peer's own requests and notifications carry a method.
fn is_answer(message: &[u8]) -> bool {
    memchr::memmem::find(message, b"\"result\"").is_some()
        || memchr::memmem::find(message, b"\"error\"").is_some()
}

fn open_stdio(
    command: &[String],
    environment: &[(String, String)],
    inbox: Inbox,
) -> Result<(Line<Join<ChildStdout, ChildStdin>>, Program)> {
    let (program, arguments) = command.split_first().context("there is no program to start")?;
    let mut command = spawn::command(std::path::Path::new(program), None);
    command.args(arguments).envs(environment.iter().cloned());
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut program = Program::start(&mut command)?;
    let input = program.child().stdin.take().context("standard input was not piped")?;
    let output = program.child().stdout.take().context("standard output was not piped")?;
    let stream = tokio::io::join(ChildStdout::from_std(output)?, ChildStdin::from_std(input)?);
    Ok((Line { stream, inbox, consumed: 0 }, program))
}
