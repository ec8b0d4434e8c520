//! `mcp-trouble`, the server that goes wrong when it is told to, as a part of scenes: entries of the configuration,
//! signals to a process of the hub's, and the neighbour that has to go on answering meanwhile.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::hub::{Hub, binary};
use crate::program::{Program, command};

/// What a call of a tool that does well says.
pub const WELL: &str = "All is well.";
/// The connection that [`beside`] calls.
pub const NEIGHBOUR: &str = "neighbour";
const START: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// The server as an entry of `integrations`, over its standard streams.
///
/// # Errors
/// When it has not been built.
pub fn entry(arguments: &[&str]) -> anyhow::Result<Value> {
    let program = binary("mcp-trouble")?;
    Ok(json!({ "type": "mcp", "protocol": "stdio", "command": program, "args": arguments }))
}

/// The server over HTTP, as a program of its own.
pub struct Peer {
    program: Program,
    /// Its endpoint.
    pub url: String,
}

impl Peer {
    /// Starts it at `address`, such as `127.0.0.1:0`.
    ///
    /// # Errors
    /// When it has not been built or does not come up.
    pub async fn start_at(address: &str) -> anyhow::Result<Self> {
        let mut server = command(binary("mcp-trouble")?);
        server.args(["--listen", address]);
        let mut program = Program::start(server)?;
        let ready: Value = serde_json::from_str(&program.line(START).await?)?;
        let url = ready.get("url").and_then(Value::as_str).context("it prints its URL")?.to_owned();
        Ok(Self { program, url })
    }

    /// As an entry of `integrations`.
    #[must_use]
    pub fn entry(&self) -> Value {
        json!({ "type": "mcp", "protocol": "http", "url": self.url })
    }

    /// `host:port`, to start another one there.
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches("/mcp")
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.program.id()
    }
}

/// Does `trouble`, and calls [`NEIGHBOUR`]'s `well` again and again until that is over.
///
/// # Errors
/// When the neighbour, which has to be an [`entry`] of this hub, once does not answer well.
pub async fn beside<T>(hub: &Hub, trouble: impl Future<Output = T>) -> anyhow::Result<T> {
    let mut trouble = std::pin::pin!(trouble);
    let path = format!("/mcp/c/{NEIGHBOUR}");
    let mut neighbour = hub.mcp_modern(&path);
    loop {
        let said = neighbour.call_for_text("well", json!({})).await.context("the neighbour")?;
        ensure!(said == WELL, "the neighbour said {said}");
        if let Ok(outcome) = tokio::time::timeout(POLL, &mut trouble).await {
            return Ok(outcome);
        }
    }
}

/// Waits until a file exists.
///
/// # Errors
/// When it does not in a minute.
pub async fn made(path: &Path) -> anyhow::Result<()> {
    let look = async {
        while !path.exists() {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.with_context(|| format!("nobody made {}", path.display()))
}

/// How a connection of the hub stands, as `/api/v1/connections/{key}` shows it.
///
/// # Errors
/// When there is none of that key.
pub async fn state(hub: &Hub, key: &str) -> anyhow::Result<Value> {
    let reply = hub.http(Method::GET, &format!("/api/v1/connections/{key}"), &Value::Null).await?;
    let (status, state) = (reply.status, reply.json().await?);
    ensure!(status.is_success(), "{status}: {state}");
    Ok(state)
}

/// The process id of a connection over standard streams.
///
/// # Errors
/// When no process runs.
pub async fn process_of(hub: &Hub, key: &str) -> anyhow::Result<u32> {
    let state = state(hub, key).await?;
    let id = state.get("pid").and_then(Value::as_u64).with_context(|| format!("no process: {state}"))?;
    Ok(u32::try_from(id)?)
}

/// Sends SIGKILL.
///
/// # Errors
/// When the process has gone.
pub fn kill(process: u32) -> anyhow::Result<()> {
    signal(process, Signal::KILL)
}

/// Sends SIGSTOP.
///
/// # Errors
/// When the process has gone.
pub fn freeze(process: u32) -> anyhow::Result<()> {
    signal(process, Signal::STOP)
}

/// Sends SIGCONT.
///
/// # Errors
/// When the process has gone.
pub fn thaw(process: u32) -> anyhow::Result<()> {
    signal(process, Signal::CONT)
}

fn signal(process: u32, signal: Signal) -> anyhow::Result<()> {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw).context("a process id")?;
    kill_process(id, signal).with_context(|| format!("signalling {process}"))
}

/// Whether a process still runs; one that has ended and waits to be looked at does not.
#[must_use]
pub fn runs(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z')))
}

/// The most memory that a process ever held, in KiB.
///
/// # Errors
/// When it has gone.
pub fn most_memory_kib(process: u32) -> anyhow::Result<u64> {
    std::fs::read_to_string(format!("/proc/{process}/status"))?
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .context("VmHWM")
}
