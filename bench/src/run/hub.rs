//! Starts the program that is measured, from a configuration written for the occasion and on a fresh data folder.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::client;
use crate::clock;
use crate::load::{Ask, Plan, TEXT_BYTES};
use crate::message::Mode;
use crate::spawn::{self, Program};
use crate::target::Target;

/// How long the hub may take to be ready.
const READY: Duration = Duration::from_secs(30);
/// How long a tool may take to appear in the list.
const TOOL_MS: u64 = 15_000;

/// The lines of a configuration, one connection each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    integrations: String,
}

/// A running hub.
#[derive(Debug)]
pub(crate) struct Hub {
    program: Program,
    /// The HTTP door, at its MCP endpoint.
    pub(crate) http: Target,
    /// The TCP door.
    pub(crate) tcp: Option<Target>,
    /// The WebSocket door.
    pub(crate) websocket: Target,
    /// The first API key; absent when the data folder had been used before.
    pub(crate) key: Option<String>,
    /// From start to its ready line, in microseconds.
    pub(crate) ready_us: u64,
    /// When it was started.
    pub(crate) started_us: u64,
}

impl Config {
    /// Adds an MCP server over HTTP.
    pub(crate) fn http(mut self, key: &str, url: &str, era: &str) -> Self {
        // Writing to a string cannot fail; so below.
        let _ = writeln!(
            self.integrations,
            "  {key}: {{ type: mcp, protocol: http, url: \"{url}\", era: {era} }}"
        );
        self
    }

    /// Adds an MCP server over TCP.
    pub(crate) fn tcp(mut self, key: &str, url: &str) -> Self {
        let _ = writeln!(self.integrations, "  {key}: {{ type: mcp, protocol: tcp, url: \"{url}\" }}");
        self
    }

    /// Adds an MCP server over standard streams.
    pub(crate) fn stdio(mut self, key: &str, program: &Path, arguments: &[&str]) -> Self {
        let command = Value::from(program.to_string_lossy().into_owned());
        let arguments = Value::from(arguments.to_vec());
        let _ = writeln!(
            self.integrations,
            "  {key}: {{ type: mcp, protocol: stdio, command: {command}, args: {arguments} }}"
        );
        self
    }

    /// The configuration as YAML.
    pub(crate) fn yaml(&self) -> String {
        let integrations = if self.integrations.is_empty() {
            " {}\n".to_owned()
        } else {
            format!("\n{}", self.integrations)
        };
        format!(
            "mcp: {{ tcp: \"127.0.0.1:0\" }}\nlimits: {{ connections: 120000 }}\nintegrations:{integrations}"
        )
    }
}

impl Hub {
    /// Starts `trunkline` on `config`, with its data in `folder`, and waits until it is ready.
    pub(crate) fn start(trunkline: &Path, config: &Config, folder: &Path, log: &Path) -> Result<Self> {
        let file = write_config(config, folder)?;
        let mut command = spawn::command(trunkline, Some(log));
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--config"]).arg(&file);
        command.arg("--data").arg(folder.join("data"));
        let started_us = clock::now_us();
        let (program, ready) = Program::start_and_hear(&mut command, READY)
            .with_context(|| format!("the hub did not become ready; see {}", log.display()))?;
        let ready_us = clock::now_us() - started_us;
        let text = |name: &str| ready.get(name).and_then(Value::as_str).map(str::to_owned);
        let mcp = text("mcp").with_context(|| format!("the ready line names no MCP endpoint: {ready}"))?;
        let listen = text("listen").with_context(|| format!("the ready line names no address: {ready}"))?;
        let tcp = text("tcp").map(|address| address.trim_start_matches("tcp://").to_owned());
        Ok(Self {
            program,
            http: Target::parse(&mcp)?,
            tcp: tcp.map(|address| Target::parse(&format!("tcp://{address}/mcp"))).transpose()?,
            websocket: Target::parse(&format!("ws://{listen}/mcp"))?,
            key: text("first_key"),
            ready_us,
            started_us,
        })
    }

    /// The hub's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Waits until `tool` is offered, so that no window begins before its upstream is connected.
    pub(crate) fn wait_for(&self, tool: &str) -> Result<()> {
        client::list_until(&self.http, self.key.as_deref(), TOOL_MS, |listed| {
            listed.tools.iter().any(|name| name == tool)
        })
        .with_context(|| format!("the hub does not offer {tool}"))
        .map(drop)
    }

    /// A load of `tool` through the HTTP door.
    pub(crate) fn call(&self, mode: Mode, tool: &str, connections: usize, seconds: f64) -> Plan {
        Plan {
            target: self.http.clone(),
            key: self.key.clone(),
            mode,
            connections,
            seconds,
            rate: None,
            core: None,
            ask: Ask::Call { tool: tool.to_owned(), text_bytes: TEXT_BYTES },
        }
    }
}

/// Writes the configuration into `folder` and returns its path.
pub(crate) fn write_config(config: &Config, folder: &Path) -> Result<PathBuf> {
    let file = folder.join("trunkline.yaml");
    fs::write(&file, config.yaml()).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_every_connection_once_and_quotes_what_needs_it() {
        let yaml = Config::default()
            .http("up", "http://127.0.0.1:1/mcp", "modern")
            .stdio("pipe", Path::new("/a b/bench"), &["upstream-stdio", "--tools", "3"])
            .yaml();
        assert!(yaml.contains(
            "\n  up: { type: mcp, protocol: http, url: \"http://127.0.0.1:1/mcp\", era: modern }\n"
        ));
        assert!(
            yaml.contains(r#"command: "/a b/bench", args: ["upstream-stdio","--tools","3"] }"#),
            "{yaml}"
        );
        assert!(Config::default().yaml().ends_with("integrations: {}\n"));
    }
}
