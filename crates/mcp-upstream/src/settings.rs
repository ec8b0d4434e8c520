//! What a connection to an MCP server consists of, and what the room is handed by the binary.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use connector::oauth::Tokens;
use model::{Clock, Entropy, Key, Secret};
use outbound::Route;

/// One MCP server as a connection.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The connection's key.
    pub key: Key,
    /// How bytes travel.
    pub transport: Transport,
    /// Header lines for the HTTP transports; authentication is already among them.
    pub headers: Vec<(String, Secret)>,
    /// Where its token comes from, where it signs in with one; for the HTTP transports and WebSocket.
    pub tokens: Option<Leave>,
    /// Which era to speak.
    pub era: EraChoice,
    /// How many sessions a legacy server sees.
    pub sessions: Sessions,
    /// Longest time for one call, milliseconds; a call's own deadline may be earlier.
    pub timeout_ms: u64,
    /// Longest time for each step of connecting, milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest line, event or message from the server, bytes.
    pub line_bytes_max: usize,
    /// Longest HTTP answer, bytes.
    pub result_bytes_max: usize,
    /// How it is reached: what is allowed, whom it trusts, what it shows of itself.
    pub route: Route,
    /// Stop a process or socket that nobody has used for so many milliseconds; it starts again on demand.
    pub idle_stop_ms: Option<u64>,
}

/// A token that somebody, or the hub itself, was given for this server.
#[derive(Clone)]
pub struct Leave(pub Arc<dyn Tokens>);

impl std::fmt::Debug for Leave {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leave(****)")
    }
}

/// How bytes travel.
#[derive(Debug, Clone)]
pub enum Transport {
    /// A child process; newline-delimited JSON on its standard streams.
    Stdio {
        command: String,
        args: Vec<String>,
        env: Vec<(String, Secret)>,
        cwd: Option<PathBuf>,
        limits: process::Limits,
    },
    /// Streamable HTTP, both eras; falls back to HTTP+SSE where a server speaks only that.
    Http { url: String },
    /// HTTP+SSE of 2024-11-05.
    Sse { url: String },
    /// WebSocket with the subprotocol `mcp`.
    WebSocket { url: String },
    /// Newline-delimited JSON over TCP, `host:port`.
    Tcp { addr: String },
    /// Newline-delimited JSON over a Unix socket.
    Unix { path: PathBuf },
}

impl Transport {
    /// Its name, for people.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stdio { .. } => "stdio",
            Self::Http { .. } => "http",
            Self::Sse { .. } => "sse",
            Self::WebSocket { .. } => "websocket",
            Self::Tcp { .. } => "tcp",
            Self::Unix { .. } => "unix",
        }
    }
}

/// Which era to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EraChoice {
    /// Find out, and remember.
    #[default]
    Auto,
    /// 2026-07-28 and later only.
    Modern,
    /// `initialize` only.
    Legacy,
}

/// How many sessions a legacy server sees. A modern one has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sessions {
    /// [`Sessions::One`] on private pipes (stdio, TCP, Unix socket, WebSocket), where a second session is a second
    /// process or connection; [`Sessions::ByAbility`] over HTTP.
    #[default]
    Auto,
    /// One that declares every ability. What the calling client cannot answer, the hub refuses.
    One,
    /// One per set of abilities that calling clients declare.
    ByAbility,
}

impl Sessions {
    /// Whether all callers share one.
    #[must_use]
    pub const fn is_one(self, transport: &Transport) -> bool {
        match self {
            Self::One => true,
            Self::ByAbility => false,
            Self::Auto => !matches!(transport, Transport::Http { .. } | Transport::Sse { .. }),
        }
    }
}

/// What the room needs from the rest of the program.
#[derive(Clone)]
pub struct Parts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance: jitter, WebSocket masks.
    pub entropy: Arc<dyn Entropy>,
    /// The HTTP client.
    pub client: outbound::Client,
    /// Keeps child processes from outliving the hub.
    pub guard: Arc<process::Guard>,
    /// Where facts survive a restart; `None` forgets them.
    pub facts: Option<Arc<dyn Facts>>,
}

/// Remembers what was learnt about a server: its era and its last good inventory. One opaque value per key.
#[async_trait]
pub trait Facts: Send + Sync {
    /// What was last saved for `key`; `None` also when it cannot be read.
    async fn load(&self, key: &Key) -> Option<Bytes>;
    /// Keeps `facts` for `key`. Failing is of no consequence: the facts are learnt again.
    async fn save(&self, key: &Key, facts: Bytes);
}
