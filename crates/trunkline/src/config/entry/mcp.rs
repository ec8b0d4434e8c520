//! `type: mcp`: an MCP server as the administrator describes it.

use std::net::IpAddr;
use std::path::PathBuf;

use mcp_upstream::Sessions;
use model::{Era, Secret};
use outbound::egress::{Reach, reach_of};

use super::Shape;
use super::auth::{self, Auth, Delegation, header_name};
use super::child::{self, ChildLimits};
use super::secret::looks_secret;
use super::usage::{self, Usage};
use crate::config::egress::{self, Egress};
use crate::config::fields::{Fields, Reading};
use crate::config::said::Said;
use crate::config::tree::Mark;

/// An MCP server, ready to be connected.
#[derive(Debug, Clone)]
pub(crate) struct McpEntry {
    /// How to reach it.
    pub(crate) transport: Transport,
    /// Headers of every request, the authorization among them.
    pub(crate) headers: Vec<(String, Secret)>,
    /// The era to speak; `None` finds out.
    pub(crate) era: Option<Era>,
    /// How many sessions a legacy server sees.
    pub(crate) sessions: Sessions,
    /// The token of OAuth 2 that it signs in with, where it does.
    pub(crate) delegation: Option<Delegation>,
    /// How it may be used.
    pub(crate) usage: Usage,
    /// May reach private and loopback addresses.
    pub(crate) private_allowed: bool,
    /// What it says about the way out.
    pub(crate) egress: Egress,
}

/// How an MCP server is reached.
#[derive(Debug, Clone)]
pub(crate) enum Transport {
    /// A child process.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Added to a minimal environment.
        env: Vec<(String, Secret)>,
        /// Where it runs; `None` = where the hub was started.
        cwd: Option<PathBuf>,
        /// What it may use.
        limits: ChildLimits,
        /// Stopped after so many milliseconds without a call; `None` = never.
        idle_stop_ms: Option<u64>,
    },
    /// Streamable HTTP.
    Http(String),
    /// Legacy HTTP+SSE.
    Sse(String),
    /// WebSocket.
    WebSocket(String),
    /// Newline-delimited JSON-RPC over TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// The same over a Unix socket.
    Unix(PathBuf),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Stdio,
    Http,
    Sse,
    WebSocket,
    Tcp,
    Unix,
}

const PROTOCOLS: &[(&str, Protocol)] = &[
    ("stdio", Protocol::Stdio),
    ("http", Protocol::Http),
    ("sse", Protocol::Sse),
    ("websocket", Protocol::WebSocket),
    ("tcp", Protocol::Tcp),
    ("unix", Protocol::Unix),
];

