//! The real hub for a scene: the built binary with a configuration of the scene's own, in folders of its own, on a
//! port of its own, gone when the scene ends.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use hyper::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Generation, McpClient};
use crate::http::{self, Reply};
use crate::program::{Program, command};

/// How long a start may take, on a machine that is busy with other tests.
const START: Duration = Duration::from_secs(60);
/// How long anything else may take that happens behind the hub's start.
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(200);

/// A running hub.
pub struct Hub {
    program: Program,
    folder: TempDir,
    /// `http://host:port`, without a path.
    pub url: String,
    /// A key that may use everything.
    pub key: String,
    /// The first line that the hub printed.
    pub ready: Value,
}

impl Hub {
    /// Starts the binary with this configuration and an empty data folder.
    ///
    /// # Errors
    /// When the binary is missing, does not come up, or shows no key; the message holds what it said.
    pub async fn start(config: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("trunkline-scene-").tempdir()?;
        std::fs::write(folder.path().join("trunkline.yaml"), config)?;
        let (program, ready) = launch(folder.path()).await?;
        let key =
            ready.get("first_key").and_then(Value::as_str).context("the first start shows a key")?.to_owned();
        let url = address(&ready)?;
        Ok(Self { program, folder, url, key, ready })
    }

    /// Stops the hub and starts it again on the same data, on another port; the key stays good.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.program.stop()?;
        let (program, ready) = launch(self.folder.path()).await?;
        self.url = address(&ready)?;
        self.program = program;
        self.ready = ready;
        Ok(())
    }

    /// A client of the newest revision at this path, such as `/mcp` or `/mcp/c/files`.
    #[must_use]
    pub fn mcp_modern(&self, path: &str) -> McpClient {
        McpClient::new(&self.endpoint(path), Some(&self.key), Generation::Modern)
    }

    /// A client with a session at this path; it still has to connect.
    #[must_use]
    pub fn mcp_legacy(&self, path: &str) -> McpClient {
        McpClient::new(&self.endpoint(path), Some(&self.key), Generation::Legacy)
    }

    /// The URL of a path.
    #[must_use]
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Sends one HTTP request with the hub's key; a JSON body unless it is null.
    ///
    /// # Errors
    /// When the hub cannot be reached.
    pub async fn http(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Reply> {
        let authorization = format!("Bearer {}", self.key);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::send(method, &self.endpoint(path), &headers, body).await
    }

    /// Waits until the endpoint lists at least one tool, and gives their names. Upstreams connect behind the hub's
    /// start, so a scene that needs one waits here.
    ///
    /// # Errors
    /// When no tool appears in time; the message holds the hub's log.
    pub async fn wait_for_tools(&self, path: &str) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        self.until(&format!("tools at {path}"), async || {
            names = self.mcp_modern(path).tool_names().await?;
            anyhow::ensure!(!names.is_empty(), "the list is empty");
            Ok(())
        })
        .await?;
        Ok(names)
    }

    /// Tries again and again until it works.
    ///
    /// # Errors
    /// When it does not in time; the message holds the last reason and the hub's log.
    pub async fn until(
        &self,
        what: &str,
        mut attempt: impl AsyncFnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut last = "nothing was tried".to_owned();
        let trying = async {
            while let Err(error) = attempt().await {
                last = format!("{error:#}");
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(PATIENCE, trying).await.is_err() {
            bail!("not in time: {what}: {last}\n{}", self.log());
        }
        Ok(())
    }

    /// The last lines of what the hub said.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.log()
    }

    /// The product's command line, pointed at this hub: `hub.command(&["tools"])`.
    ///
    /// # Errors
    /// When the binary is missing.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = clean(&binary("trunkline")?, self.folder());
        command.args(arguments).env("TRUNKLINE_URL", &self.url).env("TRUNKLINE_KEY", &self.key);
        Ok(command)
    }

    /// The folder that holds its configuration and data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The running process.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }
}

/// The built binary `name`: `TRUNKLINE_BIN` for the product, else what lies beside the running test.
///
/// # Errors
/// When it has not been built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    if name == "trunkline"
        && let Some(path) = std::env::var_os("TRUNKLINE_BIN")
    {
        return Ok(path.into());
    }
    let here = std::env::current_exe()?;
    here.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not built: run `cargo build --workspace --bins`"))
}

/// A command that sees nothing of the developer's own settings, only where programs are found.
fn clean(path: &Path, home: &Path) -> Command {
    let mut command = command(path);
    command.env_clear().env("HOME", home).env("TMPDIR", home);
    for name in ["PATH", "LANG", "RUST_LOG", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

async fn launch(folder: &Path) -> anyhow::Result<(Program, Value)> {
    let mut command = clean(&binary("trunkline")?, folder);
    command
        .args(["serve", "--json", "--listen", "127.0.0.1:0", "--config"])
        .arg(folder.join("trunkline.yaml"));
    command.arg("--data").arg(folder.join("data"));
    let mut program = Program::start(command)?;
    let line = program.line(START).await?;
    let ready: Value = serde_json::from_str(&line)
        .with_context(|| format!("the first line is {line}\n{}", program.log()))?;
    if ready.get("ready") != Some(&Value::Bool(true)) {
        bail!("the hub is not ready: {ready}\n{}", program.log());
    }
    Ok((program, ready))
}

fn address(ready: &Value) -> anyhow::Result<String> {
    Ok(format!(
        "http://{}",
        ready.get("listen").and_then(Value::as_str).context("no `listen` in the first line")?
    ))
}
