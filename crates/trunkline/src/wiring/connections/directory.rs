//! What the API asks of the binary about connections: where they are written, and trying them out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use connector::Connector;
use mcp_upstream::McpUpstream;
use model::{Code, Fault, IntegrationKind, Key};
use store::{ConnectionRow, IntegrationRow};

use super::Connections;
use crate::config::entry::{self, Entry, McpEntry, Shape, Transport};

#[async_trait]
impl api::Directory for Connections {
    fn entries(&self) -> Vec<api::Entry> {
        let held = self.held();
        let file = held.file.as_ref().map(|file| file.display().to_string());
        let entries = held.live.values().map(|live| {
            let state = live.connector.state();
            let source = file.clone().filter(|_| live.is_file_managed);
            api::Entry {
                key: live.entry.key.to_string(),
                status: state.status,
                reason: live.broken.clone(),
                source: source.map(|file| api::Source { file, line: Some(live.entry.line) }),
                is_file_managed: live.is_file_managed,
                transport: Some(state.transport.to_owned()),
            }
        });
        entries.collect()
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    async fn retest(&self, key: &Key) -> Result<(), Fault> {
        let found = self.held().live.get(key).map(|live| Arc::clone(&live.connector));
        let connector =
            found.ok_or_else(|| Fault::new(Code::NOT_FOUND, format!("there is no connection `{key}`")))?;
        connector.refresh().await
    }

    fn file_toolsets(&self) -> BTreeSet<Key> {
        self.held().file_sets.iter().map(|set| set.key.clone()).collect()
    }

    fn unavailable(&self, integration: &IntegrationRow) -> Option<String> {
        (integration.kind != IntegrationKind::Mcp)
            .then(|| "this version connects MCP servers; connectors for other systems come later".to_owned())
    }

    fn command_line(&self, row: &ConnectionRow) -> Result<Option<String>, Fault> {
        let entry = entry_of(row);
        let mcp = usable(&entry)?;
        match &mcp.transport {
            Transport::Stdio { command, args, env, cwd, .. } => {
                let mut line = String::new();
                if let Some(cwd) = cwd {
                    line.push_str(&format!("cd {} && ", quoted(&cwd.display().to_string())));
                }
                for (name, value) in env {
                    line.push_str(&format!("{name}={} ", quoted(value.expose())));
                }
                let words = std::iter::once(command).chain(args).map(|word| quoted(word));
                line.push_str(&words.collect::<Vec<_>>().join(" "));
                Ok(Some(line))
            }
            Transport::Unix(_) if !mcp.private_allowed => Err(Fault::new(
                Code::BAD_ARGUMENTS,
                "connection_config: a Unix socket is on this machine, and the connection may not reach it",
            )
            .with_hint("set `egress_private` if it is meant to")),
            _ => Ok(None),
        }
    }

    async fn try_out(&self, row: &ConnectionRow) -> Result<(), Fault> {
        let entry = entry_of(row);
        let mcp = usable(&entry)?;
        // What runs with these settings already is asked itself: a second program would be another one.
        let running = {
            let held = self.held();
            let live = held.live.get(&row.key).filter(|live| live.entry.is_same_as(&entry));
            live.map(|live| Arc::clone(&live.connector))
        };
        if let Some(running) = running {
            return running.refresh().await;
        }
        let (settings, parts) = (self.settings_of(&row.key, mcp), self.parts.clone());
        let trial = self.control.spawn(async move {
            let upstream = McpUpstream::start(settings, parts);
            let tried = upstream.refresh().await;
            upstream.close().await;
            tried
        });
        trial.await.unwrap_or_else(|_| Err(Fault::new(Code::BUG, "the test of the connection broke off")))
    }

    async fn settle(&self) {
        self.read_store().await;
    }
}

/// What a stored connection says, as an entry.
pub(super) fn entry_of(row: &ConnectionRow) -> Entry {
    entry::of_stored(row.key.clone(), &row.config.value(), row.egress_private)
}

fn usable(entry: &Entry) -> Result<&McpEntry, Fault> {
    match &entry.shape {
        Shape::Mcp(mcp) => Ok(mcp),
        Shape::Broken(reason) => Err(Fault::new(Code::BAD_ARGUMENTS, reason.clone())
            .with_hint("docs/reference/configuration.md tells what an MCP connection may say")),
        Shape::Later(later) => Err(Fault::new(Code::MISCONFIGURED, later.reason.clone())),
        Shape::Off => Err(Fault::new(Code::BAD_ARGUMENTS, "connection_config.enabled: is false")
            .with_hint("leave it out; connect and disconnect switch a connection on and off")),
    }
}

/// A word as a shell would have to read it; as it is where nothing in it could be read otherwise.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_are_quoted_where_a_shell_would_read_them_otherwise() {
        assert_eq!(super::quoted("npx"), "npx");
        assert_eq!(super::quoted(""), "''");
        assert_eq!(super::quoted("a b; rm"), "'a b; rm'");
        assert_eq!(super::quoted("it's"), r"'it'\''s'");
    }
}