/// Reads the entry. `None` after an error that left nothing to describe.
pub(super) fn read(at: Mark, mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Shape> {
    let egress = egress::read_entry(&mut fields, reading);
    let auth = auth::read(&mut fields, reading);
    let mut headers = headers(&mut fields, reading);
    let era = fields.choice(
        "era",
        &[("auto", None), ("modern", Some(Era::Modern)), ("legacy", Some(Era::Legacy))],
        reading,
    );
    let sessions = fields.choice(
        "sessions",
        &[("auto", Sessions::Auto), ("one", Sessions::One), ("by_ability", Sessions::ByAbility)],
        reading,
    );
    let usage = usage::read(&mut fields, 0, reading);
    let before = reading.problems.len();
    let transport = transport(at, &mut fields, reading);
    // Nothing wrong and nothing to show: its address is not known yet, and the rest is told all the same.
    if transport.is_some() || !reading.has_errors_since(before) {
        fields.finish(reading);
    }
    let (transport, is_private) = transport?;
    let mut delegation = None;
    match auth? {
        Auth::None => {}
        Auth::Header { name, value } => {
            headers.retain(|(known, _)| *known != name);
            headers.push((name, value));
        }
        Auth::Delegated(said) => delegation = Some(*said),
    }
    Some(Shape::Mcp(Box::new(McpEntry {
        transport,
        headers,
        era: era.flatten(),
        sessions: sessions.unwrap_or_default(),
        delegation,
        usage,
        private_allowed: egress.private.unwrap_or(is_private),
        egress,
    })))
}

/// The transport, and whether it names a private address literally.
fn transport(at: Mark, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<(Transport, bool)> {
    let has_command = fields.get("command", reading).is_some();
    let url_key = if fields.get("url", reading).is_none() && fields.get("endpoint", reading).is_some() {
        "endpoint"
    } else {
        "url"
    };
    let said = fields.get("protocol", reading).is_some();
    let protocol = fields.choice("protocol", PROTOCOLS, reading);
    let protocol = match protocol {
        Some(protocol) => protocol,
        None if said => return None,
        None if has_command => Protocol::Stdio,
        None => match fields.raw_text(url_key, reading).map(|(text, _)| text) {
            Some(url) if url.starts_with("ws:") || url.starts_with("wss:") => Protocol::WebSocket,
            Some(url) if url.starts_with("tcp:") => Protocol::Tcp,
            Some(url) if url.starts_with("unix:") => Protocol::Unix,
            Some(_) => Protocol::Http,
            None => {
                let hint = "name a `command` (stdio) or a `url`".to_owned();
                reading.error(at, &fields.key("protocol"), "missing", Some(hint));
                return None;
            }
        },
    };
    let (child, raw_url) = (child::read(fields, reading), fields.raw_text(url_key, reading));
    if protocol == Protocol::Stdio {
        if let Some((_, at)) = raw_url {
            reading.error(
                at,
                &fields.key(url_key),
                "a stdio server has no URL",
                Some("remove it, or change `protocol`".to_owned()),
            );
        }
        let Some(child) = child else {
            if !has_command {
                let hint = "name the program; its arguments go into `args`".to_owned();
                reading.error(at, &fields.key("command"), "missing", Some(hint));
            }
            return None;
        };
        return Some((child, false));
    }
    if has_command {
        let hint = "write `protocol: stdio`, or remove `command`".to_owned();
        reading.error(at, &fields.key("command"), "only a stdio server has a command", Some(hint));
    }
    let Some((raw, at)) = raw_url else {
        let hint = match protocol {
            Protocol::Tcp => "for example 127.0.0.1:9000",
            Protocol::Unix => "for example /run/server.sock",
            _ => "for example https://mcp.example.com/mcp",
        };
        reading.error(at, &fields.key("url"), "missing", Some(hint.to_owned()));
        return None;
    };
    let value = reading.resolve(at, &fields.key(url_key), raw)?;
    match remote(protocol, &Said::new(at, raw, value)) {
        Ok(transport) => Some((transport, is_private_literal(raw))),
        Err(what) => {
            reading.error(at, &fields.key(url_key), what, None);
            None
        }
    }
}

/// The transport that a URL names, or what is wrong with it, in the words of the file.
fn remote(protocol: Protocol, said: &Said<'_>) -> Result<Transport, String> {
    let text = said.value();
    let url = |schemes: [&str; 2]| {
        let uri: http::Uri = text.parse().map_err(|_| format!("`{said}` is not a URL"))?;
        if !uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) {
            return Err(format!("`{said}` does not begin with {}:// or {}://", schemes[0], schemes[1]));
        }
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err("a URL with a user name in it; write them under `auth`".to_owned());
        }
        Ok(text.to_owned())
    };
    match protocol {
        Protocol::Http => url(["http", "https"]).map(Transport::Http),
        Protocol::Sse => url(["http", "https"]).map(Transport::Sse),
        Protocol::WebSocket => url(["ws", "wss"]).map(Transport::WebSocket),
        Protocol::Tcp => {
            let rest = text.strip_prefix("tcp://").unwrap_or(text).trim_end_matches('/');
            let parts =
                rest.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
            let (host, port) = parts
                .filter(|(host, port)| !host.is_empty() && *port > 0)
                .ok_or_else(|| format!("`{said}` is not host:port"))?;
            Ok(Transport::Tcp { host: host.trim_matches(['[', ']']).to_owned(), port })
        }
        Protocol::Unix => {
            let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
            if path.starts_with('/') {
                Ok(Transport::Unix(PathBuf::from(path)))
            } else {
                Err(format!("`{said}` is not the absolute path of a socket"))
            }
        }
        Protocol::Stdio => Err("a stdio server has no URL".to_owned()),
    }
}

/// True when the host stands in the file itself and is loopback or private: whoever wrote it there meant it.
pub(super) fn is_private_literal(raw: &str) -> bool {
    let rest = raw.split_once("://").map_or(raw, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let name = host.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| matches!(reach_of(ip), Reach::Private(_)))
}

fn headers(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<(String, Secret)> {
    let path = fields.key("headers");
    let mut out = Vec::new();
    for (word, node) in fields.names("headers", reading).unwrap_or_default() {
        let key = format!("{path}.{}", word.text);
        let Some(text) = node.value.as_text() else {
            reading.error(node.at, &key, format!("expected a text, found {}", node.value.noun()), None);
            continue;
        };
        let Some(name) = header_name(&Said::literal(word.at, &word.text), &key, reading) else { continue };
        let value = if looks_secret(&name) || name == "cookie" {
            reading.resolve_secret(node.at, &key, text)
        } else {
            reading.resolve(node.at, &key, text)
        };
        let Some(value) = value else { continue };
        if http::HeaderValue::from_str(value.expose()).is_err() {
            reading.error(node.at, &key, "the value has line breaks or control characters", None);
            continue;
        }
        out.push((name, value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::is_private_literal;

    #[test]
    fn only_what_stands_in_the_file_opens_private_addresses() {
        for yes in [
            "http://127.0.0.1:1/mcp",
            "http://localhost/x",
            "ws://[::1]:2",
            "10.0.0.1:9",
            "tcp://192.168.1.1:3",
        ] {
            assert!(is_private_literal(yes), "{yes}");
        }
        for no in [
            "http://example.com",
            "${URL}",
            "http://${HOST}:80/",
            "http://169.254.169.254/",
            "http://127.0.0.1.evil.example/",
        ] {
            assert!(!is_private_literal(no), "{no}");
        }
    }
}
